"""The partner's pages: home, the Overview, the steps of an enrollment, notifications."""

import datetime
import html
import re
from collections import namedtuple

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.companies import path_in
from accounts.models import OutgoingEmail, RoleAssignment
from accounts.roles import Role
from accounts.tests.cases import tried
from accounts.tests.factories import (
    LocationFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.mails import make_email
from accounts.tests.shared_rows import shared
from enrollment import services
from enrollment.models import Enrollment, Invitation, ProgramAtLocation, Reminder
from enrollment.states import EnrollmentStatus
from enrollment.tests.factories import (
    EnrollmentFactory,
    InvitationFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
    RequirementFactory,
)
from profiles.models import DefaultBankProfile
from profiles.services import return_version
from profiles.tests.factories import (
    BankProfileFactory,
    BankVersionFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

RefusedBank = namedtuple("RefusedBank", "code version words")
REFUSED_BANKS = [
    RefusedBank("archived", {}, "Choose a bank profile of your company."),
    RefusedBank(
        "returned",
        {"version__was_returned": True},
        "It was returned to you. Fix it first, or choose another.",
    ),
    RefusedBank(
        "country",
        {"version__country": "DE", "version__local_currency": "EUR"},
        "This program cannot pay to banks in Germany.",
    ),
    RefusedBank(
        "currency",
        {"version__takes_only_local": True},
        "This account takes SEK only, which this program does not pay.",
    ),
]


def text(response) -> str:
    """What a reader sees of a page: its main part without tags."""
    body = response.content.decode()
    main = re.search(r"<main\b.*?</main>", body, re.DOTALL).group()
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def url(name: str, row=None) -> str:
    return reverse(f"enrollment:{name}", kwargs={"pk": row.pk} if row else None)


@pytest.fixture
def ida_client(client_of, ida):
    return client_of(ida)


@shared
def invitation(invited, ida):
    return InvitationFactory(enrollment=invited, user=ida)


@shared
def ready(accepted, default_bank, tax_profile):
    return accepted


# --- Home --------------------------------------------------------------------------------


def test_home_leads_to_sign_in_for_a_stranger_to_the_portal(client):
    response = client.get("/")

    assert response.status_code == 302
    assert response["Location"].startswith(reverse("account_login"))


def test_home_shows_a_message_for_each_invitation(ida_client, invitation):
    # R22
    page = text(ida_client.get("/"))

    assert "You are invited to enroll Göteborg" in page
    assert "Opening a message removes it from here" in page


def test_selecting_the_message_opens_the_enrollment_and_removes_it_for_good(
    ida_client, invitation, invited
):
    # R23
    response = ida_client.post(url("open_invitation", invitation))

    assert response["Location"] == invited.get_absolute_url()
    assert "You are invited" not in text(ida_client.get("/"))
    invitation.refresh_from_db()
    assert invitation.opened_at is not None


def test_after_selecting_it_the_invitation_is_still_under_incentives(
    ida_client, invitation, invited
):
    # R24
    ida_client.post(url("open_invitation", invitation))

    response = ida_client.get(url("overview"))

    assert "Invited" in text(response)
    assert invited.get_absolute_url() in response.content.decode()
    assert "Accept and continue" in text(ida_client.get(invited.get_absolute_url()))


def test_selecting_it_hides_it_from_this_person_only(
    ida_client, client_of, invitation, invited, nordvik, goteborg
):
    # R25
    colleague = RoleAssignmentFactory(partner_account=nordvik, location=goteborg).user
    InvitationFactory(enrollment=invited, user=colleague)

    ida_client.post(url("open_invitation", invitation))

    assert "You are invited" in text(client_of(colleague).get("/"))


def test_looking_at_home_does_not_open_the_message(ida_client, invitation):
    for _time in range(3):
        ida_client.get("/")

    invitation.refresh_from_db()
    assert invitation.opened_at is None


def test_another_persons_message_cannot_be_opened(
    ida_client, invited, nordvik, goteborg
):
    colleague = RoleAssignmentFactory(partner_account=nordvik, location=goteborg).user
    theirs = InvitationFactory(enrollment=invited, user=colleague)

    response = ida_client.post(url("open_invitation", theirs))

    theirs.refresh_from_db()
    assert response.status_code == 404
    assert theirs.opened_at is None


def test_opened_messages_are_listed_under_notifications(ida_client, invitation):
    ida_client.post(url("open_invitation", invitation))

    page = text(ida_client.get(url("notifications") + "?tab=opened"))

    assert "Göteborg" in page


def test_home_says_whose_turn_it_is(ida_client, goteborg, ida):
    EnrollmentFactory(location=goteborg, status="action_required", accepted=True)
    EnrollmentFactory(location=goteborg, submitted=True)

    page = text(ida_client.get("/"))

    assert "Your turn 1" in page
    assert "With the program owner 1" in page


def test_home_shows_the_first_of_many_and_how_many_there_are(
    ida_client, nordvik, goteborg, ida, terms
):
    # Each with a program of its own, the one that waited longest first.
    names = [f"Program {number:02}" for number in range(12)]
    for age, name in enumerate(reversed(names)):
        at = timezone.now() - datetime.timedelta(hours=age)
        for facts in ({"accepted": True}, {"submitted": True}, {}):
            program = f"{name} {next(iter(facts), 'new')}"
            one = EnrollmentFactory(
                location=goteborg, terms__program__name=program, **facts
            )
            Enrollment.objects.filter(pk=one.pk).update(status_since=at)
            if not facts:
                InvitationFactory(enrollment=one, user=ida)

    response = ida_client.get("/")

    assert response.context["message_count"] == 12
    assert response.context["turn_count"] == 12
    assert response.context["with_owner_count"] == 12
    for shown in ("your_turn", "with_owner"):
        rows = response.context[shown]
        assert [row.program.name[:10] for row in rows] == names[:5], shown
    assert len(response.context["messages_to_open"]) == 5
    page = response.content.decode()
    for way in ("status=invited", "turn=you", "turn=them"):
        assert f"?{way}" in page


def test_home_without_anything_to_do_says_so(ida_client, goteborg):
    EnrollmentFactory(location=goteborg, complete=True)

    page = text(ida_client.get("/"))

    assert "Nothing needs you right now. 1 enrollment is in order." in page


def test_home_lists_the_gaps_to_those_who_appoint_worst_first(
    client_of, greta, goteborg, ida, malmo
):
    # R6
    page = text(client_of(greta).get("/"))

    assert "Gaps 2" in page
    assert page.index("Malmö Nobody") < page.index("Göteborg One person")
    assert "Gaps 2" in text(client_of(greta).get(reverse("accounts:gaps")))


def test_home_counts_the_same_gaps_as_their_own_page(client_of, greta, nordvik):
    LocationFactory.create_batch(8, partner_account=nordvik)

    page = text(client_of(greta).get("/"))

    assert "Gaps 8" in page
    assert page.count("Nobody ·") == 5
    assert "Gaps 8" in text(client_of(greta).get(reverse("accounts:gaps")))


def test_a_covered_location_is_no_gap(client_of, greta, goteborg, ida, nordvik):
    RoleAssignmentFactory(partner_account=nordvik, location=goteborg)

    page = text(client_of(greta).get("/"))

    assert "Gaps" not in page


def test_home_tells_who_appoints_that_they_may_appoint_themselves(
    client_of, greta, lars, goteborg
):
    response = client_of(greta).get("/")
    assert "You can give it to yourself." in text(response)
    gaps = reverse("accounts:gaps")
    assert f'<a class="btn btn--quiet" href="{gaps}">' in response.content.decode()

    response = client_of(lars).get("/")
    assert "You can give it to yourself." not in text(response)
    assert "See who can give you one" in text(response)


# --- Get Started --------------------------------------------------------------------------


def test_get_started_leads_to_the_enrollment(ida_client, invitation, invited):
    # R20
    response = ida_client.get(url("get_started", invitation))

    assert response["Location"] == invited.get_absolute_url()


def test_get_started_leads_through_sign_in(client, invitation):
    response = client.get(url("get_started", invitation))

    assert response.status_code == 302
    assert response["Location"] == (
        f"{reverse('account_login')}?next={url('get_started', invitation)}"
    )


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_opening_the_address_changes_nothing(client, ida_client, invitation, method):
    # T4: mail scanners open links. Of the addressee it is noted that they came, no more.
    before = stored_of_invitations()

    getattr(client, method)(url("get_started", invitation))

    assert stored_of_invitations() == before

    for _time in range(2):
        getattr(ida_client, method)(url("get_started", invitation))

    Invitation.objects.update(link_opened_at=None)
    assert stored_of_invitations() == before


def stored_of_invitations() -> list[list[tuple]]:
    return [list(model.objects.values_list()) for model in (Invitation, Enrollment)]


@pytest.mark.parametrize("who", ["uma", "greta", "lars", "sam"])
def test_a_person_without_the_scope_learns_nothing(who, request, client_of, invitation):
    # R21
    person = request.getfixturevalue(who)

    response = client_of(person).get(url("get_started", invitation))

    assert response.status_code == 404
    assert "Göteborg" not in response.content.decode()
    assert "Cloud Solution" not in response.content.decode()


def test_get_started_offers_a_choice_when_the_mail_named_several_locations(
    ida_client, ida, terms, goteborg, malmo, nordvik
):
    RoleAssignmentFactory(user=ida, partner_account=nordvik, location=malmo)
    services.invite_locations(terms, by=None)
    invitation = Invitation.objects.filter(user=ida).first()

    page = text(ida_client.get(url("get_started", invitation)))

    assert "Göteborg" in page
    assert "Malmö" in page


# --- The Overview --------------------------------------------------------------------------


def listed(response) -> list:
    """The rows of the Overview, of all its groups."""
    return [row for group in response.context["groups"] for row in group["rows"]]


def test_the_overview_groups_by_program_or_by_location(ida_client, invited):
    # R68
    by_program = ida_client.get(url("overview"))
    by_location = ida_client.get(url("overview") + "?view=location")

    assert listed(by_program)[0].enrollment == invited
    assert listed(by_location)[0].enrollment == invited


def test_both_ways_lead_to_the_same_page(ida_client, invited):
    # R71
    response = ida_client.get(url("old_overview"))

    assert response["Location"] == url("overview")


def test_an_open_program_is_listed_with_enroll_and_without_a_mail(ida_client, goteborg):
    # R26
    ProgramTermsFactory(open_to_all=True, program__name="Nordic Growth Booster")

    page = text(ida_client.get(url("overview")))

    assert "Nordic Growth Booster" in page
    assert "Open to all" in page
    assert not OutgoingEmail.objects.exists()


def test_an_open_program_is_not_shown_without_permission_for_program_and_location(
    client_of, ida, goteborg, malmo
):
    # R27
    terms = ProgramTermsFactory(open_to_all=True)
    other = ProgramTermsFactory(open_to_all=True)
    RoleAssignment.objects.filter(user=ida).update(program=terms.program)

    rows = listed(client_of(ida).get(url("overview")))

    assert [(row.location, row.program) for row in rows] == [(goteborg, terms.program)]
    assert other.program not in [row.program for row in rows]


def test_an_open_program_can_be_begun_from_the_overview(ida_client, goteborg):
    terms = ProgramTermsFactory(open_to_all=True)
    place = ProgramAtLocation.objects.get(location=goteborg, terms=terms)

    response = ida_client.post(url("start", place))

    assert response["Location"] == Enrollment.objects.get().get_absolute_url()


def test_a_program_that_invites_by_name_is_not_listed_to_others(ida_client, goteborg):
    ProgramTermsFactory(is_listed=False, program__name="Named partners only")

    assert "Named partners only" not in text(ida_client.get(url("overview")))


def test_an_incentives_user_sees_rows_but_no_way_to_enroll(client_of, uma, invited):
    # R11
    response = client_of(uma).get(url("overview"))

    assert "Invited" in text(response)
    assert "Enroll " not in text(response).replace("Enrolled", "")


@pytest.mark.parametrize("status", ["action_required", "validating"])
def test_an_incentives_user_reads_enrolling(client_of, uma, goteborg, status):
    # R42
    enrollment = EnrollmentFactory(location=goteborg, submitted=True, status=status)

    overview = text(client_of(uma).get(url("overview")))
    detail = text(client_of(uma).get(enrollment.get_absolute_url()))

    row = overview.partition("Göteborg")[2]
    for page in (row, detail):
        assert "Enrolling" in page
        assert "Action required" not in page
        assert "Validating enrollment" not in page


def test_the_veil_holds_in_the_filter_too(client_of, uma, goteborg):
    EnrollmentFactory(location=goteborg, submitted=True)
    client = client_of(uma)

    everything = client.get(url("overview"))
    unveiled = client.get(url("overview") + "?status=validating")
    veiled = client.get(url("overview") + "?status=enrolling")

    assert len(veiled.context["page"].rows) == 1
    # A status this reader never sees filters nothing and is not offered.
    assert unveiled.context["page"].rows == everything.context["page"].rows
    offered = dict(unveiled.context["filter"].fields["status"].choices)
    assert "enrolling" in offered
    assert not {"validating", "action_required"} & set(offered)


def test_without_an_incentives_role_there_are_names_and_no_rows(
    client_of, lars, greta, alice, invited
):
    # R15
    response = client_of(lars).get(url("overview"))

    page = text(response)
    assert response.status_code == 403
    assert "Greta Voss" in page
    assert "alice@partner.example" in page
    assert "Göteborg" not in page


def test_a_not_eligible_row_leads_to_what_is_met_and_unmet(
    ida_client, goteborg, nordvik
):
    # R60
    requirement = RequirementFactory(at_least=25_000)
    other = RequirementFactory(terms=requirement.terms, at_least=1)
    MeasuredValueFactory(
        location=goteborg, criterion=requirement.criterion, value=21_340
    )
    place = ProgramAtLocation.objects.get(location=goteborg, terms=requirement.terms)

    overview = ida_client.get(url("overview"))
    why = text(ida_client.get(url("why", place)))

    assert "Not eligible" in text(overview)
    assert url("why", place) in overview.content.decode()
    assert "0 of 3 requirements met" in why
    assert "25,000 USD" in why
    assert "21,340 USD" in why
    assert "Not met" in why
    assert f"Not known: {other.criterion.name_en}." in why


@pytest.mark.parametrize(
    ("name", "status"), [("greta", 200), ("alice", 403), ("uma", 403), ("sam", 404)]
)
def test_requirements_are_for_global_and_incentives_admins(
    client_of, cast, goteborg, name, status
):
    # domain.md §1.3
    requirement = RequirementFactory(at_least=25_000)
    place = ProgramAtLocation.objects.get(location=goteborg, terms=requirement.terms)

    response = client_of(getattr(cast, name)).get(url("why", place))

    assert response.status_code == status


def test_an_incentives_user_is_told_who_sees_the_requirements(client_of, uma, goteborg):
    requirement = RequirementFactory(at_least=25_000)
    place = ProgramAtLocation.objects.get(location=goteborg, terms=requirement.terms)

    response = client_of(uma).get(url("overview"))

    assert "Your Incentives admin sees the requirements" in text(response)
    assert url("why", place) not in response.content.decode()


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            [
                *("2 people", "1 person", "exam register"),
                *("2 of 3 requirements met", "1 of 2 people."),
            ],
        ),
        ("sv", ["2 personer", "1 person", "provregistret", "1 av 2 personer."]),
    ],
)
def test_requirements_count_in_the_readers_grammar(
    client_of, ida, goteborg, terms, language, words
):
    ida.language = language
    ida.save()
    for needed, value in ((2, 1), (1, 2)):
        requirement = RequirementFactory(
            terms=terms, at_least=needed, criterion__unit="people"
        )
        MeasuredValueFactory(
            location=goteborg,
            criterion=requirement.criterion,
            value=value,
            source="exam register",
        )
    place = ProgramAtLocation.objects.get(location=goteborg, terms=terms)

    page = text(client_of(ida).get(url("why", place)))

    for one in words:
        assert one in page
    assert "1 people" not in page
    assert "1 personer" not in page


