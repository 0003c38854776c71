"""From an address to the object: strangers 404, weak roles 403, operators elsewhere."""

from dataclasses import FrozenInstanceError
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from django.utils import timezone

from accounts.access import (
    Access,
    Hidden,
    NotAllowed,
    OperatorNotAllowed,
    for_operators,
    is_global_admin,
    operator_requires,
    owned,
    public,
    recently_authenticated,
    requires,
    roles_here,
    signed_in,
)
from accounts.models import Location, OutgoingEmail, PartnerAccount
from accounts.roles import Permission, Role
from accounts.tests.factories import (
    LocationFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared


def shown(request, row=None):
    """Answer with the object the decorator handed over."""
    return HttpResponse(str(row))


@public("nothing to hide here")
def open_to_all(request):
    """Answer anybody."""
    return HttpResponse("hello")


urlpatterns = [
    path(
        "probe/edit/<int:pk>/",
        requires(Permission.PROFILE_EDIT, on=Location)(shown),
    ),
    path(
        "probe/place/<str:partner_id>/",
        requires(Permission.LOCATION_VIEW, on=Location)(shown),
    ),
    path("probe/text/<str:pk>/", requires(Permission.PROFILE_EDIT, on=Location)(shown)),
    path("probe/list/", requires(Permission.PROFILE_EDIT)(shown)),
    path("probe/page/<str:row>/", requires(Permission.PROFILE_EDIT)(shown)),
    path("probe/home/<str:row>/", signed_in("everybody's own page")(shown)),
    path("probe/home/", signed_in("everybody's own page")(shown)),
    path("probe/mail/<uuid:pk>/", owned(on=OutgoingEmail)(shown)),
    path("probe/public/", open_to_all),
    path(
        "probe/ops/page/<str:row>/",
        operator_requires("accounts.view_outgoingemail")(shown),
    ),
    path("probe/ops/all/", for_operators("every operator's own page")(shown)),
    path("probe/ops/", operator_requires("accounts.view_outgoingemail")(shown)),
    path(
        "probe/ops/<str:pk>/",
        operator_requires("accounts.view_location", on=Location)(shown),
    ),
    path("", include("incentives_portal.urls")),
]
handler403 = "incentives_portal.views.forbidden"

pytestmark = pytest.mark.urls(__name__)


@shared
def email(lars):
    return OutgoingEmail.objects.create(
        dedupe_key="one",
        name="invitation_sent",
        to_user=lars,
        to_address=lars.email,
        language="en",
        subject="Invitation",
        body_text="text",
        body_html="<p>text</p>",
        next_attempt_at=timezone.now(),
    )


class TestObjects:
    def test_the_view_gets_the_object_and_no_key(self, client_of, ida, goteborg):
        response = client_of(ida).get(f"/probe/edit/{goteborg.pk}/")

        assert response.content.decode() == str(goteborg)

    def test_an_object_is_found_by_its_partner_id(self, client_of, ida, goteborg):
        assert client_of(ida).get("/probe/place/6120102/").status_code == 200
        assert client_of(ida).get("/probe/place/6120103/").status_code == 404

    @pytest.mark.parametrize("name", ["greta", "alice", "uma"])
    def test_who_knows_of_it_but_may_not_is_refused(
        self, client_of, cast, goteborg, name
    ):
        # R1, R2, R11
        client = client_of(getattr(cast, name))

        assert client.get(f"/probe/edit/{goteborg.pk}/").status_code == 403

    @pytest.mark.parametrize("name", ["lars", "sam", "oscar", "mina"])
    def test_everybody_else_is_told_there_is_nothing(
        self, client_of, cast, goteborg, name
    ):
        # R8, R16
        client = client_of(getattr(cast, name))

        real = client.get(f"/probe/edit/{goteborg.pk}/")
        missing = client.get("/probe/edit/987654/")

        assert real.status_code == missing.status_code == 404

    def test_another_location_of_the_company_is_out_of_reach(
        self, client_of, ida, malmo
    ):
        # R8
        assert client_of(ida).get(f"/probe/edit/{malmo.pk}/").status_code == 404

    @pytest.mark.parametrize("key", ["x", "1e9", "%00", "99999999999999999999999"])
    def test_a_key_that_makes_no_sense_is_no_object(self, client_of, ida, key):
        assert client_of(ida).get(f"/probe/text/{key}/").status_code == 404

    def test_nobody_signed_in_is_led_to_sign_in(self, goteborg):
        response = Client().get(f"/probe/edit/{goteborg.pk}/")

        assert response.status_code == 302
        assert response.url.startswith("/accounts/login/")

    def test_a_role_that_ended_closes_the_page_at_once(self, client_of, ida, goteborg):
        # T5
        client = client_of(ida)
        assert client.get(f"/probe/edit/{goteborg.pk}/").status_code == 200

        ida.role_assignments.update(revoked_at=timezone.now())

        assert client.get(f"/probe/edit/{goteborg.pk}/").status_code == 404

    def test_the_right_at_one_location_is_none_at_another(
        self, client_of, greta, goteborg, malmo
    ):
        # R8: both may be looked at, one may be changed.
        RoleAssignmentFactory(
            user=greta,
            partner_account=goteborg.partner_account,
            location=goteborg,
        )
        client = client_of(greta)

        assert client.get(f"/probe/edit/{goteborg.pk}/").status_code == 200
        assert client.get(f"/probe/edit/{malmo.pk}/").status_code == 403

    def test_the_refusal_names_who_can(self, client_of, alice, ida, goteborg):
        page = client_of(alice).get(f"/probe/edit/{goteborg.pk}/").content.decode()

        assert "Ida Lund" in page


class TestLists:
    @pytest.mark.parametrize(
        ("name", "status"),
        [
            ("ida", 200),
            ("greta", 403),
            ("uma", 403),
            ("lars", 403),
            ("oscar", 404),
        ],
    )
    def test_a_list_is_for_who_holds_the_right_somewhere(
        self, client_of, cast, name, status
    ):
        assert client_of(getattr(cast, name)).get("/probe/list/").status_code == status

    def test_the_right_in_another_company_is_not_one_here(
        self, client_of, ida, nordvik
    ):
        other = RoleAssignmentFactory(user=ida, role=Role.ACCOUNT_ADMIN).partner_account
        client = client_of(ida)

        here = client.get(f"/c/{nordvik.partner_id}/probe/list/")
        there = client.get(f"/c/{other.partner_id}/probe/list/")

        assert here.status_code == 200
        assert there.status_code == 403

    def test_a_company_one_does_not_belong_to_is_not_chosen(
        self, client_of, sam, nordvik
    ):
        response = client_of(sam).get("/probe/list/", {"company": nordvik.partner_id})

        assert response.status_code == 200
        assert response.wsgi_request.company != nordvik

    def test_a_page_without_an_object_gets_what_its_address_says(
        self, client_of, ida, oscar
    ):
        for person, page in ((ida, "page"), (ida, "home"), (oscar, "ops/page")):
            answer = client_of(person).get(f"/probe/{page}/autumn/")

            assert answer.content == b"autumn"

    def test_what_is_held_is_asked_anew_for_another_person_or_company(
        self, greta, ida, nordvik, sam
    ):
        other = sam.memberships.get().partner_account
        request = SimpleNamespace(user=greta, company=nordvik)
        assert roles_here(request).anywhere == {Role.GLOBAL_ADMIN}

        request.company = other
        assert roles_here(request).anywhere == set()
        request.user, request.company = ida, nordvik
        assert roles_here(request).anywhere == {Role.INCENTIVES_ADMIN}
        request.user = greta
        assert roles_here(request).anywhere == {Role.GLOBAL_ADMIN}

    def test_somebody_of_no_company_has_no_list(self, client_of, db):
        assert client_of(UserFactory()).get("/probe/list/").status_code == 403


class TestOwned:
    def test_ones_own_row_is_handed_over(self, client_of, lars, email):
        another = OutgoingEmail.objects.get(pk=email.pk)
        another.pk, another.dedupe_key = uuid4(), "another"
        another.save(force_insert=True)

        for one in (email, another):
            answer = client_of(lars).get(f"/probe/mail/{one.pk}/")

            assert answer.content.decode() == str(one)

    @pytest.mark.parametrize("name", ["greta", "ida", "sam", "mina"])
    def test_nobody_elses_is(self, client_of, cast, email, name):
        client = client_of(getattr(cast, name))

        assert client.get(f"/probe/mail/{email.pk}/").status_code == 404
        assert client.get(f"/probe/mail/{uuid4()}/").status_code == 404

    def test_an_operators_own_row_has_no_page_among_the_partners(
        self, client_of, mina, email
    ):
        OutgoingEmail.objects.filter(pk=email.pk).update(to_user=mina)

        assert client_of(mina).get(f"/probe/mail/{email.pk}/").status_code == 404


class TestSignedInAndPublic:
    def test_every_partner_has_a_home(self, client_of, lars):
        assert client_of(lars).get("/probe/home/").status_code == 200

    def test_operators_are_led_to_their_own(self, client_of, oscar):
        assert client_of(oscar).get("/probe/home/").url == "/ops/"

    def test_a_public_page_asks_for_nothing(self, db):
        assert Client().get("/probe/public/").status_code == 200
        assert Client().get("/probe/home/").status_code == 302


class TestOperators:
    def test_an_operator_with_the_right_gets_in(self, client_of, oscar, goteborg):
        assert client_of(oscar).get("/probe/ops/").status_code == 200
        assert client_of(oscar).get(
            f"/probe/ops/{goteborg.pk}/"
        ).content.decode() == str(goteborg)

    def test_an_operator_without_it_is_refused(self, client_of, goteborg):
        reader = UserFactory(operator=True)

        assert client_of(reader).get("/probe/ops/").status_code == 403
        assert client_of(reader).get(f"/probe/ops/{goteborg.pk}/").status_code == 403

    def test_a_page_for_all_of_them_asks_for_no_group_and_lets_no_partner_in(
        self, client_of, greta, settings
    ):
        operator = client_of(UserFactory(operator=True))

        assert operator.get("/probe/ops/all/").status_code == 200
        assert client_of(greta).get("/probe/ops/all/").status_code == 404
        settings.SECOND_FACTOR_REQUIRED = True
        assert operator.get("/probe/ops/all/").status_code == 302

    @pytest.mark.parametrize("key", ["987654", "x", "%00"])
    def test_a_missing_object_is_missing(self, client_of, oscar, key):
        assert client_of(oscar).get(f"/probe/ops/{key}/").status_code == 404

    @pytest.mark.parametrize("name", ["greta", "ida", "lars", "sam"])
    def test_partners_do_not_learn_that_it_exists(self, client_of, cast, name):
        assert client_of(getattr(cast, name)).get("/probe/ops/").status_code == 404

    def test_a_partner_with_a_stray_permission_stays_out(self, client_of, oscar, lars):
        lars.groups.set(oscar.groups.all())

        assert client_of(lars).get("/probe/ops/").status_code == 404

    def test_an_inactive_operator_stays_out(self, client_of, oscar):
        client = client_of(oscar)
        oscar.is_active = False
        oscar.save()

        assert client.get("/probe/ops/").status_code == 302


class TestRefusals:
    def test_a_global_admin_is_one_by_a_live_role(self, cast):
        assert is_global_admin(cast.greta)
        for name in ("alice", "ida", "lars", "oscar"):
            assert not is_global_admin(getattr(cast, name))

        cast.greta.role_assignments.update(revoked_at=timezone.now())

        assert not is_global_admin(cast.greta)

    def test_an_operator_is_no_global_admin(self, oscar, nordvik):
        RoleAssignmentFactory(
            user=oscar, role=Role.GLOBAL_ADMIN, partner_account=nordvik
        )

        assert not is_global_admin(oscar)

    def test_a_refusal_carries_what_the_page_says(self, goteborg):
        refusal = NotAllowed(
            Permission.PROFILE_EDIT, row=goteborg, company=goteborg.partner_account
        )

        assert isinstance(refusal, PermissionDenied)
        assert refusal.permission == Permission.PROFILE_EDIT
        assert refusal.row == goteborg


def test_companies_are_known_to_their_members(lars, nordvik):
    LocationFactory()

    assert list(PartnerAccount.objects.with_member(lars)) == [nordvik]


@pytest.mark.parametrize(
    ("decorate", "declared"),
    [
        (requires(Permission.PROFILE_EDIT), ("requires", "profile_edit", "")),
        (
            requires(Permission.PROFILE_EDIT, on=Location),
            ("requires", "profile_edit", ""),
        ),
        (signed_in("their own"), ("signed_in", "", "their own")),
        (owned(on=OutgoingEmail), ("owned", "accounts.outgoingemail", "")),
        (public("a leaflet"), ("public", "", "a leaflet")),
        (
            operator_requires("accounts.view_location"),
            ("operator", "accounts.view_location", ""),
        ),
        (for_operators("their own"), ("operator", "", "their own")),
    ],
)
def test_a_view_keeps_its_name_and_what_it_declared(decorate, declared):
    def first_page(request):
        """Show it."""

    view = decorate(first_page)

    assert (view.__name__, view.__doc__) == ("first_page", "Show it.")
    assert view.access == Access(*declared)
    with pytest.raises(FrozenInstanceError):
        view.access.kind = "public"
    assert recently_authenticated(view).__name__ == "first_page"


def test_refusals_say_what_was_wanted():
    wanted = {
        NotAllowed(Permission.PROFILE_EDIT, row=None, company=None): "profile_edit",
        OperatorNotAllowed("accounts.view_location"): "accounts.view_location",
        Hidden(Location, {"pk": 1}, wanted="page"): "accounts.location",
    }

    for refusal, words in wanted.items():
        assert str(refusal) == words
