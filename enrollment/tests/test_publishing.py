"""Drafts of terms, what publishing them does, and what stays readable."""

import datetime
import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, IncentiveProgram, OutgoingEmail
from accounts.tests.factories import LocationFactory, RoleAssignmentFactory
from accounts.tests.shared_rows import shared
from accounts.tests.threads import at_once, wait_for
from enrollment.models import (
    Enrollment,
    FiscalYear,
    MeasuredValue,
    ProgramTerms,
    TermsDraft,
    TermsVersion,
    ValueImport,
)
from enrollment.program_rows import year_rows
from enrollment.services import (
    accept_enrollment,
    add_fiscal_calendar,
    add_fiscal_year,
    add_program,
    begin_terms_draft,
    change_program,
    change_terms_draft,
    decline_enrollment,
    discard_terms_draft,
    discontinue_program,
    follow_changed_terms,
    foresee_publishing,
    problems_of,
    publish_terms,
    reconsider_enrollment,
    section_digest,
    start_open_enrollment,
    submit_enrollment,
    tell_next_of_standings,
)
from enrollment.services import publishing as publishing_services
from enrollment.services.invitations import lock_terms
from enrollment.states import EnrollmentStatus
from enrollment.tests.factories import (
    AgreementFactory,
    CriterionFactory,
    EnrollmentFactory,
    FiscalYearFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
    enrolled,
)
from enrollment.versions import SECTIONS, content_of, differences

pytestmark = pytest.mark.django_db


def write(draft, section, by, **values):
    """Change something of a section, as its page does."""
    held = {name: draft.content[name] for name in SECTIONS[section]}
    return change_terms_draft(
        draft,
        section=section,
        values=held | values,
        seen=section_digest(draft, section),
        by=by,
    )


def foreseen(draft):
    return foresee_publishing(draft, at=timezone.now())


def publish(draft, by, **options):
    return publish_terms(
        draft, seen=foreseen(draft).digest, is_confirmed=True, by=by, **options
    )


@shared
def in_euro(terms, goteborg, malmo, ida):
    """Two locations are enrolled and paid in EUR; Ida answers for both."""
    RoleAssignmentFactory(
        user=ida, partner_account=malmo.partner_account, location=malmo
    )
    return [enrolled(place, terms, currency="EUR") for place in (goteborg, malmo)]


@shared
def draft(terms, mina):
    return begin_terms_draft(terms.program, fiscal_year=terms.fiscal_year, by=mina)


def test_a_draft_begins_with_what_is_in_force_and_changes_nothing(terms, draft, mina):
    assert draft.content == content_of(terms)
    assert draft == begin_terms_draft(
        terms.program, fiscal_year=terms.fiscal_year, by=mina
    )

    draft = write(draft, "payment", mina, currencies=["SEK"])

    terms.refresh_from_db()
    assert terms.currencies == ["EUR", "USD"]
    assert draft.content["currencies"] == ["SEK"]
    event = AuditEvent.objects.get(action="terms_draft_changed")
    assert event.before == {"currencies": ["EUR", "USD"]}
    assert event.after["currencies"] == ["SEK"]


def test_what_is_written_as_it_is_leaves_no_trace(draft, mina):
    write(draft, "payment", mina)

    assert not AuditEvent.objects.filter(action="terms_draft_changed").exists()


def test_whoever_wrote_meanwhile_is_not_written_over(draft, mina, oscar):
    seen = section_digest(draft, "dates")
    write(draft, "dates", oscar, enroll_within_days=10)
    held = {name: draft.content[name] for name in SECTIONS["dates"]}

    with pytest.raises(ValidationError, match="while you were writing"):
        change_terms_draft(
            draft,
            section="dates",
            values=held | {"enroll_within_days": 20},
            seen=seen,
            by=mina,
        )
    # Another section is nobody's but theirs.
    write(draft, "payment", mina, currencies=["SEK"])

    draft.refresh_from_db()
    assert draft.content["enroll_within_days"] == 10
    assert draft.content["currencies"] == ["SEK"]


