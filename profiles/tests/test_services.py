"""Adding, changing, validating, archiving profiles and defaults, as services do it."""

import datetime
import threading

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone

from accounts.models import AuditEvent, User
from accounts.roles import Role
from accounts.services import assign_role
from accounts.tests.factories import (
    LocationFactory,
    RoleAssignmentFactory,
)
from accounts.tests.shared_rows import shared
from accounts.tests.threads import at_once, meet
from profiles.models import BankProfile, DefaultBankProfile, TaxProfile
from profiles.services import (
    approve_version,
    archive_profile,
    complete_tax_profile,
    create_bank_profile,
    create_tax_profile,
    deciding,
    needs_second_operator,
    remove_default_bank_profile,
    return_version,
    revise_bank_profile,
    revise_tax_profile,
    set_default_bank_profile,
)
from profiles.services import bank as bank_services
from profiles.signals import profile_archived, profile_status_changed
from profiles.tests.factories import (
    BANK_DETAILS,
    IBAN,
    TAX_DETAILS,
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)
from profiles.tests.service_modules import replace_everywhere

FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
OTHER_IBAN = "SE4550000000058398257466"
US_DETAILS = {
    **{key: value for key, value in BANK_DETAILS.items() if key != "iban"},
    "routing_number": "110000000",
    "account_number": "000123456789",
    "account_type": "checking",
    "bank_name": "Test Bank",
}
REASON = [{"field": "account_holder", "code": "BANK_NAME_MISMATCH", "note": ""}]
TAX_REASON = [{"field": "legal_name", "code": "TAX_NAME_MISMATCH", "note": ""}]


def bank_of(account, by, **changes):
    values = {"name": "Nordvik SEK", "country": "SE", "details": BANK_DETAILS}
    return create_bank_profile(account, **values | changes, by=by)


def tax_of(location, by, **changes):
    values = {"name": "Nordvik 2027", "country": "SE", "details": TAX_DETAILS}
    return create_tax_profile(location, **values | changes, by=by)


def actions() -> list[str]:
    return list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))


def refusal(error) -> dict[str, list[str]]:
    return error.value.message_dict


class Heard:
    """A receiver that remembers, and fails when told to."""

    def __init__(self, signal):
        self.calls = []
        self.fails = False
        self.signal = signal

    def __call__(self, sender, **kwargs):
        kwargs.pop("signal")
        self.calls.append(kwargs)
        if self.fails:
            raise RuntimeError("the receiver fails")


@shared
def paid_before(nordvik):
    """The company is paid at the account already that tests send: one operator does."""
    return BankProfileFactory(partner_account=nordvik, name="Paid before")


@pytest.fixture
def heard():
    """What the profiles say upward."""
    receiver = Heard(profile_status_changed)
    profile_status_changed.connect(receiver, weak=False)
    yield receiver
    profile_status_changed.disconnect(receiver)


@pytest.fixture
def heard_archived():
    receiver = Heard(profile_archived)
    profile_archived.connect(receiver, weak=False)
    yield receiver
    profile_archived.disconnect(receiver)


# --- Adding --------------------------------------------------------------------------------


@pytest.mark.django_db
class TestANewBankProfile:
    def test_it_waits_for_validation(self, nordvik, ida):
        # R49
        profile = bank_of(nordvik, ida)

        version = profile.versions.get()
        assert version.is_pending
        assert (version.number, version.submitted_by) == (1, ida)
        assert (version.country, version.local_currency) == ("SE", "SEK")
        assert actions() == ["profile_submitted"]

    def test_what_was_typed_is_stored_in_its_normal_form(self, nordvik, ida):
        typed = {**BANK_DETAILS, "iban": " se35 5000-0000 0549 1000 0003 "}

        version = bank_of(nordvik, ida, details=typed).versions.get()

        assert version.details["iban"] == IBAN
        assert version.last4 == "0003"

    def test_what_the_country_does_not_ask_is_not_stored(self, nordvik, ida):
        # R48
        typed = {**BANK_DETAILS, "routing_number": "110000000", "surprise": "x"}

        version = bank_of(nordvik, ida, details=typed).versions.get()

        assert "routing_number" not in version.details
        assert "surprise" not in version.details

    def test_a_bank_in_the_united_states_takes_its_own_currency_only(
        self, nordvik, ida
    ):
        version = bank_of(nordvik, ida, country="US", details=US_DETAILS).versions.get()

        assert (version.local_currency, version.takes_only_local) == ("USD", True)

    @pytest.mark.parametrize("name", ["Nordvik SEK", "  nordvik   sek ", "NORDVIK SEK"])
    def test_a_name_is_taken_once_in_a_company(self, nordvik, ida, name):
        # R47
        bank_of(nordvik, ida)

        with pytest.raises(ValidationError) as error:
            bank_of(nordvik, ida, name=name)

        assert refusal(error) == {
            "name": ["Your company has a bank profile with this name. Choose another."]
        }
        assert BankProfile.objects.count() == 1
        elsewhere = RoleAssignmentFactory()
        assert bank_of(elsewhere.partner_account, elsewhere.user, name=name).pk

    @pytest.mark.parametrize(
        "name", ["", " \u00a0 ", "a\u202eb", "a\u200bb", "a\x00b", "x" * 81, "a\nb"]
    )
    def test_a_name_can_be_read(self, nordvik, ida, name):
        with pytest.raises(ValidationError) as error:
            bank_of(nordvik, ida, name=name)

        assert list(refusal(error)) == ["name"]
        assert not BankProfile.objects.exists()

    def test_every_wrong_field_is_named_at_once(self, nordvik, ida):
        typed = {"iban": "SE00", "street": "P.O. Box 12"}

        with pytest.raises(ValidationError) as error:
            bank_of(nordvik, ida, details=typed)

        assert {"iban", "street", "account_holder", "city"} <= set(refusal(error))
        assert not BankProfile.objects.exists()
        assert actions() == []

    @pytest.mark.parametrize("country", ["", "XX", "se", "KP"])
    def test_the_country_is_one_we_pay_to(self, nordvik, ida, country):
        with pytest.raises(ValidationError) as error:
            bank_of(nordvik, ida, country=country)

        assert refusal(error) == {"country": ["Choose a country from the list."]}

    @pytest.mark.usefixtures("paid_before")
    def test_no_number_reaches_the_audit_trail(self, nordvik, ida, oscar):
        # T14
        profile = bank_of(nordvik, ida)
        approve_version(profile.versions.get(), by=oscar)

        for event in AuditEvent.objects.all():
            assert "0549" not in f"{event.before}{event.after}{event.reason}"

    def test_one_profile_serves_several_locations(self, nordvik, ida):
        # R46, R52
        profile = bank_of(nordvik, ida)
        places = [LocationFactory(partner_account=nordvik) for _number in range(3)]
        RoleAssignmentFactory(user=ida, partner_account=nordvik)

        set_default_bank_profile(places, bank_profile=profile, currency="SEK", by=ida)

        assert {row.location for row in profile.defaults.all()} == set(places)


