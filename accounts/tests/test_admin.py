"""The admin site: what operators and Global admins reach, and what nobody does."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.template.backends.django import Template
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from accounts.companies import in_company
from accounts.models import (
    AuditAction,
    AuditEvent,
    Location,
    PartnerAccount,
    RoleAssignment,
    User,
)
from accounts.operators import RECORDS
from accounts.roles import Role
from accounts.services import assign_role
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

INDEX = reverse("admin:index")
ROLES = reverse("admin:accounts_roleassignment_changelist")
ADD_ROLE = reverse("admin:accounts_roleassignment_add")
AUTOCOMPLETE = reverse("admin:autocomplete")

OPEN_TO_PARTNERS = {
    "accounts.user",
    "accounts.location",
    "accounts.roleassignment",
}
NO_SUCH = 987_654


def address(label: str, page: str, *args) -> str:
    return reverse(f"admin:{label.replace('.', '_')}_{page}", args=args)


def text_of(response) -> str:
    return " ".join(unescape(response.content.decode()).split())


def names_in(response) -> set:
    """The records a list shows."""
    return set(response.context["cl"].result_list)


def autocompleted(response) -> set[str]:
    return {one["text"] for one in response.json()["results"]}


def field(source: str, name: str, **others) -> dict:
    """What the browser asks when a field of a form is typed into."""
    app, model = source.split(".")
    return {"app_label": app, "model_name": model, "field_name": name} | others


def typed(person, *, company, role=Role.INCENTIVES_ADMIN, **others) -> dict:
    """What the form of a new role posts."""
    return {
        "partner_account": company.pk,
        "user": person.pk,
        "role": role,
        "location": "",
        "program": "",
        "ends_on": "",
    } | others


@shared
def root(db):
    """A superuser of the program owner."""
    return UserFactory(full_name="Rut Root", is_staff=True, is_superuser=True)


@shared
def elsewhere(sam):
    """Sam's company; Sam is its Global admin here."""
    company = sam.role_assignments.get().partner_account
    RoleAssignmentFactory(user=sam, role=Role.GLOBAL_ADMIN, partner_account=company)
    return company


@shared
def foreign_place(elsewhere):
    return LocationFactory(partner_account=elsewhere, name="Hamburg")


class TestRegistry:
    def test_every_record_is_on_the_list_with_its_reason(self):
        registered = {model._meta.label_lower for model in admin.site._registry}

        assert registered == set(RECORDS)
        assert all(RECORDS.values())

    def test_what_packages_bring_along_stays_out(self):
        for package in ("auth", "account", "admin", "sessions"):
            assert not [
                model
                for model in admin.site._registry
                if model._meta.app_label == package
            ]

    def test_no_record_shows_what_is_sealed(self):
        # T14, T17
        for model, record in admin.site._registry.items():
            for one in (record, *(inline for inline in record.inlines)):
                shown = {
                    *map(str, getattr(one, "list_display", ())),
                    *map(str, getattr(one, "list_filter", ())),
                    *map(str, getattr(one, "search_fields", ())),
                    *map(str, one.readonly_fields),
                    *map(str, one.fields or ()),
                }
                assert shown.isdisjoint(
                    {"details", "blind_index", "password", "body_text", "body_html"}
                ), model

    def test_nothing_is_deleted(self, client_of, root):
        # The other ends a role, see below.
        for label in sorted(RECORDS.keys() - {"accounts.roleassignment"}):
            with tried(label):
                url = address(label, "delete", NO_SUCH)

                assert client_of(root).post(url, {"post": "yes"}).status_code == 403


