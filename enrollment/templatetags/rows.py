"""What rows of enrollments show: made without a template, for lists have dozens."""

from functools import lru_cache

from django import template
from django.template.loader import get_template
from django.utils.html import format_html, format_html_join
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.templatetags.portal import icon, status_chip

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


@register.simple_tag(takes_context=True)
def overview_row(context, row) -> str:
    """A row of the Overview's table, in the columns that the page has.

    `row` is enrollment.rows.Row; of the page's context by_location, to_enroll, has_guides
    and the columns' names.
    """
    seen, guides = row.standing, ""
    if context["has_guides"]:
        guides = format_html(
            '<td data-label="{}">{}</td>', context["guides_label"], _guide(row)
        )
    return format_html(
        '<tr data-turn="{}">{}<th scope="row"><a href="{}">{}</a> '
        '<span class="table__sub">{}</span></th><td data-label="{}"><div>{}{}{}{}</div>'
        "</td>{}<td>{}</td></tr>",
        seen.turn,
        _ticked(row) if context["to_enroll"] else "",
        row.program_url,
        row.program.name if context["by_location"] else row.location.name,
        _year_of(row) if context["by_location"] else _number_of(row),
        context["status_label"],
        status_chip(seen.status),
        _line(seen.line) if seen.line else "",
        earning_clock(seen.clock),
        _forecast(row) if row.forecast else "",
        guides,
        next_step(context, seen.action, row),
    )


def _ticked(row) -> str:
    box = tick(row) if row.is_to_enroll else ""
    return format_html('<td class="table__tick">{}</td>', box)


def _year_of(row) -> str:
    return _("Fiscal year %(year)s") % {"year": row.terms.fiscal_year.number}


def _number_of(row) -> str:
    return format_html(
        '<span class="num">{}</span> · {}',
        row.location.partner_id,
        row.location.country,
    )


def _line(text) -> str:
    return format_html('<p class="turn__line">{}</p>', text)


def _forecast(row) -> str:
    line = get_template("enrollment/_forecast_line.html")
    return line.render({"forecast": row.forecast, "row": row})


def _guide(row) -> str:
    if not row.terms.guide_url:
        return "–"
    return format_html(
        '<a href="{}" rel="noopener noreferrer">{}<span class="visually-hidden">: {}'
        "</span></a>",
        row.terms.guide_url,
        _("Program guide"),
        row.program.name,
    )


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
    return _line(format_html("{} {}", icon("clock"), clock.line))


@register.simple_tag
def turn_row(row) -> str:
    """An enrollment in a list of Home: whose turn it is, until when, the next step.

    `row` is enrollment.rows.Row.
    """
    seen, step = row.standing, ""
    if seen.action:
        step = format_html(
            '<a class="btn btn--quiet btn--small" href="{}">{}{}</a>',
            seen.action.url,
            seen.action.label,
            _of(row),
        )
    return format_html(
        '<article class="turn turn--row" data-turn="{}"><h3><a href="{}">{}</a></h3>'
        '<p class="turn__line">{} · {}</p>{}{}</article>',
        seen.turn,
        row.program_url,
        row.program.name,
        row.location.name,
        seen.line,
        earning_clock(seen.clock),
        step,
    )


@register.simple_tag
def ready_list(items) -> str:
    """What an enrollment needs, each in place or missing.

    `items` are those of enrollment.places.Readiness.
    """
    said = tuple((str(item.label), item.is_ok) for item in items)
    return _ready_list(said, get_language() or "")


# A list says the same again and again.
@lru_cache(maxsize=256)
def _ready_list(items: tuple[tuple[str, bool], ...], language: str) -> str:
    lines = format_html_join("", "{}", ((_needed(*item),) for item in items))
    return format_html('<ul class="ready">{}</ul>', lines)


def _needed(label: str, is_ok: bool) -> str:
    if is_ok:
        return format_html(
            '<li>{}<span>{}<span class="visually-hidden">: {}</span></span></li>',
            icon("check"),
            label,
            _("in place"),
        )
    return format_html(
        '<li class="is-missing">{}<span>{}<span class="visually-hidden">: {}</span>'
        "</span></li>",
        icon("alert"),
        label,
        _("missing"),
    )


def _of(row) -> str:
    """What it is about, for who hears the page."""
    return format_html(
        '<span class="visually-hidden"> {}, {}</span>',
        row.location.name,
        row.program.name,
    )