@pytest.mark.django_db
class TestANewTaxProfile:
    def test_it_says_which_details_it_has(self, goteborg, ida):
        profile = tax_of(goteborg, ida, expires_on=timezone.localdate())

        version = profile.versions.get()
        assert version.is_pending
        assert version.provided == sorted(TAX_DETAILS)
        assert (version.form, version.last4) == ("local", "0669")
        assert version.expires_on == timezone.localdate()

    def test_a_form_that_expired_is_not_sent(self, goteborg, ida):
        yesterday = timezone.localdate() - datetime.timedelta(days=1)

        with pytest.raises(ValidationError) as error:
            tax_of(goteborg, ida, expires_on=yesterday)

        assert list(refusal(error)) == ["expires_on"]

    def test_a_name_is_taken_once_at_a_location(self, goteborg, malmo, ida):
        tax_of(goteborg, ida)

        with pytest.raises(ValidationError) as error:
            tax_of(goteborg, ida, name="nordvik 2027")

        assert list(refusal(error)) == ["name"]
        there = RoleAssignmentFactory(
            partner_account=malmo.partner_account, location=malmo
        )
        assert tax_of(malmo, there.user).pk

    def test_what_a_program_needs_may_not_stay_empty(self, goteborg, ida):
        # R55
        with pytest.raises(ValidationError) as error:
            tax_of(goteborg, ida, required=["vat"])

        assert list(refusal(error)) == ["vat"]


# --- Changing --------------------------------------------------------------------------------