class TestDoor:
    def test_signing_in_is_the_portals_own(self, db):
        response = Client().get(INDEX, follow=True)

        assert response.redirect_chain[-1][0] == (
            f"{reverse('account_login')}?next={INDEX}"
        )

    def test_the_admins_own_login_takes_no_password(self, greta, oscar):
        login = reverse("admin:login")

        for person in (greta, oscar):
            response = Client().post(
                login, {"username": person.email, "password": "whatever it is"}
            )
            assert response.status_code == 302
            assert response.url.startswith(reverse("account_login"))

    def test_who_is_signed_in_is_led_in(self, client_of, greta, oscar):
        for person in (greta, oscar):
            response = client_of(person).get(
                reverse("admin:login"), {"next": "https://evil.example/"}
            )
            assert response.url == INDEX

    @pytest.mark.parametrize("name", ["alice", "ida", "uma", "lars", "sam"])
    def test_nobody_else_learns_that_it_exists(self, client_of, cast, name):
        client = client_of(getattr(cast, name))

        for url in (
            INDEX,
            reverse("admin:login"),
            AUTOCOMPLETE,
            ROLES,
            ADD_ROLE,
            f"{INDEX}accounts/",
            f"{INDEX}jsi18n/",
        ):
            assert client.get(url).status_code == 404

    def test_a_global_admin_sees_three_kinds_of_records(self, client_of, greta):
        response = client_of(greta).get(INDEX)

        shown = {
            model["model"]._meta.label_lower
            for app in response.context["app_list"]
            for model in app["models"]
        }
        assert shown == OPEN_TO_PARTNERS

    def test_the_door_closes_with_the_role(self, client_of, greta, nordvik):
        # T5
        client = client_of(greta)
        assert client.get(ROLES).status_code == 200

        greta.role_assignments.update(revoked_at=timezone.now())

        assert client.get(ROLES).status_code == 404

    def test_no_query_opens_another_address_to_a_global_admin(
        self, client_of, greta, monkeypatch
    ):
        # That they are closed without one, test_admin_permissions.py asks.
        # What the pages look like, nobody here asks.
        monkeypatch.setattr(Template, "render", lambda *_words: "")
        client = client_of(greta)

        for label in set(RECORDS) - OPEN_TO_PARTNERS:
            for page, args in (
                ("changelist", ()),
                ("add", ()),
                ("change", (NO_SUCH,)),
                ("delete", (NO_SUCH,)),
                ("history", (NO_SUCH,)),
            ):
                url = address(label, page, *args)
                assert client.get(f"{url}?_popup=1").status_code == 404, url
                assert client.post(f"{url}?_to_field=id").status_code == 404, url

    def test_a_real_record_is_as_closed_as_a_missing_one(
        self, client_of, greta, nordvik
    ):
        client = client_of(greta)
        event = AuditEvent.objects.create(
            chain="x", action=AuditAction.ROLE_ASSIGNED, partner_account=nordvik
        )

        for label, pk in (
            ("accounts.partneraccount", nordvik.pk),
            ("accounts.auditevent", event.pk),
        ):
            for page in ("change", "history", "delete"):
                real = client.get(address(label, page, pk))
                missing = client.get(address(label, page, NO_SUCH))
                assert real.status_code == missing.status_code == 404

    @pytest.mark.parametrize(
        "label", sorted(OPEN_TO_PARTNERS - {"accounts.roleassignment"})
    )
    def test_people_and_places_are_only_looked_at(
        self, client_of, greta, lars, goteborg, label
    ):
        client = client_of(greta)
        pk = {"accounts.user": lars.pk, "accounts.location": goteborg.pk}[label]

        assert client.get(address(label, "change", pk)).status_code == 200
        assert client.post(address(label, "change", pk), {}).status_code == 403
        assert client.get(address(label, "add")).status_code == 404
        assert client.post(address(label, "delete", pk)).status_code == 404

    def test_stray_permissions_open_nothing_more(self, client_of, greta, lars):
        for group in Group.objects.all():
            greta.groups.add(group)
            lars.groups.add(group)

        assert (
            client_of(greta)
            .get(address("accounts.auditevent", "changelist"))
            .status_code
            == 404
        )
        assert client_of(lars).get(INDEX).status_code == 404

    def test_passwords_have_no_page_here(self, client_of, greta, lars):
        client = client_of(greta)

        for name in ("admin:password_change", "admin:password_change_done"):
            assert client.get(reverse(name)).url == reverse("account_change_password")
        change = address("accounts.user", "change", lars.pk)
        page = client.get(change.replace("/change/", "/password/"), follow=True)
        assert page.status_code == 404
        assert lars.password not in client.get(change).content.decode()

    def test_no_address_leads_to_any_object_by_its_number(self, client_of, greta):
        with pytest.raises(NoReverseMatch):
            reverse("admin:view_on_site", args=(1, 1))
        assert client_of(greta).get(f"{INDEX}r/1/1/").status_code == 404

    @pytest.mark.parametrize(
        "query",
        [
            "password__startswith=a",
            "is_superuser__exact=1",
            "role_assignments__role=global_admin",
            "emails__body_text__contains=a",
        ],
    )
    def test_an_address_asks_nothing_that_is_not_shown(
        self, client_of, greta, mina, query
    ):
        people = address("accounts.user", "changelist")

        for person in (greta, mina):
            assert client_of(person).get(f"{people}?{query}").status_code == 400

    @pytest.mark.parametrize(
        "query", ["user__password__startswith=a", "granted_by__exact=1", "pk=1"]
    )
    def test_roles_are_asked_by_the_filters_only(self, client_of, greta, query):
        assert client_of(greta).get(f"{ROLES}?{query}").status_code == 400

    def test_a_choice_is_never_keyed_by_another_column(self, client_of, greta):
        people = address("accounts.user", "changelist")

        assert client_of(greta).get(f"{people}?_to_field=password").status_code == 400

    def test_pages_obey_the_content_policy(self, client_of, greta, root, goteborg):
        # T11
        for person, url in (
            (greta, INDEX),
            (greta, ROLES),
            (greta, ADD_ROLE),
            (greta, f"{ADD_ROLE}?_popup=1"),
            (greta, address("accounts.location", "change", goteborg.pk)),
            (root, address("enrollment.agreement", "add")),
        ):
            response = client_of(person).get(url)
            page = response.content.decode()
            assert response.status_code == 200
            assert "default-src 'self'" in response["Content-Security-Policy"]
            assert not re.search(
                r"<script(?![^>]*\b(src|type=\"application/json\"))", page
            )
            assert not re.search(r"\s(style|on[a-z]+)=\"", page)
            assert "<style" not in page


