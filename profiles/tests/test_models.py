"""What the database refuses, whoever asks: each guarantee is broken once."""

import base64
import datetime
from importlib import import_module

import pytest
from django.apps import apps
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from accounts.tests.canaries import WATCH
from accounts.tests.factories import LocationFactory, PartnerAccountFactory, UserFactory
from profiles.models import (
    BankChangeStop,
    BankProfile,
    BankProfileDraft,
    BankProfileVersion,
    DefaultBankProfile,
    PreparedPart,
    ReviewQuestion,
    TaxDocument,
    TaxProfile,
    TaxProfileDraft,
    TaxProfileVersion,
)
from profiles.tests.factories import (
    IBAN,
    BankProfileDraftFactory,
    BankProfileFactory,
    BankVersionFactory,
    DefaultBankProfileFactory,
    ReviewQuestionFactory,
    TaxDocumentFactory,
    TaxProfileDraftFactory,
    TaxProfileFactory,
    TaxVersionFactory,
)

pytestmark = pytest.mark.django_db

filling = import_module(
    "profiles.migrations.0022_tax_versions_there_say_whose_they_are"
)

VERSIONS = pytest.mark.parametrize(
    ("make_profile", "make_version", "table"),
    [
        (BankProfileFactory, BankVersionFactory, "profiles_bankprofileversion"),
        (TaxProfileFactory, TaxVersionFactory, "profiles_taxprofileversion"),
    ],
    ids=["bank", "tax"],
)


def refused(name: str):
    """The database says no, and this guarantee is the one that says it."""
    return pytest.raises(IntegrityError, match=name)


def change(row, **values):
    """Write straight to the table, past every service."""
    with transaction.atomic():
        type(row).objects.filter(pk=row.pk).update(**values)


def approval(version) -> dict:
    """What an approved bank version has besides, so that another guarantee speaks."""
    if version.part == "tax":
        return {}
    return {
        "approved_at": timezone.now(),
        "seconded_at": timezone.now(),
        "seconded_by": UserFactory(operator=True),
    }


def another_account() -> BankProfileVersion:
    """A waiting bank version of a company that was paid before; one operator is enough."""
    paid_before = BankProfileFactory()
    profile = BankProfileFactory(
        partner_account=paid_before.partner_account, version__pending=True
    )
    return profile.versions.get()