def test_every_row_that_needs_something_says_what_and_leads_there(
    ida_client, accepted, ida
):
    # R36, R69
    services.ask_for_details(accepted, by=ida)

    response = ida_client.get(url("overview"))

    assert "Action required" in text(response)
    assert "A bank profile is missing, and 1 more thing" in text(response)
    assert f'href="{accepted.get_absolute_url()}"' in response.content.decode()


def test_rows_can_be_sorted_by_every_column(ida_client, nordvik, ida, terms):
    # R68
    RoleAssignmentFactory(user=ida, partner_account=nordvik)
    for name in ("Borås", "Arvika", "Ystad"):
        LocationFactory(partner_account=nordvik, name=name)
    names = {"Borås", "Arvika", "Ystad"}

    def order(query):
        rows = listed(ida_client.get(url("overview") + query))
        return [row.location.name for row in rows if row.location.name in names]

    assert order("?sort=name") == ["Arvika", "Borås", "Ystad"]
    assert order("?sort=-name") == ["Ystad", "Borås", "Arvika"]


def test_rows_can_be_filtered_and_the_filter_is_in_the_address(
    ida_client, invited, goteborg
):
    ProgramTermsFactory(open_to_all=True)

    response = ida_client.get(url("overview") + "?status=invited&country=SE")

    assert [row.enrollment for row in listed(response)] == [invited]
    assert "Clear" in text(response)