class TestNarrowing:
    def test_lists_hold_the_own_companys_rows_only(
        self, client_of, greta, ida, sam, goteborg, foreign_place
    ):
        client = client_of(greta)

        people = names_in(client.get(address("accounts.user", "changelist")))
        places = names_in(client.get(address("accounts.location", "changelist")))
        roles = names_in(client.get(ROLES))

        assert people == {greta, ida}
        assert places == {goteborg}
        assert roles == set(RoleAssignment.objects.filter(user__in=[greta, ida]))

    def test_another_companys_global_admin_sees_nothing_of_this_one(
        self, client_of, greta, ida, sam, goteborg, foreign_place
    ):
        client = client_of(sam)

        assert names_in(client.get(address("accounts.user", "changelist"))) == {sam}
        assert names_in(client.get(address("accounts.location", "changelist"))) == {
            foreign_place
        }
        for one in (
            ("accounts.user", ida.pk),
            ("accounts.location", goteborg.pk),
            ("accounts.roleassignment", ida.role_assignments.get().pk),
        ):
            for page in ("change", "history"):
                assert client.get(address(one[0], page, one[1])).status_code == 404
        url = address(
            "accounts.roleassignment", "delete", ida.role_assignments.get().pk
        )
        assert client.post(url, {"post": "yes"}).status_code == 404
        assert RoleAssignment.objects.live().filter(user=ida).exists()

    @pytest.mark.parametrize("page", ["change", "history", "delete"])
    def test_a_foreign_role_answers_as_a_missing_one(self, client_of, greta, sam, page):
        # R16
        client = client_of(greta)
        foreign = sam.role_assignments.first().pk

        theirs = client.get(address("accounts.roleassignment", page, foreign))
        missing = client.get(address("accounts.roleassignment", page, NO_SUCH))

        assert theirs.status_code == missing.status_code == 404

    def test_a_global_admin_of_two_companies_sees_one_at_a_time(
        self, client_of, greta, nordvik, goteborg, elsewhere, foreign_place
    ):
        RoleAssignmentFactory(
            user=greta, role=Role.GLOBAL_ADMIN, partner_account=elsewhere
        )

        client, path = client_of(greta), address("accounts.location", "changelist")

        assert names_in(client.get(in_company(nordvik, path))) == {goteborg}
        assert names_in(client.get(in_company(elsewhere, path))) == {foreign_place}

    def test_another_role_elsewhere_opens_nothing_there(
        self, client_of, greta, goteborg, elsewhere, foreign_place
    ):
        # An Account admin has the People pages, not the admin site.
        RoleAssignmentFactory(
            user=greta, role=Role.ACCOUNT_ADMIN, partner_account=elsewhere
        )

        client, path = client_of(greta), address("accounts.location", "changelist")

        assert names_in(client.get(path, follow=True)) == {goteborg}
        assert client.get(in_company(elsewhere, path)).status_code == 404

    def test_a_person_of_two_companies_shows_one_companys_roles(
        self, client_of, greta, sam, nordvik, elsewhere
    ):
        MembershipFactory(user=sam, partner_account=nordvik)
        assign_role(sam, role=Role.INCENTIVES_USER, account=elsewhere, by=sam)
        client = client_of(greta)

        page = text_of(client.get(address("accounts.user", "change", sam.pk)))
        history = text_of(client.get(address("accounts.user", "history", sam.pk)))

        assert "Sam Stranger" in page
        assert elsewhere.name not in page
        assert "Incentives user" not in page
        assert "Nothing was done to this record yet." in history
        assert "Role given" in text_of(
            client_of(sam).get(address("accounts.user", "history", sam.pk), follow=True)
        )

    def test_search_stays_in_the_own_company(self, client_of, greta, sam, ida):
        client = client_of(greta)
        people = address("accounts.user", "changelist")

        assert names_in(client.get(people, {"q": "stranger"})) == set()
        assert names_in(client.get(people, {"q": "ida"})) == {ida}
        assert names_in(client.get(ROLES, {"q": "stranger.example"})) == set()

    def test_filters_offer_the_own_companys_places(
        self, client_of, greta, ida, sam, elsewhere, foreign_place
    ):
        program = IncentiveProgramFactory(name="Foreign Program")
        RoleAssignmentFactory(
            user=sam, partner_account=elsewhere, location=foreign_place, program=program
        )

        page = text_of(client_of(greta).get(ROLES))

        assert "Göteborg" in page
        assert "Hamburg" not in page
        assert "Foreign Program" not in page

    def test_a_filter_by_a_foreign_place_finds_nothing(
        self, client_of, greta, ida, sam, elsewhere, foreign_place, malmo
    ):
        for user, account, place in (
            (sam, elsewhere, foreign_place),
            (ida, malmo.partner_account, malmo),
        ):
            RoleAssignmentFactory(user=user, partner_account=account, location=place)
        client = client_of(greta)

        foreign = client.get(ROLES, {"location__id__exact": foreign_place.pk})
        missing = client.get(ROLES, {"location__id__exact": NO_SUCH})

        assert names_in(foreign) == names_in(missing) == set()

    def test_roles_are_filtered_by_role_place_and_program(
        self, client_of, greta, ida, uma, lars, goteborg, program
    ):
        limited = RoleAssignmentFactory(
            user=lars,
            partner_account=goteborg.partner_account,
            location=goteborg,
            program=program,
        )
        client = client_of(greta)

        def people(**query):
            return {one.user for one in names_in(client.get(ROLES, query))}

        assert people(role__exact=Role.INCENTIVES_USER) == {uma}
        assert people(location__id__exact=goteborg.pk) == {ida, lars}
        assert people(program__id__exact=program.pk) == {limited.user}

    def test_roles_that_ended_are_shown_when_asked_for(self, client_of, greta, ida):
        ida.role_assignments.update(revoked_at=timezone.now())
        client = client_of(greta)

        def people(**query):
            return {one.user for one in names_in(client.get(ROLES, query))}

        assert people() == {greta}
        assert people(holds="ended") == {ida}
        assert people(holds="all") == {greta, ida}

    def test_operators_names_are_not_told_to_partners(
        self, client_of, greta, root, lars, nordvik
    ):
        client_of(root).post(
            ADD_ROLE, typed(lars, company=nordvik, role=Role.GLOBAL_ADMIN)
        )
        role = RoleAssignment.objects.get(user=lars)
        client = client_of(greta)

        for url in (
            ROLES,
            address("accounts.roleassignment", "change", role.pk),
            address("accounts.roleassignment", "history", role.pk),
            address("accounts.user", "history", lars.pk),
        ):
            page = text_of(client.get(url))
            assert "the program owner" in page
            assert "Rut Root" not in page

    @pytest.mark.parametrize("number", [1, 30])
    def test_the_number_of_queries_does_not_grow(
        self, client_of, greta, nordvik, goteborg, number, django_assert_max_num_queries
    ):
        for _number in range(number):
            RoleAssignmentFactory(
                partner_account=nordvik, location=goteborg, granted_by=greta
            )
        client = client_of(greta)
        client.get(ROLES)

        with django_assert_max_num_queries(24):
            client.get(ROLES)