def execute(sql: str, values=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def at_once():
    """Check now what is otherwise checked at the end of the transaction."""
    execute("SET CONSTRAINTS ALL IMMEDIATE")


# --- Drafts ----------------------------------------------------------------------------


def test_each_person_begins_one_bank_profile_at_a_company():
    draft = BankProfileDraftFactory()
    BankProfileDraftFactory(partner_account=draft.partner_account)

    with refused("profiles_bankprofiledraft_one_for_each"):
        BankProfileDraftFactory(
            partner_account=draft.partner_account, created_by=draft.created_by
        )


def test_each_person_begins_one_change_of_a_bank_profile():
    draft = BankProfileDraftFactory()
    profile = BankProfileFactory(partner_account=draft.partner_account)
    change = {
        "partner_account": draft.partner_account,
        "profile": profile,
        "created_by": draft.created_by,
    }
    BankProfileDraftFactory(**change)
    with refused("profiles_bankprofiledraft_one_change_for_each"):
        BankProfileDraftFactory(**change)


def test_what_is_begun_lies_sealed():
    draft = BankProfileDraftFactory()

    with refused("profiles_bankprofiledraft_details_are_sealed"), transaction.atomic():
        execute(
            "UPDATE profiles_bankprofiledraft SET details = 'plain' WHERE id = %s",
            [draft.pk],
        )
    assert BankProfileDraft.objects.get().details["iban"] == IBAN


# --- Versions --------------------------------------------------------------------------


@VERSIONS
def test_a_version_has_a_known_status(make_profile, make_version, table):
    version = make_profile().versions.get()

    with refused(f"{table}_status_is_known"):
        change(version, status="fine")


@VERSIONS
def test_a_number_is_given_once(make_profile, make_version, table):
    profile = make_profile()

    with refused(f"{table}_numbered_once"), transaction.atomic():
        make_version(profile=profile, number=1, pending=True)


@VERSIONS
def test_one_version_is_in_force(make_profile, make_version, table):
    profile = make_profile()

    with refused(f"{table}_one_in_force"), transaction.atomic():
        make_version(profile=profile, number=2)


@VERSIONS
@pytest.mark.parametrize("second", ["pending", "was_returned"])
def test_one_version_waits_or_is_returned(make_profile, make_version, table, second):
    profile = make_profile(version__pending=True)

    with refused(f"{table}_one_candidate"), transaction.atomic():
        make_version(profile=profile, number=2, **{second: True})


@VERSIONS
def test_a_decision_has_a_person_and_a_moment(make_profile, make_version, table):
    version = make_profile(version__pending=True).versions.get()

    with refused(f"{table}_decision_is_paired"):
        change(version, decided_at=timezone.now())
    with refused(f"{table}_decision_is_paired"):
        change(version, decided_by=UserFactory(operator=True))


@VERSIONS
@pytest.mark.parametrize("status", ["approved", "action_required"])
def test_what_is_decided_was_decided_by_somebody(
    make_profile, make_version, table, status
):
    version = make_profile(version__pending=True).versions.get()

    with refused(f"{table}_decided_has_its_moment"):
        change(
            version,
            status=status,
            returned=[{"field": "street", "code": "OTHER"}],
            **approval(version),
        )


@VERSIONS
def test_nobody_decides_what_they_sent(make_profile, make_version, table):
    version = make_profile(version__pending=True).versions.get()

    with refused(f"{table}_four_eyes"):
        change(
            version,
            status="approved",
            decided_at=timezone.now(),
            decided_by=version.submitted_by,
            **approval(version),
        )


@VERSIONS
def test_a_returned_version_says_why(make_profile, make_version, table):
    version = make_profile(version__was_returned=True).versions.get()

    with refused(f"{table}_returned_has_a_reason"):
        change(version, returned=[])


@VERSIONS
def test_details_lie_sealed_in_the_table(make_profile, make_version, table):
    version = make_profile().versions.get()

    with (
        refused(f"{table}_details_are_sealed"),
        transaction.atomic(),
        WATCH.letting_out(),
    ):
        execute(
            f"UPDATE {table} SET details = %s WHERE id = %s",
            ['{"iban": "SE3550000000054910000003"}', version.pk],
        )


@VERSIONS
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("number", 9),
        ("country", "DE"),
        ("last4", "9999"),
        ("blind_index", "0" * 64),
        ("submitted_at", timezone.now() - datetime.timedelta(days=30)),
    ],
)
def test_a_sent_version_is_not_edited(make_profile, make_version, table, column, value):
    version = make_profile().versions.get()

    with refused("a version that was sent is not edited"):
        change(version, **{column: value})


@VERSIONS
def test_a_sent_version_stays_with_its_sender_and_profile(
    make_profile, make_version, table
):
    version = make_profile().versions.get()

    with refused("a version that was sent is not edited"):
        change(version, submitted_by=UserFactory())
    with refused("a version that was sent is not edited"):
        change(version, profile=make_profile(version=False))


@VERSIONS
def test_a_version_is_not_deleted(make_profile, make_version, table):
    version = make_profile().versions.get()

    with refused("versions of profiles are kept"), transaction.atomic():
        version.delete()


@VERSIONS
def test_only_a_new_key_may_seal_the_same_details(
    make_profile, make_version, table, settings
):
    version = make_profile().versions.get()
    before = dict(version.details)

    version.details = before
    with refused("a version that was sent is not edited"), transaction.atomic():
        version.save(update_fields=["details"])

    new_key = base64.urlsafe_b64encode(b"k" * 32).decode()
    settings.FIELD_ENCRYPTION_KEYS = f"new:{new_key},{settings.FIELD_ENCRYPTION_KEYS}"
    version.details = before
    version.save(update_fields=["details"])
    assert type(version).objects.get(pk=version.pk).details == before


def test_an_approved_account_keeps_the_moment_of_its_approval():
    version = another_account()

    with refused("bankprofileversion_approved_has_its_moment"):
        change(
            version,
            status="approved",
            decided_at=timezone.now(),
            decided_by=UserFactory(operator=True),
        )


