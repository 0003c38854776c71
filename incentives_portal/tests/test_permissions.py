"""The matrix: every address, every person, own, other, foreign and missing objects.

Generated from the URLconf, the admin site and the directories' door included: a new
address without a row in permission_table.py fails. A cell is one request; it leaves
the world as it found it, so that all cells share one.

Every address is asked by every kind of person, in every method it is for, about the own
object; in other methods by somebody who may use it and by nobody signed in. About other
objects it is asked where somebody was let in or the key in the address got to the
database: who is refused before anything is looked for is refused all the same. Of
operators, who reach every place, one asks for what is nowhere. Pages that refuse are
drawn once for each person and all they are made of; what they say is missing is read in
every cell.
"""

import re
import types
import uuid
from contextlib import contextmanager
from http.cookies import SimpleCookie
from itertools import product

import pytest
from django.contrib import admin
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from time_machine import travel

from accounts import access, outbox
from accounts.models import (
    DirectoryGroup,
    Location,
    RoleAssignment,
    TenantRoleMapping,
    UndeliverableAddress,
    User,
)
from accounts.operators import RECORDS
from accounts.roles import Role
from accounts.services import create_provisioning_token, revoke_provisioning_token
from accounts.tests import cast
from accounts.tests.factories import (
    AccessRequestFactory,
    ColleagueInvitationFactory,
    CompanyTenantFactory,
    FactorResetFactory,
    GroupMappingFactory,
    LocationFactory,
    MembershipFactory,
    ProvisioningTokenFactory,
    RecoveryRequestFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.markup import faults_of
from accounts.tests.shared_rows import shared
from enrollment.models import (
    Campaign,
    Criterion,
    EnrollmentBatch,
    ExtensionRequest,
    GuideFile,
    ProgramAtLocation,
    RenewalPlan,
    RequirementDispute,
    TermsDraft,
)
from enrollment.services import keep_file
from enrollment.tests.factories import (
    AgreementFactory,
    CriterionFactory,
    EnrollmentFactory,
    GuideFileFactory,
    InvitationFactory,
    ProgramTermsFactory,
    TermsDraftFactory,
    TermsVersionFactory,
)
from incentives_portal.tests.addresses import every_address
from incentives_portal.tests.permission_table import (
    EVERYBODY,
    LIBRARIES,
    OPERATORS,
    PARTNERS,
    PARTNERS_RECORDS,
    PUBLIC,
    PUBLIC_PREFIXES,
    TABLE,
    TOKEN,
    TOKEN_PREFIX,
)
from incentives_portal.tests.sparing import REFUSALS, Sparing
from incentives_portal.tests.test_admin_permissions import PAGES
from incentives_portal.tests.test_token_permissions import ask as ask_by_token
from incentives_portal.tests.test_token_permissions import path_of as token_path_of
from profiles.models import ReturnReason
from profiles.tests.factories import (
    BankProfileFactory,
    DefaultBankProfileFactory,
    PreparedPartFactory,
    ReviewQuestionFactory,
    TaxDocumentFactory,
    TaxProfileDraftFactory,
    TaxProfileFactory,
)

ADDRESSES = {
    address.name: address
    for address in every_address()
    if not address.name.startswith((*LIBRARIES, *PUBLIC_PREFIXES, TOKEN_PREFIX))
    and address.name not in PUBLIC
}
DONE = {200, 302, 422}
# In every name of a company that nobody of the cast belongs to.
CANARY = "Kanariefågel"
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
NOBODY = ("nobody", "gone")
PARTNERS_AND_NOBODY = (*PARTNERS, *NOBODY)
# Whose pages about foreign and missing things are held side by side, byte by byte.
WATCHED = ("greta", "ida", "uma")
ONLY_FORBIDDEN = frozenset({"403.html"})
# Other places and other things than the first that is asked about.
ELSEWHERE = ("other", "foreign", "missing")
# That it is noted is looked at for everybody; what is written then, for these, once for
# each address.
TOLD_OF = ("uma", "reader")
LEAST_CELLS = 5_000
PAGES_OF_RECORDS = {
    f"admin:{label.replace('.', '_')}_{page}" for label, page in product(RECORDS, PAGES)
}
# What every refusal says: the role or the group that is missing.
MISSING = re.compile("[Yy]ou need the role|This is for operators in the group")


def test_every_address_has_a_row_and_every_row_an_address():
    assert set(TABLE) == set(ADDRESSES)


def _batch_of(enrollment, *, by):
    """What somebody ticked and did not send yet."""
    batch = EnrollmentBatch.objects.create(
        partner_account=enrollment.location.partner_account,
        by=by,
        created_at=timezone.now(),
    )
    batch.rows.create(enrollment=enrollment)
    return batch


def _objects(location, terms, open_terms, *, addressee, mark):
    """One of everything at a location, with a mark in what people call it."""
    account = location.partner_account
    enrollment = EnrollmentFactory(
        location=location, terms=terms, accepted=True, accepted_by=addressee
    )
    bank_profile = BankProfileFactory(
        partner_account=account,
        name=f"Bank {mark}",
        version__pending=True,
        created_by=UserFactory(),
    )
    tax_profile = TaxProfileFactory(
        location=location,
        name=f"Tax {mark}",
        version__pending=True,
        created_by=UserFactory(),
    )
    mail = outbox.OutgoingEmail.objects.create(
        dedupe_key=f"mail:{location.pk}",
        name="invitation",
        to_user=addressee,
        to_address=addressee.email,
        language="en",
        subject=f"Hello {mark}",
        body_text="Hello",
        body_html="<p>Hello</p>",
        next_attempt_at=timezone.now(),
    )
    tenant = CompanyTenantFactory(partner_account=account)
    tax_draft = TaxProfileDraftFactory(location=location, name=f"Draft {mark}")
    return types.SimpleNamespace(
        tax_draft=tax_draft,
        tax_document=TaxDocumentFactory(version=tax_profile.versions.get()),
        tenant=tenant,
        app_role=TenantRoleMapping.objects.create(
            tenant=tenant,
            partner_account=account,
            app_role="Incentives.Admin",
            role=Role.INCENTIVES_ADMIN,
        ),
        location=location,
        enrollment=enrollment,
        invitation=InvitationFactory(enrollment=enrollment, user=addressee),
        place=ProgramAtLocation.objects.get(location=location, terms=terms),
        open_place=ProgramAtLocation.objects.get(location=location, terms=open_terms),
        bank_profile=bank_profile,
        bank_version=bank_profile.versions.get(),
        tax_profile=tax_profile,
        tax_version=tax_profile.versions.get(),
        reason=ReturnReason.objects.first(),
        escalation=ReviewQuestionFactory(bank_version=bank_profile.versions.get()),
        default=DefaultBankProfileFactory(location=location, bank_profile=bank_profile),
        role=RoleAssignmentFactory(
            user=_somebody(mark), partner_account=account, location=location
        ),
        member=MembershipFactory(partner_account=account, user=_somebody(mark)),
        access_request=AccessRequestFactory(
            partner_account=account, user=_somebody(mark)
        ),
        colleague=ColleagueInvitationFactory(
            partner_account=account, full_name=f"Colleague {mark}"
        ),
        token=ProvisioningTokenFactory(partner_account=account, name=f"Key {mark}"),
        mapping=GroupMappingFactory(
            partner_account=account, group_name=f"Group {mark}"
        ),
        group=DirectoryGroup.objects.create(
            partner_account=account, display_name=f"Group {mark}"
        ),
        # At most one waits in a company.
        recovery=account.recovery_requests.first()
        or RecoveryRequestFactory(partner_account=account),
        factor_reset=FactorResetFactory(partner_account=account, user=_somebody(mark)),
        terms=terms,
        **_of_program(terms),
        year=terms.fiscal_year,
        plan=RenewalPlan.objects.first()
        or RenewalPlan.objects.create(
            into=terms.fiscal_year, number=1, known_on=terms.fiscal_year.starts_on
        ),
        campaign=Campaign.objects.first() or Campaign.objects.create(terms=terms),
        mail=mail,
        bad_address=UndeliverableAddress.objects.get_or_create(
            address="away@partner.example"
        )[0],
        part=PreparedPartFactory(location=location, filled=True),
        own_part=PreparedPartFactory(location=location, email=addressee.email),
        dispute=RequirementDispute.objects.create(
            location=location,
            terms=terms,
            text=f"Wrong {mark}",
            asked_at=timezone.now(),
            asked_by=addressee,
        ),
        extension=ExtensionRequest.objects.create(
            enrollment=enrollment,
            enroll_by=enrollment.enroll_by,
            text=f"Late {mark}",
            asked_at=timezone.now(),
            asked_by=addressee,
        ),
        batch=_batch_of(enrollment, by=addressee),
        # The same file twice is one.
        value_import=keep_file([b"A,B\n1,2\n"], by=None).value_import,
    )


def _of_program(terms) -> dict:
    """What operators write of a program; it is nobody's in particular."""
    whose = {"program": terms.program, "fiscal_year": terms.fiscal_year}
    return {
        "program": terms.program,
        "calendar": terms.fiscal_year.calendar,
        "criterion": Criterion.objects.first() or CriterionFactory(),
        "terms_version": terms.versions.first() or TermsVersionFactory(terms=terms),
        "terms_draft": TermsDraft.objects.filter(**whose).first()
        or TermsDraftFactory(**whose),
        "guide": GuideFile.objects.filter(**whose).first() or GuideFileFactory(**whose),
    }


def _somebody(mark: str):
    return UserFactory(full_name=f"Some Body {mark}")


@shared
def made(db):
    """The cast, signed in, and one of everything here, there and abroad: made once."""
    nordvik, program = cast.nordvik(), cast.program()
    goteborg, malmo = cast.goteborg(nordvik), cast.malmo(nordvik)
    people = vars(cast.everybody(nordvik, goteborg))
    terms = ProgramTermsFactory(program=program)
    open_terms = ProgramTermsFactory(open_to_all=True)
    AgreementFactory(partner_account=nordvik)
    people["revoked"] = RoleAssignmentFactory(
        user=UserFactory(full_name="Ravi Revoked", email="ravi@partner.example"),
        partner_account=nordvik,
        location=goteborg,
        revoked_at=timezone.now(),
    ).user
    people["reader"] = cast.operator("Rea Reader", "Reader")
    people["iris"] = cast.operator("Iris Identity", "Identity manager")
    people["aino"] = cast.operator("Aino Approver", "Approver")
    people["gone"] = UserFactory(full_name="Gus Gone", email="gus@partner.example")
    MembershipFactory(user=people["gone"], partner_account=nordvik)
    abroad = LocationFactory(
        country="DE",
        name=f"Ort {CANARY}",
        partner_account__name=f"{CANARY} GmbH",
        partner_account__legal_name=f"{CANARY} GmbH",
    )
    cookies = {"nobody": SimpleCookie()}
    for name, person in people.items():
        client = Client()
        client.force_login(person)
        # Noted now, the session's use is not noted again in every cell.
        client.get(reverse("own:account"))
        cookies[name] = client.cookies
    User.objects.filter(pk=people["gone"].pk).update(is_active=False)
    return types.SimpleNamespace(
        people=people,
        cookies=cookies,
        program=program,
        own=_objects(goteborg, terms, open_terms, addressee=people["ida"], mark="here"),
        other=_objects(malmo, terms, open_terms, addressee=UserFactory(), mark="there"),
        foreign=_objects(
            abroad, terms, open_terms, addressee=_somebody(CANARY), mark=CANARY
        ),
    )


@pytest.fixture
def world(made):
    """The same, with a browser for each of them."""
    made.clients = {name: Client() for name in made.cookies}
    for name, client in made.clients.items():
        client.cookies = made.cookies[name]
    return made


def _path(name: str, row, target: str, world) -> str:
    address = ADDRESSES[name]
    if not address.parts:
        return reverse(name)
    if target == "missing":
        sample = getattr(world.own, row.on).pk
        missing = {int: 99_999_999, uuid.UUID: uuid.uuid4(), str: "9999-9999"}
        return reverse(name, kwargs={address.parts[0]: missing[type(sample)]})
    return reverse(
        name, kwargs={address.parts[0]: getattr(getattr(world, target), row.on).pk}
    )


def _expected(row, person: str, target: str) -> str:
    if person in NOBODY:
        return "sent to sign in"
    if row.yes == EVERYBODY:
        return "done"
    is_operator_page = any(one in OPERATORS for one in row.yes)
    if is_operator_page:
        if person not in OPERATORS:
            return "hidden"
        if person in row.no:
            return "refused"
        return "hidden" if target == "missing" else "done"
    if person in OPERATORS:
        return "led to the operators' pages" if row.yes == PARTNERS else "hidden"
    if not row.on:
        return "done" if person in row.yes else "refused"
    reaches = {
        "own": person in (*row.yes, *row.no),
        # Whoever works for the whole company reaches its other locations too.
        "other": person in (*row.yes, *row.no) and person in ("greta", "alice", "uma"),
        "foreign": False,
        "missing": False,
    }
    if not reaches[target]:
        return "hidden"
    return "done" if person in row.yes else "refused"


def _answer(response) -> str:
    if response.status_code == 302 and response["Location"].startswith(
        (reverse("account_login"), reverse("admin:login"))
    ):
        return "sent to sign in"
    if response.status_code == 302 and response["Location"].startswith(
        reverse("own:second_factor")
    ):
        return "sent to show a second factor"
    if response.status_code == 302 and response["Location"] == reverse("ops:today"):
        return "led to the operators' pages"
    if response.status_code in DONE:
        return "done"
    return {403: "refused", 404: "hidden", 405: "wrong method"}.get(
        response.status_code, f"status {response.status_code}"
    )


def _targets(name: str, row) -> tuple[str, ...]:
    if not ADDRESSES[name].parts:
        return ("own",)
    if any(one in OPERATORS for one in row.yes):
        return ("own", "missing")
    if row.is_company_wide:
        return ("own", "foreign", "missing")
    return ("own", "other", "foreign", "missing")


class Matrix:
    """Asks one cell after the other, and remembers what was not as expected."""

    def __init__(self, world, monkeypatch):
        self.world = world
        self.kept = {name: one.cookies.output() for name, one in world.clients.items()}
        self.cells = 0
        self.faults = []
        self.canaries = 0
        # What the first of two pages said that have to say the same.
        self.words = {}
        # Who was refused at which address before the key in it was looked for.
        self.unsought = set()
        self.sparing = Sparing(monkeypatch)
        self.remembers = True

    def ask(self, person: str, method: str, path: str, *, draws=REFUSALS, writes=True):
        """Ask for one cell; what only refuses need not be drawn and told each time."""
        client = self.world.clients[person]
        client.cookies = SimpleCookie(self.kept[person].replace("Set-Cookie: ", ""))
        with self.cell(draws=draws, writes=writes):
            self.sparing.remembers = self.remembers
            self.sparing.is_blind = method == "HEAD"
            response = client.generic(method, path)
        if method == "HEAD" and response.streaming:
            # Nobody reads to its end what has no body; the connection stays open.
            for close in response._resource_closers:
                close()
        return response

    def ask_about(self, row, *asked, **options):
        """Ask for one cell; return the answer, and whether such a row was looked for."""
        table, key = f'"{row._meta.db_table}"', str(row.pk)
        sought = []

        def note(execute, sql, values, many, context):
            sought.append(table in sql or key in map(str, values or ()))
            return execute(sql, values, many, context)

        with connection.execute_wrapper(note):
            response = self.ask(*asked, **options)
        return response, any(sought)

    @contextmanager
    def cell(self, *, draws=REFUSALS, writes=True):
        """Count what is asked within, and undo what it did."""
        self.cells += 1
        self.sparing.draws, self.sparing.writes = draws, writes
        self.sparing.forget()
        with transaction.atomic():
            yield
            transaction.set_rollback(True)
        self.sparing.draws, self.sparing.writes = REFUSALS, True
        self.sparing.remembers = self.sparing.is_blind = False

    def hold(self, case: str, found, expected) -> None:
        if found != expected:
            self.faults.append(f"{case}: {found}, not {expected}")

    def look_for_canaries(self, case: str, person: str, response) -> None:
        """Operators see every company; nobody else sees a foreign one."""
        is_there = CANARY in _text(response)
        if person in OPERATORS:
            self.canaries += is_there
        elif is_there:
            self.faults.append(f"{case}: names a foreign company")


@pytest.fixture
def matrix(world, monkeypatch) -> Matrix:
    return Matrix(world, monkeypatch)


# Whose second look at another place would tell nothing new: they reach none at all.
EMPTY_HANDED = ("lars", "revoked", "gone")
# Operators whose groups tell only operators' pages apart.
ALIKE = frozenset(OPERATORS) - {"reader", "mina"}


# Those with the most addresses are two halves, so that no worker asks on alone.
HALVES = ("enrollment", "ops", "profiles")


def _app_of(part: str) -> str:
    return part.partition(" ")[0]


def _names_of(part: str) -> list[str]:
    """The addresses of an app; of a half, every other one."""
    app, _space, half = part.partition(" ")
    names = [name for name in TABLE if name.partition(":")[0] == app]
    return names[int(half) - 1 :: 2] if half else names


def _parts() -> set[str]:
    apps = {name.partition(":")[0] for name in TABLE}
    halves = {f"{app} {half}" for app in HALVES for half in (1, 2)}
    return apps - {*HALVES} | halves


def _page_cells(part: str) -> list[tuple[str, str, str, str]]:
    """Each address of a part with a target, a method and a person."""
    cells = []
    app = _app_of(part)
    for name in _names_of(part):
        row = TABLE[name]
        for target, method, person in product(
            _targets(name, row), row.methods, (*EVERYBODY, *NOBODY)
        ):
            is_asked = target == "own" or person not in EMPTY_HANDED
            # Elsewhere operators are alike: two of them ask.
            is_asked = is_asked and (app == "ops" or person not in ALIKE)
            # Who belongs to another company reaches no place here: asked about one.
            is_asked = is_asked and (target == "own" or person != "sam")
            if target == "missing" and is_asked:
                # Operators reach every place: one of them asks for what is nowhere.
                is_asked = person in (*WATCHED, row.yes[0])
            if is_asked:
                cells.append((name, target, method, person))
        # Of methods that nothing is for, one tells each of these of the others.
        for person, unused in ((row.yes[0], "PUT"), ("nobody", "DELETE")):
            others = sorted({"GET", "POST", "HEAD", unused} - set(row.methods))
            cells += [(name, "otherwise", method, person) for method in others]
    return cells


# Those with the most cells begin.
PARTS = sorted(_parts(), key=lambda part: (-len(_page_cells(part)), part))
TOKEN_METHODS = (*METHODS, "HEAD", "OPTIONS", "TRACE")
HOLDERS = ("own", "foreign")
# Whom the door turns away, before it looks at what is asked for.
KEYLESS = ("revoked", "made up", "nobody", "greta", "mina")


def _token_cells() -> list[tuple[str, str, str, str]]:
    """Each address of a directory with a target, a method and who asks."""
    cells = []
    for name, (_methods, on) in TOKEN.items():
        targets = ("own", "foreign", "missing") if on else ("own",)
        asked = [*product(targets, TOKEN_METHODS, HOLDERS)]
        asked += product(("own",), METHODS, KEYLESS)
        cells += [(name, *one) for one in asked]
    return cells


def test_every_row_is_in_one_part():
    assert sorted(name for part in PARTS for name in _names_of(part)) == sorted(TABLE)


def test_there_are_thousands_of_cells(world):
    # Those about other objects, which some need not ask, are not counted.
    pages = [cell for part in PARTS for cell in _page_cells(part)]
    pages = [cell for cell in pages if cell[1] not in ELSEWHERE]

    cells = len(pages) + len(_record_cells(world)) + len(_token_cells())

    # What operators may do with each record comes on top, in test_admin_permissions.py.
    assert cells >= LEAST_CELLS


@pytest.mark.parametrize("part", PARTS)
def test_each_person_gets_exactly_what_the_table_says(part, matrix):
    for name, target, method, person in _page_cells(part):
        if target in ELSEWHERE and (name, method, person) in matrix.unsought:
            continue
        path = _path(
            name, TABLE[name], "own" if target == "otherwise" else target, matrix.world
        )
        if target == "otherwise":
            _ask_otherwise(matrix, name, person, method, path)
        else:
            _ask_for_page(matrix, name, person, method, path, target)

    assert matrix.faults == []
    # The control: operators see the foreign company.
    assert bool(matrix.canaries) == (_app_of(part) == "ops")


def test_of_the_admin_site_partners_see_their_own_records(matrix):
    """Nobody but Global admins has any; theirs are test_admin_permissions.py's."""
    _ask_for_records(matrix)

    assert matrix.faults == []
    assert matrix.cells > 1_000


def test_a_token_opens_its_own_companys_door(matrix):
    """A session opens none, another company's token no other."""
    _ask_by_directories(matrix)

    assert matrix.faults == []


def _ask_for_page(matrix, name, person, method, path, target) -> None:
    case = f"{person} {method} {name} on {target}"
    is_compared = target in ("foreign", "missing") and person in WATCHED
    draws = REFUSALS if is_compared else ONLY_FORBIDDEN
    asked, options = (person, method, path), {"draws": draws}
    is_first = method == TABLE[name].methods[0] and target in ("own", "foreign")
    options["writes"] = person in TOLD_OF and is_first
    row = getattr(matrix.world.own, TABLE[name].on, None)
    if target == "own" and row is not None:
        response, is_sought = matrix.ask_about(row, *asked, **options)
        if not is_sought and _answer(response) != "done":
            matrix.unsought.add((name, method, person))
    else:
        response = matrix.ask(*asked, **options)
    answer = _answer(response)
    matrix.hold(case, answer, _expected(TABLE[name], person, target))
    matrix.look_for_canaries(case, person, response)
    # Pages, also those that come back with what was wrong.
    if target == "own" and answer == "done" and response.status_code in (200, 422):
        matrix.hold(case, faults_of(_text(response)), [])
    if answer in ("refused", "hidden"):
        matrix.hold(f"{case} is noted", matrix.sparing.is_noted, True)
    if answer == "refused":
        # What the page is made of; and the page, the first time.
        told = [getattr(matrix.sparing.refusal, "sentence", ""), _text(response)]
        matrix.hold(
            f"{case} says what is missing",
            [bool(MISSING.search(words)) for words in told if words],
            [True for words in told if words] or [True],
        )
    if is_compared:
        # R16: no oracle, byte by byte.
        first = matrix.words.setdefault((person, method, name), _said(response))
        matrix.hold(f"{case}, in words", _said(response) == first, True)


def _ask_otherwise(matrix, name, person, method, path) -> None:
    """Other methods do nothing; looking at what can be done leads somewhere else."""
    row = TABLE[name]
    response = matrix.ask(person, method, path, draws=frozenset(), writes=False)
    expected = _expected(row, person, "own")
    if expected == "done" and method not in ("GET", "HEAD"):
        expected = "wrong method"
    elif expected == "done" and "GET" not in row.methods:
        matrix.hold(f"{person} {method} {name}", response.status_code, 302)
    matrix.hold(f"{person} {method} {name}", _answer(response), expected)


def _ask_for_records(matrix: Matrix) -> None:
    for cell in _record_cells(matrix.world):
        _ask_for_record(matrix, *cell)


def _record_cells(world) -> list[tuple[str, str, str, str, str]]:
    """Each address of the admin site with a person, a method, its path and a target."""
    nowhere = reverse("admin:index") + "no/such/record/"
    asked = [(name, "", path) for name, path in _admin_paths("none", world)]
    asked.append(("admin:nowhere", "", nowhere))
    # A record's own address without a page, which has no name.
    asked += [
        (f"{name} of nothing", "", f"{path}98765432/")
        for name, _target, path in asked
        if "changelist" in name
    ]
    for target in ("own", "foreign", "missing"):
        asked += [(name, target, path) for name, path in _admin_paths(target, world)]
    cells = []
    for name, target, path in asked:
        looking, posting = PARTNERS_AND_NOBODY, ("greta", "sam", "nobody")
        if target in ("foreign", "missing"):
            looking, posting = ("greta", "ida", "nobody"), ("greta",)
        if name in PAGES_OF_RECORDS:
            # test_admin_permissions.py asks these for Global admins.
            looking, posting = ({*whom} - {"greta"} for whom in (looking, posting))
        cells += [(name, person, "GET", path, target) for person in looking]
        cells += [(name, person, "POST", path, target) for person in posting]
    return cells


def _ask_for_record(matrix, name, person, method, path, target) -> None:
    case = f"{person} {method} {name} on {target}"
    draws = REFUSALS if person == "greta" else frozenset()
    response = matrix.ask(person, method, path, draws=draws, writes=person in TOLD_OF)
    matrix.look_for_canaries(case, person, response)
    if person in NOBODY:
        matrix.hold(case, _answer(response), "sent to sign in")
    elif person != "greta":
        matrix.hold(case, _answer(response), "hidden")
    elif target and not _is_record_of_partners(name):
        matrix.hold(case, _answer(response) in ("hidden", "refused"), True)
    elif target in ("foreign", "missing"):
        # R16: what is refused to all is refused before anything is looked for.
        said = (_answer(response), _said(response))
        matrix.hold(case, said[0] in ("hidden", "refused"), True)
        first = matrix.words.setdefault((method, name), said)
        matrix.hold(f"{case}, in words", said == first, True)
    elif (target, method) == ("own", "GET") and name.endswith(("_change", "_history")):
        matrix.hold(case, _answer(response), "done")


def _is_record_of_partners(name: str) -> bool:
    return name.removeprefix("admin:").startswith(
        tuple(f"{label.replace('.', '_')}_" for label in PARTNERS_RECORDS)
    )


def _admin_paths(target: str, world) -> list[tuple[str, str]]:
    """Every address of the admin site that names such a thing, from the URLconf."""
    keys = {
        f"{model._meta.app_label}_{model._meta.model_name}": _key_of(
            model._meta.label_lower, target, world
        )
        for model in admin.site._registry
    }
    paths = []
    for address in every_address():
        name = address.name
        if not name.startswith("admin:") or re.search("[(<]", name):
            continue
        if name == "admin:app_list":
            labels = {key.partition("_")[0] for key in keys}
            found = [reverse(name, args=[label]) for label in sorted(labels)]
            paths += [(name, path) for path in found if target == "none"]
        elif not address.parts:
            paths += [(name, reverse(name))] if target == "none" else []
        elif target != "none":
            record = name.removeprefix("admin:").rsplit("_", 1)[0]
            key = keys.get(record, 98_765_432 if target == "missing" else None)
            if key is not None:
                part = address.parts[0]
                paths.append((name, reverse(name, kwargs={part: key})))
    return paths


def _key_of(label: str, target: str, world):
    """The key of such a record there, if the world has one."""
    if target in ("none", "missing"):
        return 98_765_432
    place = getattr(world, target)
    rows = {
        "accounts.user": place.role.user,
        "accounts.partneraccount": place.location.partner_account,
        "accounts.roleassignment": place.role,
        "accounts.location": place.location,
        "accounts.outgoingemail": place.mail,
        "enrollment.enrollment": place.enrollment,
        "profiles.bankprofile": place.bank_profile,
        "profiles.taxprofile": place.tax_profile,
        "profiles.defaultbankprofile": place.default,
    }
    return rows[label].pk if label in rows else None


def _ask_by_directories(matrix: Matrix) -> None:
    world = matrix.world
    own, foreign = world.own.location, world.foreign.location
    revoked, secrets = None, {}
    for holder, account in (
        ("own", own.partner_account),
        ("foreign", foreign.partner_account),
        ("revoked", own.partner_account),
    ):
        revoked, secrets[holder] = create_provisioning_token(
            account, name=f"Matrix {holder}", by=None
        )
    revoke_provisioning_token(revoked, by=None)
    clients = {
        holder: Client(headers={"Authorization": f"Bearer {secret}"})
        for holder, secret in (secrets | {"made up": "scim_x"}).items()
    }
    clients |= {name: world.clients[name] for name in ("nobody", "greta", "mina")}
    world.rows = {
        "person": {
            "own": world.people["lars"].memberships.get(),
            "foreign": world.foreign.member,
        },
        "group": {"own": world.own.group, "foreign": world.foreign.group},
    }
    for name, target, method, holder in _token_cells():
        methods, on = TOKEN[name]
        case = f"{holder} {method} {name} on {target}"
        with matrix.cell(writes=holder == "own"):
            response = ask_by_token(
                clients[holder], method, token_path_of(name, world, target)
            )
        is_told = method in methods or (method == "HEAD" and "GET" in methods)
        expected = _expected_by_token(holder, target, name, is_told)
        matrix.hold(case, _status_by_token(response), expected)
        if expected == "unknown":
            asks_for_key = response.get("WWW-Authenticate", "").startswith("Bearer")
            matrix.hold(f"{case} asks for the key", asks_for_key, True)
        if (holder, expected) == ("own", "done") and on and method in methods:
            matrix.hold(f"{case} is done", response.status_code in (200, 204), True)
        if holder != "foreign":
            matrix.look_for_canaries(case, holder, response)
        if holder == "own" and target in ("foreign", "missing"):
            # R16: no oracle, byte by byte.
            first = matrix.words.setdefault((method, name), response.content)
            matrix.hold(f"{case}, in words", response.content == first, True)


def _expected_by_token(holder: str, target: str, name: str, is_told: bool) -> str:
    if holder not in ("own", "foreign"):
        return "unknown"
    if not is_told:
        return "wrong method"
    if name == "scim:elsewhere":
        return "hidden"
    is_there = not TOKEN[name][1] or target == holder
    return "done" if is_there else "hidden"


def _status_by_token(response) -> str:
    words = {401: "unknown", 404: "hidden", 405: "wrong method", 500: "broken"}
    return words.get(response.status_code, "done")


def test_looking_at_what_can_be_done_leads_to_a_page(matrix):
    # A language chosen under an error, or a sign-in after the session's end, asks for
    # the address of the step itself.
    seen = set()
    for name, row in TABLE.items():
        if "GET" in row.methods:
            continue
        client = matrix.world.clients[row.yes[0]]
        path = _path(name, row, "own", matrix.world)
        asked = {"language": "sv", "next": path}

        with matrix.cell():
            chosen = client.post(reverse("set_language"), asked)
            looked = client.get(path)
            page = (row.yes[0], looked["Location"])
            # Many lead to the same page, which is drawn once for each person.
            response = client.get(page[1], follow=True) if page not in seen else None

        matrix.hold(name, (chosen.status_code, chosen["Location"]), (302, path))
        matrix.hold(name, looked.status_code, 302)
        matrix.hold(name, page[1] != path, True)
        if response is not None:
            matrix.hold(name, response.status_code, 200)
            matrix.hold(name, 'lang="sv"' in response.content.decode(), True)
        seen.add(page)
    assert matrix.faults == []
    assert len(seen) > 20


def test_a_post_without_the_token_is_refused(matrix):
    for name, row in TABLE.items():
        if "POST" not in row.methods:
            continue
        client = Client(enforce_csrf_checks=True)
        client.cookies = matrix.world.clients[row.yes[0]].cookies

        with matrix.cell():
            response = client.post(_path(name, row, "own", matrix.world))

        said = response.content
        matrix.hold(name, response.status_code, 403)
        matrix.hold(name, b"expired" in said or b"again" in said, True)
    assert matrix.faults == []


def test_the_matrix_would_notice_a_foreign_name(matrix):
    # The control of the canaries: shown to Ida, it is a fault; to Mina it is none.
    path = reverse("ops:validation")
    shown = matrix.ask("mina", "GET", path)
    matrix.look_for_canaries("mina", "mina", shown)
    assert (matrix.canaries, matrix.faults) == (1, [])

    matrix.look_for_canaries("ida", "ida", shown)

    assert matrix.faults == ["ida: names a foreign company"]


def test_who_is_refused_at_the_door_is_not_asked_about_other_objects(matrix):
    for name, method in (("ops:enrollment", "GET"), ("enrollment:detail", "GET")):
        path = _path(name, TABLE[name], "own", matrix.world)
        for person in ("ida", "sam", "oscar", "iris"):
            _ask_for_page(matrix, name, person, method, path, "own")

    assert matrix.faults == []
    assert {(name, person) for name, _method, person in matrix.unsought} == {
        ("ops:enrollment", "ida"),
        ("ops:enrollment", "sam"),
        ("ops:enrollment", "iris"),
        ("enrollment:detail", "oscar"),
        ("enrollment:detail", "iris"),
    }


def test_the_matrix_would_notice_a_refusal_that_nobody_notes(matrix, monkeypatch):
    # The control.
    monkeypatch.setattr(access, "note_refused_request", lambda request, refusal: None)

    _ask_for_page(matrix, "ops:today", "ida", "GET", reverse("ops:today"), "own")

    assert matrix.faults == ["ida GET ops:today on own is noted: False, not True"]


def test_what_is_remembered_changes_no_answer(matrix):
    cells = [cell for part in PARTS for cell in _page_cells(part)]
    for name, target, method, person in cells[::67]:
        path = _path(
            name, TABLE[name], "own" if target == "otherwise" else target, matrix.world
        )
        said = []
        # Pages say how many seconds ago something was: the clock stands still.
        with travel(timezone.now(), tick=False):
            for matrix.remembers in (False, True, True):
                response = matrix.ask(person, method, path)
                # Of pages that refuse only the first is drawn.
                is_page = response.status_code in (200, 422)
                words = _words_of(response) if is_page else response.get("Location", "")
                said.append((response.status_code, words))
        matrix.hold(f"{person} {method} {name} on {target}", said[1:], said[:1] * 2)

    assert matrix.faults == []


def test_a_cell_leaves_the_world_as_it_was(matrix):
    role = matrix.world.own.role
    path = reverse("accounts:revoke", kwargs={"pk": role.pk})

    answers = [_answer(matrix.ask("greta", "POST", path)) for _twice in range(2)]

    role.refresh_from_db()
    assert answers == ["done", "done"]
    assert role.revoked_at is None


def _text(response) -> str:
    if response.streaming:
        return b"".join(response.streaming_content).decode()
    return response.content.decode(errors="replace")


def _words_of(response) -> str:
    """What a page says, without what is made anew for each answer."""
    return re.sub(r'(value|nonce|content)="[^"]*"', r"\1", _text(response))


def _said(response) -> str:
    """What the page says, without the asked address and the token of the moment."""
    text = response.content.decode().replace(response.request["PATH_INFO"], "ADDRESS")
    return re.sub(r'(name="csrfmiddlewaretoken" value=)"\w+"', r"\1TOKEN", text)


def test_the_matrix_would_notice_a_missing_scope(world, monkeypatch):
    # The control: without the scope, a stranger opens the enrollment.
    path = _path("enrollment:detail", TABLE["enrollment:detail"], "own", world)
    assert world.clients["sam"].get(path).status_code == 404

    monkeypatch.setattr(
        type(world.own.enrollment).objects._queryset_class,
        "where_roles",
        lambda self, roles, user: self,
    )

    assert world.clients["sam"].get(path).status_code == 200


def test_a_role_that_ends_ends_the_next_request(world):
    # R8; T5
    ida = world.people["ida"]
    path = reverse("enrollment:overview")
    assert world.clients["ida"].get(path).status_code == 200

    RoleAssignment.objects.filter(user=ida).update(revoked_at=timezone.now())

    assert world.clients["ida"].get(path).status_code == 403


def test_a_role_past_its_last_day_ends_the_next_request(world):
    ida = world.people["ida"]
    path = reverse("enrollment:overview")
    RoleAssignment.objects.filter(user=ida).update(ends_on="2020-01-01")

    assert world.clients["ida"].get(path).status_code == 403


def test_a_role_for_one_program_reaches_no_other(world):
    # R9
    ida, program = world.people["ida"], world.program
    other = ProgramTermsFactory()
    enrollment = EnrollmentFactory(location=world.own.location, terms=other)
    RoleAssignment.objects.filter(user=ida).update(program=program)

    assert world.clients["ida"].get(enrollment.get_absolute_url()).status_code == 404
    own = world.own.enrollment.get_absolute_url()
    assert world.clients["ida"].get(own).status_code == 200


def test_a_role_for_the_whole_company_reaches_later_locations(world):
    # R10
    later = LocationFactory(partner_account=world.own.location.partner_account)
    uma = world.people["uma"]

    reached = Location.objects.where_roles({Role.INCENTIVES_USER}, user=uma)

    assert later in reached


# Whose roles reach bank or tax data, other people's roles, or approvals (T7).
GUARDED_PEOPLE = {"greta", "alice", "ida", *OPERATORS}


def _wall_answers(matrix) -> dict[str, bool]:
    """For each page that asks for a right: whether the wall answers instead of it."""
    answers = {}
    for name, row in TABLE.items():
        if ADDRESSES[name].view.access.kind not in ("requires", "operator"):
            continue
        path = _path(name, row, "own", matrix.world)
        for person in sorted(GUARDED_PEOPLE & set(row.yes)):
            for method in row.methods:
                answer = _answer(matrix.ask(person, method, path))
                is_wall = answer == "sent to show a second factor"
                answers[f"{person} {method} {name}"] = is_wall
    return answers


def test_whoever_reaches_much_meets_the_wall_at_every_page(matrix, settings):
    # The control is the matrix: without the policy none of them is sent there.
    settings.SECOND_FACTOR_REQUIRED = True

    answers = _wall_answers(matrix)

    assert len(answers) > 150
    assert [case for case, is_wall in answers.items() if not is_wall] == []


def test_the_admin_is_behind_the_wall_with_every_page(world, settings):
    settings.SECOND_FACTOR_REQUIRED = True
    names = [
        address.name
        for address in every_address()
        if re.fullmatch(r"admin:\w+", address.name) and not address.parts
    ]

    apart = {"admin:login", "admin:logout", "admin:app_list"}

    for person in ("greta", "oscar", "mina"):
        for name in sorted({*names} - apart):
            response = world.clients[person].get(reverse(name))
            if person == "greta" and response.status_code == 404:
                continue  # It is nothing a Global admin has.
            assert response.status_code == 302, f"{person} {name}"
            assert response["Location"].startswith(reverse("own:second_factor")), name
    assert len(names) > 20
