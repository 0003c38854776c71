"""What the demo shows: each state of experience.md §7.4 that the portal can reach."""

import io
import re
from datetime import timedelta

import pytest
from django.apps import apps
from django.core.management import call_command
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone

from accounts.encryption import EncryptedTextField
from accounts.models import (
    AccessRequest,
    IncentiveProgram,
    Location,
    OutgoingEmail,
    PartnerAccount,
    RoleAssignment,
    User,
)
from accounts.roles import Role
from accounts.tests.canaries import (
    WATCH,
    Watch,
    everything_in_redis,
    everything_in_tables,
)
from accounts.tests.shared_rows import shared
from enrollment import renewal
from enrollment.audience import problems_of_words
from enrollment.eligibility import gaps_of, payout_of
from enrollment.management.commands.load_demo import PASSWORD
from enrollment.models import (
    Campaign,
    CampaignRecipient,
    Enrollment,
    EnrollmentEvent,
    FiscalCalendar,
    FiscalYear,
    Invitation,
    ProgramAtLocation,
    ProgramTerms,
    RequirementCheck,
    RequirementDispute,
    ValueImport,
)
from enrollment.tests.demo_states import STATES, states
from profiles.models import (
    BankProfile,
    BankProfileVersion,
    PreparedPart,
    TaxDocument,
    TaxProfileVersion,
)
from profiles.tests.known_numbers import NUMBERS, known_numbers


@shared
def loaded(db):
    with override_settings(DEMO=True):
        call_command("load_demo", stdout=io.StringIO())
    return "loaded"


@pytest.fixture
def demo(loaded, settings):
    """The demo, for a test that may change it: its changes are undone."""
    settings.DEMO = True


def everything():
    """Return every row of every table, without the sealed numbers."""
    return {
        model._meta.label: list(
            model.objects.order_by("pk").values(
                *(
                    field.attname
                    for field in model._meta.concrete_fields
                    if not isinstance(field, EncryptedTextField)
                )
            )
        )
        for model in apps.get_models()
        if model._meta.managed
    }


def people_table():
    output = io.StringIO()
    call_command("load_demo", people=True, stdout=output)
    return output.getvalue()


def enrollment_of(location, program):
    return Enrollment.objects.for_pages().get(
        location__name=location, terms__program__code=program
    )


def gaps_at(location, program):
    enrollment = enrollment_of(location, program)
    rows = payout_of([enrollment], on=enrollment.terms.today())[enrollment.pk]
    return {gap.code for gap in gaps_of(rows)}


def check_of(location, program):
    return {
        check.criterion.code if check.criterion else "agreement": check
        for check in RequirementCheck.objects.filter(
            location__name=location,
            terms__program__code=program,
            terms__in=ProgramTerms.objects.shown(timezone.now()).running,
        )
        .as_of(timezone.localdate())
        .select_related("criterion")
    }


def test_a_second_run_changes_nothing(demo):
    before = everything()
    output = io.StringIO()

    call_command("load_demo", stdout=output)

    assert "Nothing was changed" in output.getvalue()
    assert everything() == before
    assert PartnerAccount.objects.count() == 11
    assert Location.objects.count() == 41
    assert IncentiveProgram.objects.count() == 12


def test_every_enrollment_stands_where_the_story_left_it(demo):
    assert states() == STATES


def test_history_is_in_the_order_of_time_and_never_ahead_of_it(demo):
    for enrollment in Enrollment.objects.order_by("pk"):
        moments = list(enrollment.events.order_by("pk").values_list("at", flat=True))
        assert moments == sorted(moments)
        assert moments[0] == enrollment.invited_at
        assert moments[-1] <= timezone.now()
        assert enrollment.status_since in moments


def test_goteborg_is_ready_for_two_ways_of_earning_with_ten_days_left(demo):
    enrollment = enrollment_of("Göteborg", "CSP-DB")

    assert gaps_at("Göteborg", "CSP-DB") == set()
    assert enrollment.payout_assignments.count() == 2
    left = enrollment.enroll_by - timezone.localdate()
    assert left in (
        timedelta(days=10),
        enrollment.terms.fiscal_year.ends_on - timezone.localdate(),
    )


def test_malmo_lacks_the_vat_number(demo):
    assert gaps_at("Malmö", "SEC-ENG") == {"tax_incomplete"}


