"""The People pages: who holds which role, where people are missing, giving and ending."""

from datetime import timedelta
from html import unescape
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.companies import in_company
from accounts.models import AuditAction, AuditEvent, Membership, RoleAssignment, User
from accounts.roles import COMPANY_WIDE_ROLES, GRANTS, Role
from accounts.services import assign_role, granting, revoke_role
from accounts.tests.cases import tried
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    MembershipFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared

PEOPLE = reverse("accounts:people")
GAPS = reverse("accounts:gaps")
ASSIGN = reverse("accounts:assign")
PREVIEW = reverse("accounts:preview")


def text_of(response) -> str:
    """The page's words with single spaces."""
    return " ".join(unescape(response.content.decode()).split())


def people_on(*responses) -> list[int]:
    """Who stands on pages of the list, in their order."""
    return [row.person.pk for response in responses for row in response.context["rows"]]


def row_of(response, name: str) -> str:
    """The table row that begins with a name."""
    rows = unescape(response.content.decode()).split("<tr")[1:]
    return next(" ".join(row.split()) for row in rows if name in row)


def revoke_url(assignment) -> str:
    return reverse("accounts:revoke", kwargs={"pk": assignment.pk})


def role_of(user, role=Role.INCENTIVES_ADMIN) -> RoleAssignment:
    return RoleAssignment.objects.get(user=user, role=role, revoked_at=None)


def answers(person, *locations, programs=(), **others):
    """What the form posts for a role at locations, or for the whole company."""
    people = person if isinstance(person, list) else [person]
    return {
        "person": [one.pk for one in people],
        "role": Role.INCENTIVES_ADMIN,
        "width": "some" if locations else "company",
        "location": [location.pk for location in locations],
        "depth": "some" if programs else "all",
        "program": [program.pk for program in programs],
        "ends_on": "",
    } | others


def is_ticked(page: str, name: str, row) -> bool:
    """Whether the box of a row is ticked in a form."""
    boxes = [tag.split(">")[0] for tag in page.split("<input")]
    (box,) = [
        box for box in boxes if f'name="{name}"' in box and f'value="{row.pk}"' in box
    ]
    return "checked" in box


def give(client, typed, **options):
    """Look at the preview of a form, and agree to it."""
    preview = client.post(PREVIEW, typed)
    seen = preview.context.get("seen", "")
    return client.post(ASSIGN, typed | {"seen": seen}, **options)


@shared
def ursula(nordvik):
    """User management admin: sees people, gives no incentive role (C1)."""
    return RoleAssignmentFactory(
        user=UserFactory(full_name="Ursula Holm"),
        role=Role.USER_ADMIN,
        partner_account=nordvik,
    ).user


@shared
def morgan(nordvik):
    """MPN partner admin: sees people, gives no incentive role (C2, R13)."""
    return RoleAssignmentFactory(
        user=UserFactory(full_name="Morgan Dahl"),
        role=Role.MPN_ADMIN,
        partner_account=nordvik,
    ).user


@shared
def guest(nordvik):
    """Belongs to the company with an address of another one."""
    user = UserFactory(full_name="Gunnar Gäst", email="gunnar@elsewhere.example")
    MembershipFactory(user=user, partner_account=nordvik)
    return user


