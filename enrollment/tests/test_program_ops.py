"""The program editor's pages: written section by section, published with open eyes."""

import re
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from accounts.models import AuditEvent, IncentiveProgram, OutgoingEmail
from accounts.outbox import as_message
from accounts.tests import cast as people
from accounts.tests.factories import LocationFactory
from accounts.tests.shared_rows import shared
from enrollment.clock import clock_of
from enrollment.models import (
    Criterion,
    Enrollment,
    FiscalCalendar,
    GuideFile,
    ProgramTerms,
    TermsDraft,
)
from enrollment.queues import validation_queue
from enrollment.services import (
    accept_enrollment,
    begin_terms_draft,
    invite_locations,
    section_digest,
)
from enrollment.tests.factories import (
    CriterionFactory,
    EnrollmentFactory,
    FiscalYearFactory,
    GuideFileFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
    RequirementFactory,
    enrolled,
)
from enrollment.versions import SECTIONS
from profiles.tests.factories import a_pdf

pytestmark = pytest.mark.django_db

PAYMENT = {
    "methods": ["bank_transfer"],
    "currencies": "eur, usd",
    "pays_local_currency": "on",
    "bank_countries": "",
    "bank_countries_refused": "",
}


@shared
def draft(terms, mina):
    return begin_terms_draft(terms.program, fiscal_year=terms.fiscal_year, by=mina)


@pytest.fixture
def client(client_of, mina):
    return client_of(mina)


def to(name, row=None):
    return reverse(f"ops:{name}", kwargs={"pk": row.pk} if row else None)


def save(client, draft, section, **typed):
    """Post a section as its page does."""
    sent = {"seen": section_digest(draft, section)} | typed
    return client.post(to(f"draft_{section}", draft), sent)


def text(response) -> str:
    return " ".join(response.content.decode().split())


def test_a_program_is_written_from_nothing_to_published(client, settings):
    year = FiscalYearFactory()
    CriterionFactory(code="revenue", name_en="Revenue")
    CriterionFactory(code="certified", kind="yes_no", unit="")

    added = client.post(
        to("add_program"),
        {
            "code": "NEW-1",
            "name": "New program",
            "summary_en": "What it is.",
            "summary_sv": "Vad det är.",
            "fiscal_year": year.pk,
            "copy_of": "",
        },
    )

    draft = TermsDraft.objects.get()
    assert added.url == draft.get_absolute_url()
    page = text(client.get(draft.get_absolute_url()))
    assert "Write the agreement in both languages." in page
    assert client.get(to("publish_draft", draft)).url == draft.get_absolute_url()
    sections = {
        "who": {
            "is_open_to_all": "no",
            "needs_agreement": "on",
            "is_listed": "on",
            "countries": "se, no, SE",
        },
        "requirements": {
            "rows_count": "3",
            "criterion_0": "revenue",
            "at_least_0": "25000",
            "criterion_2": "certified",
        },
        "earnings": {"share_rebate": "60", "share_co_op": "40"},
        "payment": PAYMENT | {"required_tax_details": ["residence_certificate"]},
        "dates": {
            "enroll_by": year.ends_on.isoformat(),
            "enroll_within_days": "30",
            "validation_hours": "72",
            "earnings_start": "submitted",
        },
        "agreement": {
            "agreement_version": "1",
            "agreement_text_en": "The rules.\r\n\r\nOne more.",
            "agreement_text_sv": "Reglerna.",
        },
        "sender": {
            "sender_name": "Contoso Incentives",
            "invitation_subject_en": "Come",
            "invitation_subject_sv": "Kom",
            "guide_url": "https://owner.example/guide",
        },
    }
    assert sections.keys() == SECTIONS.keys()
    # From each step on to the next, from the last one back to all of them.
    steps = [to(f"draft_{section}", draft) for section in sections]
    steps.append(f"{draft.get_absolute_url()}#sender")
    for number, (section, typed) in enumerate(sections.items(), start=1):
        draft.refresh_from_db()
        page = text(client.get(steps[number - 1]))
        assert f"Step {number} of 7" in page
        assert f'href="{draft.get_absolute_url()}#{section}"' in page
        assert ("Save and go on" in page) == (section != "sender")
        saved = save(client, draft, section, **typed, go_on="on")
        assert saved.url == steps[number]

    shown = client.get(to("publish_draft", draft))
    assert "no enrollment is concerned" in text(shown)
    done = client.post(
        to("publish_draft", draft), {"seen": shown.context["seen"]}, follow=True
    )

    assert "Version 1 is in force now." in text(done)
    terms = ProgramTerms.objects.get(program__code="NEW-1")
    assert terms.countries == ["SE", "NO"]
    assert [(one.criterion.code, one.at_least) for one in terms.requirements.all()] == [
        ("revenue", 25000),
        ("certified", 1),
    ]
    assert {one.kind: one.share for one in terms.earning_types.all()} == {
        "rebate": 60,
        "co_op": 40,
    }
    assert terms.required_tax_details == ["residence_certificate"]
    assert (terms.validation_hours, terms.earnings_start) == (72, "submitted")
    assert terms.agreement_text_en == "The rules.\n\nOne more."
    assert terms.sender_name == "Contoso Incentives"
    kept = [
        event.action for event in AuditEvent.objects.order_by("pk") if not event.person
    ]
    assert kept == [
        "program_added",
        "terms_draft_begun",
        *["terms_draft_changed"] * len(SECTIONS),
        "terms_defined",
    ]


