"""The life of a version: what may follow what, and that nobody goes through it alone."""

from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from accounts.tests.factories import (
    LocationFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from accounts.tests.tries import tries
from profiles import services
from profiles.models import BankProfileVersion, TaxProfileVersion
from profiles.services import (
    approve_version,
    create_bank_profile,
    create_tax_profile,
    return_version,
    revise_bank_profile,
    versions,
)
from profiles.states import CANDIDATE, CURRENT, SHOWN, TRANSITIONS, ProfileStatus
from profiles.tests.factories import (
    BANK_DETAILS,
    TAX_DETAILS,
    BankProfileFactory,
    TaxProfileFactory,
)
from profiles.tests.service_modules import replace_everywhere

ACCOUNTS = (
    BANK_DETAILS["iban"],
    "SE4550000000058398257466",
    "SE7280000810340009783242",
)
REASON = [{"field": "street", "code": "ADDRESS_PO_BOX", "note": ""}]
ALLOWED = {
    ("pending", "cooling"),
    ("pending", "stopped"),
    ("cooling", "stopped"),
    ("cooling", "approved"),
    ("cooling", "action_required"),
    ("cooling", "replaced"),
    ("stopped", "pending"),
    ("stopped", "cooling"),
    ("stopped", "action_required"),
    ("stopped", "replaced"),
    ("pending", "approved"),
    ("pending", "action_required"),
    ("pending", "replaced"),
    ("approved", "action_required"),
    ("approved", "replaced"),
    ("action_required", "replaced"),
}


@pytest.mark.parametrize("model", [BankProfileVersion, TaxProfileVersion])
@pytest.mark.parametrize("before", ProfileStatus.values)
@pytest.mark.parametrize("after", ProfileStatus.values)
def test_a_version_can_become_what_the_specification_says(model, before, after):
    version = model(status=before)

    assert version.can_become(ProfileStatus(after)) is ((before, after) in ALLOWED)


def test_every_status_says_what_follows_and_how_it_is_shown():
    assert set(TRANSITIONS) == set(ProfileStatus)
    assert set(ProfileStatus.values) < set(SHOWN)
    assert set(CURRENT) == {*CANDIDATE, ProfileStatus.APPROVED}


@pytest.mark.django_db
@pytest.mark.parametrize("make", [BankProfileFactory, TaxProfileFactory])
@pytest.mark.parametrize("before", ProfileStatus.values)
@pytest.mark.parametrize("after", ProfileStatus.values)
def test_no_service_goes_where_the_table_does_not(make, before, after, oscar):
    """The one line that writes a status refuses what is not in the table."""
    cooling = make == BankProfileFactory and (before, after) == ("pending", "cooling")
    version = make(
        version__status=before,
        version__returned=REASON if before == "action_required" else [],
        **({"version__usable_from": timezone.now()} if cooling else {}),
    ).versions.get()
    if (before, after) in ALLOWED:
        version.returned = REASON if after == "action_required" else version.returned
        if after in ("approved", "cooling") and version.part == "bank":
            version.approved_at = version.seconded_at = timezone.now()
            version.seconded_by = UserFactory(operator=True)
            version.seconded_digest = "0" * 64
        version.save()
        versions.move(version, ProfileStatus(after), by=oscar)
        version.refresh_from_db()
        assert version.status == after
    else:
        with pytest.raises(ValidationError, match="cannot change that way"):
            versions.move(version, ProfileStatus(after), by=oscar)
        version.refresh_from_db()
        assert version.status == before


# --- No sequence of one person's steps changes where money goes (security.md T1) ----------


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("revise"), st.integers(0, 1), st.sampled_from(ACCOUNTS)),
        st.tuples(st.just("approve"), st.integers(0, 3), st.integers(0, 5)),
        st.tuples(st.just("return"), st.integers(0, 3), st.integers(0, 5)),
    ),
    max_size=12,
)


class AnySequenceOfSteps(TestCase):
    """Two partners, two operators; partners may even call the operators' services."""

    @settings(max_examples=tries(24), deadline=None)
    @given(steps=STEPS)
    def test_what_is_in_force_was_sent_and_decided_by_enough_people(self, steps):
        people = [UserFactory(), UserFactory()]
        for _number in range(2):
            people.append(UserFactory(operator=True))
            people[-1].groups.set(
                Group.objects.filter(name__in=["Validator", "Approver"])
            )
        account = LocationFactory().partner_account
        for person in people[:2]:
            RoleAssignmentFactory(user=person, partner_account=account)
        profile = create_bank_profile(
            account,
            name="Account",
            country="SE",
            details=BANK_DETAILS,
            by=people[0],
        )
        for step, person, about in steps:
            by = people[person]
            try:
                if step == "revise":
                    revise_bank_profile(
                        profile,
                        country="SE",
                        details={**BANK_DETAILS, "iban": about},
                        by=by,
                    )
                else:
                    versions = list(profile.versions.order_by("number"))
                    version = versions[about % len(versions)]
                    if step == "approve":
                        approve_version(version, by=by)
                    else:
                        return_version(version, returned=REASON, by=by)
            except ValidationError:
                pass
            self.holds(profile)

    def holds(self, profile):
        """Check what must be true after every step."""
        versions = list(profile.versions.order_by("number"))
        in_force = [version for version in versions if version.is_approved]
        candidates = [version for version in versions if version.is_candidate]
        assert len(in_force) <= 1
        assert len(candidates) <= 1
        assert in_force or candidates
        if not in_force:
            return
        now = in_force[0]
        assert now.decided_by_id != now.submitted_by_id
        earlier = [one for one in versions if one.approved_at and one != now]
        if not earlier or earlier[-1].blind_index != now.blind_index:
            hands = {now.submitted_by_id, now.seconded_by_id, now.decided_by_id}
            assert None not in hands
            assert len(hands) == 3