def test_stockholms_account_was_returned_at_the_holders_name(demo):
    enrollment = enrollment_of("Stockholm", "CSP-IR")
    version = BankProfile.objects.get(name="Reseller payouts").current_version

    assert gaps_at("Stockholm", "CSP-IR") == {"bank_returned"}
    assert version.returned[0]["field"] == "account_holder"
    assert version.returned[0]["code"] == "BANK_NAME_MISMATCH"
    assert enrollment.status_since == version.decided_at
    # The tax profile was validated already.
    assert enrollment.events.filter(code=EnrollmentEvent.Code.TAX_CONFIRMED).exists()
    assert enrollment.payout_assignments.get().tax_version is not None


def test_what_amsterdam_lacks_is_said_with_numbers_and_without(demo):
    indirect, direct = check_of("Amsterdam", "CSP-IR"), check_of("Amsterdam", "CSP-DB")

    assert {code for code, check in indirect.items() if check.state != "met"} == {
        "indirect-revenue"
    }
    assert len(indirect) == 4
    assert (
        indirect["indirect-revenue"].value,
        indirect["indirect-revenue"].needed,
    ) == (
        21340,
        25000,
    )
    assert {code for code, check in direct.items() if check.state != "met"} == {
        "direct-bill-authorization"
    }
    assert len(direct) == 4


def test_amsterdams_tax_form_expires_with_the_year(demo):
    version = TaxProfileVersion.objects.get(profile__location__name="Amsterdam")

    today = timezone.localdate()
    assert version.expires_on == today.replace(month=12, day=31)


def test_device_reseller_shows_everything_a_next_year_can_bring(demo):
    enrollments = Enrollment.objects.filter(terms__program__code="DEV-RES").exclude(
        status="invited"
    )
    into = FiscalYear.objects.get(successions__terms__enrollments=enrollments[0])

    foretold = renewal.with_outcome(enrollments, into=into, on=timezone.localdate())

    assert dict(foretold.values_list("location__name", "outcome")) == {
        "Amsterdam": "at_risk",
        "Edinburgh": "not_eligible",
        "Hamburg": "validating",
        "Leeds": "enrolled",
        "Norfolk": "not_eligible",
        "Utrecht": "no_agreement",
    }


def test_nordic_growth_booster_is_open_to_every_place_in_sweden(demo):
    days = FiscalCalendar.objects.by_day(timezone.now())
    terms = ProgramTerms.objects.shown(timezone.now())
    rows = ProgramAtLocation.objects.current(*terms.keys).with_status(days)

    open_rows = rows.filter(program__code="NORD-Q2").order_by()
    assert set(open_rows.values_list("status", flat=True)) == {"open"}
    assert set(open_rows.values_list("location", flat=True)) == set(
        Location.objects.filter(country="SE").values_list("pk", flat=True)
    )


def test_hamburg_changes_its_account_beside_the_one_in_force(demo):
    profile = BankProfile.objects.get(name="CSP-Konto")

    assert [
        (version.number, version.status)
        for version in profile.versions.order_by("number")
    ] == [(1, "replaced"), (2, "approved"), (3, "pending")]
    replaced = profile.version_in_force
    assert replaced.seconded_by != replaced.decided_by


def test_nobody_can_enroll_munchen_and_leipzig_and_greta_is_told(demo):
    uncovered = Location.objects.without_holder(Role.INCENTIVES_ADMIN)

    assert set(
        uncovered.filter(partner_account__name="Hanseatic Cloudworks GmbH").values_list(
            "name", flat=True
        )
    ) == {"München", "Leipzig"}
    mails = OutgoingEmail.objects.filter(to_user__full_name="Greta Voss")
    mail = mails.get(name="nobody_can_enroll")
    assert mail.status == "queued"
    assert "München" in mail.body_text
    assert "Leipzig" in mail.body_text


def test_a_bank_in_brazil_cannot_be_paid_by_security_engagements(demo):
    assert "bank_country" in gaps_at("Recife", "SEC-ENG")


def test_brisbane_is_paid_by_credit_note(demo):
    enrollment = enrollment_of("Brisbane", "LEARN")

    assert enrollment.is_accepted
    assert enrollment.payout_assignments.get().method == "credit_note"


