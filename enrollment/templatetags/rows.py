"""What rows of enrollments show: made without a template, for lists have dozens."""

from django import template
from django.utils.html import format_html
from django.utils.translation import gettext as _

from accounts.templatetags.portal import icon

register = template.Library()


@register.simple_tag(takes_context=True)
def next_step(context, action, row, is_main: bool = False) -> str:
    """The next step of a row: a link, or a button where it changes something.

    `action` is enrollment.wording.Action, or nothing; words alone if it leads nowhere.
    `row` is enrollment.rows.Row, `is_main` true where it is the one step of the page.
    """
    if not action:
        return ""
    if not (action.is_post or action.url):
        return format_html('<span class="muted">{}</span>', action.label)
    label = format_html("{}{}", action.label, _of(row))
    size = "btn" if is_main else "btn btn--small btn--quiet"
    if action.is_post:
        return format_html(
            '<form method="post" action="{}">'
            '<input type="hidden" name="csrfmiddlewaretoken" value="{}">'
            '<button class="{}">{}</button></form>',
            action.url,
            context["csrf_token"],
            size,
            label,
        )
    if action.is_primary:
        return format_html('<a class="{}" href="{}">{}</a>', size, action.url, label)
    return format_html('<a href="{}">{}</a>', action.url, label)


@register.simple_tag
def tick(row, is_wide: bool = False) -> str:
    """Ticks a row to enroll it with others; the form is enrollment/_together.html.

    `is_wide` is true where no row of a table says what it is.
    """
    key = row.place_id
    return format_html(
        '<div class="tick"><input type="checkbox" name="row" value="{}" id="row-{}" '
        'form="together"{}><label for="row-{}">{}{}</label></div>',
        key,
        key,
        " data-ready" if row.is_ready else "",
        key,
        _("Choose") if is_wide else "",
        _of(row),
    )


@register.simple_tag
def earning_clock(clock) -> str:
    """The earning clock of a row: until when to act, and what that earns; or nothing.

    `clock` is enrollment.clock.EarningClock.
    """
    if not clock:
        return ""
    return format_html('<p class="turn__line">{} {}</p>', icon("clock"), clock.line)


def _of(row) -> str:
    """What it is about, for who hears the page."""
    return format_html(
        '<span class="visually-hidden"> {}, {}</span>',
        row.location.name,
        row.program.name,
    )