class TestAutocomplete:
    def test_people_and_places_of_the_own_company_are_offered(
        self, client_of, greta, ida, sam, goteborg, foreign_place
    ):
        client = client_of(greta)

        people = client.get(AUTOCOMPLETE, field("accounts.roleassignment", "user"))
        places = client.get(AUTOCOMPLETE, field("accounts.roleassignment", "location"))

        assert autocompleted(people) == {
            "Greta Voss (greta@partner.example)",
            "Ida Lund (ida@partner.example)",
        }
        assert autocompleted(places) == {str(goteborg)}

    def test_a_term_finds_no_stranger(self, client_of, greta, sam, foreign_place):
        client = client_of(greta)

        for name, term in (("user", "sam"), ("location", "hamburg")):
            asked = field("accounts.roleassignment", name, term=term)
            assert autocompleted(client.get(AUTOCOMPLETE, asked)) == set()

    @pytest.mark.parametrize(
        ("source", "name"),
        [
            ("accounts.roleassignment", "partner_account"),
            ("accounts.roleassignment", "program"),
            ("accounts.roleassignment", "granted_by"),
            ("accounts.location", "partner_account"),
            ("accounts.membership", "user"),
            ("accounts.auditevent", "actor"),
            ("enrollment.enrollment", "location"),
            ("enrollment.programterms", "program"),
            ("profiles.bankprofile", "partner_account"),
            ("profiles.taxprofile", "location"),
            ("nowhere.nothing", "user"),
            ("accounts.roleassignment", "nothing"),
        ],
    )
    def test_other_fields_offer_nothing_to_a_global_admin(
        self, client_of, greta, source, name
    ):
        assert (
            client_of(greta).get(AUTOCOMPLETE, field(source, name)).status_code == 403
        )

    def test_a_reader_fills_in_no_form(self, client_of, oscar):
        asked = field("accounts.roleassignment", "user")

        assert client_of(oscar).get(AUTOCOMPLETE, asked).status_code == 403