@pytest.mark.usefixtures("paid_before")
@pytest.mark.django_db
class TestAChange:
    def test_it_waits_beside_the_version_in_force(self, ida, oscar, nordvik):
        # R44
        profile = bank_of(nordvik, ida)
        approve_version(profile.versions.get(), by=oscar)

        revise_bank_profile(
            profile,
            country="SE",
            details={**BANK_DETAILS, "iban": OTHER_IBAN},
            by=ida,
        )

        statuses = list(profile.versions.order_by("number").values_list("status"))
        assert statuses == [("approved",), ("pending",)]

    @pytest.mark.parametrize("is_returned", [True, False])
    def test_it_replaces_what_waits_or_was_returned(
        self, ida, oscar, nordvik, is_returned
    ):
        profile = bank_of(nordvik, ida)
        if is_returned:
            return_version(profile.versions.get(), returned=REASON, by=oscar)

        revise_bank_profile(
            profile,
            country="SE",
            details={**BANK_DETAILS, "iban": OTHER_IBAN},
            by=ida,
        )

        statuses = list(profile.versions.order_by("number").values_list("status"))
        assert statuses == [("replaced",), ("pending",)]

    def test_sending_what_is_waiting_once_more_changes_nothing(self, ida, nordvik):
        profile = bank_of(nordvik, ida)

        for _click in range(2):
            revise_bank_profile(profile, country="SE", details=BANK_DETAILS, by=ida)

        assert profile.versions.count() == 1
        assert actions() == ["profile_submitted"]

    def test_sending_what_is_in_force_is_refused(self, ida, oscar, nordvik, goteborg):
        bank, tax = bank_of(nordvik, ida), tax_of(goteborg, ida)
        for profile in (bank, tax):
            approve_version(profile.versions.get(), by=oscar)

        with pytest.raises(ValidationError, match="There is nothing to send"):
            revise_bank_profile(bank, country="SE", details=BANK_DETAILS, by=ida)
        with pytest.raises(ValidationError, match="There is nothing to send"):
            revise_tax_profile(tax, country="SE", details=TAX_DETAILS, by=ida)

        assert bank.versions.count() == tax.versions.count() == 1

    def test_what_was_returned_can_be_sent_as_it_is(self, ida, oscar, nordvik):
        profile = bank_of(nordvik, ida)
        return_version(profile.versions.get(), returned=REASON, by=oscar)

        revise_bank_profile(profile, country="SE", details=BANK_DETAILS, by=ida)

        assert profile.versions.get(number=2).is_pending

    def test_a_new_last_day_is_a_change(self, ida, oscar, goteborg):
        profile = tax_of(goteborg, ida)
        approve_version(profile.versions.get(), by=oscar)
        next_year = timezone.localdate() + datetime.timedelta(days=365)

        revise_tax_profile(
            profile, country="SE", details=TAX_DETAILS, expires_on=next_year, by=ida
        )

        assert profile.versions.get(number=2).expires_on == next_year

    def test_an_archived_profile_stays_as_it_is(self, ida, nordvik, goteborg):
        bank, tax = bank_of(nordvik, ida), tax_of(goteborg, ida)
        for profile in (bank, tax):
            archive_profile(profile, by=ida)

        for change in (
            lambda: revise_bank_profile(
                bank, country="SE", details=BANK_DETAILS, by=ida
            ),
            lambda: revise_tax_profile(tax, country="SE", details=TAX_DETAILS, by=ida),
            lambda: complete_tax_profile(
                tax, details={"vat": "SE559999066901"}, by=ida
            ),
        ):
            with pytest.raises(ValidationError, match="This profile is archived"):
                change()

        assert bank.versions.count() == tax.versions.count() == 1

    def test_a_bank_may_move_to_another_country(self, ida, nordvik):
        profile = bank_of(nordvik, ida)

        revise_bank_profile(profile, country="US", details=US_DETAILS, by=ida)

        newest = profile.versions.get(number=2)
        assert (newest.country, newest.local_currency) == ("US", "USD")
        assert "iban" not in newest.details


@pytest.mark.django_db
class TestCompletingATaxProfile:
    def test_only_the_missing_detail_is_given_and_the_rest_is_kept(
        self, ida, oscar, goteborg
    ):
        # R55
        last_day = timezone.localdate() + datetime.timedelta(days=9)
        profile = tax_of(goteborg, ida, expires_on=last_day)
        approve_version(profile.versions.get(), by=oscar)

        complete_tax_profile(profile, details={"vat": "SE559999066901"}, by=ida)

        newest = profile.versions.get(number=2)
        assert newest.details == {
            **profile.versions.get(number=1).details,
            "vat": "SE559999066901",
        }
        assert "vat" in newest.provided
        assert newest.expires_on == last_day

    @pytest.mark.parametrize("vat", ["", "SE1"])
    def test_the_missing_detail_is_checked(self, ida, goteborg, vat):
        profile = tax_of(goteborg, ida)

        with pytest.raises(ValidationError) as error:
            complete_tax_profile(profile, details={"vat": vat}, by=ida)

        assert list(refusal(error)) == ["vat"]
        assert profile.versions.count() == 1


