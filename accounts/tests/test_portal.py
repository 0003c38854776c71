"""Tests of the template tags, through the components that use them."""

import datetime

import pytest
import time_machine
from django import forms
from django.core.paginator import Paginator
from django.template import Context, engines
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.html import format_html

from accounts.templatetags import portal

IBAN = "SE35 5000 0000 0549 1000 0003"
NOVEMBER = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)


class PaymentForm(forms.Form):
    holder = forms.CharField(
        label="Account holder",
        help_text="As the bank has it.",
        widget=forms.TextInput(attrs={"placeholder": "Holder"}),
    )
    note = forms.CharField(label="Note", required=False)
    method = forms.ChoiceField(
        label="Method",
        choices=[("bank", "Bank transfer"), ("credit", "Credit note")],
        widget=forms.RadioSelect,
    )
    agree = forms.BooleanField(label="I am authorised")


def rendered(template: str, **context) -> str:
    return engines["django"].from_string(template).render(context)


def field(name: str, form: forms.Form, **context) -> str:
    html = render_to_string("components/field.html", context | {"field": form[name]})
    return " ".join(html.split())


# --- Account numbers ---------------------------------------------------------------


def test_a_masked_iban_shows_its_country_and_last_four():
    assert portal.masked(IBAN) == "SE35 •••• •••• •••• •••• 0003"


def test_a_masked_account_number_shows_its_last_four():
    assert portal.masked("123456789") == "• •••• 6789"


def test_a_short_number_is_hidden_whole():
    assert portal.masked("1234567") == "••• ••••"


def test_masking_twice_changes_nothing():
    assert portal.masked(portal.masked(IBAN)) == portal.masked(IBAN)
    assert portal.masked("••0003") == "•• 0003"


def test_an_account_number_component_never_writes_the_hidden_part():
    html = render_to_string("components/account_number.html", {"number": IBAN})
    assert "5000" not in html
    assert "ending in 0003" in html


def test_a_revealed_account_number_is_grouped_in_fours():
    html = render_to_string(
        "components/account_number.html",
        {"number": IBAN.replace(" ", ""), "is_revealed": True},
    )
    assert IBAN in html


# --- Days ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "on", "words"),
    [
        ("en", datetime.date(2026, 11, 12), "12 Nov"),
        ("sv", datetime.date(2026, 11, 12), "12 nov"),
        ("sv", datetime.date(2026, 3, 1), "1 mars"),
        ("en", datetime.date(2027, 6, 30), "30 Jun 2027"),
        ("sv", datetime.date(2027, 6, 30), "30 juni 2027"),
        ("en", None, ""),
    ],
)
def test_a_day_is_short_and_has_its_year_only_when_that_is_another(language, on, words):
    with time_machine.travel(NOVEMBER, tick=False), translation.override(language):
        assert portal.day(on) == words


def test_a_moment_names_its_time_zone():
    with (
        time_machine.travel(NOVEMBER, tick=False),
        timezone.override("Europe/Stockholm"),
    ):
        assert portal.moment(NOVEMBER) == "20 Nov, 13:00 CET"


def test_a_day_is_that_of_the_readers_time_zone():
    just_before_midnight = datetime.datetime(2026, 11, 19, 23, 30, tzinfo=datetime.UTC)
    with (
        time_machine.travel(NOVEMBER, tick=False),
        timezone.override("Europe/Stockholm"),
    ):
        assert portal.day(just_before_midnight) == "20 Nov"


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (-3, "3 days ago"),
        (-1, "yesterday"),
        (0, "today"),
        (1, "tomorrow"),
        (5, "in 5 days"),
    ],
)
def test_ago_counts_days(days, words):
    with time_machine.travel(NOVEMBER, tick=False):
        assert portal.ago(NOVEMBER.date() + datetime.timedelta(days=days)) == words


@pytest.mark.parametrize(("language", "words"), [("en", "60%"), ("sv", "60\xa0%")])
def test_a_share_is_written_as_its_language_does(language, words):
    with translation.override(language):
        assert portal.percent(60) == words


def test_ago_counts_minutes_within_a_day():
    with time_machine.travel(NOVEMBER, tick=False):
        two_minutes_ago = NOVEMBER - datetime.timedelta(minutes=2)
        assert portal.ago(two_minutes_ago).replace("\xa0", " ") == "2 minutes ago"


# --- Forms ---------------------------------------------------------------------------


def test_a_control_names_its_hint_and_its_error():
    html = field("holder", PaymentForm({}))
    assert 'aria-describedby="id_holder_helptext id_holder_error"' in html
    assert 'id="id_holder_helptext"' in html
    assert 'id="id_holder_error"' in html
    assert 'aria-invalid="true"' in html


def test_a_hint_given_by_the_page_is_named_too():
    html = field("note", PaymentForm(), hint="At most a line.")
    assert 'aria-describedby="id_note_helptext"' in html
    assert "At most a line." in html


def test_a_control_without_hint_or_error_names_nothing():
    assert "aria-describedby" not in field("note", PaymentForm())


def test_a_field_has_no_placeholder():
    assert "placeholder" not in field("holder", PaymentForm())


def test_only_fields_that_may_stay_empty_say_so():
    assert "optional" in field("note", PaymentForm())
    assert "optional" not in field("holder", PaymentForm())
    assert "optional" not in field("note", PaymentForm(), hide_optional=True)


def test_radios_stand_in_a_fieldset_that_names_the_error():
    html = field("method", PaymentForm({}))
    assert '<fieldset class="field" aria-describedby="id_method_error">' in html
    assert "<legend>Method</legend>" in html
    assert html.count('type="radio"') == 2


def test_a_tick_is_followed_by_its_label():
    html = field("agree", PaymentForm())
    assert html.index('type="checkbox"') < html.index('<label for="id_agree">')