class TestGivingRoles:
    def test_a_role_is_given_through_the_service(
        self, client_of, greta, lars, nordvik, goteborg
    ):
        # R3
        response = client_of(greta).post(
            ADD_ROLE, typed(lars, company=nordvik, location=goteborg.pk), follow=True
        )

        given = RoleAssignment.objects.get(user=lars)
        assert (given.location, given.granted_by) == (goteborg, greta)
        event = AuditEvent.objects.get(action=AuditAction.ROLE_ASSIGNED)
        assert (event.actor, event.object_id) == (greta, str(given.pk))
        assert "Lars Ek has the role Incentives admin: Göteborg, all programs." in (
            text_of(response)
        )

    def test_giving_what_is_held_changes_nothing(
        self, client_of, greta, ida, nordvik, goteborg
    ):
        response = client_of(greta).post(
            ADD_ROLE, typed(ida, company=nordvik, location=goteborg.pk)
        )

        assert response.status_code == 302
        assert ida.role_assignments.count() == 1

    @pytest.mark.parametrize("role", Role)
    def test_a_global_admin_gives_every_role(
        self, client_of, greta, lars, nordvik, role
    ):
        client_of(greta).post(ADD_ROLE, typed(lars, company=nordvik, role=role))

        assert RoleAssignment.objects.get(user=lars).role == role

    def test_a_guest_is_refused_at_the_person(self, client_of, greta, nordvik):
        # R14
        guest = UserFactory(email="guest@elsewhere.example")
        MembershipFactory(user=guest, partner_account=nordvik)

        response = client_of(greta).post(ADD_ROLE, typed(guest, company=nordvik))

        assert "Guests cannot hold incentive roles." in text_of(response)
        assert "user" in response.context["adminform"].form.errors
        assert not RoleAssignment.objects.filter(user=guest).exists()

    def test_each_refusal_stands_at_its_field(
        self, client_of, greta, lars, nordvik, goteborg, program
    ):
        client = client_of(greta)
        yesterday = timezone.localdate() - timedelta(days=1)

        for wrong, at in (
            ({"program": program.pk}, "location"),
            ({"role": Role.ACCOUNT_ADMIN, "location": goteborg.pk}, "location"),
            ({"ends_on": str(yesterday)}, "ends_on"),
            ({"role": "king"}, "role"),
        ):
            response = client.post(ADD_ROLE, typed(lars, company=nordvik) | wrong)
            assert response.status_code == 200
            assert at in response.context["adminform"].form.errors
        assert not RoleAssignment.objects.filter(user=lars).exists()

    def test_foreign_people_places_and_companies_are_no_choices(
        self, client_of, greta, lars, sam, nordvik, elsewhere, foreign_place
    ):
        # R16
        client = client_of(greta)

        for wrong, at in (
            (typed(sam, company=nordvik), "user"),
            (typed(lars, company=nordvik, location=foreign_place.pk), "location"),
            (typed(lars, company=elsewhere), "partner_account"),
        ):
            response = client.post(ADD_ROLE, wrong)
            missing = client.post(ADD_ROLE, wrong | {at: NO_SUCH})
            errors = response.context["adminform"].form.errors
            assert errors[at] == missing.context["adminform"].form.errors[at]
        assert not RoleAssignment.objects.filter(user=lars).exists()

    def test_people_of_one_own_company_get_no_role_in_the_other(
        self, client_of, greta, lars, nordvik, elsewhere
    ):
        RoleAssignmentFactory(
            user=greta, role=Role.GLOBAL_ADMIN, partner_account=elsewhere
        )

        response = client_of(greta).post(
            in_company(elsewhere, ADD_ROLE), typed(lars, company=elsewhere)
        )

        assert "Select a valid choice" in text_of(response)
        assert not RoleAssignment.objects.filter(user=lars).exists()

    def test_unlisted_programs_are_not_told(self, client_of, greta, nordvik):
        IncentiveProgramFactory(name="Old", discontinued_at=timezone.now())

        page = text_of(client_of(greta).get(ADD_ROLE))

        assert ">Old<" not in page

    def test_a_role_is_not_edited(self, client_of, greta, ida, nordvik):
        url = address(
            "accounts.roleassignment", "change", ida.role_assignments.get().pk
        )
        client = client_of(greta)

        assert client.get(url).status_code == 200
        assert client.post(url, typed(ida, company=nordvik)).status_code == 403

    def test_an_operator_who_reads_gives_nothing(
        self, client_of, oscar, mina, lars, nordvik
    ):
        for operator in (oscar, mina):
            response = client_of(operator).post(ADD_ROLE, typed(lars, company=nordvik))
            assert response.status_code == 403

    def test_a_superuser_gives_the_global_admin_only(
        self, client_of, root, lars, nordvik
    ):
        client = client_of(root)

        refused = client.post(ADD_ROLE, typed(lars, company=nordvik))
        client.post(ADD_ROLE, typed(lars, company=nordvik, role=Role.GLOBAL_ADMIN))

        assert "role" in refused.context["adminform"].form.errors
        given = RoleAssignment.objects.get(user=lars)
        assert (given.role, given.granted_by) == (Role.GLOBAL_ADMIN, root)

    def test_a_token_is_asked_for(self, client_of, greta, lars, nordvik):
        # T10
        client = client_of(greta, enforce_csrf_checks=True)

        assert client.post(ADD_ROLE, typed(lars, company=nordvik)).status_code == 403