# --- Approving -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("paid_before")
@pytest.mark.django_db
class TestApproving:
    def test_it_brings_the_version_into_force(self, ida, oscar, nordvik):
        profile = bank_of(nordvik, ida)

        version = approve_version(profile.versions.get(), by=oscar)

        assert version.is_approved
        assert version.decided_by == oscar
        assert actions() == ["profile_submitted", "profile_approved"]

    def test_approving_twice_changes_nothing(self, ida, oscar, lucia, nordvik):
        version = bank_of(nordvik, ida).versions.get()

        approve_version(version, by=oscar)
        again = approve_version(version, by=lucia)

        assert again.decided_by == oscar
        assert actions().count("profile_approved") == 1

    def test_a_changed_account_in_force_needs_two_operators(
        self, ida, oscar, lucia, nordvik
    ):
        # domain.md §10.7
        profile = bank_of(nordvik, ida)
        approve_version(profile.versions.get(), by=oscar)
        revise_bank_profile(
            profile,
            country="SE",
            details={**BANK_DETAILS, "iban": OTHER_IBAN},
            by=ida,
            # Its cooling-off is over.
            at=timezone.now() - datetime.timedelta(days=4),
        )
        waiting = profile.versions.get(number=2)

        first = approve_version(waiting, by=oscar)
        assert first.is_pending
        assert first.seconded_by == oscar
        assert profile.versions.get(number=1).is_approved
        with pytest.raises(ValidationError, match="needs a second operator"):
            approve_version(waiting, by=oscar)

        second = approve_version(waiting, by=lucia)
        assert second.is_approved
        assert second.decided_by == lucia
        assert profile.versions.get(number=1).status == "replaced"

    def test_a_new_address_of_the_same_account_needs_one(self, ida, oscar, nordvik):
        profile = bank_of(nordvik, ida)
        approve_version(profile.versions.get(), by=oscar)
        revise_bank_profile(
            profile,
            country="SE",
            details={**BANK_DETAILS, "street": "Nygatan 2"},
            by=ida,
        )

        assert approve_version(profile.versions.get(number=2), by=oscar).is_approved

    def test_a_first_approval_is_of_one_version_only(self, ida, oscar, lucia, nordvik):
        """What was changed after the first approval needs two again."""
        profile = bank_of(nordvik, ida)
        approve_version(profile.versions.get(), by=oscar)
        for number, iban in ((2, OTHER_IBAN), (3, "SE7280000810340009783242")):
            revise_bank_profile(
                profile, country="SE", details={**BANK_DETAILS, "iban": iban}, by=ida
            )
            version = approve_version(profile.versions.get(number=number), by=oscar)

        assert version.is_pending
        assert version.seconded_by == oscar

    def test_a_tax_profile_never_needs_two(self, ida, oscar, goteborg):
        profile = tax_of(goteborg, ida)
        approve_version(profile.versions.get(), by=oscar)
        revise_tax_profile(
            profile,
            country="SE",
            details={**TAX_DETAILS, "org_number": "5560360793"},
            by=ida,
        )
        newest = profile.versions.get(number=2)

        assert not needs_second_operator(newest)
        assert approve_version(newest, by=oscar).is_approved

    def test_what_was_returned_or_replaced_is_decided(self, ida, oscar, lucia, nordvik):
        profile = bank_of(nordvik, ida)
        first = profile.versions.get()
        return_version(first, returned=REASON, by=oscar)

        with pytest.raises(
            ValidationError, match="Oscar Sand decided this already: Action required"
        ):
            approve_version(first, by=lucia)

        revise_bank_profile(
            profile,
            country="SE",
            details={**BANK_DETAILS, "street": "Nygatan 2"},
            by=ida,
        )
        second = profile.versions.get(number=2)
        revise_bank_profile(profile, country="SE", details=BANK_DETAILS, by=ida)
        with pytest.raises(ValidationError, match="partner replaced this version"):
            approve_version(second, by=lucia)

    def test_an_archived_profile_is_not_decided(self, ida, oscar, nordvik):
        profile = bank_of(nordvik, ida)
        archive_profile(profile, by=ida)

        for decide in (
            lambda version: approve_version(version, by=oscar),
            lambda version: return_version(version, returned=REASON, by=oscar),
        ):
            with pytest.raises(ValidationError, match="The partner archived this"):
                decide(profile.versions.get())


# --- Returning ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("paid_before")
@pytest.mark.django_db
class TestTheSecondPairOfEyes:
    """Rule 78: it is the program owner's; a role one gives oneself seconds nothing."""

    @pytest.mark.parametrize("name", ["greta", "alice"])
    @pytest.mark.parametrize("is_change", [False, True])
    def test_an_admin_with_a_role_given_to_oneself_decides_nothing(
        self, cast, nordvik, name, is_change
    ):
        admin = getattr(cast, name)
        assign_role(admin, role=Role.INCENTIVES_ADMIN, account=nordvik, by=admin)
        profile = bank_of(nordvik, cast.ida)
        if is_change:
            approve_version(profile.versions.get(), by=cast.oscar)
            details = {**BANK_DETAILS, "iban": OTHER_IBAN}
            revise_bank_profile(profile, country="SE", details=details, by=cast.ida)
        version = profile.versions.get(status="pending")

        for decide in (
            lambda: approve_version(version, by=admin),
            lambda: return_version(version, returned=REASON, by=admin),
        ):
            with pytest.raises(ValidationError) as refused:
                decide()
            assert refused.value.code == "not_operator"

        version.refresh_from_db()
        assert version.is_pending
        assert version.seconded_by is None