def test_a_first_approval_has_a_person_and_a_moment():
    version = BankProfileFactory(version__pending=True).versions.get()

    with refused("bankprofileversion_first_approval_is_paired"):
        change(version, seconded_at=timezone.now())
    with refused("bankprofileversion_first_approval_is_paired"):
        change(version, seconded_by=UserFactory(operator=True))


def test_two_approvals_are_two_people():
    version = BankProfileFactory().versions.get()

    with refused("bankprofileversion_six_eyes_on_a_change"):
        change(version, seconded_at=timezone.now(), seconded_by=version.decided_by)


def test_who_sent_a_version_gives_no_first_approval():
    version = BankProfileFactory(version__pending=True).versions.get()

    with refused("bankprofileversion_six_eyes_on_a_change"):
        change(
            version,
            seconded_at=timezone.now(),
            seconded_by=version.submitted_by,
            seconded_digest="0" * 64,
        )


def test_a_first_approval_says_what_it_is_of():
    version = BankProfileFactory(version__pending=True).versions.get()
    first = {
        "seconded_at": timezone.now(),
        "seconded_by": UserFactory(operator=True),
    }

    with refused("bankprofileversion_first_approval_of_something"):
        change(version, **first)
    change(version, **first, seconded_digest="0" * 64)


@pytest.mark.parametrize(
    ("paid_before", "words"),
    [
        ("nowhere", "the first bank account of a company needs two operators"),
        ("elsewhere", "a further bank account of a company needs two operators"),
        ("here, put away", "a further bank account of a company needs two operators"),
        ("by this profile", "a change of a bank account needs two operators"),
    ],
)
def test_one_operator_brings_no_account_into_force_that_is_new(paid_before, words):
    # domain.md §10.7, in the database
    profile = BankProfileFactory(version=False)
    if paid_before == "by this profile":
        BankVersionFactory(profile=profile, status="replaced", blind_index="a" * 64)
    elif paid_before != "nowhere":
        other = BankProfileFactory(
            partner_account=profile.partner_account,
            **(
                {"version__blind_index": "a" * 64}
                if paid_before == "elsewhere"
                else {"archived_at": timezone.now(), "archived_by": UserFactory()}
            ),
        )
        assert other.versions.get().is_approved
    moment = timezone.now() if paid_before == "by this profile" else None
    version = BankVersionFactory(
        profile=profile, number=2, pending=True, usable_from=moment
    )
    alone = {
        "status": "approved",
        "decided_at": timezone.now(),
        "decided_by": UserFactory(operator=True),
        "approved_at": timezone.now(),
    }

    with refused(words):
        change(version, **alone)
    change(
        version,
        **alone,
        seconded_at=timezone.now(),
        seconded_by=UserFactory(operator=True),
        seconded_digest="0" * 64,
    )


# --- Changes cool off, and can be stopped (security.md T1) ---------------------------------


HOUR = datetime.timedelta(hours=1)


def approved_change(usable_from, **facts) -> BankProfileVersion:
    """A change of an account in force that two operators approved."""
    profile = BankProfileFactory()
    return BankVersionFactory(
        profile=profile,
        number=2,
        status="cooling",
        blind_index="a" * 64,
        usable_from=usable_from,
        submitted_at=usable_from - 72 * HOUR,
        **facts,
    )


def in_force(version, **values):
    """Put a version into force by plain SQL."""
    version.profile.versions.filter(status="approved").update(status="replaced")
    change(version, status="approved", approved_at=timezone.now(), **values)


def test_no_sql_makes_a_change_usable_before_its_time():
    soon = approved_change(timezone.now() + HOUR)

    with refused("not usable before its cooling-off is over"):
        in_force(soon)
    with refused("a version that was sent is not edited"):
        change(soon, usable_from=timezone.now() - HOUR)
    in_force(approved_change(timezone.now()))


def test_no_sql_lets_a_change_go_without_its_cooling_off():
    profile = BankProfileFactory(version__status="replaced")
    facts = {"profile": profile, "number": 2, "blind_index": "a" * 64}
    two = approval(profile.versions.get())

    with refused("a changed account has a cooling-off"), transaction.atomic():
        BankVersionFactory(**facts, **two)
    hasty = BankVersionFactory(**facts, pending=True)
    with refused("a changed account has a cooling-off"):
        decided = {"decided_at": timezone.now(), "decided_by": UserFactory()}
        change(hasty, status="approved", **decided, **two)


