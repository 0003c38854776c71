"""The admin site's actions: a role for many people after a preview, roles ended."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse
from django.utils import timezone

from accounts import services
from accounts.companies import in_company
from accounts.models import (
    AuditAction,
    AuditEvent,
    Coverage,
    OutgoingEmail,
    RoleAssignment,
)
from accounts.roles import Role
from accounts.tests.factories import (
    LocationFactory,
    MembershipFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared

PEOPLE = reverse("admin:accounts_user_changelist")
ROLES = reverse("admin:accounts_roleassignment_changelist")
GIVE, END = "make_incentives_admin", "end_roles"


def text_of(response) -> str:
    """What a page says, without its tags."""
    words = re.sub(r"<[^>]+>", "", response.content.decode())
    return " ".join(unescape(words).split())


def chosen(action: str, *rows, step: str = "", **answers) -> dict:
    """What the list, or a page between, posts."""
    typed = {"action": action, ACTION_CHECKBOX_NAME: [row.pk for row in rows]}
    if step:
        return typed | {"step": step, "width": "some"} | answers
    return typed | {"index": 0, "select_across": 0}


def seen_on(response) -> str:
    return response.context.get("seen", "")


def live(person) -> set:
    return set(RoleAssignment.objects.live().filter(user=person))


@shared
def pia(nordvik):
    """Another person of the company without a role."""
    person = UserFactory(full_name="Pia Norr", email="pia@partner.example")
    MembershipFactory(user=person, partner_account=nordvik)
    return person


class TestMakingIncentivesAdmins:
    def give(self, client, *people, **answers):
        """Go the whole way, as the buttons lead."""
        preview = client.post(PEOPLE, chosen(GIVE, *people, step="preview", **answers))
        return client.post(
            PEOPLE,
            chosen(GIVE, *people, step="give", seen=seen_on(preview), **answers),
            follow=True,
        )

    def test_the_action_asks_where_and_gives_nothing(
        self, client_of, greta, lars, pia, goteborg
    ):
        page = client_of(greta).post(PEOPLE, chosen(GIVE, lars, pia))

        assert "Lars Ek" in text_of(page)
        assert "Pia Norr" in text_of(page)
        assert not live(lars)

    def test_the_preview_says_what_it_would_do_and_gives_nothing(
        self, client_of, greta, lars, pia, goteborg
    ):
        page = text_of(
            client_of(greta).post(
                PEOPLE,
                chosen(GIVE, lars, pia, step="preview", location=[goteborg.pk]),
            )
        )

        assert "Göteborg, all programs" in page
        assert f"Göteborg: {Coverage.NOBODY.label} →becomes" in page
        assert "Lars Ek, Pia Norr" in page
        assert not live(lars)
        assert not OutgoingEmail.objects.exists()

    def test_the_role_is_given_by_the_service_with_mails_and_audit(
        self, client_of, greta, lars, pia, goteborg, program
    ):
        # R3
        response = self.give(
            client_of(greta),
            lars,
            pia,
            location=[goteborg.pk],
            program=[program.pk],
            ends_on=str(timezone.localdate() + timedelta(days=9)),
        )

        for person in (lars, pia):
            (given,) = live(person)
            assert given.role == Role.INCENTIVES_ADMIN
            assert (given.location, given.program) == (goteborg, program)
            assert given.ends_on == timezone.localdate() + timedelta(days=9)
            assert given.granted_by == greta
        events = AuditEvent.objects.filter(action=AuditAction.ROLE_ASSIGNED)
        assert {event.actor for event in events} == {greta}
        assert events.count() == 2
        told = OutgoingEmail.objects.filter(name="role_given")
        assert {mail.to_user for mail in told} == {lars, pia}
        assert "2 people have the role Incentives admin" in text_of(response)

    def test_everywhere_is_said_not_left_out(self, client_of, greta, lars, goteborg):
        client = client_of(greta)

        nowhere = client.post(PEOPLE, chosen(GIVE, lars, step="preview"))
        both = client.post(
            PEOPLE,
            chosen(
                GIVE, lars, step="preview", width="everywhere", location=[goteborg.pk]
            ),
        )
        self.give(client, lars, width="everywhere")

        assert nowhere.status_code == both.status_code == 422
        assert "Choose at least one location." in text_of(nowhere)
        assert "Leave out the locations" in text_of(both)
        (given,) = live(lars)
        assert given.location is None

    def test_a_guest_is_named_and_nobody_gets_the_role(
        self, client_of, greta, lars, nordvik, goteborg
    ):
        # R14
        guest = UserFactory(full_name="Gus Guest", email="gus@elsewhere.example")
        MembershipFactory(user=guest, partner_account=nordvik)

        page = client_of(greta).post(
            PEOPLE, chosen(GIVE, lars, guest, step="preview", location=[goteborg.pk])
        )

        assert page.status_code == 422
        assert "Gus Guest (gus@elsewhere.example): Guests cannot" in text_of(page)
        assert not live(lars)

    def test_a_self_grant_is_loud(self, client_of, greta, alice, goteborg):
        # R4, T3
        client = client_of(greta)

        preview = client.post(
            PEOPLE, chosen(GIVE, greta, step="preview", location=[goteborg.pk])
        )
        self.give(client, greta, location=[goteborg.pk])

        assert "You give this role to yourself." in text_of(preview)
        (mail,) = OutgoingEmail.objects.filter(name="role_taken")
        assert mail.to_user == alice

    def test_what_was_not_shown_is_not_given(
        self, client_of, greta, alice, lars, goteborg
    ):
        client = client_of(greta)
        asked = {"location": [goteborg.pk]}
        preview = client.post(PEOPLE, chosen(GIVE, lars, step="preview", **asked))
        services.assign_role(
            lars, role=Role.INCENTIVES_USER, account=goteborg.partner_account, by=alice
        )

        changed = client.post(
            PEOPLE, chosen(GIVE, lars, step="give", seen=seen_on(preview), **asked)
        )

        assert changed.status_code == 422
        assert "Something changed since you looked." in text_of(changed)
        assert {one.role for one in live(lars)} == {Role.INCENTIVES_USER}

    @pytest.mark.parametrize("seen", ["", "W10:made:up", "[]"])
    def test_without_a_preview_of_ours_there_is_one_first(
        self, client_of, greta, lars, goteborg, seen
    ):
        page = client_of(greta).post(
            PEOPLE,
            chosen(GIVE, lars, step="give", seen=seen, location=[goteborg.pk]),
        )

        assert "You are about to give" in text_of(page)
        assert not live(lars)

    def test_a_preview_of_one_place_gives_nothing_at_another(
        self, client_of, greta, lars, goteborg, malmo
    ):
        client = client_of(greta)
        preview = client.post(
            PEOPLE, chosen(GIVE, lars, step="preview", location=[goteborg.pk])
        )

        client.post(
            PEOPLE,
            chosen(GIVE, lars, step="give", seen=seen_on(preview), location=[malmo.pk]),
        )

        assert not live(lars)

    def test_change_leads_back_with_everything_typed(
        self, client_of, greta, lars, goteborg, program
    ):
        page = client_of(greta).post(
            PEOPLE,
            chosen(
                GIVE, lars, step="change", location=[goteborg.pk], program=[program.pk]
            ),
        )

        form = page.context["form"]
        assert form["width"].value() == "some"
        assert form["location"].value() == [str(goteborg.pk)]
        assert form["program"].value() == [str(program.pk)]
        assert str(goteborg) in text_of(page)

    def test_foreign_people_and_places_are_as_good_as_missing(
        self, client_of, greta, lars, sam, goteborg
    ):
        # R16
        account = sam.role_assignments.get().partner_account
        theirs = LocationFactory(partner_account=account, name="Hamburg")
        client = client_of(greta)

        person = self.give(client, sam, lars, location=[goteborg.pk])
        place = client.post(
            PEOPLE, chosen(GIVE, lars, step="preview", location=[theirs.pk])
        )
        missing = client.post(
            PEOPLE, chosen(GIVE, lars, step="preview", location=[987_654])
        )

        assert "Stranger" not in text_of(person)
        assert live(sam) == {sam.role_assignments.get()}
        assert place.status_code == missing.status_code == 422
        assert text_of(place).replace(str(theirs.pk), "987654").count(
            "not one of the available choices"
        ) == text_of(missing).count("not one of the available choices")
        assert "Hamburg" not in text_of(place)

    def test_of_two_companies_the_one_worked_in_is_meant(
        self, client_of, greta, lars, sam, nordvik, goteborg
    ):
        other = sam.role_assignments.get().partner_account
        RoleAssignmentFactory(user=greta, role=Role.GLOBAL_ADMIN, partner_account=other)
        client = client_of(greta)

        here = client.post(
            in_company(nordvik, PEOPLE),
            chosen(GIVE, lars, step="preview", location=[goteborg.pk]),
        )
        there = client.post(
            in_company(other, PEOPLE),
            chosen(GIVE, lars, step="preview", location=[goteborg.pk]),
        )
        unsaid = client.post(
            PEOPLE, chosen(GIVE, lars, step="preview", location=[goteborg.pk])
        )

        assert here.status_code == 200
        assert "Göteborg" in text_of(here)
        assert "Göteborg" not in text_of(there)
        assert "Lars Ek" not in text_of(there)
        assert unsaid.status_code == 409

    def test_a_role_that_ends_meanwhile_ends_the_way(
        self, client_of, greta, lars, goteborg
    ):
        # T5
        client = client_of(greta)
        asked = {"location": [goteborg.pk]}
        preview = client.post(PEOPLE, chosen(GIVE, lars, step="preview", **asked))
        greta.role_assignments.update(revoked_at=timezone.now())

        response = client.post(
            PEOPLE, chosen(GIVE, lars, step="give", seen=seen_on(preview), **asked)
        )

        assert response.status_code == 404
        assert not live(lars)


class TestEndingRoles:
    def test_the_page_warns_and_ends_nothing(self, client_of, greta, ida, uma):
        roles = [*ida.role_assignments.all(), *uma.role_assignments.all()]

        page = text_of(client_of(greta).post(ROLES, chosen(END, *roles)))

        assert "Ida Lund (ida@partner.example): Incentives admin, Göteborg" in page
        assert "Uma Ek" in page
        assert "This would leave Göteborg without an Incentives admin." in page
        assert live(ida)

    def test_roles_end_by_the_service_with_mails_and_audit(
        self, client_of, greta, alice, ida, uma
    ):
        roles = [*ida.role_assignments.all(), *uma.role_assignments.all()]

        response = client_of(greta).post(
            ROLES, chosen(END, *roles, step="end"), follow=True
        )

        assert not live(ida)
        assert not live(uma)
        assert "2 roles have ended." in text_of(response)
        events = AuditEvent.objects.filter(action=AuditAction.ROLE_REVOKED)
        assert {event.actor for event in events} == {greta}
        assert events.count() == 2
        ended = OutgoingEmail.objects.filter(name="role_ended")
        assert {mail.to_user for mail in ended} == {ida, uma}
        (uncovered,) = OutgoingEmail.objects.filter(name="location_uncovered")
        assert uncovered.to_user == alice
        assert "Roles of several people have ended." in uncovered.body_text

    def test_two_who_cover_one_place_together_are_warned_of(
        self, client_of, greta, ida, lars, goteborg
    ):
        other = RoleAssignmentFactory(
            user=lars, partner_account=goteborg.partner_account, location=goteborg
        )
        client = client_of(greta)
        first = ida.role_assignments.get()

        one = text_of(client.post(ROLES, chosen(END, first)))
        both = text_of(client.post(ROLES, chosen(END, first, other)))

        assert "without an Incentives admin" not in one
        assert "This would leave Göteborg without an Incentives admin." in both

    def test_the_last_global_admins_stay_together(self, client_of, greta, ida, nordvik):
        # rule 75: one of two may go, both may not
        other = RoleAssignmentFactory(role=Role.GLOBAL_ADMIN, partner_account=nordvik)
        client = client_of(greta)
        roles = [
            greta.role_assignments.get(),
            other,
            ida.role_assignments.get(),
        ]

        page = client.post(ROLES, chosen(END, *roles))
        ended = client.post(ROLES, chosen(END, *roles, step="end"))

        assert "would be left without a Global admin" in text_of(page)
        assert 'value="end"' not in page.content.decode()
        assert ended.status_code == 422
        assert all(map(live, (greta, other.user, ida)))
        assert not AuditEvent.objects.exists()

    def test_whoever_ends_the_own_door_is_led_home(self, client_of, greta, nordvik):
        RoleAssignmentFactory(role=Role.GLOBAL_ADMIN, partner_account=nordvik)
        own = greta.role_assignments.get()
        client = client_of(greta)

        page = client.post(ROLES, chosen(END, own))
        response = client.post(ROLES, chosen(END, own, step="end"))

        assert "A role of your own is among them." in text_of(page)
        assert response.url == reverse("home")
        assert not live(greta)

    def test_ending_the_own_door_alone_leads_home_too(self, client_of, greta, nordvik):
        RoleAssignmentFactory(role=Role.GLOBAL_ADMIN, partner_account=nordvik)
        own = greta.role_assignments.get()
        url = reverse("admin:accounts_roleassignment_delete", args=[own.pk])
        client = client_of(greta)

        page = client.get(url)
        response = client.post(url, {"post": "yes"})

        assert "This is your own role." in text_of(page)
        assert response.url == reverse("home")

    def test_roles_of_two_companies_end_one_company_at_a_time(
        self, client_of, greta, ida, sam, nordvik
    ):
        other = sam.role_assignments.get()
        RoleAssignmentFactory(
            user=greta, role=Role.GLOBAL_ADMIN, partner_account=other.partner_account
        )

        client, both = client_of(greta), (ida.role_assignments.get(), other)
        page = client.post(in_company(nordvik, ROLES), chosen(END, *both))

        assert "Ida Lund" in text_of(page)
        assert "Sam Stranger" not in text_of(page)
        client.post(in_company(nordvik, ROLES), chosen(END, other, step="end"))
        assert live(ida)
        assert live(sam)

    def test_a_foreign_role_is_not_among_the_chosen(self, client_of, greta, ida, sam):
        # R16
        client = client_of(greta)
        foreign = sam.role_assignments.get()

        page = client.post(ROLES, chosen(END, ida.role_assignments.get(), foreign))
        client.post(ROLES, chosen(END, foreign, step="end"))

        assert "Stranger" not in text_of(page)
        assert live(sam)

    def test_what_ended_meanwhile_is_not_ended_again(self, client_of, greta, ida, uma):
        roles = [*ida.role_assignments.all(), *uma.role_assignments.all()]
        services.revoke_role(roles[0], by=greta)

        response = client_of(greta).post(
            ROLES, chosen(END, *roles, step="end"), follow=True
        )

        assert "1 role has ended." in text_of(response)
        assert AuditEvent.objects.filter(action=AuditAction.ROLE_REVOKED).count() == 2

    def test_more_than_the_most_are_not_ended(
        self, client_of, greta, ida, uma, monkeypatch
    ):
        monkeypatch.setattr("accounts.services.roles.MOST_AT_ONCE", 1)
        roles = [*ida.role_assignments.all(), *uma.role_assignments.all()]

        response = client_of(greta).post(ROLES, chosen(END, *roles, step="end"))

        assert "At most 1 roles are ended at once." in text_of(response)
        assert live(ida)


class TestWhoHasActions:
    @pytest.mark.parametrize("name", ["oscar", "mina", "root"])
    def test_operators_have_none(self, client_of, cast, ida, name):
        root = UserFactory(is_staff=True, is_superuser=True)
        person = root if name == "root" else getattr(cast, name)
        client = client_of(person)

        for url, action, row in (
            (PEOPLE, GIVE, ida),
            (ROLES, END, ida.role_assignments.get()),
        ):
            assert client.get(url).context["action_form"] is None
            client.post(url, chosen(action, row))
            client.post(url, chosen(action, row, step="end"))
        assert live(ida)

    @pytest.mark.parametrize("name", ["alice", "ida", "uma", "lars"])
    def test_other_partners_find_no_page(self, client_of, cast, name):
        client = client_of(getattr(cast, name))
        own = cast.ida.role_assignments.get()

        assert client.post(ROLES, chosen(END, own, step="end")).status_code == 404
        assert client.post(PEOPLE, chosen(GIVE, cast.lars)).status_code == 404
        assert live(cast.ida)

    def test_nothing_is_ever_deleted_at_once(self, client_of, greta, ida):
        client = client_of(greta)
        own = ida.role_assignments.get()

        for url, row in ((ROLES, own), (PEOPLE, ida)):
            offered = client.get(url).context["action_form"].fields["action"].choices
            assert "delete_selected" not in dict(offered)
            client.post(url, chosen("delete_selected", row) | {"post": "yes"})
        assert live(ida) == {own}

    @pytest.mark.parametrize("key", ["x", "-1", "1e9", "９", "9" * 40, "1 OR 1=1"])
    def test_a_key_that_is_none_is_refused(self, client_of, greta, key):
        for url, action in ((ROLES, END), (PEOPLE, GIVE)):
            response = client_of(greta).post(
                url, {"action": action, ACTION_CHECKBOX_NAME: [key], "index": 0}
            )
            assert response.status_code == 400

    def test_everything_a_filter_shows_can_be_chosen(self, client_of, greta, ida, uma):
        page = client_of(greta).post(
            f"{ROLES}?role__exact=incentives_user",
            chosen(END, uma.role_assignments.get()) | {"select_across": 1},
        )

        assert "Uma Ek" in text_of(page)
        assert "Ida Lund" not in text_of(page)

    def test_a_token_is_asked_for(self, client_of, greta, ida):
        # T10
        client = client_of(greta, enforce_csrf_checks=True)
        own = ida.role_assignments.get()

        assert client.post(ROLES, chosen(END, own, step="end")).status_code == 403
        assert live(ida)
