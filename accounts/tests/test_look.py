"""Tests of the look itself: its weight, its colors, and pages without inline code."""

import gzip
import re

import pytest
from django.conf import settings

STATIC = settings.BASE_DIR / "static"
TEMPLATES = settings.BASE_DIR / "templates"
SHEET = (STATIC / "css" / "portal.css").read_text()
SPRITE = (STATIC / "img" / "icons.svg").read_text()

TEXT, CONTROL = 4.5, 3.0
FAMILIES = ("you", "them", "done", "stop", "idle")
PAIRS = [
    *(
        (ink, ground, TEXT)
        for ink in ("ink", "ink-2", "ink-3", "link", "stop-ink", "you-ink")
        for ground in ("paper", "surface")
    ),
    *((ink, "sunken", TEXT) for ink in ("ink", "ink-2", "link")),
    *((f"{family}-ink", family, TEXT) for family in FAMILIES),
    ("brand-soft-ink", "brand-soft", TEXT),
    ("on-brand", "brand", TEXT),
    ("on-brand", "brand-hover", TEXT),
    ("on-stop", "stop-solid", TEXT),
    ("control", "surface", CONTROL),
    ("brand", "paper", CONTROL),
    ("brand", "surface", CONTROL),
    *((f"{family}-solid", "surface", CONTROL) for family in FAMILIES),
]


def tokens(*, is_dark: bool) -> dict[str, str]:
    found = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", SHEET)
    return {name: dark if is_dark else light for name, light, dark in found}


def luminance(color: str) -> float:
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground", "least"), PAIRS)
def test_every_pair_of_colors_can_be_told_apart(ink, ground, least, is_dark):
    colors = tokens(is_dark=is_dark)
    assert contrast(colors[ink], colors[ground]) >= least


def test_browsers_without_light_dark_get_the_light_colors():
    plain = dict(re.findall(r"--([\w-]+): (#\w{6});", SHEET.split("@supports")[0]))
    assert plain.items() >= tokens(is_dark=False).items()


@pytest.mark.parametrize(("path", "most"), [("css/portal.css", 12), ("js", 20)])
def test_style_sheet_and_scripts_stay_light(path, most):
    place = STATIC / path
    files = [place] if place.is_file() else sorted(place.glob("*.js"))
    weight = sum(len(gzip.compress(file.read_bytes())) for file in files)
    assert weight <= most * 1024


def test_no_page_carries_inline_code_that_the_policy_would_refuse():
    for template in TEMPLATES.rglob("*.html"):
        if "emails" in template.parts:
            continue
        html = template.read_text()
        assert not re.search(r"\sstyle=|<style|\son\w+=\"", html), template
        assert not re.search(r"<script(?![^>]*\ssrc=)", html), template


def test_every_icon_that_a_template_names_is_in_the_sprite():
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', SPRITE))
    for template in TEMPLATES.rglob("*.html"):
        named = set(re.findall(r'{% icon "([\w-]+)"', template.read_text()))
        assert named <= drawn, template


def test_the_page_for_our_own_failure_needs_no_template_engine():
    html = (TEMPLATES / "500.html").read_text()
    assert "{%" not in html
    assert "{{" not in html


def test_fonts_come_with_their_license():
    fonts = {file.name for file in (STATIC / "fonts").glob("*.woff2")}
    assert fonts == set(re.findall(r'url\("\.\./fonts/([\w-]+\.woff2)"\)', SHEET))
    assert "SIL OPEN FONT LICENSE" in (STATIC / "fonts" / "OFL.txt").read_text()