def test_a_cooling_off_ends_after_the_request_and_only_of_a_change():
    with refused("cooling_off_after_the_request"), transaction.atomic():
        BankVersionFactory(pending=True, usable_from=timezone.now() - HOUR)
    with refused("cooling_off_has_an_end"), transaction.atomic():
        BankVersionFactory(status="cooling", usable_from=None)


@pytest.mark.parametrize("status", ["cooling", "approved"])
def test_one_operator_approves_no_change_not_even_of_the_holder_alone(status):
    profile = BankProfileFactory(version__status="replaced")
    version = BankVersionFactory(
        profile=profile, number=2, pending=True, usable_from=timezone.now()
    )
    operator = UserFactory(operator=True)
    alone = {"decided_at": timezone.now(), "decided_by": operator}

    with refused("change_takes_two"):
        change(version, status=status, approved_at=timezone.now(), **alone)
    with refused("change_takes_two|six_eyes"):
        same = {"seconded_at": timezone.now(), "seconded_by": operator}
        change(version, status=status, approved_at=timezone.now(), **alone, **same)


def test_a_link_stops_one_change():
    BankVersionFactory(stop_sha256="b" * 64)

    with refused("link_stops_one"), transaction.atomic():
        BankVersionFactory(stop_sha256="b" * 64)


@pytest.fixture
def stop():
    """A change that would be in force now, had nobody stopped it."""
    version = approved_change(timezone.now())
    stop = BankChangeStop.objects.create(version=version)
    change(version, status="stopped")
    return stop


def checked(**facts) -> dict:
    by = UserFactory(operator=True)
    return {
        "checked_at": timezone.now(),
        "checked_by": by,
        "evidence": "Called",
    } | facts


def released(**facts) -> dict:
    by = UserFactory(operator=True)
    return {"released_at": timezone.now(), "released_by": by} | facts


def test_no_sql_brings_a_stopped_change_into_force_or_back(stop):
    with refused("comes into force for nobody"):
        in_force(stop.version)
    for status in ("pending", "cooling"):
        with refused("released by two operators"):
            change(stop.version, status=status)
    change(stop, **checked(), **released())
    change(stop.version, status="cooling")


def test_a_stop_is_released_by_two_after_a_check(stop):
    with refused("one_open"), transaction.atomic():
        BankChangeStop.objects.create(version=stop.version)
    with refused("released_after_a_check"):
        change(stop, **released())
    with refused("checked_with_evidence"):
        change(stop, **checked(evidence=""))
    one = UserFactory(operator=True)
    with refused("released_by_two"):
        change(stop, **checked(checked_by=one), **released(released_by=one))
    sender = stop.version.submitted_by
    with refused("who sent a change releases it for nobody"):
        change(stop, **checked(checked_by=sender))
    with refused("who sent a change releases it for nobody"):
        change(stop, **checked(), **released(released_by=sender))


def test_a_stop_is_kept_as_it_was_written(stop):
    with refused("stops of changes are kept"), transaction.atomic():
        stop.delete()
    at_once()
    with pytest.raises(DatabaseError, match="is not emptied"), transaction.atomic():
        execute("TRUNCATE profiles_bankchangestop")
    with refused("stops of changes are not edited"):
        change(stop, stopped_at=timezone.now() - HOUR)
    change(stop, **checked())
    with refused("stops of changes are not edited"):
        change(stop, **checked())


# --- Profiles ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "table"),
    [(BankProfileFactory, "bankprofile"), (TaxProfileFactory, "taxprofile")],
    ids=["bank", "tax"],
)
def test_archiving_has_a_person_and_a_moment(make, table):
    profile = make()

    with refused(f"profiles_{table}_archiving_is_paired"):
        change(profile, archived_at=timezone.now())
    with refused(f"profiles_{table}_archiving_is_paired"):
        change(profile, archived_by=UserFactory())


def test_a_company_has_a_bank_profile_name_once_whatever_its_case():
    first = BankProfileFactory(name="Nordvik SEK")

    with refused("bankprofile_name_once_per_company"), transaction.atomic():
        BankProfileFactory(name="NORDVIK sek", partner_account=first.partner_account)
    assert BankProfileFactory(name="Nordvik SEK").pk