class TestEndingRoles:
    def url(self, assignment) -> str:
        return address("accounts.roleassignment", "delete", assignment.pk)

    def test_the_page_warns_and_ends_nothing(self, client_of, greta, ida):
        assignment = ida.role_assignments.get()

        page = text_of(client_of(greta).get(self.url(assignment)))

        assert "Ida Lund loses the role Incentives admin" in page
        assert "This would leave Göteborg without an Incentives admin." in page
        assert RoleAssignment.objects.live().filter(pk=assignment.pk).exists()

    def test_a_role_is_ended_and_kept_as_history(self, client_of, greta, ida):
        assignment = ida.role_assignments.get()

        response = client_of(greta).post(
            self.url(assignment), {"post": "yes"}, follow=True
        )

        assignment.refresh_from_db()
        assert assignment.revoked_by == greta
        assert AuditEvent.objects.filter(action=AuditAction.ROLE_REVOKED).count() == 1
        assert "Ida Lund no longer has the role Incentives admin" in text_of(response)

    def test_a_role_is_not_ended_twice(self, client_of, greta, ida):
        assignment = ida.role_assignments.get()
        client = client_of(greta)
        client.post(self.url(assignment), {"post": "yes"})

        again = client.post(self.url(assignment), {"post": "yes"})

        assert again.status_code == 403
        assert AuditEvent.objects.filter(action=AuditAction.ROLE_REVOKED).count() == 1

    def test_the_last_global_admin_stays(self, client_of, greta):
        # rule 75
        assignment = greta.role_assignments.get()

        response = client_of(greta).post(
            self.url(assignment), {"post": "yes"}, follow=True
        )

        assert "The company would be left without a Global admin." in text_of(response)
        assert RoleAssignment.objects.live().filter(pk=assignment.pk).exists()
        assert not AuditEvent.objects.exists()

    def test_a_superuser_ends_only_global_admins(self, client_of, root, greta, ida):
        other = RoleAssignmentFactory(
            role=Role.GLOBAL_ADMIN,
            partner_account=greta.role_assignments.get().partner_account,
        )
        client = client_of(root)

        refused = client.post(self.url(ida.role_assignments.get()), {"post": "yes"})
        client.post(self.url(other), {"post": "yes"})

        assert refused.status_code == 403
        other.refresh_from_db()
        assert other.revoked_by == root

    def test_an_operator_who_reads_ends_nothing(self, client_of, mina, ida):
        response = client_of(mina).post(
            self.url(ida.role_assignments.get()), {"post": "yes"}
        )

        assert response.status_code == 403

    def test_history_is_the_audit_trail(self, client_of, greta, ida):
        assignment = ida.role_assignments.get()
        client = client_of(greta)
        client.post(self.url(assignment), {"post": "yes"})

        for url in (
            address("accounts.roleassignment", "history", assignment.pk),
            address("accounts.user", "history", ida.pk),
        ):
            page = text_of(client.get(url))
            assert "Role ended" in page
            assert "Greta Voss" in page