def test_a_filter_that_matches_nothing_says_so(ida_client, invited):
    page = text(ida_client.get(url("overview") + "?status=enrolled"))

    assert "No programs match this filter." in page


def test_a_hand_made_address_is_a_page_not_an_error(ida_client, invited):
    for query in (
        "?status=nonsense",
        "?sort=;drop",
        "?page=abc",
        "?page=999",
        "?country=%E2%82%AC",
    ):
        with tried(query):
            assert ida_client.get(url("overview") + query).status_code == 200


def test_before_any_fiscal_year_there_is_nothing_to_enroll(client_of, ida):
    response = client_of(ida).get(reverse("enrollment:overview"))

    assert response.status_code == 200
    assert response.context["to_enroll"] == 0


def test_the_overview_asks_the_same_number_of_questions_for_many_rows(
    client_of, nordvik, ida, terms, django_assert_max_num_queries
):
    RoleAssignmentFactory(user=ida, partner_account=nordvik)
    client = client_of(ida)
    EnrollmentFactory(location__partner_account=nordvik, terms=terms)
    client.get(url("overview"))
    with django_assert_max_num_queries(20) as few:
        client.get(url("overview"))
    for _number in range(49):
        EnrollmentFactory(location__partner_account=nordvik, terms=terms)
    with django_assert_max_num_queries(20) as many:
        client.get(url("overview"))

    assert len(many) == len(few) <= 13


def test_a_company_wide_admin_sees_every_location_and_program(
    client_of, nordvik, goteborg, malmo, terms
):
    # R10
    person = RoleAssignmentFactory(partner_account=nordvik).user
    ProgramTermsFactory(open_to_all=True)

    rows = client_of(person).get(url("overview")).context["page"].rows

    assert len(rows) == 4