# --- One person, thirty steps, and all the time in the world ------------------------------


ONE_PERSONS_STEPS = st.lists(
    st.sampled_from(
        [
            "revise", "holder", "approve", "approve", "return", "stop", "stop by link", "check",
            "release", "withdraw", "default", "clock",
        ]
    ),
    min_size=12,
    max_size=30,
)  # fmt: skip
EVIDENCE = "Called the contact on the number that we have had for years."


@shared
def lone_people(ida):
    """Who could try, as (who sends, who decides).

    An admin of the company with every step; and an operator with every right, with
    whatever an admin sends: one alone on the program owner's side.
    """
    operator = UserFactory(operator=True)
    operator.groups.set(Group.objects.filter(name__in=["Validator", "Approver"]))
    return {"admin": (ida, ida), "operator": (ida, operator)}


def take(step: str, profile, location, *, sender, by) -> None:
    """Take one step, past every page; what is refused changes nothing."""
    newest = profile.versions.order_by("-number").first()
    other = {"iban": ACCOUNTS[1]}
    if step == "holder":
        other = {"account_holder": "Mule Ltd"}
    services_of = {
        "approve": partial(approve_version, newest, by=by),
        "return": partial(return_version, newest, returned=REASON, by=by),
        "stop": partial(services.stop_change, newest, by=sender),
        "stop by link": partial(services.stop_change, newest, by=None),
        "check": partial(
            services.check_stopped_change, newest, evidence=EVIDENCE, by=by
        ),
        "release": partial(services.release_change, newest, by=by),
        "withdraw": partial(services.withdraw_change, newest, by=sender),
        "default": partial(
            services.set_default_bank_profile,
            [location],
            bank_profile=profile,
            currency="SEK",
            by=sender,
        ),
        "clock": partial(services.bring_changes_into_force, at=timezone.now()),
    }
    changed = partial(
        revise_bank_profile,
        profile,
        country="SE",
        details=BANK_DETAILS | other,
        by=sender,
        at=timezone.now() - timedelta(days=4),
    )
    with suppress(ValidationError, IntegrityError), transaction.atomic():
        services_of.get(step, changed)()


def try_alone(sender, by, *, at, most: int) -> None:
    """Let chance choose the steps; fail where the money would go elsewhere."""

    @settings(max_examples=most, deadline=None, database=None, phases=[Phase.generate])
    @given(steps=ONE_PERSONS_STEPS)
    def steps_of_one(steps):
        # Each list begins anew: an account that was stopped once stays stopped.
        with transaction.atomic():
            profile = BankProfileFactory(partner_account=at.partner_account)
            for step in steps:
                take(step, profile, at, sender=sender, by=by)
            services.bring_changes_into_force(at=timezone.now())
            (first,) = profile.versions.filter(number=1)
            in_force = profile.versions.filter(status="approved").first() or first
            transaction.set_rollback(True)
        assert in_force == first

    steps_of_one()


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["admin", "operator"])
def test_no_thirty_steps_of_one_person_make_a_changed_account_usable(
    who, lone_people, goteborg
):
    # security.md T1
    try_alone(*lone_people[who], at=goteborg, most=tries(4))


@pytest.mark.django_db
@pytest.mark.long
def test_without_the_rule_of_the_second_person_they_do(
    lone_people, goteborg, monkeypatch
):
    """The control: neither the service asks for somebody else nor does the table."""
    replace_everywhere(monkeypatch, "check_second_person", lambda *_, **__: None)
    with connection.cursor() as cursor:
        for name in ("four_eyes", "six_eyes_on_a_change", "change_takes_two"):
            cursor.execute(
                "ALTER TABLE profiles_bankprofileversion "
                f"DROP CONSTRAINT profiles_bankprofileversion_{name}"
            )

    with pytest.raises(AssertionError):
        try_alone(*lone_people["operator"], at=goteborg, most=100)


@pytest.mark.django_db
def test_one_person_alone_brings_no_account_into_force(ida, nordvik):
    """Not even with every service at hand: sending and deciding take two."""
    profile = create_bank_profile(
        nordvik, name="Mine", country="SE", details=BANK_DETAILS, by=ida
    )

    for decide in (
        lambda version: approve_version(version, by=ida),
        lambda version: return_version(version, returned=REASON, by=ida),
    ):
        with pytest.raises(ValidationError, match="Somebody else has to decide it"):
            decide(profile.versions.get())

    assert profile.versions.get().is_pending


@pytest.mark.django_db
def test_a_tax_profile_needs_one_operator(ida, goteborg, oscar):
    profile = create_tax_profile(
        goteborg, name="SE", country="SE", details=TAX_DETAILS, by=ida
    )

    approve_version(profile.versions.get(), by=oscar)

    assert profile.versions.get().is_approved