def test_published_terms_are_the_next_version_and_the_last_one_is_kept(
    terms, draft, mina
):
    draft = write(draft, "dates", mina, validation_hours=72, enroll_within_days=14)

    version = publish(draft, mina)

    terms.refresh_from_db()
    assert (terms.validation_hours, terms.enroll_within_days) == (72, 14)
    assert (version.number, terms.version) == (2, 2)
    before, after = terms.versions.order_by("number")
    said = differences(before.content, after.content)
    assert [(one.label, one.before, one.after) for one in said] == [
        ("Days to answer an invitation", ("No limit",), ("14 days",)),
        ("Promised answer", ("2 days",), ("3 days",)),
    ]
    assert not TermsDraft.objects.exists()
    event = AuditEvent.objects.get(action="terms_defined")
    assert event.before == {"enroll_within_days": None, "validation_hours": 48}


def test_the_database_keeps_versions_as_they_were(draft, mina):
    version = publish(write(draft, "dates", mina, validation_hours=72), mina)

    for change in (
        lambda: TermsVersion.objects.filter(pk=version.pk).update(content={}),
        version.delete,
    ):
        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            change()


def test_a_draft_that_says_nothing_new_is_not_published(draft, mina):
    with pytest.raises(ValidationError, match="nothing else"):
        publish(draft, mina)


def test_a_draft_older_than_what_is_in_force_is_not_published(terms, draft, mina):
    draft = write(draft, "dates", mina, validation_hours=72)
    ProgramTerms.objects.update(version=5)

    with pytest.raises(ValidationError, match="Version 5 was published"):
        publish(draft, mina)


@pytest.mark.parametrize(
    ("section", "values", "sentence"),
    [
        ("payment", {"methods": []}, "Choose at least one payment method."),
        (
            "payment",
            {"currencies": [], "pays_local_currency": False},
            "Name at least one currency it pays in.",
        ),
        ("agreement", {"agreement_text_sv": ""}, "agreement in both languages"),
        ("earnings", {"earning_types": [["rebate", 60]]}, "100% in all"),
        ("dates", {"enroll_by": "1999-01-01"}, "a day of the fiscal year"),
        ("who", {"needs_agreement": False}, "Name a requirement"),
    ],
)
def test_a_draft_that_is_not_whole_says_what_is_missing_where(
    draft, mina, section, values, sentence
):
    draft = write(draft, section, mina, **values)

    problems = problems_of(draft)

    assert any(sentence in one for _section, one in problems)
    if section != "who":
        assert {name for name, _one in problems} == {section}
    with pytest.raises(ValidationError, match=sentence):
        publish_terms(draft, seen="", by=mina)


# --- Enrollments that a change strands ------------------------------------------------


def test_a_currency_taken_away_is_said_first_and_changes_nothing(
    terms, in_euro, draft, mina
):
    draft = write(draft, "payment", mina, currencies=["USD"], pays_local_currency=False)

    effects = foreseen(draft)

    assert effects.enrollments == 2
    (one,) = effects.stranded
    assert (one.reason, one.status, one.becomes, one.count) == (
        "currency_refused",
        "enrolled",
        "action_required",
        2,
    )
    assert set(one.samples) == set(in_euro)
    terms.refresh_from_db()
    assert terms.currencies == ["EUR", "USD"]
    assert not TermsVersion.objects.exists()
    assert set(Enrollment.objects.values_list("status", flat=True)) == {"enrolled"}
    assert not AuditEvent.objects.filter(action="terms_defined").exists()


def test_nothing_is_stranded_without_a_word(in_euro, draft, mina):
    draft = write(draft, "payment", mina, currencies=["USD"], pays_local_currency=False)
    digest = foreseen(draft).digest

    with pytest.raises(ValidationError, match="Confirm that you have seen"):
        publish_terms(draft, seen=digest, by=mina)
    with pytest.raises(ValidationError, match="has changed since you looked"):
        publish_terms(draft, seen="something else", is_confirmed=True, by=mina)

    assert ProgramTerms.objects.get().currencies == ["EUR", "USD"]
    publish_terms(draft, seen=digest, is_confirmed=True, by=mina)
    assert ProgramTerms.objects.get().currencies == ["USD"]


