"""Controls drawn without a template: what they say is what Django's own say."""

import pytest
from django import forms
from django.test.html import parse_html

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
