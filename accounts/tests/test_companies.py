"""One person in several companies: the address says which, and no page mixes two."""

import re
from itertools import product
from urllib.parse import urlsplit

import pytest
from django.contrib.sessions.models import Session
from django.urls import get_script_prefix, reverse, set_script_prefix

from accounts import companies
from accounts.companies import in_company, path_in, site_path
from accounts.models import (
    AuditAction,
    AuditEvent,
    Membership,
    OutgoingEmail,
    RoleAssignment,
)
from accounts.roles import Role
from accounts.services import add_location, assign_role
from accounts.tests.factories import (
    LocationFactory,
    MembershipFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared

pytestmark = pytest.mark.django_db

CANARY = "Canary Wharf"


def under(company, name, **kwargs) -> str:
    return in_company(company, reverse(name, kwargs=kwargs or None))


def text_of(response) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


@shared
def other(db):
    """A second company, where everything is named after the canary."""
    company = PartnerAccountFactory(
        partner_id="5099001", name=f"{CANARY} Ltd", email_domains=["partner.example"]
    )
    LocationFactory(partner_account=company, name=f"{CANARY} Pier")
    return company


@shared
def ines(nordvik, goteborg, other):
    """Global and Incentives admin of two companies."""
    person = UserFactory(full_name="Ines Duarte", email="ines@partner.example")
    for company in (nordvik, other):
        for role in (Role.GLOBAL_ADMIN, Role.INCENTIVES_ADMIN):
            RoleAssignmentFactory(user=person, partner_account=company, role=role)
        RoleAssignmentFactory(
            user=UserFactory(full_name=f"Colleague of {company.name}"),
            partner_account=company,
        )
    return person


LISTS = [
    "home",
    "enrollment:overview",
    "enrollment:locations",
    "enrollment:notifications",
    "profiles:list",
    "profiles:tax_list",
    "profiles:defaults",
    "accounts:people",
    "accounts:gaps",
    "accounts:assign",
    "accounts:invite",
    "accounts:invitations",
    "accounts:requests",
    "accounts:request_access",
    "accounts:provisioning",
    "activity:list",
]


def page_of(response) -> str:
    """The page without the switcher, which names all companies of the person."""
    content = response.content.decode()
    return re.sub(
        r'<div class="bar__company">.*?</details>', "", content, flags=re.DOTALL
    )


class TestTheAddress:
    @pytest.mark.parametrize("here", [0, 1])
    def test_it_names_the_company_and_every_link_keeps_it(
        self, client_of, ines, nordvik, other, here
    ):
        company, foreign = ((nordvik, other), (other, nordvik))[here]
        client = client_of(ines)
        for name in LISTS:
            response = client.get(under(company, name), follow=True)

            assert response.status_code == 200, name
            page = page_of(response)
            assert foreign.name not in page, name
            assert f"/c/{foreign.partner_id}/" not in page, name
            ways = re.findall(r'(?:href|action)="(/[^"]*)"', page)
            kept = [way for way in ways if not way.startswith("/static/")]
            assert kept, name
            assert all(way.startswith(f"/c/{company.partner_id}/") for way in kept), (
                kept
            )

    def test_an_address_without_a_company_leads_to_one(
        self, client_of, ines, nordvik, other
    ):
        client = client_of(ines)
        client.get(under(nordvik, "home"))

        for name in LISTS:
            response = client.get(reverse(name) + "?page=2")

            assert response.status_code == 302, name
            assert response["Location"] == under(nordvik, name) + "?page=2"

    def test_whoever_belongs_to_one_company_never_sees_it(
        self, client_of, greta, nordvik, goteborg
    ):
        client = client_of(greta)

        plain = client.get(reverse("accounts:people"))
        named = client.get(under(nordvik, "accounts:people") + "?q=a")

        assert "/c/" not in plain.content.decode()
        assert named.status_code == 302
        assert named["Location"] == reverse("accounts:people") + "?q=a"

    def test_a_form_that_was_open_when_the_other_membership_ended_still_works(
        self, client_of, ines, nordvik, other
    ):
        client = client_of(ines)
        Membership.objects.filter(user=ines, partner_account=other).update(
            ended_at="2026-01-01T00:00Z"
        )

        response = client.post(under(nordvik, "enrollment:add_location"), NEW)

        assert response.status_code == 302
        assert not response["Location"].startswith("/c/")
        assert nordvik.locations.filter(name="Umeå").exists()

    def test_a_foreign_company_and_none_at_all_look_the_same(
        self, client_of, ines, greta
    ):
        foreign = PartnerAccountFactory(partner_id="5077001", name="Foreign AB")
        RoleAssignmentFactory(partner_account=foreign)
        clients = map(client_of, (ines, greta, UserFactory(operator=True)))

        for client, method, rest in product(
            clients,
            ("GET", "HEAD", "POST", "PUT"),
            ("/", "/people/", "/no/such/page/"),
        ):
            answers = [
                client.generic(method, f"/c/{number}{rest}")
                for number in (foreign.partner_id, "5077999")
            ]

            assert {answer.status_code for answer in answers} == {404}, (method, rest)
            bodies = {
                re.sub(r'name="(csrfmiddlewaretoken|next)" value="[^"]*"', "", body)
                for body in (answer.content.decode() for answer in answers)
            }
            assert len(bodies) == 1
            assert "Foreign" not in bodies.pop()

    def test_naming_a_foreign_company_is_remembered(
        self, client_of, ines, greta, nordvik
    ):
        foreign = PartnerAccountFactory(partner_id="5077001")

        for person in (ines, greta, UserFactory(operator=True)):
            client = client_of(person)
            for number in (foreign.partner_id, "5077999", nordvik.partner_id):
                client.get(f"/c/{number}/people/")

        denied = AuditEvent.objects.filter(
            action=AuditAction.ACCESS_DENIED, object_type="accounts.partneraccount"
        )
        assert {event.actor for event in denied} == {ines, greta}
        assert {event.object_id for event in denied} == {str(foreign.pk)}
        assert {event.partner_account for event in denied} == {foreign}
        assert {event.after["wanted"] for event in denied} == {"page"}

    def test_a_membership_that_ended_opens_nothing(self, client_of, ines, other):
        client = client_of(ines)
        assert client.get(under(other, "home")).status_code == 200
        Membership.objects.filter(user=ines, partner_account=other).update(
            ended_at="2026-01-01T00:00Z"
        )

        assert client.get(under(other, "home")).status_code == 404

    def test_nobody_signed_in_is_sent_to_sign_in_and_back(self, client, ines, other):
        for number in (other.partner_id, "5077999"):
            path = f"/c/{number}/people/?q=a"
            response = client.get(path)

            assert response.status_code == 302
            where = urlsplit(response["Location"])
            assert where.path == reverse("account_login")
            assert f"next=/c/{number}/people/" in where.query

    def test_signing_out_leads_to_where_everybody_signs_in(
        self, client_of, ines, nordvik
    ):
        client = client_of(ines)

        response = client.post(under(nordvik, "account_logout"), follow=True)

        assert response.status_code == 200
        assert urlsplit(response.redirect_chain[-1][0]).path == reverse("account_login")
        plain = client.get(under(nordvik, "account_reset_password"))
        assert plain["Location"] == reverse("account_reset_password")

    @pytest.mark.parametrize(
        "rest", ["//evil.example/", "/\\evil.example/", "///evil.example"]
    )
    def test_it_leads_to_no_other_site(self, client_of, greta, ines, nordvik, rest):
        for person in (greta, ines):
            response = client_of(person).get(f"/c/{nordvik.partner_id}{rest}")

            assert response.status_code == 404

    def test_addresses_of_older_mails_lead_to_the_same_page(
        self, client_of, ines, greta, other, nordvik
    ):
        old = reverse("accounts:gaps") + f"?company={other.partner_id}&page=1"

        led = client_of(ines).get(old)

        assert led["Location"] == under(other, "accounts:gaps") + "?page=1"
        # Of somebody else's company nothing is said, and nothing is shown.
        assert "Canary" not in client_of(greta).get(old).content.decode()

    def test_the_prefix_ends_with_the_request(self, client_of, ines, nordvik):
        client_of(ines).get(under(nordvik, "home"))

        assert get_script_prefix() == "/"
        assert reverse("home") == "/"


NEW = {
    "partner_id": "6120199",
    "name": "Umeå",
    "legal_name": "Nordvik Nord AB",
    "street": "Kungsgatan 2",
    "city": "Umeå",
    "country": "SE",
}


class TestTwoTabs:
    def test_each_form_acts_in_its_own_tabs_company(
        self, client_of, ines, nordvik, other
    ):
        # One browser: the tabs share the session, and the other one was used last.
        client = client_of(ines)
        client.get(under(nordvik, "enrollment:add_location"))
        client.get(under(other, "enrollment:add_location"))

        client.post(under(nordvik, "enrollment:add_location"), NEW)
        client.post(
            under(other, "enrollment:add_location"),
            NEW | {"partner_id": "6120198", "name": "Dock"},
        )

        assert nordvik.locations.filter(partner_id="6120199").exists()
        assert other.locations.filter(partner_id="6120198").exists()

    def test_looking_at_one_does_not_move_the_other(
        self, client_of, ines, nordvik, other
    ):
        client = client_of(ines)

        for _turn in range(2):
            first = page_of(client.get(under(nordvik, "accounts:people")))
            second = page_of(client.get(under(other, "accounts:people")))

            assert "Colleague of Nordvik IT AB" in first
            assert CANARY not in first
            assert f"Colleague of {CANARY} Ltd" in second
            assert "Nordvik" not in second

    def test_a_form_that_names_no_company_changes_nothing(
        self, client_of, ines, nordvik, other
    ):
        response = client_of(ines).post(reverse("enrollment:add_location"), NEW)

        assert response.status_code == 409
        text = text_of(response)
        assert "Nothing was changed." in text
        assert under(nordvik, "enrollment:add_location") in response.content.decode()
        assert under(other, "enrollment:add_location") in response.content.decode()
        assert not nordvik.locations.filter(name="Umeå").exists()
        assert not other.locations.filter(name="Umeå").exists()

    def test_a_form_cannot_name_another_companys_rows(
        self, client_of, ines, nordvik, other
    ):
        theirs = UserFactory(full_name="Lena Their")
        MembershipFactory(user=theirs, partner_account=other)
        place = other.locations.get()

        response = client_of(ines).post(
            under(nordvik, "accounts:assign"),
            {
                "person": [theirs.pk],
                "role": "incentives_admin",
                "width": "some",
                "location": [place.pk],
                "depth": "all",
            },
        )

        assert response.status_code == 422
        assert not RoleAssignment.objects.filter(user=theirs).exists()

    def test_the_control_with_the_choice_in_the_session_alone(
        self, client_of, ines, nordvik, other, monkeypatch
    ):
        # As it was before: the last company looked at is the one that is acted in.
        monkeypatch.setattr(
            companies,
            "current_company",
            lambda request: companies.company_to_enter(request),
        )
        monkeypatch.setattr(
            "accounts.middleware.current_company", companies.company_to_enter
        )
        client = client_of(ines)
        client.get(under(nordvik, "enrollment:add_location"))
        client.get(under(other, "enrollment:add_location"))

        client.post(reverse("enrollment:add_location"), NEW)

        assert not nordvik.locations.filter(partner_id="6120199").exists()
        assert other.locations.filter(partner_id="6120199").exists()


class TestObjects:
    def test_an_object_is_shown_under_its_own_company(
        self, client_of, ines, nordvik, goteborg, other
    ):
        client = client_of(ines)
        path = goteborg.get_absolute_url()
        its_own = in_company(nordvik, path)

        assert client.get(its_own).status_code == 200
        for start in (path, in_company(other, path)):
            response = client.get(start + "?a=b")
            assert response.status_code == 302
            assert response["Location"] == its_own + "?a=b"

    def test_it_is_not_changed_from_another_companys_tab(
        self, client_of, ines, nordvik, goteborg, malmo, other
    ):
        path = reverse("enrollment:ask_closing", kwargs={"pk": malmo.pk})
        client = client_of(ines)

        wrong = client.post(in_company(other, path), {"reason": "Moved."})

        assert wrong.status_code == 404
        malmo.refresh_from_db()
        assert not malmo.is_closing_asked
        refused = AuditEvent.objects.get(action=AuditAction.ACCESS_DENIED)
        assert (refused.object_type, refused.object_id) == (
            "accounts.location",
            str(malmo.pk),
        )
        assert refused.after == {"wanted": "location_edit"}
        right = client.post(in_company(nordvik, path), {"reason": "Moved."})
        assert right["Location"] == in_company(nordvik, malmo.get_absolute_url())
        malmo.refresh_from_db()
        assert malmo.is_closing_asked

    def test_its_own_address_says_enough_to_change_it(
        self, client_of, ines, nordvik, goteborg, malmo
    ):
        path = reverse("enrollment:ask_closing", kwargs={"pk": malmo.pk})

        response = client_of(ines).post(path, {"reason": "Moved."})

        assert response["Location"] == in_company(nordvik, malmo.get_absolute_url())

    def test_a_refusal_stands_under_the_objects_company(
        self, client_of, nordvik, goteborg, other
    ):
        person = UserFactory(email="nils@partner.example")
        RoleAssignmentFactory(
            user=person, partner_account=nordvik, role=Role.INCENTIVES_USER
        )
        MembershipFactory(user=person, partner_account=other)
        path = reverse("enrollment:ask_closing", kwargs={"pk": goteborg.pk})

        response = client_of(person).get(in_company(other, path), follow=True)

        assert response.redirect_chain == [(in_company(nordvik, path), 302)]
        assert response.status_code == 403
        assert CANARY not in page_of(response)

    def test_a_foreign_object_is_hidden_as_ever(self, client_of, ines, nordvik):
        foreign = LocationFactory()

        response = client_of(ines).get(in_company(nordvik, foreign.get_absolute_url()))

        assert response.status_code == 404


class TestTheSwitcher:
    def test_it_lists_the_persons_companies_and_leads_to_their_home(
        self, client_of, ines, nordvik, other
    ):
        content = (
            client_of(ines).get(under(nordvik, "accounts:people")).content.decode()
        )
        (switcher,) = re.findall(
            r'<div class="bar__company">.*?</details>', content, flags=re.DOTALL
        )

        assert f'href="/c/{nordvik.partner_id}/" aria-current="true"' in switcher
        assert f'href="/c/{other.partner_id}/"' in switcher

    def test_changing_asks_for_no_second_sign_in(self, client_of, ines, other):
        client = client_of(ines)
        sessions = Session.objects.count()

        assert client.get(under(other, "home")).status_code == 200
        assert Session.objects.count() == sessions

    def test_signing_in_leads_to_where_one_worked_last(
        self, client_of, ines, nordvik, other
    ):
        client = client_of(ines)

        for company in (other, nordvik):
            client.get(under(company, "accounts:people"))
            assert client.get("/")["Location"] == f"/c/{company.partner_id}/"

    def test_ones_own_account_needs_no_company(self, client_of, ines, nordvik):
        plain = client_of(ines).get(reverse("own:account"))
        within = client_of(ines).get(under(nordvik, "own:account"))

        assert plain.status_code == within.status_code == 200
        assert "Choose a company" in text_of(plain)
        assert "Nordvik IT AB" in text_of(within)


class TestTheAdminSite:
    def test_it_shows_one_company_at_a_time(self, client_of, ines, nordvik, other):
        client = client_of(ines)
        name = "admin:accounts_location_changelist"

        led = client.get(reverse(name))
        first = client.get(under(nordvik, name))
        second = client.get(under(other, name))

        assert led.status_code == 302
        assert led["Location"].startswith("/c/")
        assert "Göteborg" in text_of(first)
        assert CANARY not in page_of(first)
        assert f"{CANARY} Pier" in text_of(second)
        assert "Göteborg" not in text_of(second)

    def test_it_is_hidden_where_one_is_no_global_admin(
        self, client_of, ines, nordvik, other
    ):
        RoleAssignment.objects.filter(
            user=ines, partner_account=other, role=Role.GLOBAL_ADMIN
        ).update(revoked_at="2026-01-01T00:00Z")
        client = client_of(ines)

        assert client.get(under(other, "admin:index")).status_code == 404
        assert client.get(under(nordvik, "admin:index")).status_code == 200
        led = client.get(reverse("admin:index"))
        assert led["Location"] == under(nordvik, "admin:index")


class TestMails:
    def test_their_links_carry_the_company_whatever_tab_they_come_from(
        self, client_of, ines, nordvik, other, lars
    ):
        set_script_prefix("/c/5099001/")
        try:
            assert path_in(nordvik, "accounts:gaps") == "/c/5012001/people/gaps/"
            assert site_path("account_login") == "/accounts/login/"
            assert reverse("home") == "/c/5099001/"
            assign_role(lars, role=Role.INCENTIVES_USER, account=nordvik, by=ines)
        finally:
            set_script_prefix("/")

        mail = OutgoingEmail.objects.get(name="role_given")
        assert mail.about_url == "/c/5012001/incentives/"
        assert "/c/5012001/incentives/" in mail.body_text
        assert "5099001" not in mail.body_html

    def test_notifications_are_those_of_the_company_and_of_the_person(
        self, client_of, ines, nordvik, other, greta
    ):
        person = UserFactory(full_name="Nils Two", email="nils@partner.example")
        for company, by in ((nordvik, greta), (other, ines)):
            MembershipFactory(user=person, partner_account=company)
            assign_role(person, role=Role.INCENTIVES_USER, account=company, by=by)
        OutgoingEmail.objects.filter(to_user=person, about_url="").delete()
        client = client_of(person)

        here = page_of(client.get(under(nordvik, "enrollment:notifications")))
        there = page_of(client.get(under(other, "enrollment:notifications")))

        assert "Nordvik IT AB" in here
        assert CANARY not in here
        assert CANARY in there
        assert "Nordvik" not in there
        mail = OutgoingEmail.objects.get(
            to_user=person, about_url__startswith="/c/5012001/"
        )
        path = reverse("enrollment:notification", kwargs={"pk": mail.pk})
        led = client.get(in_company(other, path))
        assert led["Location"] == in_company(nordvik, path)


def test_a_location_added_in_one_company_is_not_in_the_other(
    client_of, ines, nordvik, other
):
    add_location(other, partner_id="6120190", name="Canary Dock", country="GB", by=ines)

    page = page_of(client_of(ines).get(under(nordvik, "enrollment:locations")))

    assert "Göteborg" in page
    assert "Canary" not in page