def test_last_years_discontinued_program_is_shown_as_discontinued(ida_client, goteborg):
    # R67
    today = timezone.localdate()
    number = today.year + (today.month >= 7) - 1
    terms = ProgramTermsFactory(
        fiscal_year__number=number, program__discontinued_at=timezone.now()
    )
    EnrollmentFactory(
        location=goteborg,
        terms=terms,
        status="discontinued",
        end_reason="program_ended",
    )

    page = text(ida_client.get(url("overview")))

    assert "Discontinued" in page
    assert "the program ended" in page


def test_an_incentives_admin_is_not_offered_the_veil_as_a_filter(ida_client, invited):
    # R42
    response = ida_client.get(url("overview") + "?status=enrolling&country=XX")

    offered = dict(response.context["filter"].fields["status"].choices)
    assert "enrolling" not in offered
    assert {"validating", "action_required"} <= set(offered)
    assert "Clear" not in text(response)
    assert [row.enrollment for row in listed(response)] == [invited]


@pytest.mark.parametrize("view", ["", "&view=location"])
def test_a_filtered_group_still_counts_the_whole_group(
    client_of, nordvik, goteborg, malmo, terms, view
):
    client = client_of(RoleAssignmentFactory(partner_account=nordvik).user)
    EnrollmentFactory(location=goteborg, terms=terms, complete=True)
    EnrollmentFactory(location=malmo, terms=terms)
    other = ProgramTermsFactory()
    EnrollmentFactory(location=goteborg, terms=other)

    page = text(client.get(url("overview") + "?status=enrolled" + view))

    assert "1 of 2 enrolled" in page
    assert "1 of 1 enrolled" not in page


def test_an_incentives_user_is_told_who_can_enroll_in_an_open_program(
    client_of, uma, goteborg
):
    ProgramTermsFactory(open_to_all=True)

    assert "Your Incentives admin can enroll" in text(
        client_of(uma).get(url("overview"))
    )


def test_an_accepted_enrollment_is_your_turn_until_it_is_submitted(
    ida_client, accepted, ida, default_bank
):
    InvitationFactory(enrollment=accepted, user=ida)
    home = text(ida_client.get("/"))
    assert "Your turn 1" in home
    assert "accepted" in home
    assert "A tax profile is missing" in home
    assert "You are invited" not in home

    TaxProfileFactory(location=accepted.location, created_by=UserFactory())

    home = text(ida_client.get("/"))
    overview = text(ida_client.get(url("overview")))
    assert "ready to submit" in home
    assert "Continue" in home
    assert "Continue" in overview
    assert "Invited" in overview


def test_the_end_of_a_year_is_told_with_its_program(ida_client, goteborg, program):
    today = timezone.localdate()
    enrollment = EnrollmentFactory(
        location=goteborg, terms__program=program, complete=True
    )
    year = enrollment.terms.fiscal_year
    year.ends_on = today + datetime.timedelta(days=30)
    year.save()

    page = text(ida_client.get("/"))

    assert f"Fiscal year {year.number} ends: {program.name}" in page


# --- Enrolling ---------------------------------------------------------------------------


SENT_STEPS = ("accept", "decline", "continue", "submit", "choose_currency")


def test_looking_at_a_step_leads_to_the_enrollment_and_changes_nothing(
    ida_client, ready
):
    before = Enrollment.objects.values().get()

    for step in (*SENT_STEPS, "reconsider", "recall", "choose_tax"):
        address = url(step, ready)
        for response in (ida_client.get(address), ida_client.head(address)):
            assert response.status_code == 302, step
            assert response["Location"] == ready.get_absolute_url()
            assert Enrollment.objects.values().get() == before
        assert ida_client.put(address).status_code == 405


def test_looking_at_a_message_to_open_opens_nothing(ida_client, invitation, invited):
    response = ida_client.get(url("open_invitation", invitation))

    invitation.refresh_from_db()
    assert response["Location"] == invited.get_absolute_url()
    assert invitation.opened_at is None


def test_looking_at_an_open_programs_beginning_begins_nothing(ida_client, goteborg):
    terms = ProgramTermsFactory(open_to_all=True)
    place = ProgramAtLocation.objects.get(location=goteborg, terms=terms)

    response = ida_client.get(url("start", place))

    assert response["Location"] == url("overview")
    assert not Enrollment.objects.exists()


def test_an_open_program_invites_nobody_and_is_left_without_declining(
    ida_client, goteborg
):
    # R26
    enrollment = EnrollmentFactory(
        location=goteborg,
        terms=ProgramTermsFactory(open_to_all=True, program__name="Nordic Growth"),
    )

    page = text(ida_client.get(enrollment.get_absolute_url()))

    assert "Enroll Göteborg in Nordic Growth" in page
    assert "Leave without enrolling" in page
    assert "You are invited" not in page
    assert "Decline" not in page


@pytest.mark.parametrize("address", ["help@owner.example", ""])
def test_a_program_that_pays_by_credit_note_asks_for_no_bank(
    ida_client, goteborg, ida, settings, address
):
    # Variant I
    settings.SUPPORT_ADDRESS = address
    terms = ProgramTermsFactory(methods=["credit_note"])
    enrollment = EnrollmentFactory(
        location=goteborg, terms=terms, accepted=True, accepted_by=ida
    )

    response = ida_client.get(enrollment.get_absolute_url())

    page = text(response)
    assert "This program pays by credit note." in page
    assert address in page
    for words in ("You need a bank", "Bank profile", "Continue", "Submit", "Currency"):
        assert words not in page
    for step in ("profiles", "choose_bank"):
        back = ida_client.get(url(step, enrollment))
        assert back["Location"] == enrollment.get_absolute_url()


def test_a_country_without_a_form_is_said_with_whom_to_write_to(
    ida_client, nordvik, ida, settings
):
    settings.SUPPORT_ADDRESS = "help@owner.example"
    location = LocationFactory(partner_account=nordvik, country="AQ")
    RoleAssignmentFactory(user=ida, partner_account=nordvik, location=location)
    enrollment = EnrollmentFactory(location=location, accepted=True, accepted_by=ida)

    page = text(ida_client.get(enrollment.get_absolute_url()))

    for words in (
        "Tax details of companies registered in Antarctica cannot be entered here yet.",
        "Bank accounts in Antarctica cannot be entered here yet.",
        "They can for companies registered in other countries.",
        "Write to help@owner.example : the program owner tells you how to go on.",
    ):
        assert words in page
    for words in ("about 10 minutes", "Add tax", "Add bank", "Continue"):
        assert words not in page