def test_what_was_foreseen_comes_true_and_each_person_is_told_once(
    in_euro, draft, mina, ida
):
    draft = write(draft, "payment", mina, currencies=["USD"], pays_local_currency=False)
    effects = foreseen(draft)

    publish(draft, mina)

    became = Enrollment.objects.filter(status=EnrollmentStatus.ACTION_REQUIRED)
    assert became.count() == effects.enrollments == 2
    for enrollment in became:
        step = enrollment.events.get()
        assert (step.code, step.from_status) == ("terms_changed", "enrolled")
    mail = OutgoingEmail.objects.get(name="terms_changed")
    assert mail.to_user == ida
    assert "2 enrollments are waiting for you" in mail.body_text.replace("\n", " ")
    assert ProgramTerms.objects.get().is_followed


def test_what_fits_again_goes_back(in_euro, terms, draft, mina):
    publish(
        write(draft, "payment", mina, currencies=["USD"], pays_local_currency=False),
        mina,
    )
    again = begin_terms_draft(terms.program, fiscal_year=terms.fiscal_year, by=mina)
    again = write(again, "payment", mina, currencies=["EUR", "USD"])

    effects = foreseen(again)
    publish(again, mina)

    assert (effects.enrollments, effects.mended) == (0, 2)
    assert not Enrollment.objects.filter(status="action_required").exists()


@pytest.mark.parametrize(
    ("section", "values", "reason"),
    [
        ("payment", {"methods": ["credit_note"]}, "method_refused"),
        ("payment", {"bank_countries_refused": ["SE"]}, "bank_country"),
        (
            "payment",
            {"required_tax_details": ["residence_certificate"]},
            "tax_incomplete",
        ),
        ("who", {"countries": ["DE"]}, "country"),
    ],
)
def test_every_kind_of_change_finds_whom_it_strands(
    in_euro, draft, mina, section, values, reason
):
    effects = foreseen(write(draft, section, mina, **values))

    assert {one.reason for one in effects.stranded} == {reason}
    assert effects.enrollments == 2


@shared
def asking(in_euro, draft, mina):
    """A draft that asks for revenue, which one location has and one has too little of."""
    criterion = CriterionFactory(code="revenue", name_en="Revenue", name_sv="Intäkt")
    for enrollment, value in zip(in_euro, (50_000, 300), strict=True):
        MeasuredValueFactory(
            location=enrollment.location, criterion=criterion, value=value
        )
    asked = [{"criterion": "revenue", "at_least": "40000.00"}]
    return write(draft, "requirements", mina, requirements=asked)


def test_a_requirement_moves_those_who_do_not_meet_it_as_was_foreseen(
    in_euro, asking, mina, terms, ida
):
    (one,) = foreseen(asking).stranded
    assert (one.reason, one.count) == ("requirement:revenue", 1)
    assert (one.becomes, one.samples) == ("ineligible", (in_euro[1],))
    assert not Enrollment.objects.filter(status="ineligible").exists()

    publish(asking, mina)

    moved = Enrollment.objects.get(status="ineligible")
    assert moved == in_euro[1]
    step = moved.events.latest("pk")
    assert (step.code, step.note) == ("eligibility_lost", "revenue=300.00/40000.00")
    tell_next_of_standings(at=timezone.now() + datetime.timedelta(hours=2))
    mail = OutgoingEmail.objects.get(to_user=ida)
    assert mail.name == "eligibility_lost"
    assert "Revenue: 300 of 40,000 USD" in " ".join(mail.body_text.split())

    # Asked for no longer, it is foreseen to come back, and does.
    draft = begin_terms_draft(terms.program, fiscal_year=terms.fiscal_year, by=mina)
    draft = write(draft, "requirements", mina, requirements=[])
    assert foreseen(draft).back == 1
    publish(draft, mina)
    moved.refresh_from_db()
    assert moved.status == "enrolled"


def test_what_is_not_known_of_a_requirement_ends_nothing(in_euro, asking, mina):
    MeasuredValue.objects.all().delete()
    # What a location has in another program is no concern of this one's.
    EnrollmentFactory(location=in_euro[0].location, accepted=True)

    (one,) = foreseen(asking).stranded
    assert (one.reason, one.count) == ("unknown:revenue", 2)
    assert one.becomes == one.status == "enrolled"
    assert foreseen(asking).enrollments == 2
    publish(asking, mina)

    assert not Enrollment.objects.filter(status="ineligible").exists()