@pytest.mark.usefixtures("paid_before")
@pytest.mark.django_db
class TestReturning:
    def test_the_reason_stands_at_its_field(self, ida, oscar, nordvik):
        # R41
        version = bank_of(nordvik, ida).versions.get()

        returned = return_version(version, returned=REASON, by=oscar)

        assert returned.is_returned
        assert returned.returned == REASON
        assert returned.decided_by == oscar
        event = AuditEvent.objects.get(action="profile_returned")
        assert event.after["reasons"] == ["BANK_NAME_MISMATCH"]

    def test_an_approved_version_can_be_returned(self, ida, oscar, lucia, nordvik):
        profile = bank_of(nordvik, ida)
        approve_version(profile.versions.get(), by=oscar)

        return_version(profile.versions.get(), returned=REASON, by=lucia)

        assert profile.version_in_force is None
        assert profile.candidate.is_returned

    def test_an_approved_version_waits_for_the_newer_one(
        self, ida, oscar, lucia, nordvik
    ):
        profile = bank_of(nordvik, ida)
        approve_version(profile.versions.get(), by=oscar)
        revise_bank_profile(
            profile,
            country="SE",
            details={**BANK_DETAILS, "street": "Nygatan 2"},
            by=ida,
        )

        with pytest.raises(ValidationError, match="A newer version is waiting"):
            return_version(profile.versions.get(number=1), returned=REASON, by=lucia)

    @pytest.mark.parametrize(
        ("given", "field", "row"),
        [
            ([], "reason", 0),
            ([{}], "reason", 0),
            ([{"field": "iban", "code": "NO_SUCH", "note": ""}], "reason", 0),
            ([{"field": "shoe", "code": "OTHER", "note": "x" * 30}], "reason", 0),
            # A tax reason, and a reason that is not about this field.
            (
                [{"field": "iban", "code": "TAX_ID_NOT_FOUND", "note": ""}],
                "reason",
                0,
            ),
            (
                [{"field": "street", "code": "BANK_NAME_MISMATCH", "note": ""}],
                "reason",
                0,
            ),
            ([*REASON, {"field": "iban", "code": "OTHER", "note": "short"}], "note", 1),
            (
                [*REASON, {"field": "iban", "code": "OTHER", "note": " \n" * 30}],
                "note",
                1,
            ),
            (
                [{"field": "iban", "code": "OTHER", "note": "Do it again\u202e" * 3}],
                "note",
                0,
            ),
            ([{"field": "iban", "code": "OTHER", "note": "x" * 401}], "note", 0),
        ],
    )
    def test_a_reason_is_of_the_catalogue_and_says_what_to_do(
        self, ida, oscar, nordvik, given, field, row
    ):
        version = bank_of(nordvik, ida).versions.get()

        with pytest.raises(ValidationError) as error:
            return_version(version, returned=given, by=oscar)

        (wrong,) = error.value.error_dict[field]
        assert wrong.params["row"] == row
        version.refresh_from_db()
        assert version.is_pending

    @pytest.mark.parametrize(
        "number",
        [
            IBAN,
            "SE35 5000 0000 0549 1000 0003",
            "se35-5000-0000-0549-1000-0003",
            IBAN.translate(FULL_WIDTH),
        ],
    )
    def test_a_note_holds_no_account_number(self, ida, oscar, nordvik, number):
        # R59: the note is mailed.
        version = bank_of(nordvik, ida).versions.get()
        note = f"The number {number} is not an account of your company."

        with pytest.raises(ValidationError, match="Leave out the number"):
            return_version(
                version,
                returned=[{"field": "iban", "code": "OTHER", "note": note}],
                by=oscar,
            )

    def test_a_note_is_kept_in_its_normal_form(self, ida, oscar, nordvik):
        version = bank_of(nordvik, ida).versions.get()
        note = "  Ask your bank\u00a0for a letter,\r\nand send it.  "

        returned = return_version(
            version,
            returned=[{"field": "document", "code": "OTHER", "note": note}],
            by=oscar,
        )

        assert (
            returned.returned[0]["note"] == "Ask your bank for a letter,\nand send it."
        )

    def test_what_is_decided_is_not_returned(self, ida, oscar, lucia, nordvik):
        version = bank_of(nordvik, ida).versions.get()
        return_version(version, returned=REASON, by=oscar)

        with pytest.raises(ValidationError, match="Oscar Sand decided this already"):
            return_version(version, returned=REASON, by=lucia)


# --- Archiving ---------------------------------------------------------------------------------


@pytest.mark.django_db
class TestArchiving:
    @pytest.mark.parametrize("make", [bank_of, tax_of])
    def test_a_profile_is_put_away_not_deleted(
        self, ida, nordvik, goteborg, make, heard_archived
    ):
        # R53
        profile = make(nordvik if make is bank_of else goteborg, ida)

        archive_profile(profile, by=ida)
        archive_profile(profile, by=RoleAssignmentFactory(partner_account=nordvik).user)

        profile.refresh_from_db()
        assert profile.archived_by == ida
        assert profile.versions.count() == 1
        assert [call["profile"] for call in heard_archived.calls] == [profile]
        assert actions() == ["profile_submitted", "profile_archived"]

    def test_a_default_is_not_archived(self, ida, goteborg):
        profile = bank_of(goteborg.partner_account, ida)
        DefaultBankProfileFactory(location=goteborg, bank_profile=profile)

        with pytest.raises(ValidationError, match="default bank profile of 1 location"):
            archive_profile(profile, by=ida)

        profile.refresh_from_db()
        assert profile.archived_at is None

    @pytest.mark.parametrize("make", [bank_of, tax_of])
    def test_whoever_uses_it_can_refuse(
        self, ida, nordvik, goteborg, make, heard_archived
    ):
        profile = make(nordvik if make is bank_of else goteborg, ida)
        heard_archived.fails = True

        with pytest.raises(RuntimeError):
            archive_profile(profile, by=ida)

        profile.refresh_from_db()
        assert profile.archived_at is None
        assert actions() == ["profile_submitted"]


# --- Defaults ------------------------------------------------------------------------------------