def test_with_nothing_yet_there_is_nothing_to_change(ida_client, accepted):
    page = text(ida_client.get(accepted.get_absolute_url()))

    assert "Add bank profile" in page
    assert "Add tax profile" in page
    assert "Choose another" not in page
    assert "Change" not in page


def test_a_profile_nobody_uses_yet_is_not_counted(ida_client, ready):
    assert "Used by" not in text(ida_client.get(ready.get_absolute_url()))


def test_a_profile_that_cannot_be_paid_to_is_marked_and_not_chosen(
    ida_client, goteborg, nordvik, maria, ida
):
    # Variant I
    terms = ProgramTermsFactory(bank_countries_refused=["SE"])
    enrollment = EnrollmentFactory(
        location=goteborg, terms=terms, accepted=True, accepted_by=ida
    )
    bank = BankProfileFactory(partner_account=nordvik, created_by=maria)
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank)
    TaxProfileFactory(location=goteborg, created_by=maria)

    detail = ida_client.get(enrollment.get_absolute_url())
    profiles = ida_client.get(url("profiles", enrollment))

    assert "Choose a bank profile in another country, or add one." in text(detail)
    assert "missing before you can submit" not in text(detail)
    assert "Continue" not in text(detail)
    assert reverse("profiles:new_bank") in detail.content.decode()
    assert "Cannot be used" in text(profiles)
    assert "After the bank profile" in text(profiles)
    assert " checked" not in profiles.content.decode()


def test_the_chooser_starts_with_what_is_in_use(ida_client, ready, bank_profile):
    response = ida_client.get(url("choose_bank", ready))

    assert response.context["form"].initial == {"bank_profile": bank_profile.pk}
    assert " checked" in response.content.decode()


def test_no_account_is_chosen_once_it_is_with_the_program_owner(ida_client, ready, ida):
    services.submit_enrollment(ready, by=ida)

    response = ida_client.get(url("choose_bank", ready))

    assert response["Location"] == ready.get_absolute_url()


@pytest.mark.parametrize(
    ("status", "reason"),
    [("expired", "not_answered"), ("discontinued", "program_ended")],
)
@pytest.mark.parametrize("who", ["ida", "uma"])
def test_a_closed_enrollment_says_why_and_not_who_could_enroll(
    request, client_of, goteborg, settings, who, status, reason
):
    settings.SUPPORT_ADDRESS = "help@owner.example"
    person = request.getfixturevalue(who)
    enrollment = EnrollmentFactory(location=goteborg, status=status, end_reason=reason)

    page = text(client_of(person).get(enrollment.get_absolute_url()))

    assert enrollment.get_end_reason_display() in page
    assert "See all incentives" in page
    assert "Nobody can enroll" not in page
    assert "These people can" not in page
    assert ("help@owner.example" in page) == (status == "expired")


def test_the_first_page_shows_the_agreement_and_asks_to_accept(ida_client, invited):
    page = text(ida_client.get(invited.get_absolute_url()))

    assert "Step 1 of 3" in page
    assert "The rules of the program." in page
    assert "Accept and continue" in page


def test_a_ready_location_takes_two_clicks(
    ida_client, invited, default_bank, tax_profile
):
    # Variant A; R30, R33
    first = ida_client.post(url("accept", invited), follow=True)
    assert "Everything is ready. Check it and submit." in text(first)
    assert "Nordvik SEK main" in text(first)
    assert "Submit enrollment" in text(first)
    assert "Continue" not in text(first)

    second = ida_client.post(url("submit", invited), follow=True)

    assert "Submitted – now it is the program owner's turn" in text(second)
    assert invited.reference in text(second)


def test_a_pending_profile_can_be_submitted_with_a_word_about_it(
    ida_client, accepted, goteborg, nordvik, maria, tax_profile
):
    # Variant B
    bank = BankProfileFactory(
        partner_account=nordvik, created_by=maria, version__pending=True
    )
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank)

    page = text(ida_client.get(accepted.get_absolute_url()))

    assert "You can submit now. Your bank profile is already being validated." in page
    assert "Submit enrollment" in page


def test_another_bank_profile_can_be_chosen_without_changing_the_default(
    ida_client, ready, nordvik, maria, bank_profile
):
    # Variant C; R32
    other = BankProfileFactory(
        partner_account=nordvik, name="Nordvik EUR", created_by=maria
    )
    page = text(ida_client.get(url("choose_bank", ready)))
    assert "Nordvik EUR" in page
    assert "default" in page

    response = ida_client.post(
        url("choose_bank", ready), {"bank_profile": other.pk}, follow=True
    )

    assert "Nordvik EUR" in text(response)
    assert DefaultBankProfile.objects.get().bank_profile == bank_profile
    assert ready.payout_assignments.get().bank_profile == other


@pytest.mark.parametrize(
    "value", ["", "not-a-key", "00000000-0000-0000-0000-000000000000"]
)
def test_a_bank_profile_that_is_none_is_refused_at_the_field(ida_client, ready, value):
    response = ida_client.post(url("choose_bank", ready), {"bank_profile": value})

    assert response.status_code == 422
    assert "There is a problem" in text(response)
    assert ready.payout_assignments.get().bank_profile is None


def test_a_bank_profile_that_cannot_be_paid_to_is_shown_and_not_chosen(
    ida_client, ready, terms, nordvik, maria
):
    for refused in REFUSED_BANKS:
        with tried(refused):
            terms.bank_countries, terms.currencies = ["SE", "GB"], ["EUR"]
            terms.pays_local_currency = False
            terms.save()
            bank = BankProfileFactory(
                partner_account=nordvik,
                created_by=maria,
                name="Not this",
                **refused.version,
            )
            if refused.code == "archived":
                bank.archived_at, bank.archived_by = timezone.now(), maria
                bank.save()

            page = ida_client.get(url("choose_bank", ready))
            radio = re.search(
                rf'<input[^>]*value="{bank.pk}"[^>]*>', page.content.decode()
            )
            response = ida_client.post(
                url("choose_bank", ready), {"bank_profile": bank.pk}
            )

            if refused.code == "archived":
                assert radio is None
            else:
                assert " disabled" in radio.group()
                assert refused.words in text(page)
            assert response.status_code == 422
            assert response.context["form"].errors["bank_profile"] == [refused.words]
            assert ready.payout_assignments.get().bank_profile is None


def test_without_a_usable_bank_profile_there_is_nothing_to_press(
    ida_client, ready, terms
):
    terms.bank_countries_refused = ["SE"]
    terms.save()

    page = text(ida_client.get(url("choose_bank", ready)))

    assert "Use this profile" not in page
    assert "This program cannot pay to banks in Sweden." in page
    assert "Add a new bank profile" in page