def test_without_the_move_what_was_foreseen_does_not_come_true(
    asking, mina, monkeypatch
):
    """The control."""
    monkeypatch.setattr(
        "enrollment.services.publishing.follow_requirements", lambda *_, **__: 0
    )

    publish(asking, mina)

    assert not Enrollment.objects.filter(status="ineligible").exists()


def test_all_that_is_stranded_is_handed_out_as_a_table(asking, client, mina, malmo):
    client.force_login(mina)
    url = reverse("ops:stranded_enrollments", kwargs={"pk": asking.pk})

    answer = b"".join(client.get(url).streaming_content).decode("utf-8-sig")

    header, row = answer.splitlines()
    assert header.startswith('"PartnerID","Location","Company","Reference"')
    assert row.startswith(f'"{malmo.partner_id}","Malmö"')
    assert row.endswith(
        '"The location does not meet “Revenue”.","Enrolled","Not eligible"'
    )
    assert not Enrollment.objects.filter(status="ineligible").exists()


def test_invited_locations_are_counted_and_stay(terms, goteborg, draft, mina):
    EnrollmentFactory(location=goteborg, terms=terms)

    effects = foreseen(write(draft, "payment", mina, methods=["credit_note"]))

    (one,) = effects.stranded
    assert (one.status, one.becomes) == ("invited", "invited")


@pytest.mark.parametrize(("limit", "value"), [("AT_ONCE", 1), ("SECONDS_AT_ONCE", -1)])
def test_what_is_too_much_at_once_the_clock_does(
    in_euro, draft, mina, monkeypatch, terms, limit, value
):
    for _one in range(2):
        place = LocationFactory(country="SE")
        AgreementFactory(partner_account=place.partner_account)
        enrolled(place, terms, currency="EUR")
    monkeypatch.setattr("enrollment.services.following.COMPANIES_AT_ONCE", 1)
    monkeypatch.setattr(publishing_services, limit, value)
    draft = write(draft, "payment", mina, currencies=["USD"], pays_local_currency=False)
    publish(draft, mina)

    left = Enrollment.objects.filter(status="enrolled")
    assert left.count() in (2, 3)
    assert not ProgramTerms.objects.get(pk=terms.pk).is_followed
    while follow_changed_terms(terms, at=timezone.now()):
        pass

    assert not left.all().exists()
    assert ProgramTerms.objects.get(pk=terms.pk).is_followed


@pytest.fixture
def meanwhile(monkeypatch):
    """Let something happen after publishing asked what it does, before it holds."""

    def happens(action):
        real = publishing_services._locked

        def held_a_moment_later(program):
            action()
            return real(program)

        monkeypatch.setattr(publishing_services, "_locked", held_a_moment_later)

    return happens


def test_who_enrolls_while_it_is_counted_is_looked_at_before_it_counts(
    in_euro, draft, mina, terms, meanwhile
):
    draft = write(draft, "payment", mina, currencies=["USD"], pays_local_currency=False)
    digest = foreseen(draft).digest

    def enroll():
        place = LocationFactory(country="SE")
        AgreementFactory(partner_account=place.partner_account)
        enrolled(place, terms, currency="EUR")

    meanwhile(enroll)

    with pytest.raises(ValidationError, match="has changed since you looked"):
        publish_terms(draft, seen=digest, is_confirmed=True, by=mina)


def test_one_lost_and_one_gained_while_it_is_counted_is_looked_at_before_it_counts(
    terms, goteborg, ida, draft, mina, meanwhile
):
    abroad = RoleAssignmentFactory(
        user=ida,
        location=(place := LocationFactory(country="DE")),
        partner_account=place.partner_account,
    ).location
    invited = EnrollmentFactory(location=goteborg, terms=terms)
    declined = EnrollmentFactory(location=abroad, terms=terms, status="declined")
    draft = write(draft, "who", mina, countries=["DE"])
    digest = foreseen(draft).digest

    def as_many_in_every_status():
        decline_enrollment(invited, by=ida)
        reconsider_enrollment(declined, by=ida)

    meanwhile(as_many_in_every_status)

    with pytest.raises(ValidationError, match="has changed since you looked"):
        publish_terms(draft, seen=digest, is_confirmed=True, by=mina)