def test_a_location_has_a_tax_profile_name_once_whatever_its_case():
    first = TaxProfileFactory(name="Göteborg 2027")

    with refused("taxprofile_name_once_per_location"), transaction.atomic():
        TaxProfileFactory(name="GÖTEBORG 2027", location=first.location)
    assert TaxProfileFactory(name="Göteborg 2027").pk


def test_a_profile_with_versions_is_not_deleted():
    profile = BankProfileFactory()

    with refused("foreign key"), transaction.atomic():
        execute("DELETE FROM profiles_bankprofile WHERE id = %s", [profile.pk])
        at_once()


# --- Defaults ------------------------------------------------------------------------------


def test_a_default_currency_is_three_capital_letters():
    default = DefaultBankProfileFactory()

    with refused("defaultbankprofile_currency_is_three_letters"):
        change(default, currency="sek")


def test_a_location_has_one_default():
    default = DefaultBankProfileFactory()

    with refused("location_id"), transaction.atomic():
        DefaultBankProfileFactory(location=default.location)


def test_a_default_is_of_its_locations_company():
    default = DefaultBankProfileFactory()

    with refused("defaultbankprofile_location_of_company"), transaction.atomic():
        change(default, location=LocationFactory())
        at_once()


def test_a_default_is_an_account_of_the_same_company():
    default = DefaultBankProfileFactory()

    with refused("defaultbankprofile_bank_of_company"), transaction.atomic():
        change(default, bank_profile=BankProfileFactory())
        at_once()


def test_a_default_does_not_move_to_another_company():
    default = DefaultBankProfileFactory()

    with refused("of_company"), transaction.atomic():
        change(default, partner_account=PartnerAccountFactory())
        at_once()


@VERSIONS
def test_a_claim_has_somebody(make_profile, make_version, table):
    version = make_version(pending=True)

    with refused("claim_is_paired"):
        change(version, claimed_at=timezone.now())


def test_a_question_is_what_it_has_to_be():
    question = ReviewQuestionFactory()
    answered = {
        "answer": "Yes, it is.",
        "answered_at": timezone.now(),
        "answered_by": UserFactory(),
    }

    with refused("of_one_version"):
        change(question, bank_version=None)
    with refused("addressee_is_known"):
        change(question, to="somebody")
    with refused("answer_is_whole"):
        change(question, **answered | {"answer": ""})
    with refused("answered_by_another"):
        change(question, **answered | {"answered_by": question.asked_by})
    with refused("one_open_of_a_bank"), transaction.atomic():
        ReviewQuestionFactory(bank_version=question.bank_version)
    tax = TaxVersionFactory(pending=True)
    ReviewQuestionFactory(bank_version=None, tax_version=tax)
    with refused("one_open_of_a_tax"), transaction.atomic():
        ReviewQuestionFactory(bank_version=None, tax_version=tax)


def test_every_guarantee_of_the_models_is_broken_above():
    """A new constraint needs its test; (id, …) only serve as targets of other keys."""
    names = {
        constraint.name
        for model in (
            BankProfile,
            BankProfileVersion,
            BankChangeStop,
            TaxProfile,
            TaxProfileVersion,
            DefaultBankProfile,
            TaxProfileDraft,
            TaxDocument,
            ReviewQuestion,
            PreparedPart,
        )
        for constraint in model._meta.constraints
    }
    targets = {name for name in names if "_with_its_" in name}

    assert {name.partition("_")[2].partition("_")[2] for name in names - targets} == {
        "status_is_known",
        "numbered_once",
        "one_in_force",
        "one_candidate",
        "decision_is_paired",
        "decided_has_its_moment",
        "four_eyes",
        "returned_has_a_reason",
        "details_are_sealed",
        "first_approval_is_paired",
        "first_approval_of_something",
        "approved_has_its_moment",
        "six_eyes_on_a_change",
        "cooling_off_after_the_request",
        "cooling_off_has_an_end",
        "change_takes_two",
        "link_stops_one",
        "one_open",
        "checked_with_evidence",
        "released_after_a_check",
        "released_by_two",
        "archiving_is_paired",
        "name_once_per_company",
        "name_once_per_location",
        "currency_is_three_letters",
        "one_new_for_each",
        "one_change",
        "of_a_draft_or_a_version",
        "type_is_known",
        "is_not_empty",
        "name_is_sealed",
        "content_is_sealed",
        "claim_is_paired",
        "of_one_version",
        "addressee_is_known",
        "answer_is_whole",
        "answered_by_another",
        "one_open_of_a_bank",
        "one_open_of_a_tax",
        # tests/test_preparing.py
        "email_is_lower_case",
        "keeps_a_fingerprint",
        "token_once",
        "one_open_for_each",
        "state_has_its_moments",
    }