@pytest.mark.parametrize(
    ("section", "typed", "field"),
    [
        ("payment", PAYMENT | {"currencies": "EUR, QQQ"}, "currencies"),
        ("payment", PAYMENT | {"methods": []}, "methods"),
        ("payment", PAYMENT | {"bank_countries": "S1"}, "bank_countries"),
        (
            "payment",
            PAYMENT | {"currencies": "", "pays_local_currency": ""},
            "currencies",
        ),
        (
            "payment",
            PAYMENT | {"bank_countries": "SE", "bank_countries_refused": "SE"},
            "bank_countries_refused",
        ),
        (
            "dates",
            {"enroll_by": "1999-01-01", "validation_hours": "48"},
            "enroll_by",
        ),
        ("dates", {"validation_hours": "0"}, "validation_hours"),
        ("earnings", {"share_rebate": "60"}, "__all__"),
        (
            "requirements",
            {"rows_count": "2", "criterion_0": "", "at_least_0": "5"},
            "criterion_0",
        ),
        ("requirements", {"criterion_0": "revenue"}, "at_least_0"),
        (
            "requirements",
            {
                "criterion_0": "revenue",
                "at_least_0": "1",
                "criterion_1": "revenue",
                "at_least_1": "2",
            },
            "criterion_1",
        ),
        ("who", {"is_open_to_all": "no", "countries": "SWE"}, "countries"),
        (
            "agreement",
            {"agreement_version": "2", "agreement_text_en": "hidden\u200btext"},
            "agreement_text_en",
        ),
        ("sender", {"sender_name": "Contoso\nBcc: all@evil.example"}, "sender_name"),
        ("sender", {"guide_url": "javascript:alert(1)"}, "guide_url"),
        ("sender", {"invitation_subject_en": "Come"}, "invitation_subject_sv"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field_and_stays_typed(
    client, draft, section, typed, field
):
    CriterionFactory(code="revenue")
    before = draft.content

    answer = save(client, draft, section, **typed)

    assert answer.status_code == 422
    assert field in answer.context["form"].errors
    for value in typed.values():
        if isinstance(value, str) and value.isalnum() and value != "on":
            assert f'"{value}"' in text(answer)
    draft.refresh_from_db()
    assert draft.content == before


def test_more_rows_save_nothing_and_lose_nothing(client, draft):
    CriterionFactory(code="revenue")

    answer = save(
        client,
        draft,
        "requirements",
        rows_count="3",
        criterion_0="revenue",
        at_least_0="abc",
        more="on",
    )

    form = answer.context["form"]
    assert answer.status_code == 200
    assert len(form.rows) == 6
    assert (form.rows[0][0].value(), form.rows[0][1].value()) == ("revenue", "abc")
    draft.refresh_from_db()
    assert draft.content["requirements"] == []


def test_what_another_saved_meanwhile_is_shown_beside_what_was_typed(
    client, draft, client_of
):
    typed = {"validation_hours": "24", "earnings_start": "validated"}
    seen = section_digest(draft, "dates")
    other = client_of(people.operator("Otto Other", "Program manager"))
    save(other, draft, "dates", **typed | {"validation_hours": "96"})

    refused = client.post(to("draft_dates", draft), typed | {"seen": seen})

    assert refused.status_code == 422
    page = text(refused)
    assert "Otto Other changed this section while you were writing." in page
    assert "4 days" in page
    assert 'value="24"' in page
    again = client.post(
        to("draft_dates", draft), typed | {"seen": refused.context["seen"]}
    )
    assert again.status_code == 302
    draft.refresh_from_db()
    assert draft.content["validation_hours"] == 24


def test_publishing_names_whom_it_strands_and_asks_to_confirm(
    client, draft, terms, goteborg
):
    enrolled(goteborg, terms, currency="EUR")
    unchanged = text(client.get(to("publish_draft", draft)))
    assert "there is nothing to publish" in unchanged
    assert "Publish version" not in unchanged
    save(
        client,
        draft,
        "payment",
        **PAYMENT | {"currencies": "USD", "pays_local_currency": ""},
    )

    shown = client.get(to("publish_draft", draft))

    page = text(shown)
    assert "Publish version" in page
    assert "1 enrollment that there is does not fit these terms any more." in page
    assert "Enrolled → Action required" in page
    assert "Göteborg" in page
    seen = shown.context["seen"]
    refused = client.post(to("publish_draft", draft), {"seen": seen})
    assert refused.status_code == 422
    assert "Confirm that you have seen" in text(refused)
    assert ProgramTerms.objects.get().currencies == ["EUR", "USD"]
    done = client.post(
        to("publish_draft", draft), {"seen": seen, "is_confirmed": "on"}, follow=True
    )
    page = text(done)
    assert "<del>EUR, USD</del>" in page
    assert "<ins>USD</ins>" in page
    assert "Version 1 → version 2" in page


def test_the_preview_reads_as_partners_will_in_both_languages(client, draft, terms):
    requirement = RequirementFactory(terms=terms)
    save(
        client,
        draft,
        "agreement",
        agreement_version="2",
        agreement_text_en="Brand new rules.",
        agreement_text_sv="Helt nya regler.",
    )
    draft.content["requirements"] = [
        {"criterion": requirement.criterion.code, "at_least": "7.00"}
    ]
    draft.refresh_from_db()

    page = text(client.get(to("preview_draft", draft)))

    assert "Brand new rules." in page
    assert "Helt nya regler." in page
    assert "You are invited to enroll" in page
    assert "Du är inbjuden" in page
    terms.refresh_from_db()
    assert terms.agreement_version == "1"


def test_discontinuing_says_first_what_ends(client, terms, goteborg):
    EnrollmentFactory(location=goteborg, terms=terms)
    program = terms.program
    page = client.get(to("discontinue_program", program))
    assert "I have seen that 1 enrollment ends." in text(page)

    for sent in ({"seen": "1"}, {"seen": "0", "is_confirmed": "on"}):
        refused = client.post(to("discontinue_program", program), sent)
        assert refused.status_code == 422
    assert IncentiveProgram.objects.get().discontinued_at is None
    client.post(to("discontinue_program", program), {"seen": "1", "is_confirmed": "on"})

    assert IncentiveProgram.objects.get().discontinued_at is not None
    assert terms.enrollments.get().status == "discontinued"


def test_a_guide_is_looked_at_kept_and_handed_out_as_a_file(client, terms):
    program = terms.program

    content = a_pdf("The guide")

    def send(content):
        return client.post(
            to("add_guide", program),
            {
                "fiscal_year": terms.fiscal_year.pk,
                "language": "en",
                "title": "Guide 2027",
                "file": SimpleUploadedFile("../../evil.exe", content),
            },
        )

    refused = send(b"MZ this is a program")
    assert refused.status_code == 422
    assert "no PDF, PNG or JPEG" in text(refused)
    assert send(content).status_code == 302
    assert "there already" in text(send(content))

    guide = GuideFile.objects.get()
    answer = client.get(to("guide", guide))
    assert answer.content == content
    assert answer["Content-Disposition"] == (
        f'attachment; filename="{program.code}-{terms.fiscal_year}-en-{guide.pk}.pdf"'
    )
    assert answer["X-Content-Type-Options"] == "nosniff"
    client.post(to("remove_guide", guide), follow=True)
    assert "Guide 2027" not in text(client.get(to("terms", terms)))


def test_a_criterion_measured_already_keeps_its_kind(client):
    typed = {
        "code": "cloud-revenue",
        "kind": "number",
        "unit": "USD",
        "max_age_days": "100",
        "name_en": "Revenue",
        "name_sv": "Omsättning",
        "how_to_fix_en": "Sell more.",
        "how_to_fix_sv": "Sälj mer.",
    }
    client.post(to("add_criterion"), typed)
    criterion = Criterion.objects.get(code="cloud-revenue")
    MeasuredValueFactory(criterion=criterion)

    refused = client.post(to("change_criterion", criterion), typed | {"kind": "yes_no"})
    saved = client.post(
        to("change_criterion", criterion), typed | {"name_en": "Cloud revenue"}
    )

    assert "kind" in refused.context["form"].errors
    assert saved.status_code == 302
    event = AuditEvent.objects.get(action="criterion_changed")
    assert event.before == {"name_en": "Revenue"}


def test_a_calendar_is_july_to_june_unless_said_otherwise(client, mina):
    page = client.get(to("add_calendar"))
    assert page.context["form"]["first_month"].value() == 7

    typed = {"code": "october", "first_month": "10", "time_zone": "UTC"}
    refused = client.post(to("add_calendar"), typed | {"name": "October to September"})
    assert "name_sv" in refused.context["form"].errors
    typed |= {"name": "October to September", "name_sv": "Oktober till september"}
    client.post(to("add_calendar"), typed)
    calendar = FiscalCalendar.objects.get(code="october")
    client.post(to("add_year", calendar))

    assert calendar.years.count() == 3
    assert {year.starts_on.month for year in calendar.years.all()} == {10}
    english = text(client.get(to("calendars")))
    assert "October to September" in english
    assert "Oktober" not in english
    mina.language = "sv"
    mina.save()
    swedish = text(client.get(to("calendars")))
    assert "Oktober till september" in swedish
    assert "October" not in swedish


def test_a_calendar_is_called_something_else_and_keeps_its_days(client, mina, terms):
    calendar = terms.fiscal_year.calendar
    before = {"name": calendar.name, "name_sv": calendar.name_sv}
    page = client.get(to("change_calendar", calendar))
    assert page.context["form"]["name"].value() == calendar.name

    refused = client.post(
        to("change_calendar", calendar), {"name": "Fiscal", "name_sv": ""}
    )
    client.post(
        to("change_calendar", calendar),
        {"name": "Fiscal", "name_sv": "Budget", "time_zone": "Asia/Tokyo"},
    )

    assert "name_sv" in refused.context["form"].errors
    assert refused.context["form"]["name"].value() == "Fiscal"
    zone = calendar.time_zone
    calendar.refresh_from_db()
    assert (calendar.name, calendar.name_sv) == ("Fiscal", "Budget")
    assert calendar.time_zone == zone
    event = AuditEvent.objects.get(action="calendar_changed")
    assert event.before == before
    assert "Fiscal" in text(client.get(to("calendars")))


def test_the_lists_ask_few_questions(
    client, terms, mina, django_assert_max_num_queries
):
    ProgramTermsFactory.create_batch(5)
    draft = begin_terms_draft(terms.program, fiscal_year=terms.fiscal_year, by=mina)
    client.get(to("programs"))
    for page in (to("programs"), to("program", terms.program), to("terms", terms)):
        with django_assert_max_num_queries(15):
            assert client.get(page).status_code == 200
    assert client.get(draft.get_absolute_url()).status_code == 200
    assert client.get(to("begin_draft", terms.program)).status_code == 200
    assert client.get(to("change_program", terms.program)).status_code == 200


# --- What partners read of it -----------------------------------------------------------


def test_partners_read_what_they_accepted_and_what_changed_since(
    client, client_of, ida, invited, draft, terms
):
    changed = {"validation_hours": "72", "earnings_start": "validated"}
    save(client, draft, "dates", **changed)
    publish(client, draft)
    accept_enrollment(invited, by=ida)
    again = begin_terms_draft(
        terms.program, fiscal_year=terms.fiscal_year, by=draft.changed_by
    )
    save(client, again, "dates", **changed | {"validation_hours": "24"})
    publish(client, again)
    GuideFileFactory(program=terms.program, fiscal_year=terms.fiscal_year)
    partner = client_of(ida)
    address = reverse("enrollment:terms", kwargs={"pk": invited.pk})

    page = text(partner.get(address))

    assert "version 2." in page
    assert "<del>3 days</del>" in page
    assert "<ins>1 day</ins>" in page
    file = re.search(r'href="([^"]+\?file=\d+)"', page).group(1)
    assert partner.get(file).content == b"%PDF-1.4"
    assert partner.get(file + "9").status_code == 404


def publish(client, draft):
    seen = client.get(to("publish_draft", draft)).context["seen"]
    answer = client.post(to("publish_draft", draft), {"seen": seen})
    assert answer.status_code == 302


def test_each_program_has_its_own_promise_sender_and_subject(
    terms, goteborg, ida, settings
):
    ProgramTerms.objects.update(
        validation_hours=24,
        sender_name="Contoso Incentives",
        invitation_subject_en="Come to Contoso",
    )
    terms.refresh_from_db()
    invite_locations(terms, by=None)

    mail = OutgoingEmail.objects.get(name="invitation")
    assert mail.subject == "Come to Contoso"
    assert "usually within 1 day after you submit" in " ".join(mail.body_text.split())
    message = as_message(mail)
    assert message.from_email.startswith("Contoso Incentives <")
    assert message.from_email.endswith(f"<{settings.DEFAULT_FROM_EMAIL}>")
    waiting = EnrollmentFactory(location=LocationFactory(), terms=terms, submitted=True)
    since = waiting.status_since
    assert waiting.due_at == since + timedelta(hours=24)
    for hours, late in ((23, 0), (25, 1)):
        at = since + timedelta(hours=hours)
        assert Enrollment.objects.overdue(at).count() == late
        assert len(validation_queue(at, is_overdue=True)) == late
    assert clock_of(terms, on=terms.today(), last_day=None).promise_days == 1