def test_values_written_while_it_is_counted_are_looked_at_before_they_count(
    asking, in_euro, mina, meanwhile
):
    digest = foreseen(asking).digest

    def values_are_applied():
        MeasuredValue.objects.filter(location=in_euro[0].location).update(value=1)
        ValueImport.objects.create(
            status="applied",
            applied_at=timezone.now(),
            accepted=1,
            changed=1,
            rejected=0,
        )

    meanwhile(values_are_applied)

    with pytest.raises(ValidationError, match="has changed since you looked"):
        publish_terms(asking, seen=digest, is_confirmed=True, by=mina)


@pytest.mark.django_db(transaction=True)
def test_while_invitations_are_written_who_looks_waits_not_and_who_publishes_is_told(
    terms, goteborg, client_of, mina
):
    EnrollmentFactory(location=goteborg, terms=terms)
    draft = begin_terms_draft(terms.program, fiscal_year=terms.fiscal_year, by=mina)
    draft = write(draft, "payment", mina, methods=["credit_note"])
    client, answers = client_of(mina), {}
    is_held, is_over = threading.Event(), threading.Event()

    def invite():
        with transaction.atomic():
            lock_terms(terms)
            is_held.set()
            is_over.wait(timeout=10)

    def wait_no_longer():
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")

    def look_and_publish():
        is_held.wait(timeout=10)
        try:
            for page in ("terms_draft", "preview_draft", "stranded_enrollments"):
                url = reverse(f"ops:{page}", kwargs={"pk": draft.pk})
                wait_no_longer()
                answer = client.get(url)
                answers[page] = answer.status_code
                # And with it the connection.
                answer.close()
            wait_no_longer()
            url = reverse("ops:publish_draft", kwargs={"pk": draft.pk})
            seen = client.get(url).context["seen"]
            answers["publish"] = client.post(url, {"seen": seen, "is_confirmed": "on"})
            publish_terms(draft, seen=seen, is_confirmed=True, by=mina)
        finally:
            is_over.set()

    (busy,) = [one for one in at_once(invite, look_and_publish) if one]

    assert isinstance(busy, ValidationError), repr(busy)
    refused = answers.pop("publish")
    assert answers == dict.fromkeys(answers, 200)
    assert refused.status_code == 422
    assert "are being written just now" in refused.content.decode()
    assert busy.code == "busy"
    assert not TermsVersion.objects.exists()


def in_force_for_a_moment(draft):
    """What looking did: the terms themselves are changed and taken back."""
    ProgramTerms.objects.select_for_update(of=("self",)).get()
    return publishing_services._put_in_force(draft)


@pytest.mark.parametrize("is_beside", [True, False])
@pytest.mark.django_db(transaction=True)
def test_partners_enroll_while_somebody_looks_at_what_publishing_does(
    terms, goteborg, malmo, ida, mina, monkeypatch, is_beside
):
    ProgramTerms.objects.update(is_open_to_all=True)
    RoleAssignmentFactory(
        user=ida, partner_account=malmo.partner_account, location=malmo
    )
    ready = enrolled(malmo, terms, status="invited")
    draft = begin_terms_draft(terms.program, fiscal_year=terms.fiscal_year, by=mina)
    draft = write(draft, "payment", mina, currencies=["USD"])
    terms.refresh_from_db()
    if not is_beside:
        # The control: who comes waits for who looks.
        monkeypatch.setattr(publishing_services, "_put_beside", in_force_for_a_moment)
    is_looking, has_enrolled = threading.Event(), threading.Event()
    real, answers = publishing_services._compared, {}

    def slowly(*args, **kwargs):
        is_looking.set()
        for _longer in range(5):
            wait_for(has_enrolled)
        answers["went_through"] = has_enrolled.is_set()
        return real(*args, **kwargs)

    def enroll():
        is_looking.wait(timeout=10)
        submit_enrollment(ready, by=ida)
        start_open_enrollment(goteborg, terms=terms, by=ida)
        has_enrolled.set()

    monkeypatch.setattr(publishing_services, "_compared", slowly)
    outcomes = at_once(lambda: foreseen(draft), enroll)

    assert not [one for one in outcomes if isinstance(one, Exception)]
    assert answers == {"went_through": is_beside}
    assert set(Enrollment.objects.values_list("status", flat=True)) == {
        "validating",
        "invited",
    }


# --- What was in force ----------------------------------------------------------------