@pytest.mark.django_db
class TestDefaults:
    @pytest.fixture
    def profile(self, nordvik, ida):
        return bank_of(nordvik, ida)

    def test_a_location_has_one_default_until_it_is_removed(
        self, profile, goteborg, ida
    ):
        # R51
        (first,) = set_default_bank_profile(
            [goteborg], bank_profile=profile, currency="SEK", by=ida
        )

        with pytest.raises(ValidationError, match="Göteborg: a default is set already"):
            set_default_bank_profile(
                [goteborg], bank_profile=profile, currency="EUR", by=ida
            )

        remove_default_bank_profile(first, by=ida)
        remove_default_bank_profile(first, by=ida)
        (second,) = set_default_bank_profile(
            [goteborg], bank_profile=profile, currency="EUR", by=ida
        )
        assert second.currency == "EUR"
        assert actions()[1:] == ["default_set", "default_removed", "default_set"]

    def test_all_locations_get_it_or_none(self, profile, goteborg, malmo, ida):
        # R52
        RoleAssignmentFactory(
            user=ida, partner_account=malmo.partner_account, location=malmo
        )
        set_default_bank_profile([malmo], bank_profile=profile, currency="SEK", by=ida)

        with pytest.raises(ValidationError, match="Malmö: a default is set already"):
            set_default_bank_profile(
                [goteborg, malmo], bank_profile=profile, currency="SEK", by=ida
            )

        assert [row.location for row in DefaultBankProfile.objects.all()] == [malmo]

    @pytest.mark.parametrize(
        ("currency", "sentence"),
        [
            ("", "Choose a currency from the list."),
            ("sek", "Choose a currency from the list."),
            ("XXX", "Choose a currency from the list."),
        ],
    )
    def test_the_currency_is_one_we_pay_in(
        self, profile, goteborg, ida, currency, sentence
    ):
        # R50
        with pytest.raises(ValidationError) as error:
            set_default_bank_profile(
                [goteborg], bank_profile=profile, currency=currency, by=ida
            )

        assert refusal(error) == {"currency": [sentence]}

    def test_the_bank_takes_the_currency(self, nordvik, goteborg, ida):
        profile = bank_of(nordvik, ida, country="US", details=US_DETAILS)

        with pytest.raises(ValidationError) as error:
            set_default_bank_profile(
                [goteborg], bank_profile=profile, currency="EUR", by=ida
            )

        assert refusal(error) == {"currency": ["This bank takes only USD."]}
        assert set_default_bank_profile(
            [goteborg], bank_profile=profile, currency="USD", by=ida
        )

    def test_a_location_is_named(self, profile, ida):
        # R50
        with pytest.raises(ValidationError) as error:
            set_default_bank_profile([], bank_profile=profile, currency="SEK", by=ida)

        assert refusal(error) == {"locations": ["Choose at least one location."]}

    def test_the_locations_are_of_the_company_and_open(self, profile, nordvik, ida):
        closed = LocationFactory(
            partner_account=nordvik, name="Lund", closed_at=timezone.now()
        )

        for place, sentence in (
            (LocationFactory(), "Choose locations of the bank profile's company."),
            (closed, "Lund is closed. Leave it out."),
        ):
            with pytest.raises(ValidationError) as error:
                set_default_bank_profile(
                    [place], bank_profile=profile, currency="SEK", by=ida
                )
            assert refusal(error) == {"locations": [sentence]}

    def test_an_archived_profile_is_no_default(self, profile, goteborg, ida):
        archive_profile(profile, by=ida)

        with pytest.raises(ValidationError, match="This profile is archived"):
            set_default_bank_profile(
                [goteborg], bank_profile=profile, currency="SEK", by=ida
            )


# --- What others hear, inside the same transaction (R44) -------------------------------------------


@pytest.mark.django_db
class TestWhatOthersHear:
    @pytest.mark.usefixtures("paid_before")
    def test_every_new_status_is_told_once(self, heard, ida, oscar, nordvik):
        profile = bank_of(nordvik, ida)
        approve_version(profile.versions.get(), by=oscar)
        revise_bank_profile(
            profile,
            country="SE",
            details={**BANK_DETAILS, "street": "Nygatan 2"},
            by=ida,
        )
        return_version(profile.versions.get(number=2), returned=REASON, by=oscar)

        told = [
            (call["version"].number, call["version"].status, call["by"].full_name)
            for call in heard.calls
        ]
        assert told == [
            (1, "pending", "Ida Lund"),
            (1, "approved", "Oscar Sand"),
            (2, "pending", "Ida Lund"),
            (2, "action_required", "Oscar Sand"),
        ]

    @pytest.mark.usefixtures("paid_before")
    def test_a_first_approval_of_two_is_not_told(self, heard, ida, oscar, nordvik):
        profile = bank_of(nordvik, ida)
        approve_version(profile.versions.get(), by=oscar)
        revise_bank_profile(
            profile,
            country="SE",
            details={**BANK_DETAILS, "iban": OTHER_IBAN},
            by=ida,
        )
        heard.calls.clear()

        approve_version(profile.versions.get(number=2), by=oscar)

        assert heard.calls == []

    @pytest.mark.parametrize("make", [bank_of, tax_of])
    def test_a_receiver_that_fails_takes_a_new_profile_back(
        self, heard, ida, nordvik, goteborg, make
    ):
        heard.fails = True

        with pytest.raises(RuntimeError):
            make(nordvik if make is bank_of else goteborg, ida)

        assert len(heard.calls) == 1
        assert not BankProfile.objects.exists()
        assert not TaxProfile.objects.exists()
        assert actions() == []

    def test_a_receiver_that_fails_takes_a_change_back(self, heard, ida, nordvik):
        profile = bank_of(nordvik, ida)
        heard.fails = True

        with pytest.raises(RuntimeError):
            revise_bank_profile(
                profile,
                country="SE",
                details={**BANK_DETAILS, "iban": OTHER_IBAN},
                by=ida,
            )

        assert profile.versions.get().is_pending

    @pytest.mark.parametrize("options", [{}, {"returned": TAX_REASON}])
    def test_a_receiver_that_fails_takes_a_decision_back(
        self, heard, ida, oscar, goteborg, options
    ):
        profile = tax_of(goteborg, ida)
        decide = return_version if options else approve_version
        heard.fails = True

        with pytest.raises(RuntimeError):
            decide(profile.versions.get(), by=oscar, **options)

        version = profile.versions.get()
        assert version.is_pending
        assert version.decided_by is None
        assert version.returned == []
        assert actions() == ["profile_submitted"]