class TestPeople:
    def test_everybody_is_listed_with_roles_in_words(
        self, client_of, greta, ida, uma, lars
    ):
        response = client_of(greta).get(PEOPLE)

        assert "Incentives admin</strong> · <bdi>Göteborg, all programs" in row_of(
            response, "Ida Lund"
        )
        assert "<bdi>whole company" in row_of(response, "Uma Ek")
        assert "No role" in row_of(response, "Lars Ek")

    def test_a_role_for_one_program_says_so(self, client_of, greta, lars, goteborg):
        program = IncentiveProgramFactory(name="Azure Migration")
        RoleAssignmentFactory(
            user=lars,
            partner_account=goteborg.partner_account,
            location=goteborg,
            program=program,
        )

        response = client_of(greta).get(PEOPLE)

        assert "Göteborg, only Azure Migration" in row_of(response, "Lars Ek")

    def test_a_role_says_who_gave_it_and_when_it_ends(
        self, client_of, greta, alice, lars, goteborg
    ):
        last_day = timezone.localdate() + timedelta(days=400)
        assign_role(
            lars,
            role=Role.INCENTIVES_USER,
            account=goteborg.partner_account,
            location=goteborg,
            ends_on=last_day,
            by=alice,
        )

        row = row_of(client_of(greta).get(PEOPLE), "Lars Ek")

        assert "given by Alice Berg" in row
        assert f"until {last_day.day} {last_day:%b %Y}" in row

    def test_roles_the_program_owner_gave_name_no_operator(
        self, client_of, greta, nordvik
    ):
        row = row_of(client_of(greta).get(PEOPLE), "Greta Voss")

        assert "given by the program owner" in row

    def test_a_guest_is_marked(self, client_of, greta, lars, guest):
        response = client_of(greta).get(PEOPLE)

        assert ">Guest<" in row_of(response, "Gunnar Gäst")
        assert ">Guest<" not in row_of(response, "Lars Ek")

    def test_roles_that_ended_are_not_shown(self, client_of, greta, lars, nordvik):
        yesterday = timezone.localdate() - timedelta(days=1)
        RoleAssignmentFactory(user=lars, partner_account=nordvik, ends_on=yesterday)
        RoleAssignmentFactory(
            user=lars,
            partner_account=nordvik,
            role=Role.INCENTIVES_USER,
            revoked_at=timezone.now(),
        )

        assert "No role" in row_of(client_of(greta).get(PEOPLE), "Lars Ek")

    def test_people_and_roles_of_another_company_are_not_shown(
        self, client_of, greta, sam, nordvik
    ):
        # Sam belongs to both; only the role in this company is this company's matter.
        MembershipFactory(user=sam, partner_account=nordvik)
        other = sam.role_assignments.get().partner_account
        RoleAssignmentFactory(
            user=greta, role=Role.ACCOUNT_ADMIN, partner_account=other
        )
        stranger = RoleAssignmentFactory(partner_account=other).user

        response = client_of(greta).get(in_company(nordvik, PEOPLE))

        assert "No role" in row_of(response, "Sam Stranger")
        assert stranger.full_name not in text_of(response)

    def test_the_company_in_the_address_decides_whose_people_are_shown(
        self, client_of, greta, lars
    ):
        other = PartnerAccountFactory(name="Another AB")
        RoleAssignmentFactory(
            user=greta, role=Role.ACCOUNT_ADMIN, partner_account=other
        )
        there = RoleAssignmentFactory(partner_account=other).user

        response = client_of(greta).get(in_company(other, PEOPLE))

        assert there.full_name in text_of(response)
        assert "Lars Ek" not in text_of(response)

    def test_search_finds_names_and_addresses(self, client_of, greta, ida, lars):
        by_name = client_of(greta).get(PEOPLE, {"q": "lund ida"})
        by_address = client_of(greta).get(PEOPLE, {"q": "LARS@partner"})

        assert "Ida Lund" in text_of(by_name)
        assert "Lars Ek" not in text_of(by_name)
        assert "Lars Ek" in text_of(by_address)
        assert "Ida Lund" not in text_of(by_address)

    def test_the_list_is_filtered_by_role_and_location(
        self, client_of, greta, alice, ida, uma, lars, goteborg, malmo
    ):
        def names(**query):
            rows = client_of(greta).get(PEOPLE, query).context["rows"]
            return {row.person.full_name for row in rows}

        assert names(role=Role.INCENTIVES_ADMIN) == {"Ida Lund"}
        assert names(role=Role.INCENTIVES_ADMIN, location=malmo.pk) == set()
        assert names(role=Role.INCENTIVES_USER, location=malmo.pk) == {"Uma Ek"}
        assert names(location=goteborg.pk) == {
            "Ida Lund",
            "Uma Ek",
            "Greta Voss",
            "Alice Berg",
        }

    def test_a_filter_that_matches_nobody_offers_a_way_back(self, client_of, greta):
        response = client_of(greta).get(PEOPLE, {"q": "nobody of this name"})

        assert "Nobody matches." in text_of(response)
        assert f'href="{PEOPLE}"' in response.content.decode()

    @pytest.mark.parametrize(
        "query", ["?location=x", "?role=king", "?page=0", "?location=999999"]
    )
    def test_a_filter_that_makes_no_sense_is_left_out(
        self, client_of, greta, lars, query
    ):
        response = client_of(greta).get(PEOPLE + query)

        assert response.status_code == 200
        assert "Lars Ek" in text_of(response)

    def test_a_foreign_location_is_no_filter(self, client_of, greta, lars):
        foreign = LocationFactory(name="Foreign Branch")

        response = client_of(greta).get(PEOPLE, {"location": foreign.pk})

        assert "Lars Ek" in text_of(response)
        assert "Foreign Branch" not in text_of(response)

    def test_the_pages_lead_past_everybody_and_back(
        self, client_of, greta, ida, nordvik
    ):
        # Of one name are more than fit on a page.
        for number in range(60):
            RoleAssignmentFactory(
                partner_account=nordvik, user__full_name=f"Kim {number % 2}"
            )
        client, narrow = client_of(greta), {"role": Role.INCENTIVES_ADMIN}
        holders = RoleAssignment.objects.filter(**narrow).order_by(
            "user__full_name", "user_id"
        )

        forward = [client.get(PEOPLE, narrow)]
        while way := forward[-1].context["page"].next:
            forward.append(client.get(PEOPLE + way))
        back = [forward[-1]]
        while way := back[-1].context["page"].previous:
            back.append(client.get(PEOPLE + way))

        assert people_on(*forward) == [one.user_id for one in holders]
        assert people_on(*reversed(back)) == people_on(*forward)
        assert len(forward) == len(back) == 3
        assert f"?{urlencode(narrow)}&after=" in text_of(forward[0])

    def test_who_has_left_is_still_a_place_to_go_on_from(
        self, client_of, greta, lars, uma, nordvik
    ):
        membership = lars.memberships.get()
        membership.ended_at = timezone.now()
        membership.save()

        response = client_of(greta).get(PEOPLE, {"after": lars.pk})

        assert people_on(response) == [uma.pk]

    def test_a_place_that_is_none_begins_again(self, client_of, greta, lars, sam):
        for place in ("after", "before"):
            for key in ("sam", "x", "-1", "9" * 40, ""):
                with tried(place, key):
                    key = sam.pk if key == "sam" else key

                    response = client_of(greta).get(PEOPLE, {place: key})

                    assert people_on(response) == [greta.pk, lars.pk]

    @pytest.mark.parametrize("number", [1, 50])
    def test_the_number_of_queries_does_not_grow(
        self, client_of, greta, nordvik, goteborg, number, django_assert_num_queries
    ):
        for _number in range(number):
            RoleAssignmentFactory(
                partner_account=nordvik, location=goteborg, granted_by=greta
            )
        client = client_of(greta)
        client.get(PEOPLE)

        with django_assert_num_queries(11):
            client.get(PEOPLE)

    def test_the_list_is_filtered_by_program(
        self, client_of, greta, ida, lars, uma, goteborg, program
    ):
        RoleAssignmentFactory(
            user=lars,
            partner_account=goteborg.partner_account,
            location=goteborg,
            program=IncentiveProgramFactory(),
        )

        response = client_of(greta).get(
            PEOPLE, {"program": program.pk, "role": Role.INCENTIVES_ADMIN}
        )

        names = {row.person.full_name for row in response.context["rows"]}
        assert names == {"Ida Lund"}

    def test_many_locations_are_searched_instead_of_listed(
        self, client_of, greta, ida, lars, nordvik, goteborg
    ):
        for number in range(20):
            LocationFactory(partner_account=nordvik, name=f"Branch {number}")
        client = client_of(greta)

        page = client.get(PEOPLE)
        found = client.get(PEOPLE, {"place": "göte"})
        by_number = client.get(PEOPLE, {"place": goteborg.partner_id})

        assert "Branch 7" not in text_of(page)
        for response in (found, by_number):
            names = {row.person.full_name for row in response.context["rows"]}
            assert names == {"Ida Lund"}

    def test_the_first_roles_are_shown_and_the_others_counted(
        self, client_of, greta, lars, nordvik
    ):
        for number in range(6):
            RoleAssignmentFactory(
                user=lars,
                partner_account=nordvik,
                location=LocationFactory(partner_account=nordvik, name=f"B{number}"),
            )

        row = row_of(client_of(greta).get(PEOPLE), "Lars Ek")

        assert [f"B{number}," in row for number in range(6)] == [True] * 4 + [False] * 2
        assert "and 2 more roles" in row

    def test_who_added_a_person_and_the_last_sign_in_are_said(
        self, client_of, greta, lars, alice
    ):
        Membership.objects.filter(user=lars).update(added_by=alice)

        row = row_of(client_of(greta).get(PEOPLE), "Lars Ek")

        assert "never" in row
        assert "added by Alice Berg" in row

    @pytest.mark.parametrize("name", ["greta", "alice"])
    def test_who_gives_roles_gets_the_buttons(self, client_of, cast, name):
        page = text_of(client_of(getattr(cast, name)).get(PEOPLE))

        assert f'href="{ASSIGN}?person={cast.lars.pk}"' in page
        assert revoke_url(role_of(cast.ida)) in page
        assert "Gaps" in page

    @pytest.mark.parametrize("name", ["ursula", "morgan"])
    def test_who_only_sees_people_is_told_who_gives_roles(
        self, client_of, cast, name, request
    ):
        page = text_of(client_of(request.getfixturevalue(name)).get(PEOPLE))

        assert (
            "You can see roles but not give or end them. "
            "Alice Berg and Greta Voss can." in page
        )
        assert ASSIGN not in page
        assert "End role" not in page
        assert GAPS not in page

    def test_an_account_admin_is_offered_only_the_ends_of_incentive_roles(
        self, client_of, alice, greta, ida
    ):
        page = text_of(client_of(alice).get(PEOPLE))

        assert revoke_url(role_of(ida)) in page
        assert revoke_url(role_of(greta, Role.GLOBAL_ADMIN)) not in page

    @pytest.mark.parametrize("name", ["ida", "uma", "lars"])
    def test_people_without_the_right_are_refused(self, client_of, cast, name):
        assert client_of(getattr(cast, name)).get(PEOPLE).status_code == 403

    def test_operators_and_strangers_have_no_people_page(self, client_of, cast):
        assert client_of(cast.oscar).get(PEOPLE).status_code == 404
        assert client_of(cast.sam).get(PEOPLE).status_code == 403
        assert Client().get(PEOPLE).status_code == 302

    def test_names_are_escaped(self, client_of, greta, nordvik):
        MembershipFactory(
            user=UserFactory(full_name="<img src=x onerror=alert(1)>"),
            partner_account=nordvik,
        )

        response = client_of(greta).get(PEOPLE)

        assert b"<img src=x" not in response.content
        assert b"&lt;img src=x" in response.content