def test_norfolk_goes_on_without_anybody_who_can_change_it(demo):
    assert enrollment_of("Norfolk", "HOST").is_enrolled
    assert (
        not RoleAssignment.objects.live()
        .filter(
            partner_account__name="Tidewater Ridge Software LLC",
            role=Role.INCENTIVES_ADMIN,
        )
        .exists()
    )


def test_only_news_is_mailed_and_history_is_kept_as_sent(demo):
    waiting = OutgoingEmail.objects.filter(status="queued")
    sent = OutgoingEmail.objects.filter(status="sent")

    assert 20 <= waiting.count() <= 80
    assert set(waiting.values_list("name", flat=True)) >= {
        "invitation",
        "enrollment_submitted",
        "enrollment_completed",
        "needs_attention",
        "nobody_can_enroll",
    }
    assert sent.count() > waiting.count()
    assert not sent.filter(created_at__gt=timezone.now() - timedelta(hours=1)).exists()


def test_there_is_a_place_for_each_way_through_the_second_step(demo):
    at = {
        "A": ("Göteborg", "CSP-DB"),
        "B": ("Cardiff", "BA-PRE"),
        "C": ("Groningen", "DEV-RES"),
        "D": ("Malmö", "SEC-ENG"),
        "E": ("Göteborg", "CSP-IP"),
        "F": ("Halifax", "DEV-RES"),
        "G": ("Stockholm", "CSP-IR"),
        "I": ("Recife", "SEC-ENG"),
    }

    assert {letter: gaps_at(*where) for letter, where in at.items()} == {
        "A": set(),
        "B": set(),
        "C": {"bank_missing", "tax_missing"},
        "D": {"tax_incomplete"},
        "E": {"currency_refused"},
        "F": {"bank_missing", "tax_missing"},
        "G": {"bank_returned"},
        "I": {"bank_country", "currency_refused", "tax_missing"},
    }
    tax = TaxProfileVersion.objects.get(profile__location__name="Cardiff")
    assert tax.is_pending
    # H: two earning types, in A and C.
    assert enrollment_of("Groningen", "DEV-RES").payout_assignments.count() == 2
    banks = BankProfile.objects.filter(partner_account__locations__name="Groningen")
    assert banks.count() == 2


def test_one_person_can_submit_a_dozen_locations_together(demo):
    enrollments = Enrollment.objects.for_pages().filter(
        terms__program__code="MW-ADV",
        location__partner_account__name="Vintergata Partner AB",
    )
    rows = payout_of(enrollments, on=timezone.localdate())

    lacking = [{gap.part for gap in gaps_of(row)} for row in rows.values()]

    assert lacking.count(set()) == 12
    assert {"tax"} in lacking
    assert {"bank", "tax"} in [parts - {"currency"} for parts in lacking]


def test_campaigns_and_imports_stand_in_each_state(demo):
    campaigns = dict(Campaign.objects.values_list("terms__program__code", "status"))
    imports = ValueImport.objects.order_by("pk").values_list("file_name", "status")

    assert campaigns == {
        "AZ-MIG": "scheduled",
        "BA-PRE": "draft",
        # It is done as soon as a worker has sent its mail.
        "CSP-IR": "running",
        "LEARN": "stopped",
        "MW-ADV": "running",
        "SEC-ENG": "paused",
    }
    mails = {
        status: list(
            CampaignRecipient.objects.filter(campaign__status=status)
            .order_by("pk")
            .values_list("email__status", flat=True)
        )
        for status in ("paused", "stopped")
    }
    assert mails == {
        "paused": ["sent", "held", "held"],
        "stopped": ["sent", "sent", "canceled"],
    }
    assert problems_of_words(Campaign.objects.get(status="draft"))
    assert list(imports)[-3:] == [
        ("designations-october.csv", "applied"),
        ("revenue-november.csv", "ready"),
        ("designations-november.csv", "held"),
    ]
    difference = ValueImport.objects.get(status="ready").difference
    assert (difference["gained"], difference["ends"]) == (2, 1)


