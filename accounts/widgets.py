"""Controls of forms that lists show above their rows."""

from functools import lru_cache

from django import forms
from django.forms.utils import flatatt
from django.utils.html import escape, format_html, format_html_join


class PlainSelect(forms.Select):
    """A list to choose from, as Select draws it, without a template for each option.

    For choices in no groups: filters have dozens, and drawing them took as long as the
    rows.
    """

    def render(self, name, value, attrs=None, renderer=None):
        choices = tuple((str(key), str(label)) for key, label in self.choices)
        options = _options(choices, frozenset(self.format_value(value)))
        attrs = self.build_attrs(self.attrs, {**(attrs or {}), "name": name})
        return format_html("<select{}>{}</select>", flatatt(attrs), options)


# The same lists are drawn again and again, in a language each.
@lru_cache(maxsize=64)
def _options(choices: tuple[tuple[str, str], ...], chosen: frozenset[str]) -> str:
    """The options of a list; their labels are text, whatever they are."""
    return format_html_join(
        "",
        '<option value="{}"{}>{}</option>',
        (
            (key, _SELECTED if key in chosen else "", escape(label))
            for key, label in choices
        ),
    )


_SELECTED = format_html(" {}", "selected")