def test_the_version_accepted_stays_with_the_enrollment(
    invited, draft, mina, ida, terms
):
    publish(write(draft, "dates", mina, validation_hours=72), mina)
    accept_enrollment(invited, by=ida)
    again = begin_terms_draft(terms.program, fiscal_year=terms.fiscal_year, by=mina)
    publish(write(again, "dates", mina, validation_hours=24), mina)

    invited.refresh_from_db()
    assert invited.terms_version == 2
    held = terms.versions.get(number=invited.terms_version)
    assert held.content["validation_hours"] == 72


# --- Sources --------------------------------------------------------------------------


def test_a_new_program_can_begin_as_a_copy(terms, mina):
    draft = add_program(
        code="COPY-1",
        name="Copied",
        fiscal_year=terms.fiscal_year,
        copy_of=terms,
        by=mina,
    )

    assert draft.content == content_of(terms)
    publish(draft, mina)
    copied = ProgramTerms.objects.get(program__code="COPY-1")
    assert copied.earning_types.get().share == 100
    with pytest.raises(ValidationError, match="code"):
        add_program(code="COPY-1", name="Again", fiscal_year=terms.fiscal_year, by=mina)


def test_a_new_years_terms_begin_as_the_last_ones_a_year_later(mina):
    this, following = FiscalYearFactory(number=2027), FiscalYearFactory(number=2028)
    last = ProgramTermsFactory(
        fiscal_year=this, enroll_by=datetime.date(2026, 11, 30), sender_name="Owner"
    )

    draft = begin_terms_draft(
        last.program, fiscal_year=following, copy_of=last, by=mina
    )

    assert draft.content["enroll_by"] == "2027-11-30"
    assert draft.content["sender_name"] == "Owner"
    publish(draft, mina)
    assert ProgramTerms.objects.get(fiscal_year=following).version == 1


def test_a_discontinued_program_has_no_years_to_write(draft, mina, terms):
    discard_terms_draft(draft, by=mina)
    discontinue_program(terms.program, by=mina)

    rows = year_rows(IncentiveProgram.objects.get(), timezone.now())

    assert [row.terms for row in rows] == [terms]


def test_an_unpublished_program_is_known_to_no_company(nordvik, mina):
    draft = add_program(
        code="SECRET", name="Secret", fiscal_year=FiscalYearFactory(), by=mina
    )
    assert draft.program not in IncentiveProgram.objects.known_to(nordvik)


def test_a_discarded_draft_is_gone_and_what_is_in_force_stays(draft, mina, terms):
    discard_terms_draft(draft, by=mina)
    discard_terms_draft(draft, by=mina)

    assert not TermsDraft.objects.exists()
    assert ProgramTerms.objects.get() == terms
    assert AuditEvent.objects.filter(action="terms_draft_discarded").count() == 1


# --- Records --------------------------------------------------------------------------


def test_a_program_is_called_otherwise_with_one_event(program, mina):
    values = {"name": "New name", "summary_en": "What it is.", "summary_sv": "Vad."}
    for _once_more in range(2):
        change_program(program, by=mina, **values)

    event = AuditEvent.objects.get(action="program_changed")
    assert event.before["name"] == program.name
    assert event.after["name"] == "New name"


@pytest.mark.parametrize(
    ("first_month", "number", "starts", "ends"),
    [
        (7, 2027, "2026-07-01", "2027-06-30"),
        (1, 2026, "2026-01-01", "2026-12-31"),
        (3, 2027, "2026-03-01", "2027-02-28"),
        (12, 2026, "2025-12-01", "2026-11-30"),
    ],
)
def test_a_calendar_comes_with_this_year_and_the_next(
    mina, first_month, number, starts, ends
):
    calendar = add_fiscal_calendar(
        code="own",
        name="Own",
        first_month=first_month,
        time_zone="Europe/Stockholm",
        at=datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC),
        by=mina,
    )
    add_fiscal_year(calendar, by=mina)

    years = FiscalYear.objects.filter(calendar=calendar).order_by("starts_on")
    assert [year.number for year in years] == [number, number + 1, number + 2]
    assert years[0].starts_on.isoformat() == starts
    assert years[0].ends_on.isoformat() == ends
    assert AuditEvent.objects.filter(action="year_added").count() == 3