# --- At the same moment ------------------------------------------------------------------------------


def sentences(outcomes) -> list[str]:
    return [
        " ".join(one.messages) for one in outcomes if isinstance(one, ValidationError)
    ]


@pytest.mark.django_db(transaction=True)
class TestAtTheSameMoment:
    """Two people do the same or the opposite at once; one of them is told."""

    @pytest.mark.parametrize("make", [bank_of, tax_of])
    def test_the_same_new_profile_sent_twice_is_one(self, nordvik, goteborg, ida, make):
        # T18
        place = nordvik if make is bank_of else goteborg

        outcomes = at_once(lambda: make(place, ida), lambda: make(place, ida))

        assert len(sentences(outcomes)) == 1
        assert "with this name. Choose another." in sentences(outcomes)[0]
        assert BankProfile.objects.count() + TaxProfile.objects.count() == 1

    def test_without_the_lock_the_second_would_meet_the_table(
        self, nordvik, ida, monkeypatch
    ):
        """The control of the test above."""
        replace_everywhere(monkeypatch, "lock_companies", lambda *keys: None)
        meet(monkeypatch, BankProfile, "save", threading.Barrier(2))

        outcomes = at_once(lambda: bank_of(nordvik, ida), lambda: bank_of(nordvik, ida))

        assert [one for one in outcomes if isinstance(one, IntegrityError)]
        assert BankProfile.objects.count() == 1

    @pytest.mark.usefixtures("paid_before")
    def test_approving_and_returning_is_one_decision(self, nordvik, ida, oscar, lucia):
        version = bank_of(nordvik, ida).versions.get()

        outcomes = at_once(
            lambda: approve_version(version, by=oscar),
            lambda: return_version(version, returned=REASON, by=lucia),
        )

        version.refresh_from_db()
        if version.is_approved:
            # Approved first: returning an approved version is a decision of its own.
            assert version.decided_by == oscar
        assert not [
            one
            for one in outcomes
            if isinstance(one, Exception) and not isinstance(one, ValidationError)
        ]
        assert (
            len(sentences(outcomes))
            + actions().count("profile_approved")
            + actions().count("profile_returned")
            == 2
        )

    @pytest.mark.usefixtures("paid_before")
    def test_two_operators_who_approve_are_not_both_in_the_trail(
        self, nordvik, ida, oscar, lucia
    ):
        version = bank_of(nordvik, ida).versions.get()

        outcomes = at_once(
            lambda: approve_version(version, by=oscar).decided_by_id,
            lambda: approve_version(version, by=lucia).decided_by_id,
        )

        version.refresh_from_db()
        assert outcomes == [version.decided_by_id] * 2
        assert actions().count("profile_approved") == 1

    @pytest.mark.usefixtures("paid_before")
    def test_without_the_lock_both_would_be(
        self, nordvik, ida, oscar, lucia, monkeypatch
    ):
        """The control of the test above."""
        version = bank_of(nordvik, ida).versions.get()
        without_locks(monkeypatch)
        meet(monkeypatch, deciding, "move", threading.Barrier(2))

        at_once(
            lambda: approve_version(version, by=oscar),
            lambda: approve_version(version, by=lucia),
        )

        assert actions().count("profile_approved") == 2

    @pytest.mark.usefixtures("paid_before")
    def test_one_first_and_one_second_approval_at_once_are_two(
        self, nordvik, ida, oscar, lucia
    ):
        profile = bank_of(nordvik, ida)
        approve_version(profile.versions.get(), by=oscar)
        revise_bank_profile(
            profile,
            country="SE",
            details={**BANK_DETAILS, "iban": OTHER_IBAN},
            by=ida,
            # Its cooling-off is over.
            at=timezone.now() - datetime.timedelta(days=4),
        )
        waiting = profile.versions.get(number=2)
        oscar.groups.add(Group.objects.get(name="Approver"))
        # Whichever of them is second: rights are remembered with the person.
        oscar = User.objects.get(pk=oscar.pk)

        at_once(
            lambda: approve_version(waiting, by=oscar),
            lambda: approve_version(waiting, by=lucia),
        )

        waiting.refresh_from_db()
        assert waiting.is_approved
        assert {waiting.seconded_by, waiting.decided_by} == {oscar, lucia}

    @pytest.mark.usefixtures("paid_before")
    def test_a_change_and_an_approval_leave_one_waiting_version(
        self, nordvik, ida, oscar
    ):
        profile = bank_of(nordvik, ida)
        first = profile.versions.get()

        outcomes = at_once(
            lambda: approve_version(first, by=oscar),
            lambda: revise_bank_profile(
                profile,
                country="SE",
                details={**BANK_DETAILS, "iban": OTHER_IBAN},
                by=ida,
            ),
        )

        first.refresh_from_db()
        second = profile.versions.get(number=2)
        assert second.is_pending
        if first.is_approved:
            assert sentences(outcomes) == []
        else:
            assert first.status == "replaced"
            assert sentences(outcomes) == [
                "The partner replaced this version meanwhile. Decide the new one."
            ]

    def test_two_changes_at_once_leave_one_waiting_version(self, nordvik, ida):
        profile = bank_of(nordvik, ida)

        def change(iban):
            return lambda: revise_bank_profile(
                profile, country="SE", details={**BANK_DETAILS, "iban": iban}, by=ida
            )

        outcomes = at_once(change(OTHER_IBAN), change("SE7280000810340009783242"))

        assert not [one for one in outcomes if isinstance(one, Exception)]
        statuses = list(profile.versions.order_by("number").values_list("status"))
        assert statuses == [("replaced",), ("replaced",), ("pending",)]

    def test_without_the_lock_two_changes_would_meet_the_table(
        self, nordvik, ida, monkeypatch
    ):
        """The control of the test above."""
        profile = bank_of(nordvik, ida)
        without_locks(monkeypatch)
        meet(monkeypatch, bank_services, "next_number", threading.Barrier(2))

        def change(iban):
            return lambda: revise_bank_profile(
                profile, country="SE", details={**BANK_DETAILS, "iban": iban}, by=ida
            )

        outcomes = at_once(change(OTHER_IBAN), change("SE7280000810340009783242"))

        assert [one for one in outcomes if isinstance(one, Exception)]

    def test_two_defaults_at_once_are_one(self, nordvik, goteborg, ida):
        # R51
        banks = [
            BankProfileFactory(partner_account=nordvik, created_by=ida)
            for _number in range(2)
        ]

        def choose(bank):
            return lambda: set_default_bank_profile(
                [goteborg], bank_profile=bank, currency="SEK", by=ida
            )

        outcomes = at_once(choose(banks[0]), choose(banks[1]))

        assert sentences(outcomes) == [
            "Göteborg: a default is set already. Remove it first."
        ]
        assert DefaultBankProfile.objects.count() == 1

    def test_a_profile_does_not_become_a_default_while_it_is_archived(
        self, nordvik, goteborg, ida
    ):
        profile = bank_of(nordvik, ida)

        outcomes = at_once(
            lambda: archive_profile(profile, by=ida),
            lambda: set_default_bank_profile(
                [goteborg], bank_profile=profile, currency="SEK", by=ida
            ),
        )

        profile.refresh_from_db()
        assert len(sentences(outcomes)) == 1
        assert profile.is_archived is not profile.defaults.exists()