def test_drafts_and_documents_are_what_they_have_to_be():
    draft = TaxProfileDraftFactory()
    document = TaxDocumentFactory(version=None, draft=draft)
    profile = TaxProfileFactory(location=draft.location)
    change_of_it = TaxProfileDraftFactory(location=draft.location, profile=profile)

    with refused("taxprofiledraft_one_new_for_each"), transaction.atomic():
        TaxProfileDraftFactory(location=draft.location, created_by=draft.created_by)
    with refused("taxprofiledraft_one_change"), transaction.atomic():
        TaxProfileDraftFactory(location=draft.location, profile=profile)
    # What was sent is in nobody's way.
    change(change_of_it, sent_as=profile.versions.get())
    TaxProfileDraftFactory(location=draft.location, profile=profile)
    with refused("taxprofiledraft_details_are_sealed"), transaction.atomic():
        execute("UPDATE profiles_taxprofiledraft SET details = 'plain'")
    with refused("taxdocument_of_a_draft_or_a_version"), transaction.atomic():
        change(document, draft=None)
    for column, name in (
        ("content_type = 'text/html'", "type_is_known"),
        ("size = 0", "is_not_empty"),
        ("name = 'w8.pdf'", "name_is_sealed"),
        ("content = '%PDF-1.7'", "content_is_sealed"),
    ):
        with refused(f"taxdocument_{name}"), transaction.atomic():
            execute("SET LOCAL session_replication_role = replica")
            execute(f"UPDATE profiles_taxdocument SET {column}")


# --- What pages ask --------------------------------------------------------------------------


TODAY = datetime.date(2027, 3, 1)


def codes(profile) -> list[str]:
    return [status.code for status in profile.shown_statuses(TODAY)]


def test_a_profile_shows_what_is_in_force_and_a_new_version_beside_it():
    profile = BankProfileFactory()
    assert codes(profile) == ["approved"]

    waiting = BankVersionFactory(profile=profile, number=2, pending=True)
    assert codes(profile) == ["approved", "new_pending"]
    change(waiting, asked_at=timezone.now())
    assert codes(BankProfile.objects.get()) == ["approved", "new_asked"]

    change(
        waiting,
        asked_at=None,
        status="action_required",
        decided_at=timezone.now(),
        decided_by=UserFactory(operator=True),
        returned=[{"field": "street", "code": "ADDRESS_PO_BOX", "note": ""}],
    )
    assert codes(profile) == ["approved", "new_returned"]


def test_a_profile_without_a_version_in_force_shows_its_candidate():
    assert codes(BankProfileFactory(version__pending=True)) == ["pending"]
    assert codes(TaxProfileFactory(version__was_returned=True)) == ["action_required"]


def test_an_archived_profile_shows_nothing_else():
    profile = BankProfileFactory(archived_at=timezone.now(), archived_by=UserFactory())

    assert codes(profile) == ["archived"]


@pytest.mark.parametrize(
    ("last_day", "code"),
    [
        (TODAY, "approved"),
        (TODAY - datetime.timedelta(days=1), "expired"),
        (None, "approved"),
    ],
)
def test_a_tax_profile_expires_after_its_last_day(last_day, code):
    profile = TaxProfileFactory(version__expires_on=last_day)

    assert codes(profile) == [code]


def test_the_candidate_speaks_before_the_version_in_force():
    profile = BankProfileFactory()
    waiting = BankVersionFactory(profile=profile, number=2, pending=True)
    archived = BankProfileFactory(archived_at=timezone.now(), archived_by=UserFactory())

    rows = {row.pk: row for row in BankProfile.objects.with_status()}

    assert rows[profile.pk].status == "pending"
    assert rows[profile.pk].current_version_id == waiting.pk
    assert rows[archived.pk].status == "archived"
    assert profile.current_version == waiting
    assert profile.version_in_force.number == 1