class TestGaps:
    def coverage(self, response) -> dict[str, str]:
        return {
            row.location.name: str(row.coverage.label)
            for row in response.context["rows"]
        }

    def test_a_location_without_incentives_admin_comes_first(
        self, client_of, greta, ida, goteborg, malmo
    ):
        # R6
        response = client_of(greta).get(GAPS)

        assert list(self.coverage(response).items()) == [
            ("Malmö", "Nobody"),
            ("Göteborg", "One person"),
        ]
        assert "Nobody can enroll this location" in row_of(response, "Malmö")
        assert 'data-turn="stop"' in row_of(response, "Malmö")
        assert "Ida Lund" in row_of(response, "Göteborg")

    def test_two_people_cover_a_location(
        self, client_of, alice, ida, lars, nordvik, goteborg
    ):
        RoleAssignmentFactory(user=lars, partner_account=nordvik)

        response = client_of(alice).get(GAPS)

        assert self.coverage(response) == {"Göteborg": "Covered"}
        assert "Every location has at least two people. Well done." in text_of(response)

    def test_the_same_person_twice_is_still_one_person(
        self, client_of, greta, ida, nordvik, goteborg
    ):
        RoleAssignmentFactory(user=ida, partner_account=nordvik)

        assert self.coverage(client_of(greta).get(GAPS)) == {"Göteborg": "One person"}

    def test_a_role_for_one_program_covers_that_program_only(
        self, client_of, greta, lars, nordvik, goteborg, program
    ):
        RoleAssignmentFactory(
            user=lars, partner_account=nordvik, location=goteborg, program=program
        )

        response = client_of(greta).get(GAPS)

        assert self.coverage(response) == {"Göteborg": "Some programs only"}
        row = row_of(response, "Göteborg")
        assert "only Cloud Solution Provider – Direct Bill" in row
        assert "Nobody can enroll it in the other programs" in row

    @pytest.mark.parametrize(
        "fields",
        [
            {"role": Role.INCENTIVES_USER},
            {"ends_on": timezone.localdate() - timedelta(days=1)},
            {"revoked_at": timezone.now()},
        ],
        ids=["sees only", "past its last day", "ended"],
    )
    def test_roles_that_cannot_enroll_now_cover_nothing(
        self, client_of, greta, nordvik, goteborg, fields
    ):
        RoleAssignmentFactory(partner_account=nordvik, **fields)

        assert self.coverage(client_of(greta).get(GAPS)) == {"Göteborg": "Nobody"}

    def test_somebody_who_cannot_sign_in_covers_nothing(
        self, client_of, greta, nordvik, goteborg
    ):
        RoleAssignmentFactory(partner_account=nordvik, user__is_active=False)

        assert self.coverage(client_of(greta).get(GAPS)) == {"Göteborg": "Nobody"}

    def test_closed_and_foreign_locations_are_no_gaps(
        self, client_of, greta, nordvik, sam
    ):
        LocationFactory(partner_account=nordvik, closed_at=timezone.now())
        LocationFactory(partner_account=sam.role_assignments.get().partner_account)

        response = client_of(greta).get(GAPS)

        assert response.context["rows"] == []
        assert "The company has no location yet." in text_of(response)

    def test_each_gap_leads_to_the_form_filled_in(
        self, client_of, greta, goteborg, malmo
    ):
        page = text_of(client_of(greta).get(GAPS))

        assert f'href="{ASSIGN}?location={malmo.pk}"' in page
        assert f"{ASSIGN}?location={malmo.pk}&person={greta.pk}" in page

    def test_who_covers_a_location_is_not_offered_it(
        self, client_of, greta, nordvik, goteborg
    ):
        RoleAssignmentFactory(user=greta, partner_account=nordvik)

        assert "Assign to me" not in text_of(client_of(greta).get(GAPS))

    def test_the_tab_counts_the_locations_that_need_somebody(
        self, client_of, greta, ida, goteborg, malmo
    ):
        response = client_of(greta).get(PEOPLE)

        assert [(tab["label"], tab["count"]) for tab in response.context["tabs"]] == [
            ("People", None),
            ("Gaps", 2),
            ("Requests", 0),
            ("Invitations", 0),
            ("Provisioning", None),
        ]

    @pytest.mark.parametrize("number", [1, 24])
    def test_the_number_of_queries_does_not_grow(
        self, client_of, greta, nordvik, number, django_assert_num_queries
    ):
        for _number in range(number):
            RoleAssignmentFactory(
                partner_account=nordvik,
                location=LocationFactory(partner_account=nordvik),
            )
        client = client_of(greta)
        client.get(GAPS)

        with django_assert_num_queries(9):
            client.get(GAPS)

    def test_who_cannot_give_roles_is_refused(self, client_of, cast, request):
        for name in ("ida", "uma", "lars", "ursula", "morgan", "sam"):
            with tried(name):
                person = getattr(cast, name, None) or request.getfixturevalue(name)

                assert client_of(person).get(GAPS).status_code == 403