def test_the_error_summary_leads_to_each_field_and_to_the_first_of_a_group():
    form = PaymentForm({"holder": ""})
    form.add_error(None, "Maria changed this.")
    html = render_to_string("components/form_errors.html", {"form": form})
    assert "There is a problem" in html
    assert "Maria changed this." in html
    assert 'href="#id_holder"' in html
    assert 'href="#id_method_0"' in html


def test_there_is_no_error_summary_without_errors():
    html = render_to_string("components/form_errors.html", {"form": PaymentForm()})
    assert not html.strip()


def test_the_error_summary_tells_of_every_form_of_the_page():
    forms_of_page = [PaymentForm({}, prefix="bank"), PaymentForm(prefix="tax")]
    html = render_to_string("components/form_errors.html", {"forms": forms_of_page})
    assert 'href="#id_bank-holder"' in html
    assert "id_tax" not in html


# --- The rest -------------------------------------------------------------------------


def test_an_icon_is_silent_unless_it_stands_alone():
    assert 'aria-hidden="true"' in rendered('{% icon "check" %}')
    assert 'aria-label="Done"' in rendered('{% icon "check" label="Done" %}')


def test_what_is_written_in_a_name_stays_text():
    assert portal.bdi("<b>") == "<bdi>&lt;b&gt;</bdi>"
    assert "&quot;" in portal.icon("check", label='"')


def test_pagination_keeps_the_filters_of_the_list():
    page = Paginator(range(30), 10).page(2)
    html = render_to_string(
        "components/pagination.html", {"page": page, "query": "turn=you"}
    )
    assert 'href="?turn=you&amp;page=3"' in html
    assert 'aria-current="page"' in html


def test_one_page_needs_no_pagination():
    page = Paginator(range(3), 10).page(1)
    assert not render_to_string("components/pagination.html", {"page": page}).strip()


def test_the_stepper_fills_the_steps_that_are_reached():
    html = render_to_string(
        "components/stepper.html", {"number": 2, "total": 3, "name": "Bank and tax"}
    )
    assert "Step 2 of 3" in html
    assert html.count("is-done") == 2


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("/incentives", True),
        ("/incentives?view=location", True),
        ("/incentives?view=matrix", False),
        ("/profiles", False),
    ],
)
def test_a_link_to_this_page_is_marked_query_included(url, is_here):
    request = RequestFactory().get("/incentives?view=location&page=2")
    mark = portal.current_page(Context({"request": request}), url)
    assert mark == (' aria-current="page"' if is_here else "")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], ""),
        (["Åsa"], "Åsa"),
        (["Åsa", "Omar"], "Åsa and Omar"),
        (["Åsa", "Omar", "Lee"], "Åsa, Omar and Lee"),
    ],
)
def test_names_are_listed_as_a_sentence_lists_them(names, sentence):
    assert portal.listed(names) == sentence


@pytest.mark.parametrize(
    ("language", "labels", "words"),
    [
        ("en", ["Bank transfer", "Credit note"], "bank transfer and credit note"),
        ("sv", ["Banköverföring", "Kreditnota"], "banköverföring och kreditnota"),
        ("en", ["VAT number", "F-tax"], "VAT number and F-tax"),
    ],
)
def test_labels_inside_a_sentence_are_lower_case(language, labels, words):
    with translation.override(language):
        assert portal.listed_within(labels) == words


# --- The mail frame ---------------------------------------------------------------------

MAIL = (
    '{% extends "emails/_layout.html" %}'
    "{% block button_url %}https://portal.example/i/1?a=1&amp;b=2{% endblock %}"
    "{% block button_label %}Get Started{% endblock %}"
)
MAIL_CONTEXT = {
    "subject": "Partner Incentive Enrollment Invitation",
    "portal_name": "Partner Incentives",
    "operator_name": "Example AB",
    "operator_postal_address": "1 Example Street",
    "support_address": "help@portal.example",
}


def test_a_mail_repeats_the_buttons_address_as_text():
    html = rendered(MAIL, **MAIL_CONTEXT)
    assert html.count('href="https://portal.example/i/1?a=1&amp;b=2"') == 2
    assert ">https://portal.example/i/1?a=1&amp;b=2</a>" in html


def test_a_mail_can_go_without_a_button():
    html = rendered(MAIL + "{% block button %}{% endblock %}", **MAIL_CONTEXT)
    assert "https://portal.example" not in html


def test_a_mail_says_who_sends_it_and_from_where():
    html = rendered(MAIL, **MAIL_CONTEXT)
    assert "Sent by Example AB, 1 Example Street" in html


# --- Sentences and days ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        (
            "You cannot add people in Polder B.V..",
            "You cannot add people in Polder B.V.",
        ),
        (
            format_html("Ask <bdi>{}</bdi>. Or wait.", "K.K."),
            "Ask <bdi>K.K.</bdi> Or wait.",
        ),
        ("Left out...", "Left out..."),
        ("<b>Ltd..", "&lt;b&gt;Ltd."),
    ],
)
def test_a_sentence_ends_once_whatever_name_ends_it(sentence, shown):
    assert rendered("{{ text|one_stop }}", text=sentence) == shown
    for component in ("notice", "empty"):
        html = render_to_string(f"components/{component}.html", {"text": sentence})
        assert f"<p>{shown}</p>" in html


@pytest.mark.parametrize(
    ("language", "shown"),
    [("en", "21 November 2026, 14:02"), ("sv", "21 november 2026, 14:02")],
)
def test_records_write_moments_as_the_pages_do(language, shown):
    at = datetime.datetime(2026, 11, 21, 14, 2, tzinfo=datetime.UTC)

    with translation.override(language):
        assert date_format(at, "DATETIME_FORMAT") == shown