def test_colleagues_handed_over_asked_filled_in_and_disputed(demo):
    assert Invitation.objects.filter(handed_to__full_name="Viggo Alm").exists()
    asked = AccessRequest.objects.get(user__full_name="Lars Ek")
    assert asked.asked_by.full_name == "Åsa Lindqvist"
    assert set(PreparedPart.objects.values_list("full_name", "state")) == {
        ("Maria Petersson", "open"),
        ("Elin Strand", "filled"),
    }
    assert RequirementDispute.objects.open().get().location.name == "Amsterdam"


def test_everybody_signs_in_with_the_printed_password(demo, client):
    table = people_table()

    emails = set(re.findall(r"\S+@\S+", table))
    assert emails == set(User.objects.values_list("email", flat=True))
    assert PASSWORD in table.splitlines()[-1]
    client.post(
        "/accounts/login/",
        {"login": "asa.lindqvist@nordvik.example", "password": PASSWORD},
    )
    assert client.session["_auth_user_id"] == str(
        User.objects.get(email="asa.lindqvist@nordvik.example").pk
    )


def test_the_table_of_people_is_aligned_and_says_who_may_what(demo):
    heading, rule, *lines = people_table().splitlines()

    starts = [match.start() for match in re.finditer(r"-+", rule)]
    assert [match.start() for match in re.finditer(r"\S+", heading)] == starts
    table = {
        (line[: starts[1]].strip(), line[starts[1] : starts[2]].strip()): line[
            starts[3] :
        ]
        for line in lines[:-2]
    }
    assert table["Nordvik IT AB", "Omar Haddad"] == (
        "Global admin, Incentives admin (Stockholm, Göteborg, Malmö)"
    )
    assert table["Nordvik IT AB", "Lars Ek"] == "No role"
    assert table["Program owner", "Mina Okafor"] == "Program manager, Reader"
    # Works for two companies.
    assert table["Brightfell Systems Ltd", "Ines Duarte"] == "Incentives user"
    assert table["Polderlicht Automatisering B.V.", "Ines Duarte"] == "Incentives admin"


# --- The canary (security.md T14) ---------------------------------------------------------

LISTS = {
    "omar.haddad@nordvik.example": (
        "home enrollment:overview enrollment:past enrollment:locations "
        "enrollment:notifications profiles:list profiles:tax_list profiles:defaults "
        "accounts:people activity:list activity:export"
    ),
    "lucia.ferrer@partners.example": (
        "ops:today ops:validation ops:second_approvals ops:stopped_changes ops:mail "
        "ops:audit ops:export_audit ops:locations ops:invitations ops:renewals"
    ),
}


def lists_and_exports(client_of, only=()) -> dict[str, bytes]:
    """What lists and exports say to who sees most of them, by their names."""
    said = {}
    for email, names in LISTS.items():
        client = client_of(User.objects.get(email=email))
        for name in names.split():
            if only and name not in only:
                continue
            response = client.get(reverse(name))
            assert response.status_code == 200, name
            said[name] = response.getvalue()
    return said


def test_no_number_and_no_document_of_the_demo_is_anywhere(demo, client_of, settings):
    watch = Watch()
    watch.know(known_numbers())
    documents = list(TaxDocument.objects.all())
    for document in documents:
        watch.know_file(document.name, bytes(document.content))
    # The demo is full of them.
    sealed = repr([dict(one.details) for one in BankProfileVersion.objects.all()])
    assert len(watch.found_in(sealed)) >= 10
    assert len(documents) >= 5

    tables = everything_in_tables()
    assert len(tables) > 100_000
    assert watch.found_in(tables) == set()
    assert watch.found_in(everything_in_redis(settings.REDIS_URL)) == set()
    for name, said in lists_and_exports(client_of).items():
        assert watch.found_in(said) == set(), name

    # The control: each would be found.
    leaked, paper = NUMBERS[0], documents[0]
    watch = Watch()
    watch.know([leaked])
    watch.know_file(paper.name, bytes(paper.content))
    with WATCH.letting_out():
        OutgoingEmail.objects.filter(status="queued").update(
            subject=leaked, body_text=bytes(paper.content).hex()
        )
        assert watch.found_in(everything_in_tables()) == {leaked, paper.name}
        PartnerAccount.objects.update(name=leaked)
        pages = lists_and_exports(client_of, only=["profiles:list"])
    assert watch.found_in(pages["profiles:list"]) == {leaked}