class TestAssign:
    def test_a_role_is_given_at_a_location(self, client_of, greta, lars, goteborg):
        # R3
        response = give(client_of(greta), answers(lars, goteborg), follow=True)

        given = role_of(lars)
        assert (given.location, given.program, given.granted_by) == (
            goteborg,
            None,
            greta,
        )
        assert "Lars Ek has the role Incentives admin: Göteborg, all programs." in (
            text_of(response)
        )
        assert response.redirect_chain == [(PEOPLE, 302)]

    def test_an_admin_gives_the_role_to_themselves(self, client_of, alice, goteborg):
        # R4
        give(client_of(alice), answers(alice, goteborg))

        assert role_of(alice).location == goteborg

    def test_a_role_for_the_whole_company_has_no_location(
        self, client_of, greta, lars, goteborg
    ):
        give(client_of(greta), answers(lars))

        assert role_of(lars).location is None

    def test_every_location_gets_every_program(
        self, client_of, greta, lars, goteborg, malmo
    ):
        programs = [IncentiveProgramFactory(), IncentiveProgramFactory()]

        give(client_of(greta), answers(lars, goteborg, malmo, programs=programs))

        given = RoleAssignment.objects.filter(user=lars)
        assert {(one.location, one.program) for one in given} == {
            (location, program)
            for location in (goteborg, malmo)
            for program in programs
        }

    def test_the_last_day_is_kept(self, client_of, greta, lars, goteborg):
        last_day = timezone.localdate() + timedelta(days=14)

        give(client_of(greta), answers(lars, goteborg, ends_on=str(last_day)))

        assert role_of(lars).ends_on == last_day

    def test_posting_twice_gives_once(self, client_of, greta, lars, goteborg):
        client = client_of(greta)
        typed = answers(lars, goteborg)
        typed["seen"] = client.post(PREVIEW, typed).context["seen"]

        for _time in range(2):
            assert client.post(ASSIGN, typed).status_code == 302

        assert RoleAssignment.objects.filter(user=lars).count() == 1
        events = AuditEvent.objects.filter(action=AuditAction.ROLE_ASSIGNED)
        assert events.count() == 1

    def test_a_guest_is_refused_at_the_person(self, client_of, greta, guest, goteborg):
        # R14
        response = client_of(greta).post(ASSIGN, answers(guest, goteborg))

        assert response.status_code == 422
        assert response.context["form"].errors["person"] == [
            (
                "Guests cannot hold incentive roles. Use an address at partner.example, "
                "or ask the program owner whether another domain is yours too."
            )
        ]
        assert not RoleAssignment.objects.filter(user=guest).exists()

    def test_a_past_last_day_is_refused_at_the_day(
        self, client_of, greta, lars, goteborg
    ):
        yesterday = timezone.localdate() - timedelta(days=1)

        response = client_of(greta).post(
            ASSIGN, answers(lars, goteborg, ends_on=str(yesterday))
        )

        assert response.status_code == 422
        assert "ends_on" in response.context["form"].errors

    def test_what_was_typed_is_kept_beside_the_errors(
        self, client_of, greta, lars, goteborg
    ):
        response = client_of(greta).post(
            ASSIGN, answers(lars, goteborg, ends_on="not a day")
        )

        page = response.content.decode()
        assert response.status_code == 422
        assert "<title>Error:" in page
        assert "There is a problem" in page
        assert is_ticked(page, "person", lars)
        assert 'value="not a day"' in page

    @pytest.mark.parametrize("name", ["ida", "uma", "lars", "ursula", "morgan", "sam"])
    def test_who_may_not_give_roles_gives_none(
        self, client_of, cast, goteborg, name, request
    ):
        # R5, R13
        person = getattr(cast, name, None) or request.getfixturevalue(name)

        response = client_of(person).post(ASSIGN, answers(cast.lars, goteborg))

        assert response.status_code == 403
        assert not RoleAssignment.objects.filter(user=cast.lars).exists()

    def test_another_companys_people_and_places_are_not_choices(
        self, client_of, greta, lars, sam, goteborg
    ):
        # R16
        foreign = LocationFactory()
        client = client_of(greta)

        person = client.post(ASSIGN, answers(sam, goteborg))
        place = client.post(ASSIGN, answers(lars, foreign))
        missing = client.post(ASSIGN, answers(lars, foreign) | {"location": [987654]})

        assert "person" in person.context["form"].errors
        assert (
            place.context["form"].errors["location"]
            == missing.context["form"].errors["location"]
            == ["Choose a location of your company."]
        )
        assert (
            not RoleAssignment.objects.filter(user__in=[sam, lars], revoked_at=None)
            .exclude(user=sam)
            .exists()
        )

    def test_everybody_gives_what_the_table_lets_them(self, client_of, cast, goteborg):
        for role in Role:
            for name, held in (
                ("greta", Role.GLOBAL_ADMIN),
                ("alice", Role.ACCOUNT_ADMIN),
            ):
                with tried(role, name, held):
                    is_wide = role in COMPANY_WIDE_ROLES
                    places = [] if is_wide else [goteborg]

                    give(
                        client_of(getattr(cast, name)),
                        answers(cast.lars, *places, role=role),
                    )

                    is_given = RoleAssignment.objects.filter(
                        user=cast.lars, role=role
                    ).exists()
                    assert is_given == (role in GRANTS[Role(held)].gives)

    def test_the_form_is_filled_in_from_the_address(
        self, client_of, greta, lars, goteborg
    ):
        page = (
            client_of(greta)
            .get(ASSIGN, {"person": lars.pk, "location": goteborg.pk})
            .content.decode()
        )

        assert is_ticked(page, "person", lars)
        assert is_ticked(page, "location", goteborg)

    def test_many_people_get_a_role_at_many_places_together(
        self, client_of, greta, lars, uma, goteborg, malmo, program
    ):
        response = give(
            client_of(greta),
            answers([lars, uma], goteborg, malmo, programs=[program]),
            follow=True,
        )

        given = RoleAssignment.objects.filter(role=Role.INCENTIVES_ADMIN)
        assert {(one.user, one.location, one.program) for one in given} == {
            (person, location, program)
            for person in (lars, uma)
            for location in (goteborg, malmo)
        }
        assert "2 people have the role Incentives admin" in text_of(response)

    def test_one_guest_among_many_is_named_and_nobody_gets_anything(
        self, client_of, greta, lars, guest, goteborg
    ):
        # R14
        response = client_of(greta).post(PREVIEW, answers([lars, guest], goteborg))

        assert response.status_code == 422
        (refusal,) = response.context["form"].errors["person"]
        assert refusal.startswith("Gunnar Gäst (gunnar@elsewhere.example): Guests")
        assert not RoleAssignment.objects.filter(user=lars).exists()

    def test_what_was_not_shown_is_not_given(self, client_of, greta, lars, goteborg):
        response = client_of(greta).post(ASSIGN, answers(lars, goteborg))

        assert response.status_code == 422
        assert "What each person gains" in text_of(response)
        assert not RoleAssignment.objects.filter(user=lars).exists()

    @pytest.mark.parametrize("seen", ["", "x", "WyJhIl0:1abc:def", "\u2028"])
    def test_lines_that_are_not_ours_are_no_preview(
        self, client_of, greta, lars, goteborg, seen
    ):
        typed = answers(lars, goteborg, seen=seen)

        assert client_of(greta).post(ASSIGN, typed).status_code == 422
        assert not RoleAssignment.objects.filter(user=lars).exists()

    def test_the_preview_of_one_role_does_not_give_another(
        self, client_of, greta, lars, goteborg
    ):
        client = client_of(greta)
        typed = answers(lars, goteborg, role=Role.INCENTIVES_USER)
        seen = client.post(PREVIEW, typed).context["seen"]

        response = client.post(ASSIGN, answers(lars, goteborg, seen=seen))

        assert response.status_code == 422
        assert not RoleAssignment.objects.filter(user=lars).exists()

    def test_what_changed_since_the_preview_is_shown_and_asked_again(
        self, client_of, greta, alice, lars, nordvik, goteborg
    ):
        client = client_of(greta)
        typed = answers(lars, goteborg)
        seen = client.post(PREVIEW, typed).context["seen"]
        assign_role(lars, role=Role.INCENTIVES_USER, account=nordvik, by=alice)

        asked = client.post(ASSIGN, typed | {"seen": seen})

        assert asked.status_code == 422
        page = text_of(asked)
        assert "Something changed since you looked. Nothing was given." in page
        assert "holds Incentives user: whole company" in page
        assert not RoleAssignment.objects.filter(
            user=lars, role=Role.INCENTIVES_ADMIN
        ).exists()
        agreed = client.post(ASSIGN, typed | {"seen": asked.context["seen"]})
        assert agreed.status_code == 302
        assert role_of(lars)

    def test_who_lost_the_right_since_the_preview_gives_nothing(
        self, client_of, greta, alice, lars, goteborg
    ):
        client = client_of(alice)
        typed = answers(lars, goteborg)
        seen = client.post(PREVIEW, typed).context["seen"]
        revoke_role(role_of(alice, Role.ACCOUNT_ADMIN), by=greta)

        assert client.post(ASSIGN, typed | {"seen": seen}).status_code == 403
        assert not RoleAssignment.objects.filter(user=lars).exists()

    def test_ticked_people_of_the_list_are_ticked_in_the_form(
        self, client_of, greta, lars, ida
    ):
        page = client_of(greta).get(ASSIGN, {"person": [lars.pk, ida.pk]})

        for person in (lars, ida):
            assert is_ticked(page.content.decode(), "person", person)

    def test_a_long_list_is_searched_and_keeps_what_is_ticked(
        self, client_of, greta, lars, nordvik, goteborg
    ):
        for number in range(30):
            MembershipFactory(
                partner_account=nordvik,
                user=UserFactory(
                    full_name=f"Anna {number:02}",
                    email=f"anna{number:02}@partner.example",
                ),
            )
        wanted = User.objects.get(full_name="Anna 29")
        client = client_of(greta)
        before = client.get(ASSIGN).content.decode()
        assert "Anna 29" not in before

        typed = answers(lars, goteborg, find_person="anna 29", find="find_person")
        page = client.post(PREVIEW, typed).content.decode()

        assert is_ticked(page, "person", lars)
        assert not is_ticked(page, "person", wanted)
        assert "Anna 01" not in page

    def test_enter_in_the_search_finds_and_gives_nothing(
        self, client_of, greta, nordvik
    ):
        # The first button of a form is the one that Enter presses.
        for _number in range(30):
            MembershipFactory(partner_account=nordvik)

        page = client_of(greta).get(ASSIGN).content.decode()

        form = page.split(f'action="{PREVIEW}"')[1]
        first = form.split("<button")[1].split(">")[0]
        assert 'name="find"' in first

    def test_a_person_who_is_not_shown_can_be_given_a_role(
        self, client_of, greta, nordvik, goteborg
    ):
        for number in range(30):
            MembershipFactory(
                partner_account=nordvik,
                user=UserFactory(full_name=f"Anna {number:02}"),
            )
        last = User.objects.get(full_name="Anna 29")

        give(client_of(greta), answers(last, goteborg))

        assert role_of(last).location == goteborg

    def test_more_than_one_action_may_give_is_refused(
        self, client_of, greta, lars, goteborg, monkeypatch
    ):
        monkeypatch.setattr(granting, "MOST_AT_ONCE", 1)

        response = client_of(greta).post(PREVIEW, answers([lars, greta], goteborg))

        assert response.status_code == 422
        assert "This would give 2 roles at once; 1 are the most." in text_of(response)

    def test_nothing_decides_for_the_whole_company_by_default(
        self, client_of, greta, lars
    ):
        typed = answers(lars)
        del typed["width"]

        response = client_of(greta).post(ASSIGN, typed)

        assert response.context["form"].errors["width"] == [
            "Choose where the role holds."
        ]

    @pytest.mark.parametrize("query", ["?person=x", "?location=x&location=%07"])
    def test_an_address_that_makes_no_sense_fills_in_nothing(
        self, client_of, greta, goteborg, query
    ):
        assert client_of(greta).get(ASSIGN + query).status_code == 200

    def test_looking_gives_nothing(self, client_of, greta, lars, goteborg):
        client_of(greta).get(ASSIGN, answers(lars, goteborg))

        assert not RoleAssignment.objects.filter(user=lars).exists()