def test_another_companys_bank_profile_is_refused(ida_client, ready):
    foreign = BankProfileFactory(name="Foreign account")

    response = ida_client.post(url("choose_bank", ready), {"bank_profile": foreign.pk})

    assert response.status_code == 422
    assert "Choose a bank profile of your company." in text(response)
    assert "Foreign account" not in text(response)


def test_something_missing_is_named_and_leads_on_with_continue(
    ida_client, accepted, default_bank
):
    # Variant D; R34, R35, R36
    page = text(ida_client.get(accepted.get_absolute_url()))
    assert "1 thing is missing before you can submit." in page
    assert "A tax profile is missing." in page
    assert "Submit enrollment" not in page

    response = ida_client.post(url("continue", accepted), follow=True)

    assert "Payment and Tax profile" in text(response)
    assert "Add a tax profile" in text(response)
    accepted.refresh_from_db()
    assert accepted.status == EnrollmentStatus.ACTION_REQUIRED


def test_a_detail_the_program_needs_is_named_by_its_field(
    ida_client, goteborg, ida, nordvik, maria
):
    # Variant D; R55
    terms = ProgramTermsFactory(required_tax_details=["vat"])
    enrollment = EnrollmentFactory(
        location=goteborg, terms=terms, accepted=True, accepted_by=ida
    )
    bank = BankProfileFactory(partner_account=nordvik, created_by=maria)
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank)
    tax = TaxProfileFactory(location=goteborg, created_by=maria)

    page = text(ida_client.get(enrollment.get_absolute_url()))
    assert "VAT number" in page
    response = ida_client.post(url("continue", enrollment), follow=True)

    change = reverse("profiles:change_tax", kwargs={"pk": tax.pk})
    assert change in response.content.decode()
    assert "In place" in text(response)


def test_a_currency_that_is_missing_is_asked_for(
    ida_client, accepted, tax_profile, nordvik, maria
):
    # Variant E
    bank = BankProfileFactory(partner_account=nordvik, created_by=maria)
    ida_client.post(url("choose_bank", accepted), {"bank_profile": bank.pk})
    assert "A currency is not chosen." in text(
        ida_client.get(accepted.get_absolute_url())
    )
    ida_client.post(url("continue", accepted))

    response = ida_client.post(
        url("choose_currency", accepted), {"currency": "EUR"}, follow=True
    )

    assert "Everything is ready. Check it and submit." in text(response)
    # Before Submit: what follows from another currency than the bank's own.
    assert "the bank converts EUR at its own rate" in text(response)
    assert accepted.payout_assignments.get().currency == "EUR"


def test_a_currency_that_is_not_accepted_is_refused_at_the_field(ida_client, ready):
    for value in ("", "JPY", "eur", "XXX", "EUR; DROP"):
        with tried(value):
            response = ida_client.post(
                url("choose_currency", ready), {"currency": value}
            )

            assert response.status_code == 422
            assert ready.payout_assignments.get().currency == ""


def test_with_nothing_yet_it_says_what_to_have_at_hand(ida_client, accepted):
    # Variant F
    page = text(ida_client.get(accepted.get_absolute_url()))

    assert "You need a bank profile and a tax profile." in page
    assert "What you need before you start" in page
    assert "Continue" in page


def test_a_returned_profile_shows_its_reason_where_it_is_mended(
    ida_client, ready, bank_profile, ida, oscar
):
    # Variant G; R41
    services.submit_enrollment(ready, by=ida)
    return_version(
        bank_profile.versions.get(),
        returned=[
            {"field": "account_holder", "code": "BANK_NAME_MISMATCH", "note": ""}
        ],
        by=oscar,
    )

    response = ida_client.get(url("profiles", ready))

    assert "Account holder" in text(response)
    change = reverse("profiles:change_bank", kwargs={"pk": bank_profile.pk})
    assert f"{change}?next=" in response.content.decode()
    assert "#id_account_holder" in response.content.decode()


def test_a_bank_in_a_country_the_program_cannot_pay_to_is_a_sentence(
    ida_client, goteborg, nordvik, maria, ida
):
    # Variant I
    terms = ProgramTermsFactory(bank_countries_refused=["SE"])
    enrollment = EnrollmentFactory(
        location=goteborg, terms=terms, accepted=True, accepted_by=ida
    )
    bank = BankProfileFactory(partner_account=nordvik, created_by=maria)
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank)

    page = text(ida_client.get(enrollment.get_absolute_url()))

    assert "This program cannot pay to banks in Sweden." in page


def test_a_direct_submit_with_something_missing_is_refused_by_name(
    ida_client, accepted
):
    # R34
    response = ida_client.post(url("submit", accepted))

    assert response.status_code == 422
    assert "A bank profile is missing." in text(response)
    accepted.refresh_from_db()
    assert accepted.submitted_at is None


def test_a_direct_submit_without_accepting_is_refused(
    ida_client, invited, default_bank, tax_profile
):
    response = ida_client.post(url("submit", invited))

    assert response.status_code == 422
    assert "Accept the invitation first." in text(response)


@pytest.mark.parametrize(
    "status", ["enrolled", "expired", "discontinued", "ineligible"]
)
def test_a_step_after_the_state_changed_is_a_sentence_and_changes_nothing(
    ida_client, goteborg, bank_profile, status
):
    enrollment = EnrollmentFactory(location=goteborg, complete=True, status=status)
    before = Enrollment.objects.values().get()

    for step in (*SENT_STEPS, "choose_bank"):
        response = ida_client.post(
            url(step, enrollment), {"bank_profile": bank_profile.pk, "currency": "EUR"}
        )

        assert response.status_code in (302, 422), step
        assert Enrollment.objects.values().get() == before, step


@pytest.mark.parametrize("who", ["greta", "alice", "uma"])
def test_without_the_role_one_is_told_who_can(who, request, client_of, ready, ida):
    # R1, R2, R11
    person = request.getfixturevalue(who)

    response = client_of(person).post(url("submit", ready))

    page = text(response)
    assert response.status_code == 403
    assert "Ida Lund" in page
    ready.refresh_from_db()
    assert ready.status == EnrollmentStatus.INVITED


def test_those_who_appoint_are_told_that_they_may_appoint_themselves(
    client_of, greta, ready, ida
):
    # R4
    response = client_of(greta).get(ready.get_absolute_url())

    assert "You can give this role, to yourself too." in text(response)


