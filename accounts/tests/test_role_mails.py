"""Who is told of roles given and ended, how often, and in which words."""

import html
import re
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounts import services
from accounts.models import OutgoingEmail, RoleSource
from accounts.roles import Role
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared


@pytest.fixture(autouse=True)
def place(settings):
    settings.PUBLIC_BASE_URL = "https://portal.example"
    return settings


def mails(name: str) -> dict[str, OutgoingEmail]:
    """The mails of one kind by the name of their reader; each has one at most."""
    rows = list(OutgoingEmail.objects.filter(name=name).select_related("to_user"))
    readers = {row.to_user.full_name: row for row in rows}
    assert len(readers) == len(rows)
    return readers


def flat(email: OutgoingEmail) -> str:
    return " ".join(email.body_text.split())


def words(email: OutgoingEmail) -> str:
    """What the HTML says, without its tags."""
    body = re.sub(r"<style>.*?</style>", "", email.body_html, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def give(person, *locations, by, role=Role.INCENTIVES_ADMIN, **options):
    account = by.memberships.get().partner_account
    return services.assign_roles(
        person, role=role, account=account, locations=locations, by=by, **options
    )


@shared
def arvid(nordvik):
    """A second Account admin."""
    return RoleAssignmentFactory(
        user=UserFactory(full_name="Arvid Ås", email="arvid@partner.example"),
        role=Role.ACCOUNT_ADMIN,
        partner_account=nordvik,
    ).user


class TestGiven:
    def test_the_holder_learns_role_place_giver_and_last_day(
        self, greta, lars, goteborg
    ):
        last_day = timezone.localdate() + timedelta(days=400)

        give(lars, goteborg, by=greta, ends_on=last_day)

        (email,) = mails("role_given").values()
        assert email.to_user == lars
        assert email.subject == "You are now Incentives admin for Göteborg"
        for text in (flat(email), words(email)):
            assert (
                "Greta Voss gave you the role Incentives admin in Nordvik IT AB:"
                in text
            )
            assert "Göteborg, all programs" in text
            assert f"The last day is {last_day.day} {last_day:%B %Y}." in text
            assert "You can enroll there" in text

    def test_one_action_is_one_mail(self, greta, lars, goteborg, malmo):
        programs = [IncentiveProgramFactory(), IncentiveProgramFactory()]

        give(lars, goteborg, malmo, by=greta, programs=programs)

        (email,) = mails("role_given").values()
        assert email.subject == "You are now Incentives admin for 2 locations"
        for program in programs:
            assert f"Malmö, only {program.name}" in flat(email)

    @pytest.mark.parametrize("role", sorted(set(Role) - {Role.INCENTIVES_ADMIN}))
    def test_every_role_says_what_it_allows(self, greta, lars, role):
        give(lars, by=greta, role=role)

        (email,) = mails("role_given").values()
        preposition = "for" if role == Role.INCENTIVES_USER else "of"
        label = Role(role).label
        assert email.subject == f"You are now {label} {preposition} Nordvik IT AB"
        assert "You can see p" in flat(email) or "You can add people" in flat(email)
        assert "You can enroll" not in flat(email)

    def test_giving_what_is_held_tells_nobody(self, greta, ida, goteborg):
        give(ida, goteborg, by=greta)

        assert not OutgoingEmail.objects.exists()

    def test_nobody_is_told_when_the_program_owner_sets_a_company_up(
        self, lars, nordvik
    ):
        services.assign_role(lars, role=Role.GLOBAL_ADMIN, account=nordvik, by=None)

        assert not OutgoingEmail.objects.exists()

    def test_a_role_from_the_directory_says_so(self, lars, nordvik):
        services.assign_role(
            lars,
            role=Role.INCENTIVES_USER,
            account=nordvik,
            source=RoleSource.SCIM,
            by=None,
        )

        (email,) = mails("role_given").values()
        assert (
            "The directory of Nordvik IT AB gave you the role Incentives user:"
            in flat(email)
        )

    def test_an_operators_name_is_not_told(self, lars, nordvik):
        root = UserFactory(full_name="Rut Root", is_staff=True, is_superuser=True)

        services.assign_role(lars, role=Role.GLOBAL_ADMIN, account=nordvik, by=root)

        (email,) = mails("role_given").values()
        assert "The program owner gave you" in flat(email)
        assert "Rut" not in email.body_text + email.body_html

    def test_the_mail_speaks_the_holders_language(self, greta, lars, goteborg):
        lars.language = "sv"
        lars.save()

        give(lars, goteborg, by=greta)

        (email,) = mails("role_given").values()
        assert email.subject == "Du är nu incitamentsadministratör för Göteborg"
        assert "Göteborg, alla program" in flat(email)

    def test_the_link_is_of_this_portal_and_names_the_company(
        self, greta, lars, goteborg
    ):
        give(lars, goteborg, by=greta)

        (email,) = mails("role_given").values()
        assert email.about_url == "/c/5012001/incentives/"
        assert f"https://portal.example{email.about_url}" in email.body_text

    def test_a_name_stays_a_name(self, greta, lars, goteborg):
        goteborg.name = "Å & Ö <b>x</b>"
        goteborg.save()

        give(lars, goteborg, by=greta)

        (email,) = mails("role_given").values()
        assert email.subject == "You are now Incentives admin for Å & Ö <b>x</b>"
        assert "<b>x</b>" not in email.body_html
        assert "Å & Ö <b>x</b>, all programs" in words(email)


class TestSelfGrant:
    def test_every_other_admin_is_told_once(
        self, greta, alice, arvid, ida, uma, sam, goteborg, malmo
    ):
        # R4, and loud: T3.
        RoleAssignmentFactory(role=Role.GLOBAL_ADMIN)  # of another company

        give(alice, goteborg, malmo, by=alice)

        assert set(mails("role_taken")) == {"Greta Voss", "Arvid Ås"}
        assert OutgoingEmail.objects.count() == 2
        email = mails("role_taken")["Greta Voss"]
        assert email.subject == (
            "Alice Berg gave themselves the role Incentives admin: 2 locations"
        )
        for text in (flat(email), words(email)):
            assert "Göteborg, all programs" in text
            assert "Malmö, all programs" in text
            assert "ask Alice Berg, or end the role" in text

    def test_each_action_is_told(self, greta, alice, goteborg, malmo):
        give(alice, goteborg, by=alice)
        give(alice, malmo, by=alice)

        subjects = OutgoingEmail.objects.filter(to_user=greta).order_by("created_at")
        assert [email.subject for email in subjects] == [
            "Alice Berg gave themselves the role Incentives admin: Göteborg",
            "Alice Berg gave themselves the role Incentives admin: Malmö",
        ]

    def test_taking_what_is_held_tells_nobody(self, greta, alice, goteborg):
        give(alice, goteborg, by=alice)
        give(alice, goteborg, by=alice)

        assert OutgoingEmail.objects.count() == 1

    def test_a_role_for_somebody_else_is_not_told_to_the_admins(
        self, greta, alice, lars, goteborg
    ):
        give(lars, goteborg, by=alice)

        assert mails("role_taken") == {}

    def test_somebody_with_both_admin_roles_is_told_once(
        self, greta, alice, nordvik, goteborg
    ):
        RoleAssignmentFactory(
            user=greta, role=Role.ACCOUNT_ADMIN, partner_account=nordvik
        )

        give(alice, goteborg, by=alice)

        assert set(mails("role_taken")) == {"Greta Voss"}

    def test_who_cannot_sign_in_or_has_left_is_not_told(
        self, greta, alice, arvid, goteborg
    ):
        arvid.memberships.update(ended_at=timezone.now())

        give(alice, goteborg, by=alice)

        assert set(mails("role_taken")) == {"Greta Voss"}

    def test_a_refused_self_grant_tells_nobody(self, greta, ida, malmo):
        with pytest.raises(ValidationError):
            give(ida, malmo, by=ida)

        assert not OutgoingEmail.objects.exists()


class TestEnded:
    def test_the_holder_is_told(self, greta, ida, lars, nordvik):
        RoleAssignmentFactory(user=lars, partner_account=nordvik)
        today = timezone.localdate()

        services.revoke_role(ida.role_assignments.get(), by=greta)

        (email,) = mails("role_ended").values()
        assert email.to_user == ida
        assert email.subject == f"Your role for Göteborg ends {today.day} {today:%B %Y}"
        for text in (flat(email), words(email)):
            assert "Greta Voss ended your role in Nordvik IT AB:" in text
            assert "Incentives admin: Göteborg, all programs" in text

    def test_nobody_is_told_of_an_own_role_they_end(self, greta, alice):
        services.revoke_role(
            RoleAssignmentFactory(
                user=greta,
                role=Role.INCENTIVES_USER,
                partner_account=greta.memberships.get().partner_account,
            ),
            by=greta,
        )

        assert not OutgoingEmail.objects.exists()

    def test_the_other_admins_learn_of_a_gap(
        self, greta, alice, arvid, ida, goteborg, malmo
    ):
        services.revoke_role(ida.role_assignments.get(), by=alice)

        assert set(mails("location_uncovered")) == {"Greta Voss", "Arvid Ås"}
        email = mails("location_uncovered")["Greta Voss"]
        assert email.subject == "Göteborg has no Incentives admin any more"
        assert "Göteborg (PartnerID 6120102)" in flat(email)
        assert "Malmö" not in flat(email)
        assert email.about_url == "/c/5012001/people/gaps/"

    def test_many_gaps_are_one_mail(self, greta, alice, nordvik, goteborg, malmo):
        everywhere = RoleAssignmentFactory(partner_account=nordvik)

        services.revoke_role(everywhere, by=alice)

        email = mails("location_uncovered")["Greta Voss"]
        assert email.subject == "2 locations have no Incentives admin any more"

    def test_no_gap_is_told_while_somebody_stays(
        self, greta, alice, ida, lars, nordvik
    ):
        RoleAssignmentFactory(user=lars, partner_account=nordvik)

        services.revoke_role(ida.role_assignments.get(), by=alice)

        assert mails("location_uncovered") == {}

    def test_ending_what_had_run_out_tells_nobody(self, greta, lars, nordvik):
        LocationFactory(partner_account=nordvik)
        over = RoleAssignmentFactory(
            user=lars,
            partner_account=nordvik,
            ends_on=timezone.localdate() - timedelta(days=1),
        )

        services.revoke_role(over, by=greta)

        assert not OutgoingEmail.objects.exists()

    def test_ending_twice_tells_once(self, greta, ida):
        for _time in range(2):
            services.revoke_role(ida.role_assignments.get(), by=greta)

        assert len(mails("role_ended")) == 1
