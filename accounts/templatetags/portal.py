"""What templates need that takes logic: icons, dates, numbers, form controls."""

import datetime
import json
import re
from functools import cache, lru_cache
from urllib.parse import parse_qsl, urlsplit

from django import template
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.template.defaultfilters import stringfilter
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.dates import day, full_day, local_day
from accounts.stretches import MOST_COUNTED
from accounts.text import one_stop

register = template.Library()

BULLET = "\N{BULLET}"


@register.filter
def counted(number: int) -> str:
    """How many there are, or "100+": no page of a large partner counts on."""
    return f"{MOST_COUNTED}+" if number > MOST_COUNTED else str(number)


# --- Pictures and places --------------------------------------------------------


@register.simple_tag
def icon(name: str, label: str = "", css: str = "") -> str:
    """A picture of the sprite: hidden from screen readers unless it has a label."""
    address = f"{_sprite()}#{name}"
    classes = f"icon {css}" if css else "icon"
    if label:
        return format_html(
            '<svg class="{}" width="20" height="20" role="img" aria-label="{}">'
            '<use href="{}"></use></svg>',
            classes,
            label,
            address,
        )
    return _mute_picture(address, classes)


@cache
def _sprite() -> str:
    """Where all pictures are: the same as long as the portal runs."""
    return static("img/icons.svg")


@lru_cache
def _mute_picture(address: str, classes: str) -> str:
    """A page has dozens of them, of a few kinds; nobody typed any part."""
    return format_html(
        '<svg class="{}" width="20" height="20" aria-hidden="true" focusable="false">'
        '<use href="{}"></use></svg>',
        classes,
        address,
    )


@register.simple_tag
def status_chip(status) -> str:
    """A status in words, with its icon. Never a link: the row or card around it is.

    `status` has label, icon and turn (you, them, done, stop, idle or new).
    """
    return _chip(str(status.label), status.turn, status.icon)


@lru_cache(maxsize=1024)
def _chip(label: str, turn: str, name: str) -> str:
    return format_html(
        '<span class="chip" data-turn="{}">{}{}</span>',
        turn,
        icon(name) if name else "",
        label,
    )


@register.simple_tag(takes_context=True)
def current_page(context, url: str) -> str:
    """The attribute that marks a link to this very page, its query included."""
    request = context.get("request") or getattr(context, "request", None)
    if request is None:
        return ""
    there = urlsplit(url)
    is_here = there.path in ("", request.path) and all(
        request.GET.get(name) == value for name, value in parse_qsl(there.query)
    )
    return format_html(' aria-current="{}"', "page") if is_here else ""


@register.simple_block_tag
def capture(content: str) -> str:
    """Keep a rendered block under a name, to show it in two places."""
    return content


@register.filter
def percent(number) -> str:
    """A share, as each language writes it: 60% in English, 60 % in Swedish."""
    return _("%(number)s%%") % {"number": number}


@register.filter
def bdi(value) -> str:
    """A name inside a sentence, so that its writing direction stays its own."""
    return format_html("<bdi>{}</bdi>", value)


@register.filter(name="one_stop", is_safe=True)
@stringfilter
def with_one_stop(sentence: str) -> str:
    """A sentence that ends once, whatever the name at its end: B.V., K.K."""
    return one_stop(sentence)


@register.filter
def page_numbers(page) -> list:
    """The numbers that the pagination shows, with gaps."""
    return list(
        page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
    )


@register.filter
def segments(number: int, total: int) -> list[bool]:
    """One truth for each step: is it reached?"""
    return [step <= number for step in range(1, total + 1)]


# --- Forms ----------------------------------------------------------------------


@register.filter
def carried(field) -> str:
    """A field's value carried along unseen; what describes it is on another page."""
    widget = field.field.hidden_widget()
    return widget.render(field.html_name, field.value(), {"id": field.auto_id})


@register.simple_tag
def described_by(field, hint: str = "") -> str:
    """The ids of a field's hint and error, in the order they are read."""
    ids = []
    if hint or field.help_text:
        ids.append(f"{field.auto_id}_helptext")
    if field.errors:
        ids.append(f"{field.auto_id}_error")
    return " ".join(ids)


@register.simple_tag
def control(field, hint: str = "") -> str:
    """The field's widget, described by hint and error; no placeholder is kept."""
    attrs = {"placeholder": False}
    if not field.use_fieldset:
        attrs["aria-describedby"] = described_by(field, hint) or False
    return field.as_widget(attrs=attrs)


