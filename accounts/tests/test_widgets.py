"""Controls drawn without a template: what they say is what Django's own say."""

import pytest
from django import forms
from django.test.html import parse_html
from django.utils.html import format_html

from accounts.widgets import PlainSelect

CHOICES = [("", "All"), ("a&b", "<Both> & none"), (3, "Three")]


@pytest.mark.parametrize("value", [None, "", "a&b", 3, "3", "unknown"])
def test_a_plain_list_says_what_djangos_does(value):
    attrs = {"id": "x", "aria-describedby": False, "disabled": True, "title": 'a"b'}
    drawn = [
        widget(choices=CHOICES).render("name", value, attrs)
        for widget in (PlainSelect, forms.Select)
    ]
    plain, full = map(parse_html, drawn)
    assert plain == full


def test_what_calls_itself_safe_is_text_in_a_list_all_the_same():
    drawn = PlainSelect(choices=[("x", format_html("<b>{}</b>", 1))]).render(
        "name", None
    )

    assert "&lt;b&gt;1" in drawn