def test_overdue_is_pending_for_longer_than_promised():
    now = timezone.now()
    old, fresh = now - datetime.timedelta(hours=49), now - datetime.timedelta(hours=47)
    late = BankProfileFactory(version__pending=True, version__submitted_at=old)
    BankProfileFactory(version__pending=True, version__submitted_at=fresh)
    BankProfileFactory(version__submitted_at=old)

    overdue = BankProfileVersion.objects.overdue(now)

    assert [version.profile for version in overdue] == [late]
    assert late.candidate.is_overdue(now)


def test_the_same_account_is_found_at_other_companies_only():
    profile = BankProfileFactory()
    BankProfileFactory(partner_account=profile.partner_account)
    elsewhere = BankProfileFactory()
    BankProfileFactory(archived_at=timezone.now(), archived_by=UserFactory())
    other_number = {
        "account_holder": "X",
        "account_kind": "iban",
        "iban": "SE4550000000058398257466",
    }
    BankProfileFactory(version__details=other_number)

    found = BankProfileVersion.objects.same_number_elsewhere(profile.version_in_force)

    assert [version.profile for version in found] == [elsewhere]


def test_without_a_number_no_account_is_the_same():
    no_number = {"version__blind_index": ""}
    profile = BankProfileFactory(**no_number)
    BankProfileFactory(**no_number)

    assert not BankProfileVersion.objects.same_number_elsewhere(
        profile.version_in_force
    ).exists()


@pytest.mark.parametrize(
    ("last4", "shown"),
    [("0003", "•••• 0003"), ("03", "•••• ••03"), ("", "")],
)
def test_only_the_end_of_a_number_is_shown(last4, shown):
    assert BankProfileVersion(last4=last4).masked_number == shown


def test_archived_profiles_come_last():
    account = PartnerAccountFactory()
    BankProfileFactory(
        partner_account=account,
        name="A",
        archived_at=timezone.now(),
        archived_by=UserFactory(),
    )
    for name in ("C", "B"):
        BankProfileFactory(partner_account=account, name=name)

    names = [row.name for row in BankProfile.objects.archived_last()]

    assert names == ["B", "C", "A"]


def test_a_tax_version_says_whose_it_is_whatever_its_writer_says():
    location, other = LocationFactory(), PartnerAccountFactory()
    # The version before says nothing.
    for said in ({}, {"version__partner_account": other}):
        version = TaxProfileFactory(location=location, **said).versions.get()
        assert version.partner_account == location.partner_account

    for otherwise in (other, None):
        change(version, partner_account=otherwise)
        version.refresh_from_db()
        assert version.partner_account == location.partner_account


def test_tax_versions_there_before_say_whose_they_are(monkeypatch):
    versions = [TaxProfileFactory().versions.get() for _each in range(3)]
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            """
            ALTER TABLE profiles_taxprofileversion
                ALTER partner_account_id DROP NOT NULL,
                DISABLE TRIGGER profiles_taxprofileversion_says_whose;
            UPDATE profiles_taxprofileversion SET partner_account_id = NULL;
            ALTER TABLE profiles_taxprofileversion
                ENABLE TRIGGER profiles_taxprofileversion_says_whose;
            """
        )
    monkeypatch.setattr(filling, "AT_ONCE", 2)

    filling.say_whose(apps, None)

    for version in versions:
        said = TaxProfileVersion.objects.get(pk=version.pk).partner_account
        assert said == version.profile.location.partner_account


def test_a_number_is_elsewhere_at_another_company_alone():
    first, second = sorted(PartnerAccountFactory.create_batch(2), key=lambda it: it.pk)
    own = LocationFactory.create_batch(2, partner_account=second)
    here, beside = (TaxProfileFactory(location=one).versions.get() for one in own)
    elsewhere = TaxProfileVersion.objects.is_elsewhere()
    assert not TaxProfileVersion.objects.filter(elsewhere).exists()

    # Before its company in the index, and after it.
    other = TaxProfileFactory(location__partner_account=first)
    found = TaxProfileVersion.objects.filter(elsewhere)
    assert {*found} == {here, beside, other.versions.get()}

    change(other, archived_at=timezone.now(), archived_by=other.created_by)
    assert not found.all().filter(pk__in=[here.pk, beside.pk]).exists()