class TestPreview:
    def test_the_effective_access_is_said_in_words(
        self, client_of, greta, ida, goteborg, malmo
    ):
        hamburg = LocationFactory(partner_account=goteborg.partner_account)
        RoleAssignmentFactory(
            user=ida,
            role=Role.INCENTIVES_USER,
            partner_account=goteborg.partner_account,
            location=hamburg,
        )

        response = client_of(greta).post(PREVIEW, answers(ida, malmo))

        assert response.status_code == 200
        assert response.context["places"] == ["Malmö, all programs"]
        (row,) = response.context["rows"]
        assert (row.person, row.gains) == (ida, ["Malmö, all programs"])
        reach = row.reach
        assert reach.enroll == ["Göteborg, all programs", "Malmö, all programs"]
        assert reach.look == [f"{hamburg.name}, all programs"]
        assert "What each person gains" in text_of(response)

    def test_each_person_has_what_they_gain_and_can_do(
        self, client_of, greta, ida, lars, goteborg, malmo
    ):
        response = client_of(greta).post(PREVIEW, answers([ida, lars], goteborg, malmo))

        rows = {row.person: row for row in response.context["rows"]}
        assert rows[ida].gains == ["Malmö, all programs"]
        assert rows[ida].keeps == ["Göteborg, all programs"]
        assert rows[lars].gains == ["Göteborg, all programs", "Malmö, all programs"]
        assert rows[lars].reach.enroll == rows[ida].reach.enroll

    def test_who_can_enroll_afterwards_and_who_is_told_is_said(
        self, client_of, greta, ida, lars, goteborg, malmo
    ):
        response = client_of(greta).post(PREVIEW, answers(lars, goteborg, malmo))

        changes = {
            row.location: (row.before.label, row.after.label)
            for row in response.context["coverage"]
        }
        assert changes == {
            "Göteborg": ("One person", "Covered"),
            "Malmö": ("Nobody", "One person"),
        }
        assert response.context["plan"].told == [lars]
        assert "Who is told by mail" in text_of(response)

    def test_a_role_for_oneself_says_who_hears_of_it(
        self, client_of, greta, alice, goteborg
    ):
        response = client_of(greta).post(PREVIEW, answers(greta, goteborg))

        assert response.context["plan"].told == [alice]
        assert "every other Global and Account admin is told by mail" in text_of(
            response
        )

    def test_a_role_for_the_company_says_what_it_lets_one_do(
        self, client_of, greta, lars
    ):
        page = text_of(
            client_of(greta).post(PREVIEW, answers(lars, role=Role.GLOBAL_ADMIN))
        )

        assert "Adds people, gives and ends every role." in page

    def test_a_preview_gives_nothing(self, client_of, greta, lars, goteborg):
        client_of(greta).post(PREVIEW, answers(lars, goteborg))

        assert not RoleAssignment.objects.filter(user=lars).exists()
        assert not AuditEvent.objects.filter(actor=greta).exists()

    def test_what_the_preview_holds_can_be_posted_as_it_is(
        self, client_of, greta, lars, goteborg, malmo, program
    ):
        client = client_of(greta)
        last_day = timezone.localdate() + timedelta(days=3)
        typed = answers(
            lars, goteborg, malmo, programs=[program], ends_on=str(last_day)
        )

        page = client.post(PREVIEW, typed)
        form = page.content.decode().split(f'action="{ASSIGN}"')[1].split("</form>")[0]
        hidden: dict[str, list[str]] = {}
        for tag in form.split("<input")[1:]:
            parts = dict(
                part.split("=", 1) for part in tag.split(">")[0].split() if "=" in part
            )
            hidden.setdefault(parts["name"].strip('"'), []).append(
                parts.get("value", '""').strip('"')
            )
        client.post(ASSIGN, hidden)

        given = RoleAssignment.objects.filter(user=lars)
        assert {(one.location, one.program, one.ends_on) for one in given} == {
            (goteborg, program, last_day),
            (malmo, program, last_day),
        }

    def test_giving_oneself_a_role_is_pointed_out(self, client_of, greta, goteborg):
        page = text_of(client_of(greta).post(PREVIEW, answers(greta, goteborg)))

        assert "You give this role to yourself." in page

    def test_the_way_back_keeps_what_was_typed(self, client_of, greta, lars, malmo):
        client = client_of(greta)
        page = client.post(PREVIEW, answers(lars, malmo) | {"change": "1"})

        assert page.status_code == 200
        assert is_ticked(page.content.decode(), "person", lars)
        assert is_ticked(page.content.decode(), "location", malmo)

    def test_a_refusal_shows_before_anything_is_given(
        self, client_of, greta, guest, goteborg
    ):
        response = client_of(greta).post(PREVIEW, answers(guest, goteborg))

        assert response.status_code == 422
        assert "person" in response.context["form"].errors

    def test_a_preview_is_not_an_address_to_open(self, client_of, greta):
        assert client_of(greta).get(PREVIEW).url == ASSIGN

    @pytest.mark.parametrize("name", ["ida", "uma", "lars", "ursula", "morgan", "sam"])
    def test_who_may_not_give_roles_sees_no_preview(
        self, client_of, cast, goteborg, name, request
    ):
        client = client_of(getattr(cast, name, None) or request.getfixturevalue(name))

        assert client.post(PREVIEW, answers(cast.lars, goteborg)).status_code == 403