class TestOperators:
    def test_readers_look_and_change_nothing(self, client_of, oscar, nordvik, lars):
        client = client_of(oscar)

        for label, pk in (
            ("accounts.partneraccount", nordvik.pk),
            ("accounts.user", lars.pk),
        ):
            assert client.get(address(label, "changelist")).status_code == 200
            assert client.get(address(label, "change", pk)).status_code == 200
            assert client.post(address(label, "change", pk), {}).status_code == 403
            assert client.get(address(label, "add")).status_code == 403

    def test_readers_see_every_company(self, client_of, oscar, lars, sam):
        people = names_in(client_of(oscar).get(address("accounts.user", "changelist")))

        assert {lars, sam} <= people

    def test_no_group_reads_bank_and_tax_profiles(self, client_of, oscar, mina):
        for operator in (oscar, mina):
            for label in ("profiles.bankprofile", "profiles.taxprofile"):
                response = client_of(operator).get(address(label, "changelist"))
                assert response.status_code == 403

    def test_program_managers_name_programs(self, client_of, mina, oscar):
        url = address("accounts.incentiveprogram", "add")
        program = {"code": "NEW-1", "name": " New   program "}

        assert client_of(oscar).post(url, program).status_code == 403
        client_of(mina).post(url, program)

        assert (
            str(IncentiveProgramFactory._meta.model.objects.get(code="NEW-1"))
            == "New program"
        )

    def test_hidden_characters_are_refused(self, client_of, mina):
        response = client_of(mina).post(
            address("accounts.incentiveprogram", "add"),
            {"code": "NEW-1", "name": "New\u202eprogram"},
        )

        assert "Remove the invisible character." in text_of(response)

    def test_superusers_add_companies_places_and_people(self, client_of, root):
        client = client_of(root)

        client.post(
            address("accounts.partneraccount", "add"),
            {
                "partner_id": "5099001",
                "name": "Fjord AS",
                "legal_name": "Fjord AS",
                "country": "NO",
                "email_domains": "Fjord.example, fjørd.example",
            },
        )
        company = PartnerAccount.objects.get(partner_id="5099001")
        client.post(
            address("accounts.location", "add"),
            {
                "partner_account": company.pk,
                "partner_id": "6099001",
                "name": "Bergen",
                "legal_name": "Fjord Bergen AS",
                "country": "NO",
            },
        )
        client.post(
            address("accounts.user", "add"),
            {
                "partner_account": company.pk,
                "email": "Nina@Fjord.example",
                "full_name": "Nina Fjord",
                "language": "en",
            },
        )

        assert company.email_domains == ["fjord.example", "xn--fjrd-hra.example"]
        assert Location.objects.get(name="Bergen").partner_account == company
        nina = User.objects.get(email="nina@fjord.example")
        assert not nina.has_usable_password()
        assert nina.memberships.get().partner_account == company
        actions = AuditEvent.objects.filter(actor=root).values_list("action", flat=True)
        assert set(actions) == {
            AuditAction.COMPANY_ADDED,
            AuditAction.LOCATION_ADDED,
            AuditAction.PERSON_ADDED,
        }

    def test_somebody_known_joins_a_company(self, client_of, root, sam, nordvik):
        client_of(root).post(
            address("accounts.user", "add"),
            {
                "partner_account": nordvik.pk,
                "email": sam.email,
                "full_name": "Another Name",
                "language": "sv",
            },
        )

        sam.refresh_from_db()
        assert sam.full_name == "Sam Stranger"
        assert sam.memberships.filter(partner_account=nordvik).exists()

    def test_what_a_service_refuses_becomes_a_message(
        self, client_of, root, oscar, nordvik, goteborg
    ):
        client = client_of(root)

        operator = client.post(
            address("accounts.user", "add"),
            {
                "partner_account": nordvik.pk,
                "email": oscar.email,
                "full_name": "Oscar",
                "language": "en",
            },
            follow=True,
        )
        taken = client.post(
            address("accounts.partneraccount", "add"),
            {
                "partner_id": goteborg.partner_id,
                "name": "Fjord AS",
                "legal_name": "Fjord AS",
                "country": "NO",
            },
            follow=True,
        )

        assert "belongs to an operator" in text_of(operator)
        assert "This PartnerID is taken" in text_of(taken)
        assert not PartnerAccount.objects.filter(name="Fjord AS").exists()

    @pytest.mark.parametrize("name", ["oscar", "mina"])
    @pytest.mark.parametrize(
        "label", ["accounts.partneraccount", "accounts.location", "accounts.user"]
    )
    def test_other_operators_add_none_of_them(self, client_of, cast, name, label):
        url = address(label, "add")

        assert client_of(getattr(cast, name)).post(url, {}).status_code == 403

    def test_nobody_changes_people_and_companies_here(
        self, client_of, root, lars, nordvik, goteborg
    ):
        for label, pk in (
            ("accounts.user", lars.pk),
            ("accounts.partneraccount", nordvik.pk),
            ("accounts.location", goteborg.pk),
        ):
            url = address(label, "change", pk)
            assert client_of(root).post(url, {}).status_code == 403

    def test_mail_shows_no_body(self, client_of, mina, lars):
        email = lars.emails.create(
            dedupe_key="x",
            name="invitation_sent",
            to_address=lars.email,
            language="en",
            subject="Invitation",
            body_text="The secret body",
            body_html="<p>The secret body</p>",
            next_attempt_at=timezone.now(),
        )

        page = text_of(
            client_of(mina).get(address("accounts.outgoingemail", "change", email.pk))
        )

        assert "Invitation" in page
        assert "secret body" not in page

    def test_every_list_opens_for_who_may_read_it(self, client_of, mina):
        for label in sorted(
            label for label in RECORDS if not label.startswith("profiles.")
        ):
            with tried(label):
                client = client_of(mina)

                assert client.get(address(label, "changelist")).status_code == 200
                assert (
                    client.get(address(label, "changelist"), {"q": "a"}).status_code
                    == 200
                )

    def test_every_list_opens_for_a_superuser(self, client_of, root):
        for label in sorted(RECORDS):
            with tried(label):
                assert (
                    client_of(root).get(address(label, "changelist")).status_code == 200
                )

    def test_pages_of_another_language_open_too(self, client_of, nordvik):
        greta = RoleAssignmentFactory(
            user=UserFactory(language="sv"),
            role=Role.GLOBAL_ADMIN,
            partner_account=nordvik,
        ).user

        assert client_of(greta).get(ADD_ROLE).status_code == 200


def test_only_the_page_of_all_records_asks_which_there_are(
    client_of, mina, monkeypatch
):
    drawn, web = [], client_of(mina)
    draw = admin.site._build_app_dict
    monkeypatch.setattr(
        admin.site, "_build_app_dict", lambda *of: (drawn.append(of), draw(*of))[1]
    )

    assert web.get(reverse("admin:enrollment_enrollment_changelist")).status_code == 200
    assert not drawn
    assert web.get(reverse("admin:index")).context["app_list"]
    assert drawn


def test_a_company_of_ones_own_is_chosen_already(client_of, greta, nordvik):
    form = client_of(greta).get(ADD_ROLE).context["adminform"].form

    assert form["partner_account"].value() == nordvik.pk


def test_with_two_companies_the_one_worked_in_is_chosen(client_of, greta, nordvik):
    other = PartnerAccountFactory()
    RoleAssignmentFactory(user=greta, role=Role.GLOBAL_ADMIN, partner_account=other)

    for company in (nordvik, other):
        page = client_of(greta).get(in_company(company, ADD_ROLE))

        form = page.context["adminform"].form
        assert form["partner_account"].value() == company.pk