def test_where_nobody_can_enroll_the_admins_who_appoint_are_named(
    client_of, uma, greta, alice, goteborg, terms
):
    # R7
    enrollment = EnrollmentFactory(location=goteborg, terms=terms)

    page = text(client_of(uma).post(url("submit", enrollment)))

    assert "Greta Voss" in page
    assert "Alice Berg" in page


def test_a_global_admin_who_appointed_themselves_can_enroll(
    client_of, greta, nordvik, goteborg, ready
):
    # R4
    RoleAssignmentFactory(
        user=greta,
        role=Role.INCENTIVES_ADMIN,
        partner_account=nordvik,
        location=goteborg,
    )

    client_of(greta).post(url("submit", ready))

    ready.refresh_from_db()
    assert ready.status == EnrollmentStatus.VALIDATING


def test_declining_and_changing_ones_mind(ida_client, invited):
    response = ida_client.post(
        url("decline", invited), {"reason": "Next year"}, follow=True
    )
    assert "Declined" in text(response)
    assert "Change your mind" in text(response)

    response = ida_client.post(url("reconsider", invited), follow=True)

    assert "Accept and continue" in text(response)


@pytest.mark.parametrize(
    ("reason", "words"),
    [("x" * 401, "400"), ("a\u202eb", "hidden"), ("a\x07b", "hidden")],
)
def test_a_reason_that_cannot_be_kept_is_refused_and_not_lost(
    ida_client, invited, reason, words
):
    response = ida_client.post(url("decline", invited), {"reason": reason})

    assert response.status_code == 422
    assert "There is a problem" in text(response) or "Error" in text(response)
    invited.refresh_from_db()
    assert invited.status == EnrollmentStatus.INVITED


def test_a_submission_can_be_recalled_from_its_page(ida_client, ready, ida):
    services.submit_enrollment(ready, by=ida)
    assert "Recall submission" in text(ida_client.get(ready.get_absolute_url()))

    response = ida_client.post(url("recall", ready), follow=True)

    assert "Recalled. Nothing is with the program owner now." in text(response)
    assert "Everything is ready. Check it and submit." in text(response)


def test_the_complete_page_says_since_when_it_earns(ida_client, goteborg):
    # R45
    enrollment = EnrollmentFactory(
        location=goteborg, complete=True, earns_from=datetime.date(2026, 11, 1)
    )

    page = text(ida_client.get(enrollment.get_absolute_url()))

    assert "Göteborg is enrolled" in page
    assert "1 November 2026" in page


@pytest.mark.parametrize("status", ["cooling", "stopped", "pending"])
def test_what_waits_for_time_or_a_release_is_not_overdue(
    ida_client, client_of, oscar, goteborg, nordvik, status
):
    """A changed account that cools off or was stopped waits for no decision (R43)."""
    bank, tax = (
        BankProfileFactory(partner_account=nordvik),
        TaxProfileFactory(location=goteborg),
    )
    until = timezone.now() + datetime.timedelta(hours=9)
    facts = {"usable_from": until} if status != "pending" else {"pending": True}
    BankVersionFactory(profile=bank, number=2, status=status, **facts)
    enrollment = EnrollmentFactory(
        location=goteborg,
        complete=True,
        status="validating",
        status_since=timezone.now() - datetime.timedelta(hours=60),
        payout__bank_profile=bank,
        payout__tax_profile=tax,
    )
    enrollment.payout_assignments.update(tax_version=tax.versions.get())

    said = text(ida_client.get(enrollment.get_absolute_url()))
    ops = reverse("ops:enrollment", kwargs={"pk": enrollment.pk})

    assert ("overdue" in said) is (status == "pending")
    assert ("Overdue" in text(client_of(oscar).get(ops))) is (status == "pending")
    assert ("approved and in force from" in said) is (status == "cooling")
    assert ("stopped the change" in said) is (status == "stopped")


def test_an_overdue_validation_says_so(ida_client, goteborg):
    # R43
    enrollment = EnrollmentFactory(
        location=goteborg,
        submitted=True,
        status_since=timezone.now() - datetime.timedelta(days=8),
    )

    page = text(ida_client.get(enrollment.get_absolute_url()))

    assert "overdue" in page
    assert "It takes longer than promised." in page
    assert "usually by" not in page


def test_no_page_shows_more_than_the_last_four(ida_client, ready, ida):
    # R59
    services.submit_enrollment(ready, by=ida)

    for path in (ready.get_absolute_url(), "/", url("overview")):
        body = ida_client.get(path).content.decode()
        assert "5491" not in body
        assert "559999" not in body


# --- Language ------------------------------------------------------------------------------


def test_pages_speak_the_persons_language(client_of, ida, invited):
    # R70
    ida.language = "sv"
    ida.save(update_fields=["language"])

    response = client_of(ida).get(url("overview"))

    assert response["Content-Language"] == "sv"
    assert '<html lang="sv"' in response.content.decode()
    assert "Inbjuden" in text(response)


def test_the_language_can_be_chosen_before_sign_in(client):
    response = client.post(
        reverse("set_language"), {"language": "sv", "next": "/accounts/login/"}
    )

    assert response["Location"] == "/accounts/login/"
    assert '<html lang="sv"' in client.get("/accounts/login/").content.decode()


def test_a_chosen_language_is_remembered_for_mails(ida_client, ida):
    ida_client.post(reverse("set_language"), {"language": "sv", "next": "/"})

    ida.refresh_from_db()
    assert ida.language == "sv"


def test_a_mails_link_to_another_language_asks_in_that_language_and_changes_nothing(
    ida_client, ida
):
    page = ida_client.get(reverse("own:language"), {"to": "sv"})

    assert page["Content-Language"] == "sv"
    assert "Vill du ha portalen och dess mejl på svenska?" in text(page)
    ida.refresh_from_db()
    assert ida.language == "en"
    # A link that says no language leads to the one that the reader does not have.
    assert "på svenska?" in text(ida_client.get(reverse("own:language"), {"to": "xx"}))
    ida_client.post(reverse("set_language"), {"language": "sv", "next": "/"})
    page = ida_client.get(reverse("own:language"), {"to": "en"})
    assert "and its mails in English?" in text(page)


@pytest.mark.parametrize("language", ["", "xx", "en; path=/", "../sv"])
def test_an_unknown_language_changes_nothing(ida_client, ida, language):
    ida_client.post(reverse("set_language"), {"language": language, "next": "/"})

    ida.refresh_from_db()
    assert ida.language == "en"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "javascript:1"]
)
def test_after_choosing_a_language_one_stays_on_this_site(client, target):
    response = client.post(reverse("set_language"), {"language": "sv", "next": target})

    assert response["Location"] == "/"


