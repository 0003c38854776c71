"""One person's page: what they can do, who gave it, and ending their part."""

from datetime import timedelta
from html import unescape

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditAction, AuditEvent, Membership, RoleAssignment
from accounts.roles import Role
from accounts.services import assign_role, deactivate_person, revoke_role
from accounts.tests.factories import (
    LocationFactory,
    MembershipFactory,
    ProvisioningTokenFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared


def text_of(response) -> str:
    """The page's words with single spaces."""
    return " ".join(unescape(response.content.decode()).split())


def membership_of(user) -> Membership:
    return Membership.objects.get(user=user)


def person_url(user) -> str:
    return reverse("accounts:person", kwargs={"pk": membership_of(user).pk})


def deactivate_url(user) -> str:
    return reverse("accounts:deactivate", kwargs={"pk": membership_of(user).pk})


def belongs(user) -> bool:
    return Membership.objects.current().filter(user=user).exists()


@shared
def ursula(nordvik):
    """User management admin: adds and deactivates people, ends no role (C1)."""
    return RoleAssignmentFactory(
        user=UserFactory(full_name="Ursula Holm"),
        role=Role.USER_ADMIN,
        partner_account=nordvik,
    ).user


@shared
def morgan(nordvik):
    """MPN partner admin: sees people, changes nothing (C2, R13)."""
    return RoleAssignmentFactory(
        user=UserFactory(full_name="Morgan Dahl"),
        role=Role.MPN_ADMIN,
        partner_account=nordvik,
    ).user


class TestPerson:
    def test_effective_access_is_what_the_roles_add_up_to(
        self, client_of, greta, ida, nordvik, goteborg, malmo, program
    ):
        for role, location, one in (
            (Role.INCENTIVES_ADMIN, malmo, program),
            (Role.INCENTIVES_USER, malmo, None),
            (Role.INCENTIVES_USER, goteborg, None),
        ):
            RoleAssignmentFactory(
                user=ida,
                role=role,
                partner_account=nordvik,
                location=location,
                program=one,
            )

        response = client_of(greta).get(person_url(ida))

        reach = response.context["reach"]
        assert reach.enroll == [
            "Göteborg, all programs",
            f"Malmö, only {program.name}",
        ]
        assert reach.look == ["Malmö, all programs"]

    def test_each_role_has_its_giver_and_its_end(
        self, client_of, greta, alice, lars, nordvik, goteborg
    ):
        assign_role(
            lars,
            role=Role.INCENTIVES_ADMIN,
            account=nordvik,
            location=goteborg,
            ends_on=timezone.localdate() + timedelta(days=400),
            by=alice,
        )

        page = text_of(client_of(greta).get(person_url(lars)))

        assert "given by Alice Berg" in page
        assert "End role" in page

    def test_ended_roles_are_listed_apart(self, client_of, greta, ida):
        revoke_role(ida.role_assignments.get(), by=greta)

        response = client_of(greta).get(person_url(ida))

        assert response.context["roles"] == []
        assert len(response.context["ended"]) == 1
        assert "Nothing yet: no role is held." in text_of(response)

    def test_a_guest_is_said_to_be_one(self, client_of, greta, nordvik):
        guest = UserFactory(email="gunnar@elsewhere.example")
        MembershipFactory(user=guest, partner_account=nordvik)

        assert "no incentive roles" in text_of(client_of(greta).get(person_url(guest)))

    def test_roles_in_another_company_are_not_this_ones_matter(
        self, client_of, greta, lars
    ):
        elsewhere = RoleAssignmentFactory(user=lars)
        there = elsewhere.partner_account
        MembershipFactory._meta.model.objects.get_or_create(
            user=lars, partner_account=there
        )
        here = Membership.objects.exclude(partner_account=there).get(user=lars)

        response = client_of(greta).get(
            reverse("accounts:person", kwargs={"pk": here.pk})
        )

        assert response.context["roles"] == []

    def test_who_only_sees_people_is_offered_nothing(self, client_of, morgan, ida):
        page = text_of(client_of(morgan).get(person_url(ida)))

        assert "Ida Lund" in page
        assert "End role" not in page
        assert "Deactivate" not in page
        assert reverse("accounts:assign") not in page

    @pytest.mark.parametrize("number", [1, 60])
    def test_the_number_of_queries_does_not_grow(
        self, client_of, greta, lars, nordvik, number, django_assert_max_num_queries
    ):
        for _number in range(number):
            RoleAssignmentFactory(
                user=lars,
                partner_account=nordvik,
                location=LocationFactory(partner_account=nordvik),
            )
        client, url = client_of(greta), person_url(lars)
        client.get(url)

        with django_assert_max_num_queries(10):
            response = client.get(url)

        assert len(response.context["roles"]) == min(number, 50)


class TestDeactivate:
    def test_the_page_says_what_will_happen_and_ends_nothing(
        self, client_of, greta, ida
    ):
        page = text_of(client_of(greta).get(deactivate_url(ida)))

        assert "Deactivate Ida Lund?" in page
        assert "is signed out everywhere, at once" in page
        assert "Incentives admin</strong> · <bdi>Göteborg, all programs" in page
        assert belongs(ida)

    def test_a_location_that_loses_its_last_admin_is_warned_of_and_listed_after(
        self, client_of, greta, ida, goteborg
    ):
        client = client_of(greta)

        page = text_of(client.get(deactivate_url(ida)))
        client.post(deactivate_url(ida))
        gaps = client.get(reverse("accounts:gaps"))

        assert "This would leave Göteborg without an Incentives admin." in page
        (row,) = gaps.context["rows"]
        assert (row.location, row.coverage.label) == (goteborg, "Nobody")

    def test_tokens_that_outlive_their_maker_are_named_on_both_pages(
        self, client_of, greta, alice, ida, nordvik
    ):
        gwen = RoleAssignmentFactory(
            role=Role.GLOBAL_ADMIN,
            partner_account=nordvik,
            user=UserFactory(full_name="Gwen Ek"),
        )
        client, end = client_of(greta), reverse("accounts:revoke", args=[gwen.pk])
        for name, facts in {
            "Entra": {},
            "Of before": {"revoked_at": timezone.now()},
            "Of Greta": {"created_by": greta},
            "Elsewhere": {"partner_account": LocationFactory().partner_account},
        }.items():
            facts = {"partner_account": nordvik, "created_by": gwen.user} | facts
            ProvisioningTokenFactory(name=name, **facts)
        said = "Gwen Ek made the token Entra, and may have kept it."

        for url in (deactivate_url(gwen.user), end):
            page = text_of(client.get(url))

            assert said in page
            assert f'{reverse("accounts:provisioning")}">See the tokens' in page
        # Of nobody else, and not where the right to them stays untouched.
        assert "made the token" not in text_of(client.get(deactivate_url(ida)))
        other = RoleAssignmentFactory(user=gwen.user, partner_account=nordvik)
        page = client.get(reverse("accounts:revoke", args=[other.pk]))
        assert "made the token" not in text_of(page)
        # Who may not revoke one is led nowhere.
        gwen.delete()
        page = text_of(client_of(alice).get(deactivate_url(gwen.user)))
        assert said in page
        assert "See the tokens" not in page

    def test_it_takes_effect_at_once(self, client_of, greta, ida):
        # security.md T5: the next request is refused.
        hers = client_of(ida)
        assert hers.get(reverse("enrollment:overview")).status_code == 200

        response = client_of(greta).post(deactivate_url(ida), follow=True)

        assert "Ida Lund no longer belongs to Nordvik IT AB." in text_of(response)
        refused = hers.get(reverse("enrollment:overview"))
        assert refused.status_code == 302
        assert refused["Location"].startswith(reverse("account_login"))
        assert not RoleAssignment.objects.live().filter(user=ida).exists()

    def test_who_belongs_elsewhere_too_keeps_that(self, client_of, greta, ida, nordvik):
        other = RoleAssignmentFactory(user=ida, role=Role.INCENTIVES_USER)
        here = Membership.objects.get(user=ida, partner_account=nordvik)
        url = reverse("accounts:deactivate", kwargs={"pk": here.pk})
        hers = client_of(ida)

        page = text_of(client_of(greta).get(url))
        client_of(greta).post(url)

        assert "Their part in other companies stays as it is." in page
        assert "signed out" not in page
        answer = hers.get(
            reverse("home"), {"company": other.partner_account.partner_id}
        )
        assert answer.status_code == 200

    def test_twice_ends_once(self, client_of, greta, ida):
        client, url = client_of(greta), deactivate_url(ida)

        first, second = client.post(url), client.post(url)

        assert first.status_code == second.status_code == 302
        left = AuditEvent.objects.filter(action=AuditAction.PERSON_LEFT)
        assert left.count() == 1

    def test_who_has_left_has_no_button(self, client_of, greta, ida):
        client = client_of(greta)
        client.post(deactivate_url(ida))

        again = text_of(client.get(deactivate_url(ida)))
        page = text_of(client.get(person_url(ida)))

        assert "has left Nordvik IT AB already" in again
        assert "No longer belongs to Nordvik IT AB since" in page
        for text in (again, page):
            assert "btn--stop" not in text
            assert "btn--danger" not in text

    def test_the_last_global_admin_stays(self, client_of, greta):
        # rule 75
        client, url = client_of(greta), deactivate_url(greta)

        page, posted = client.get(url), client.post(url)

        assert posted.status_code == 422
        for response in (page, posted):
            text = text_of(response)
            assert "The company would be left without a Global admin." in text
            assert "btn--stop" not in text
        assert belongs(greta)

    def test_one_of_two_global_admins_leaves_and_is_signed_out(
        self, client_of, greta, nordvik
    ):
        RoleAssignmentFactory(role=Role.GLOBAL_ADMIN, partner_account=nordvik)
        client = client_of(greta)

        page = text_of(client.get(deactivate_url(greta)))
        response = client.post(deactivate_url(greta), follow=True)

        assert "This is yourself. You will be signed out." in page
        assert not belongs(greta)
        assert response.redirect_chain[-1][0].startswith(reverse("account_login"))
        assert "Greta Voss no longer belongs to Nordvik IT AB." in text_of(response)

    def test_who_may_not_end_the_roles_is_told_who_may(
        self, client_of, ursula, alice, greta, ida
    ):
        # C1
        client, url = client_of(ursula), deactivate_url(ida)

        page, posted = text_of(client.get(url)), client.post(url)

        assert "These people can end the roles, and deactivate:" in page
        assert "Alice Berg" in page
        assert "Greta Voss" in page
        assert posted.status_code == 422
        assert belongs(ida)

    def test_an_account_admin_is_pointed_to_a_global_admin(
        self, client_of, alice, greta, nordvik
    ):
        other = RoleAssignmentFactory(role=Role.GLOBAL_ADMIN, partner_account=nordvik)

        response = client_of(alice).get(deactivate_url(other.user))

        assert greta in response.context["givers"]
        assert alice not in response.context["givers"]

    def test_a_user_admin_deactivates_somebody_without_roles(
        self, client_of, ursula, lars
    ):
        client_of(ursula).post(deactivate_url(lars))

        assert not belongs(lars)

    @pytest.mark.parametrize(
        ("name", "status"),
        [
            ("morgan", 403),
            ("ida", 404),
            ("uma", 404),
            ("sam", 404),
            ("oscar", 404),
        ],
    )
    def test_who_may_not_deactivate_nobody(
        self, client_of, cast, name, status, request
    ):
        person = getattr(cast, name, None) or request.getfixturevalue(name)
        client, url = client_of(person), deactivate_url(cast.lars)

        assert client.get(url).status_code == status
        assert client.post(url).status_code == status
        assert belongs(cast.lars)

    def test_a_foreign_person_answers_as_a_missing_one(self, client_of, greta, sam):
        # R16
        client = client_of(greta)
        missing = reverse("accounts:deactivate", kwargs={"pk": 987654})

        for url in (deactivate_url(sam), person_url(sam)):
            assert client.get(url).status_code == 404
        foreign, nothing = client.post(deactivate_url(sam)), client.post(missing)
        assert foreign.status_code == nothing.status_code == 404
        assert belongs(sam)

    def test_a_post_without_token_is_refused(self, client_of, greta, lars):
        # T10
        client = client_of(greta, enforce_csrf_checks=True)

        assert client.post(deactivate_url(lars)).status_code == 403
        assert belongs(lars)

    def test_after_somebody_left_their_old_page_stays(self, client_of, greta, ida):
        deactivate_person(membership_of(ida), by=greta)

        response = client_of(greta).get(person_url(ida))

        assert response.status_code == 200
        assert len(response.context["ended"]) == 1