class TestRevoke:
    def test_the_page_says_what_will_happen_and_ends_nothing(
        self, client_of, greta, ida, goteborg
    ):
        page = text_of(client_of(greta).get(revoke_url(role_of(ida))))

        assert "End the role Incentives admin of Ida Lund?" in page
        assert "It takes effect at once" in page
        assert role_of(ida)

    def test_losing_the_last_incentives_admin_is_warned_of(
        self, client_of, greta, ida, malmo
    ):
        page = text_of(client_of(greta).get(revoke_url(role_of(ida))))

        assert "This would leave Göteborg without an Incentives admin." in page
        assert "Malmö" not in page

    def test_being_left_with_some_programs_is_warned_of(
        self, client_of, greta, ida, lars, goteborg, program
    ):
        RoleAssignmentFactory(
            user=lars,
            partner_account=goteborg.partner_account,
            location=goteborg,
            program=program,
        )

        page = text_of(client_of(greta).get(revoke_url(role_of(ida))))

        assert (
            "This would leave Göteborg with an Incentives admin for some programs only."
        ) in page

    def test_nothing_is_warned_of_when_somebody_else_stays(
        self, client_of, greta, ida, lars, nordvik
    ):
        RoleAssignmentFactory(user=lars, partner_account=nordvik)

        page = text_of(client_of(greta).get(revoke_url(role_of(ida))))

        assert "This would leave" not in page

    def test_an_incentives_users_role_leaves_no_gap(self, client_of, greta, uma, malmo):
        assignment = role_of(uma, Role.INCENTIVES_USER)

        assert "This would leave" not in text_of(
            client_of(greta).get(revoke_url(assignment))
        )

    def test_ending_takes_effect_at_once(self, client_of, greta, ida, goteborg):
        # T5
        url = revoke_url(role_of(ida))

        response = client_of(greta).post(url, follow=True)

        ended = RoleAssignment.objects.get(user=ida)
        assert ended.revoked_by == greta
        assert (
            "Ida Lund no longer has the role Incentives admin: Göteborg, all programs."
        ) in text_of(response)

    def test_ending_twice_ends_once(self, client_of, greta, ida):
        client, url = client_of(greta), revoke_url(role_of(ida))

        first, second = client.post(url), client.post(url)

        assert first.status_code == second.status_code == 302
        events = AuditEvent.objects.filter(action=AuditAction.ROLE_REVOKED)
        assert events.count() == 1

    def test_a_role_that_has_ended_offers_no_button(self, client_of, greta, ida):
        url = revoke_url(role_of(ida))
        client = client_of(greta)
        client.post(url)

        page = text_of(client.get(url))

        assert "This role has ended already." in page
        assert "btn--stop" not in page

    def test_the_last_global_admin_stays(self, client_of, greta):
        # rule 75
        url = revoke_url(role_of(greta, Role.GLOBAL_ADMIN))
        client = client_of(greta)

        page, posted = client.get(url), client.post(url)

        for response in (page, posted):
            assert "The company would be left without a Global admin." in text_of(
                response
            )
            assert "btn--stop" not in response.content.decode()
        assert posted.status_code == 422
        assert role_of(greta, Role.GLOBAL_ADMIN)

    def test_an_account_admin_is_told_who_ends_a_global_admin(
        self, client_of, alice, greta
    ):
        url = revoke_url(role_of(greta, Role.GLOBAL_ADMIN))
        client = client_of(alice)

        page, posted = client.get(url), client.post(url)

        assert "You cannot end this role. Greta Voss can." in text_of(page)
        assert posted.status_code == 422
        assert role_of(greta, Role.GLOBAL_ADMIN)

    def test_ending_ones_own_right_leads_home(self, client_of, alice, greta, nordvik):
        own = role_of(alice, Role.ACCOUNT_ADMIN)
        RoleAssignmentFactory(
            user=alice, role=Role.GLOBAL_ADMIN, partner_account=nordvik
        )
        client = client_of(alice)

        stays = client.post(revoke_url(own))
        leaves = client.post(revoke_url(role_of(alice, Role.GLOBAL_ADMIN)))

        assert stays.url.startswith(PEOPLE)
        assert leaves.url == reverse("home")

    def test_who_may_not_end_roles_ends_none(self, client_of, cast, request):
        # R5, R13, R16
        for name, status in (
            ("ursula", 403),
            ("morgan", 403),
            ("ida", 404),
            ("uma", 404),
            ("lars", 404),
            ("sam", 404),
            ("oscar", 404),
        ):
            with tried(name, status):
                person = getattr(cast, name, None) or request.getfixturevalue(name)
                url = revoke_url(role_of(cast.ida))
                client = client_of(person)

                assert client.get(url).status_code == status
                assert client.post(url).status_code == status
                assert role_of(cast.ida)

    def test_a_foreign_role_answers_as_a_missing_one(self, client_of, greta, sam):
        # R16
        client = client_of(greta)

        foreign = client.post(revoke_url(role_of(sam)))
        missing = client.post(reverse("accounts:revoke", kwargs={"pk": 987654}))

        assert foreign.status_code == missing.status_code == 404
        assert role_of(sam)


@pytest.mark.parametrize("url", [ASSIGN, PREVIEW])
def test_a_post_without_token_is_refused(client_of, greta, lars, goteborg, url):
    # T10
    client = client_of(greta, enforce_csrf_checks=True)

    assert client.post(url, answers(lars, goteborg)).status_code == 403
    assert not RoleAssignment.objects.filter(user=lars).exists()


@pytest.mark.parametrize("url", [PEOPLE, GAPS])
def test_lists_change_nothing(client_of, greta, url):
    assert client_of(greta).post(url).status_code == 405
