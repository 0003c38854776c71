"""The admin site, whole: every person and group, every record, every page, both ways.

What a group may do stands here once more, as people would say it, not as the code does.
"""

import re
import types
from itertools import product

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import admin_site
from accounts.models import AuditAction, AuditEvent, Membership, OutgoingEmail
from accounts.operators import RECORDS
from accounts.roles import Role
from accounts.tests import cast
from accounts.tests.factories import (
    LocationFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from enrollment.models import EnrollmentEvent, ValueImport
from enrollment.tests.factories import (
    AgreementFactory,
    EnrollmentFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
)
from incentives_portal.tests.sparing import Sparing
from profiles.tests.factories import (
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

CANARY = "Kanariefågel"
MISSING = 98_765_432
PAGES = ("changelist", "add", "change", "delete", "history")

READER, MANAGER, VALIDATOR = "reader", "program manager", "validator"
SUPERUSER = "superuser"
GROUPS = {
    READER: ["Reader"],
    MANAGER: ["Reader", "Program manager"],
    VALIDATOR: ["Reader", "Validator"],
}
OPERATORS = (*GROUPS, SUPERUSER)
GLOBAL_ADMIN = "Global admin"
OTHERS = ("Account admin", "Incentives admin", "Incentives user", "no role", "stranger")

# What operators look at; only superusers look at the rest.
LOOKED_AT = {
    *(f"accounts.{name}" for name in ("auditevent", "incentiveprogram", "location")),
    *(f"accounts.{name}" for name in ("outgoingemail", "partneraccount")),
    *(f"accounts.{name}" for name in ("roleassignment", "user")),
    *(f"enrollment.{name}" for name in ("agreement", "criterion", "enrollment")),
    *(f"enrollment.{name}" for name in ("fiscalyear", "measuredvalue")),
    *(f"enrollment.{name}" for name in ("programterms", "valueimport")),
}
# What program managers, and superusers, add and change.
REFERENCE = {
    "accounts.incentiveprogram",
    "enrollment.agreement",
    "enrollment.criterion",
    "enrollment.fiscalcalendar",
    "enrollment.fiscalyear",
}
# What superusers add besides.
SET_UP = {
    "accounts.location",
    "accounts.partneraccount",
    "accounts.roleassignment",
    "accounts.user",
}
# Superusers end the role Global admin, no other: that depends on the role.
ENDS_GLOBAL_ADMINS = ("delete", "accounts.roleassignment", SUPERUSER)
# What a Global admin sees of the own company, and the other pages there.
OF_PARTNERS = {"accounts.user", "accounts.location", "accounts.roleassignment"}


def _rows(location) -> dict[str, object]:
    """One of every record, of the location's company where it belongs to one."""
    account = location.partner_account
    enrollment = EnrollmentFactory(location=location, terms=ProgramTermsFactory())
    measured = MeasuredValueFactory(location=location)
    bank = BankProfileFactory(partner_account=account, name=f"Bank {CANARY}")
    role = RoleAssignmentFactory(
        user=UserFactory(full_name=f"Ine {account.name}"),
        partner_account=account,
        location=location,
    )
    rows = [
        AuditEvent.objects.create(
            chain=f"x{account.pk}",
            action=AuditAction.COMPANY_ADDED,
            partner_account=account,
        ),
        enrollment.terms.program,
        location,
        OutgoingEmail.objects.create(
            dedupe_key=f"mail:{location.pk}",
            name="invitation",
            to_user=role.user,
            to_address=role.user.email,
            language="en",
            subject=f"Hello {account.name}",
            body_text="Hello",
            body_html="<p>Hello</p>",
            next_attempt_at=timezone.now(),
        ),
        account,
        role,
        role.user,
        AgreementFactory(partner_account=account),
        measured.criterion,
        enrollment,
        enrollment.terms.fiscal_year.calendar,
        enrollment.terms.fiscal_year,
        measured,
        enrollment.terms,
        ValueImport.objects.create(
            imported_at=timezone.now(),
            file_hash=f"{location.pk:064}",
            accepted=1,
            changed=0,
            rejected=0,
        ),
        bank,
        DefaultBankProfileFactory(location=location, bank_profile=bank),
        TaxProfileFactory(location=location),
    ]
    return {row._meta.label_lower: row for row in rows}


@shared
def made(db):
    """People, and one of every record here and in another company: made once."""
    nordvik = cast.nordvik()
    goteborg = cast.goteborg(nordvik)
    everybody = cast.everybody(nordvik, goteborg)
    people = {
        GLOBAL_ADMIN: everybody.greta,
        "Account admin": everybody.alice,
        "Incentives admin": everybody.ida,
        "Incentives user": everybody.uma,
        "no role": everybody.lars,
        "stranger": everybody.sam,
        SUPERUSER: UserFactory(is_staff=True, is_superuser=True),
    }
    for name, groups in GROUPS.items():
        people[name] = UserFactory(full_name=name, operator=True)
        people[name].groups.set(Group.objects.filter(name__in=groups))
    cookies = {}
    for name, person in people.items():
        client = Client()
        client.force_login(person)
        # Noted now, the session's use is not noted again in every cell.
        client.get(reverse("own:account"))
        cookies[name] = client.cookies
    abroad = LocationFactory(
        partner_account=PartnerAccountFactory(name=CANARY), name=f"{CANARY} Nord"
    )
    return types.SimpleNamespace(
        cookies=cookies, own=_rows(goteborg), foreign=_rows(abroad), people=people
    )


@pytest.fixture
def world(made):
    """The same, with a browser for each of them."""
    made.clients = {name: Client() for name in made.cookies}
    for name, client in made.clients.items():
        client.cookies = made.cookies[name]
    return made


def _address(label: str, page: str, key) -> str:
    name = f"admin:{label.replace('.', '_')}_{page}"
    return reverse(name, args=[key] if page in ("change", "delete", "history") else [])


def _expected(person: str, label: str, page: str, method: str, target: str) -> int:
    if person == GLOBAL_ADMIN:
        return _expected_of_partner(label, page, method, target)
    sees = label in LOOKED_AT or person == SUPERUSER
    changes = label in REFERENCE and person in (MANAGER, SUPERUSER)
    adds = changes or (label in SET_UP and person == SUPERUSER)
    may = {
        "changelist": sees or changes,
        "add": adds,
        "change": changes if method == "post" else sees or changes,
        "delete": False,
        "history": sees or changes,
    }
    if not may[page]:
        is_looked_for = page == "history" or (page, label, person) == ENDS_GLOBAL_ADMINS
        return 404 if target == "missing" and is_looked_for else 403
    return 404 if target == "missing" and page in ("change", "history") else 200


def _expected_of_partner(label: str, page: str, method: str, target: str) -> int:
    pages = {"changelist", "change", "history"}
    if label == "accounts.roleassignment":
        pages |= {"add", "delete"}
    if label not in OF_PARTNERS or page not in pages:
        return 404
    if page == "change" and method == "post":
        return 403
    if target != "own" and page in ("change", "delete", "history"):
        return 404
    return 200


@pytest.mark.parametrize("person", [GLOBAL_ADMIN, *OPERATORS])
def test_every_page_answers_as_the_table_says(world, person, monkeypatch):
    """Nobody else has one: test_permissions.py asks for everybody else."""
    sparing = Sparing(monkeypatch)
    sparing.draws, sparing.writes, sparing.remembers = (), False, True
    client, wrong = world.clients[person], []
    targets = {GLOBAL_ADMIN: ("own", "foreign", "missing")}
    targets |= dict.fromkeys(OPERATORS, ("own", "missing"))
    for label, page, method in product(RECORDS, PAGES, ("get", "post")):
        for target in targets[person]:
            if target != "own" and page in ("changelist", "add"):
                continue
            row = {"missing": None, "own": world.own, "foreign": world.foreign}[target]
            url = _address(label, page, row[label].pk if row else MISSING)
            # What a form says to what was sent, Global admins show for all.
            sparing.is_blind = method == "post" and person != GLOBAL_ADMIN
            answer = getattr(client, method)(url)
            expected = _expected(person, label, page, method, target)
            # An agreement that is saved as it stands leads to the list.
            is_saved = (
                page == "change" and answer.status_code == 302 and method == "post"
            )
            if answer.status_code != expected and not (is_saved and expected == 200):
                wrong.append(
                    (label, page, method, target, answer.status_code, expected)
                )
            if person == GLOBAL_ADMIN:
                assert CANARY not in answer.content.decode(), url
    assert wrong == []


def test_every_record_is_in_the_table():
    registered = {model._meta.label_lower for model in admin.site._registry}

    assert registered == set(RECORDS)
    assert registered > LOOKED_AT | REFERENCE | SET_UP | OF_PARTNERS
    assert all(len(reason) > 10 for reason in RECORDS.values())


def test_a_record_that_is_not_on_the_list_is_not_taken():
    site = admin_site.PortalAdminSite()

    with pytest.raises(ImproperlyConfigured, match="Membership"):
        site.register(Membership, admin_site.PortalModelAdmin)


def test_a_record_is_only_looked_at_unless_it_says_otherwise(world, rf):
    record = admin_site.PortalModelAdmin(EnrollmentEvent, admin.site)
    request = rf.get("/")
    request.user = world.people[SUPERUSER]

    assert record.has_view_permission(request)
    assert not record.has_add_permission(request)
    assert not record.has_change_permission(request)
    assert not record.has_delete_permission(request)
    assert record.get_actions(request) == {}


# --- A company's Global admin -----------------------------------------------------------


def test_what_is_anothers_is_told_as_what_is_missing(world):
    # R16: the same bytes
    client = world.clients[GLOBAL_ADMIN]

    for label, page in product(RECORDS, ("change", "delete", "history")):
        foreign, missing = (
            client.get(_address(label, page, key))
            for key in (world.foreign[label].pk, MISSING)
        )
        assert foreign.status_code == missing.status_code == 404
        key = str(world.foreign[label].pk)
        told = _without_token(foreign).replace(f"/{key}/", f"/{MISSING}/")
        assert told == _without_token(missing), (label, page)


def _without_token(response) -> str:
    """A page without what is new in every answer."""
    return re.sub(
        r'(csrfmiddlewaretoken" value=)"\w+"', r"\1", response.content.decode()
    )


def test_no_other_page_of_the_admin_exists_for_a_global_admin(world):
    client = world.clients[GLOBAL_ADMIN]
    person = world.own["accounts.user"].pk

    for path in (
        "profiles/",
        "enrollment/",
        "auth/",
        "auth/group/",
        "auth/user/1/password/",
        f"accounts/user/{person}/password/",
        f"accounts/user/{person}/",
        "accounts/user/add/",
        "accounts/membership/",
        "accounts/user",
        "profiles/bankprofile",
        "r/1/1/",
        f"r/{person}/{person}/",
        "doc/",
        "nothing/",
        "filer/",
    ):
        answers = [client.get(f"/admin/{path}{query}") for query in ("", "?_popup=1")]
        assert {answer.status_code for answer in answers} == {404}, path


def test_menus_name_three_records_and_no_other(world):
    client = world.clients[GLOBAL_ADMIN]

    for url in (reverse("admin:index"), reverse("admin:app_list", args=["accounts"])):
        answer = client.get(url)
        named = {
            one["model"]._meta.label_lower
            for app in answer.context["app_list"]
            for one in app["models"]
        }
        assert named == OF_PARTNERS
        page = answer.content.decode()
        for label in set(RECORDS) - OF_PARTNERS:
            assert f"/admin/{label.replace('.', '/')}/" not in page


def test_pages_link_to_nothing_that_is_not_there(world):
    client = world.clients[GLOBAL_ADMIN]
    own = world.own

    for label, page in product(OF_PARTNERS, ("changelist", "change", "history")):
        text = client.get(_address(label, page, own[label].pk)).content.decode()
        assert "view on site" not in text.lower()
        assert "/admin/r/" not in text
        for other in set(RECORDS) - OF_PARTNERS:
            assert f"/admin/{other.replace('.', '/')}/" not in text


@pytest.mark.parametrize("query", ["_popup=1", "_to_field=id", "_popup=1&_to_field=id"])
def test_a_popup_shows_no_more_than_the_page(world, query):
    client = world.clients[GLOBAL_ADMIN]

    for label in OF_PARTNERS:
        answer = client.get(f"{_address(label, 'changelist', None)}?{query}")
        keys = {row.pk for row in answer.context["cl"].result_list}
        assert world.own[label].pk in keys
        assert world.foreign[label].pk not in keys
        assert CANARY not in answer.content.decode()
    for label in ("accounts.user", "accounts.location"):
        key = world.foreign[label].pk
        answer = client.get(f"{_address(label, 'change', key)}?{query}")
        assert answer.status_code == 404


def test_the_admins_words_for_scripts_hold_nothing_of_the_portal(world):
    answer = world.clients[GLOBAL_ADMIN].get(reverse("admin:jsi18n"))

    assert answer.status_code == 200
    for word in ("Incentives", "bank", "tax", CANARY, "operator"):
        assert word not in answer.content.decode()


def test_counts_beside_filters_are_of_the_own_company(world):
    client = world.clients[GLOBAL_ADMIN]
    url = _address("accounts.roleassignment", "changelist", None)

    page = client.get(f"{url}?_facets=True")

    shown = {row.partner_account.name for row in page.context["cl"].queryset}
    assert len(shown) == 1
    assert CANARY not in page.content.decode()


# --- What an address may ask ------------------------------------------------------------

SEALED = {"details", "blind_index", "password", "body_text", "body_html"}


def _filters(record, request) -> set[str]:
    names = set()
    for one in record.get_list_filter(request):
        one = one[0] if isinstance(one, tuple) else one
        names.add(getattr(one, "parameter_name", one))
    return names


@pytest.mark.parametrize("person", [GLOBAL_ADMIN, *OPERATORS])
def test_an_address_asks_only_what_the_filters_offer(world, rf, person):
    request = rf.get("/")
    request.user = world.people[person]
    for model, record in admin.site._registry.items():
        offered = _filters(record, request)
        for field in model._meta.get_fields():
            paths = [field.name]
            if field.is_relation and field.related_model:
                related = field.related_model._meta.concrete_fields
                paths += [f"{field.name}__{one.name}" for one in related]
            for path in set(paths) - {f"{name}__id" for name in offered}:
                for ending in ("", "__startswith", "__in", "__isnull", "__regex"):
                    asked = record.lookup_allowed(f"{path}{ending}", "a", request)
                    is_offered = any(path == name for name in offered)
                    assert asked == is_offered, (record, path, ending)


@pytest.mark.parametrize(
    ("label", "lookup"),
    [
        ("profiles.bankprofile", "versions__details__startswith"),
        ("profiles.bankprofile", "versions__blind_index__startswith"),
        ("profiles.taxprofile", "versions__details__contains"),
        ("accounts.user", "password__startswith"),
        ("accounts.user", "authenticator__data__contains"),
        ("accounts.outgoingemail", "body_text__contains"),
        ("accounts.partneraccount", "bank_profiles__versions__details__startswith"),
    ],
)
def test_what_is_sealed_is_not_asked_for_by_an_address(world, label, lookup):
    client = world.clients[SUPERUSER]

    answer = client.get(_address(label, "changelist", None), {lookup: "a"})

    assert answer.status_code == 400


def test_no_list_is_searched_filtered_or_ordered_by_what_is_sealed(world, rf):
    # T14, T17
    request = rf.get("/")
    for person in (GLOBAL_ADMIN, SUPERUSER):
        request.user = world.people[person]
        for record in admin.site._registry.values():
            columns = record.get_list_display(request)
            asked = [
                *record.get_search_fields(request),
                *_filters(record, request),
                *map(str, columns),
                *map(str, record.get_ordering(request) or ()),
                *(
                    str(
                        getattr(
                            getattr(record, str(one), None), "admin_order_field", ""
                        )
                    )
                    for one in columns
                ),
            ]
            words = {word for path in asked for word in path.strip("-=^@").split("__")}
            assert not words & SEALED, record


def test_no_form_holds_what_is_sealed(world, rf):
    request = rf.get("/")
    for person in (GLOBAL_ADMIN, SUPERUSER):
        request.user = world.people[person]
        for model, record in admin.site._registry.items():
            row = world.own[model._meta.label_lower]
            for obj in (None, row):
                shown = set(record.get_fields(request, obj) or ())
                if record.fieldsets:
                    shown |= {
                        name for _t, one in record.fieldsets for name in one["fields"]
                    }
                assert shown, "fields are named, so that a new column is not shown"
                assert not shown & SEALED
            for inline in record.get_inlines(request, row):
                assert inline.fields, "the same for rows beside it"
                assert not set(inline.fields) & SEALED


@pytest.mark.parametrize("person", [GLOBAL_ADMIN, SUPERUSER])
def test_a_choice_is_keyed_by_its_key_only(world, person, monkeypatch):
    sparing = Sparing(monkeypatch)
    sparing.remembers = sparing.is_blind = True
    client = world.clients[person]
    for label in OF_PARTNERS:
        model = type(world.own[label])
        for field in model._meta.concrete_fields:
            answer = client.get(
                _address(label, "changelist", None), {"_to_field": field.name}
            )
            is_key = field.primary_key or field.name == "id"
            assert answer.status_code == (200 if is_key else 400), (label, field.name)


@pytest.mark.parametrize(
    "person", ["no role", GLOBAL_ADMIN, READER, MANAGER, SUPERUSER]
)
def test_fields_complete_only_in_forms_one_may_fill_in(world, person, monkeypatch):
    sparing = Sparing(monkeypatch)
    sparing.draws, sparing.writes, sparing.remembers = (), False, True
    offered = {
        GLOBAL_ADMIN: {
            ("accounts.roleassignment", "user"),
            ("accounts.roleassignment", "location"),
        },
        MANAGER: {
            ("enrollment.agreement", "partner_account"),
        },
        SUPERUSER: {
            ("accounts.roleassignment", "user"),
            ("accounts.roleassignment", "partner_account"),
            ("accounts.location", "partner_account"),
            ("enrollment.agreement", "partner_account"),
        },
    }.get(person, set())
    client = world.clients[person]
    for model in admin.site._registry:
        label = model._meta.label_lower
        for field in model._meta.get_fields():
            if not field.is_relation or field.auto_created:
                continue
            app, name = label.split(".")
            answer = client.get(
                reverse("admin:autocomplete"),
                {"app_label": app, "model_name": name, "field_name": field.name},
            )
            if (label, field.name) in offered:
                assert answer.status_code == 200, (label, field.name)
            else:
                refused = 404 if person in OTHERS else 403
                assert answer.status_code == refused, (label, field.name)
            if person == GLOBAL_ADMIN:
                assert CANARY not in answer.content.decode()


# --- What would happen without the protections -----------------------------------------


def test_without_the_list_of_pages_a_global_admin_learns_what_exists(
    world, monkeypatch
):
    class Everything:
        def __contains__(self, name):
            return True

    monkeypatch.setattr(admin_site, "PARTNER_PAGES", Everything())
    client = world.clients[GLOBAL_ADMIN]
    url = _address(
        "profiles.bankprofile", "change", world.own["profiles.bankprofile"].pk
    )

    assert client.get(url).status_code == 403


def test_without_the_narrowing_a_global_admin_sees_other_companies(world, monkeypatch):
    monkeypatch.setattr(
        admin_site.PartnerDoorMixin, "of_partner", lambda self, rows, user: rows
    )
    client = world.clients[GLOBAL_ADMIN]

    page = client.get(_address("accounts.location", "changelist", None))

    assert CANARY in page.content.decode()


def test_a_global_admin_of_another_company_sees_that_one_only(world):
    company = world.foreign["accounts.partneraccount"]
    person = RoleAssignmentFactory(role=Role.GLOBAL_ADMIN, partner_account=company).user
    client = Client()
    client.force_login(person)

    for label in OF_PARTNERS:
        page = client.get(_address(label, "changelist", None))
        keys = {row.pk for row in page.context["cl"].result_list}
        assert world.foreign[label].pk in keys
        assert world.own[label].pk not in keys
        assert "Nordvik" not in page.content.decode()