@register.simple_tag
def filter_field(field) -> str:
    """A field of a list's filters: its label and control; it has no hint and no errors."""
    return format_html(
        '<div class="field"><label for="{}">{}</label>{}</div>',
        field.id_for_label,
        field.label,
        field.as_widget(attrs={"placeholder": False}),
    )


@register.filter
def as_json(value) -> str:
    """A value for a script to read from a data attribute; escaped like any text."""
    return json.dumps(value)


@register.filter
def has_options(field) -> bool:
    """Is it a group of radios or checkboxes, each with a label of its own?"""
    return getattr(field.field.widget, "input_type", "") in ("radio", "checkbox")


@register.simple_tag
def to_mend(form=None, forms=None) -> list:
    """The forms that have errors, of one form or of several."""
    return [one for one in forms or [form] if one and one.errors]


@register.filter
def error_target(field) -> str:
    """The id that an error summary's link leads to: a group's first option."""
    return field.id_for_label or f"{field.auto_id}_0"


# --- Account numbers --------------------------------------------------------------


@register.filter
def grouped(number) -> str:
    """A number in groups of four, as printed: an IBAN from the left, others not."""
    text = re.sub(r"\s+", "", str(number or ""))
    if len(text) <= 4:
        return text
    head = 0 if _is_iban_like(text) else len(text) % 4
    groups = [text[:head]] if head else []
    groups += [text[start : start + 4] for start in range(head, len(text), 4)]
    return " ".join(groups)


@register.filter
def masked(number) -> str:
    """A number with only its ends to be seen: last four, and an IBAN's first four."""
    text = re.sub(r"\s+", "", str(number or ""))
    shown = 4 if len(text) >= 8 or BULLET in text else 0
    head = 4 if _is_iban_like(text) else 0
    hidden = max(len(text) - head - shown, 0)
    tail = text[len(text) - shown :] if shown else ""
    return grouped(f"{text[:head]}{BULLET * hidden}{tail}")


@register.filter
def last_four(number) -> str:
    """The end of a number, which is how people tell accounts apart."""
    text = re.sub(r"[\s\u2022]+", "", str(number or ""))
    return text[-4:]


def _is_iban_like(text: str) -> bool:
    return len(text) >= 15 and bool(re.match(r"[A-Z]{2}[\d\u2022]{2}", text))


# --- Days and moments ---------------------------------------------------------------


register.filter(day)
register.filter(full_day)


@register.filter
def moment(value) -> str:
    """A day with its time and the name of the time zone."""
    return _with_time(value, day)


@register.filter
def full_moment(value) -> str:
    """The same with its month in full and its year, for what is kept."""
    return _with_time(value, full_day)


def _with_time(value, day_of) -> str:
    if not value:
        return ""
    at = timezone.localtime(value)
    return _("%(day)s, %(time)s %(zone)s") % {
        "day": day_of(at),
        "time": date_format(at, "H:i"),
        "zone": at.tzname(),
    }


@register.filter
def ago(value) -> str:
    """How far from now: in hours within a day, else in days."""
    if not value:
        return ""
    is_moment = isinstance(value, datetime.datetime)
    if is_moment and abs(timezone.now() - value) < datetime.timedelta(days=1):
        return naturaltime(value)
    days = (local_day(value) - timezone.localdate()).days
    if days in (-1, 0, 1):
        return {-1: _("yesterday"), 0: _("today"), 1: _("tomorrow")}[days]
    if days > 0:
        return ngettext("in %(days)d day", "in %(days)d days", days) % {"days": days}
    return ngettext("%(days)d day ago", "%(days)d days ago", -days) % {"days": -days}


@register.simple_tag
def time_tag(value, text: str = "") -> str:
    """A day or moment that machines can read too; the whole moment on hover."""
    if not value:
        return ""
    is_moment = isinstance(value, datetime.datetime)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        value.isoformat(),
        moment(value) if is_moment else full_day(value),
        text or day(value),
    )


# --- Words ---------------------------------------------------------------------------


@register.filter
def listed(names) -> str:
    """Names as a sentence lists them: "Åsa, Omar and Lee"."""
    names = [str(name) for name in names]
    if len(names) < 2:
        return "".join(names)
    return _("%(names)s and %(last)s") % {
        "names": ", ".join(names[:-1]),
        "last": names[-1],
    }


@register.filter
def within(label) -> str:
    """A label as it stands inside a sentence: "credit note"; "VAT number" stays."""
    text = str(label)
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


@register.filter
def listed_within(labels) -> str:
    """Labels as the list inside a sentence: "bank transfer and credit note"."""
    return listed(within(label) for label in labels)