def without_locks(monkeypatch):
    """Let everybody read the profile at once, as if nobody locked it."""
    replace_everywhere(monkeypatch, "lock_companies", lambda *keys: None)
    replace_everywhere(
        monkeypatch, "locked", lambda profile: type(profile).objects.get(pk=profile.pk)
    )
    replace_everywhere(
        monkeypatch,
        "locked_version",
        lambda version: (
            version.profile,
            type(version).objects.get(pk=version.pk),
        ),
    )


@pytest.mark.django_db
def test_a_tax_profile_that_expires_today_can_still_be_sent(ida, goteborg):
    today = timezone.localdate()

    profile = tax_of(goteborg, ida, expires_on=today)

    assert profile.versions.get().expires_on == today


@pytest.mark.django_db
def test_factories_and_services_store_the_same(ida, nordvik, goteborg):
    """What tests are built on is what the services write."""
    made, sent = TaxProfileFactory(location=goteborg), tax_of(goteborg, ida)
    mine, theirs = made.versions.get(), sent.versions.get()
    assert dict(mine.details) == dict(theirs.details)
    assert (mine.last4, mine.blind_index) == (theirs.last4, theirs.blind_index)

    made, sent = BankProfileFactory(partner_account=nordvik), bank_of(nordvik, ida)
    mine, theirs = made.versions.get(), sent.versions.get()
    assert dict(mine.details) == dict(theirs.details)
    assert (mine.last4, mine.blind_index) == (theirs.last4, theirs.blind_index)