# --- Notifications -----------------------------------------------------------------------


def test_every_mail_can_be_read_again_by_its_reader_alone(
    ida_client, client_of, ready, ida, sam
):
    services.submit_enrollment(ready, by=ida)
    mail = OutgoingEmail.objects.get(to_user=ida)

    assert mail.subject in text(ida_client.get(url("notifications")))
    assert ready.reference in text(ida_client.get(url("notification", mail)))
    assert client_of(sam).get(url("notification", mail)).status_code == 404


def test_invitations_and_reminders_are_told_apart_by_program_and_place(
    ida_client, ida, goteborg, malmo
):
    def mailed(name, rows, subject, **facts):
        mail = make_email(name=name, to_user=ida, subject=subject)
        for one in rows:
            if name == "reminder":
                Reminder.objects.create(enrollment=one, user=ida, email=mail, **facts)
            else:
                InvitationFactory(enrollment=one, user=ida, email=mail)

    sales = ProgramTermsFactory(program__name="Cloud Sales")
    both = [EnrollmentFactory(terms=sales, location=at) for at in (goteborg, malmo)]
    other = EnrollmentFactory(location=goteborg, terms__program__name="Security")
    mailed("invitation", both, "You are invited")
    mailed("invitation", [other], "You are invited")
    mailed("reminder", both, "Reminder: enroll 2 locations", days_before=7)
    mailed("reminder", [both[0], other], "Reminder: enroll 3 locations", days_before=2)

    said = text(ida_client.get(url("notifications")))

    assert "You are invited · Cloud Sales, 2 locations" in said
    assert "You are invited · Security, Göteborg" in said
    assert "Reminder: enroll 2 locations · Cloud Sales" in said
    assert "Reminder: enroll 3 locations ·" not in said


def test_mails_and_opened_invitations_are_listed_together_and_apart(
    ida_client, invitation, ida
):
    ida_client.post(url("open_invitation", invitation))
    subject = make_email(to_user=ida, subject="Something happened").subject
    opened = f"{invitation.enrollment.terms.program.name}, Göteborg"

    said = {
        tab: text(ida_client.get(url("notifications") + tab))
        for tab in ("", "?tab=mail", "?tab=opened")
    }

    # The newest first.
    assert said[""].index(subject) < said[""].index(opened)
    assert subject in said["?tab=mail"]
    assert opened not in said["?tab=mail"]
    assert opened in said["?tab=opened"]
    assert subject not in said["?tab=opened"]
    assert "Choose the mail you get" in said[""]


def test_an_operator_is_led_to_the_operators_pages(client_of, oscar):
    response = client_of(oscar).get("/")

    assert response["Location"] == reverse("ops:today")


def test_signed_in_pages_are_not_kept_by_browsers(ida_client):
    assert ida_client.get("/")["Cache-Control"] == "no-store"


def test_a_person_of_two_companies_sees_one_at_a_time(client_of, ida, invited):
    other = RoleAssignmentFactory(
        user=ida, partner_account__name="Second company"
    ).partner_account
    theirs = EnrollmentFactory(location__partner_account=other)
    client = client_of(ida)

    first = client.get(f"/c/5012001{url('overview')}")
    second = client.get(f"/c/{other.partner_id}{url('overview')}")

    assert [row.location for row in listed(first) if row.enrollment]
    assert {row.location for row in listed(first)} == {invited.location}
    assert {row.location for row in listed(second)} == {theirs.location}


def test_whoever_enrolls_is_under_incentives(client_of, ida, invitation):
    enrollment = invitation.enrollment
    company = enrollment.location.partner_account
    mail = make_email(to_user=ida)
    InvitationFactory(
        enrollment=EnrollmentFactory(location=enrollment.location), user=ida, email=mail
    )
    Invitation.objects.filter(pk=invitation.pk).update(email=mail)

    def marked(path) -> list[str]:
        page = client_of(ida).get(path)
        return [way.label for way in page.context["nav"] if way.is_active]

    for page in ("get_started", "hand_over"):
        assert marked(url(page, invitation)) == ["Incentives"]
    assert marked(enrollment.get_absolute_url()) == ["Incentives"]
    assert marked(reverse("accounts:people")) == ["People"]
    # An invitation to join a company has an address of the same letter.
    assert marked(reverse("joining:invitation")) == []

    RoleAssignmentFactory(user=ida)
    assert marked(path_in(company, enrollment)) == ["Incentives"]


def test_a_foreign_company_in_the_address_is_not_entered(ida_client, sam, invited):
    foreign = sam.memberships.get().partner_account

    response = ida_client.get(url("overview") + f"?company={foreign.partner_id}")

    assert response.context["request"].company.pk == invited.location.partner_account_id


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (0, ""),
        (1, "1 more row of your company is hidden: its program or location is outside"),
        (3, "3 more rows of your company are hidden: their programs or locations are"),
    ],
)
def test_the_overview_says_how_many_rows_the_roles_hide(
    ida_client, nordvik, goteborg, terms, number, sentence
):
    for _number in range(number):
        LocationFactory(partner_account=nordvik)
    LocationFactory(partner_account=nordvik, closed_at=timezone.now())
    LocationFactory()

    response = ida_client.get(url("overview"))

    assert sentence in text(response)
    assert ("outside your roles" in text(response)) == bool(number)
    assert response.context["hidden_count"] == number


def test_a_role_for_one_program_hides_the_others_at_its_location(
    client_of, nordvik, goteborg, malmo, terms, lars, uma
):
    # R9: two programs at two locations, and a third where somebody was invited to it.
    ProgramTermsFactory(fiscal_year=terms.fiscal_year)
    unlisted = ProgramTermsFactory(fiscal_year=terms.fiscal_year, is_listed=False)
    EnrollmentFactory(location=malmo, terms=unlisted)
    role = RoleAssignmentFactory(
        user=lars, partner_account=nordvik, location=malmo, program=terms.program
    )
    client = client_of(lars)

    def shown_and_hidden(client) -> tuple[int, int]:
        context = client.get(url("overview"), {"status": ""}).context
        return len(context["page"].rows), context["hidden_count"]

    assert shown_and_hidden(client) == (1, 4)
    # A filter hides nothing: it is the reader's own.
    filtered = client.get(url("overview"), {"status": "enrolled"}).context
    assert filtered["hidden_count"] == 4
    role.program = None
    role.save()
    assert shown_and_hidden(client) == (3, 2)
    assert shown_and_hidden(client_of(uma)) == (5, 0)
