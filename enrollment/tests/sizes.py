"""Overviews of any size: a few locations made by factories, multiplied in SQL."""

from accounts.models import Location, PartnerAccount, User
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from enrollment.models import (
    Agreement,
    Enrollment,
    Invitation,
    PayoutAssignment,
    ProgramTerms,
)
from enrollment.tests.factories import (
    AgreementFactory,
    EnrollmentFactory,
    InvitationFactory,
    ProgramTermsFactory,
    RequirementFactory,
)
from enrollment.tests.year_ends import Copies, copy_rows, count_anew, renamed
from profiles.models import (
    BankProfile,
    BankProfileVersion,
    DefaultBankProfile,
    TaxProfile,
    TaxProfileVersion,
)
from profiles.tests.factories import (
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

PROGRAMS = 12
# Each of so many locations is made; the others are their copies.
MADE = 10
# Where the programs stand at a location, one further at the next; "" is not invited.
LIVES = (
    "invited",
    "accepted",
    "action_required",
    "validating",
    "enrolled",
    "enrolled",
    "enrolled",
    "declined",
    "",
    "expired",
)
FIRST_COPY = 100_000_000


def fill_overviews(*, locations: int, others: int = 0) -> User:
    """Store a company of so many locations in twelve programs; return its admin.

    `others` are locations of other companies, ten in each, in the same programs: with
    80 000 of them an owner has about 1 000 000 enrollments. The last program is open to
    all, the one before asks for a value that nobody has.
    """
    programs = [
        IncentiveProgramFactory(name=f"Program {one:02}") for one in range(PROGRAMS)
    ]
    terms = [ProgramTermsFactory(program=one) for one in programs[:-1]]
    RequirementFactory(terms=terms[-1])
    terms.append(ProgramTermsFactory(program=programs[-1], open_to_all=True))
    person = _company(terms, number=0)
    company = PartnerAccount.objects.latest("pk")
    _multiply_locations(company, copies=locations // MADE - 1)
    if others:
        _company(terms, number=1)
        _multiply_company(
            PartnerAccount.objects.latest("pk"), copies=others // MADE - 1
        )
    count_anew()
    return person


def _company(terms: list[ProgramTerms], *, number: int) -> User:
    company = PartnerAccountFactory(name=f"Company {number}")
    AgreementFactory(partner_account=company)
    person = UserFactory(
        email=f"size{number}@partner.example", full_name=f"Person of {number}"
    )
    RoleAssignmentFactory(user=person, partner_account=company)
    bank = BankProfileFactory(partner_account=company, created_by=person)
    for one in range(MADE):
        location = LocationFactory(partner_account=company, name=f"Branch {one}")
        DefaultBankProfileFactory(location=location, bank_profile=bank, set_by=person)
        tax = TaxProfileFactory(
            location=location, created_by=person, version__pending=one == 3
        )
        for place, some in enumerate(terms):
            life = LIVES[(one + place) % len(LIVES)]
            if life and not some.is_open_to_all:
                _enrollment(location, some, life, bank=bank, tax=tax, by=person)
    return person


def _enrollment(location, terms, life: str, *, bank, tax, by: User) -> None:
    facts = {"location": location, "terms": terms}
    if life == "validating":
        facts |= {"submitted": True, "submitted_by": by}
    elif life == "enrolled":
        facts |= {"complete": True, "submitted_by": by}
    elif life == "accepted":
        facts |= {"accepted": True}
    elif life == "action_required":
        facts |= {"accepted": True, "status": life}
    else:
        facts |= {"status": life}
    if life in ("validating", "enrolled"):
        facts |= {
            "payout__bank_profile": bank,
            "payout__tax_profile": tax,
            "payout__currency": "EUR",
        }
    if life == "enrolled":
        facts |= {
            "payout__bank_version": bank.versions.get(),
            "payout__tax_version": tax.versions.get(),
        }
    enrollment = EnrollmentFactory(**facts)
    if life == "invited":
        InvitationFactory(enrollment=enrollment, user=by)


def _multiply_locations(company: PartnerAccount, *, copies: int) -> None:
    if copies < 1:
        return
    each = Copies(
        f"(n * {MADE} + t.made)",
        f"generate_series({FIRST_COPY}, {FIRST_COPY + copies - 1}) AS copies (n)",
    )
    _copy_locations(company, each, of_account={}, of_bank=lambda column: {})


def _multiply_company(company: PartnerAccount, *, copies: int) -> None:
    first = FIRST_COPY * 2
    each = Copies("n", f"generate_series({first}, {first + copies - 1}) AS copies (n)")
    of_account = {"partner_account_id": "n"}
    banks = BankProfile.objects.filter(partner_account=company)
    copy_rows(
        PartnerAccount.objects.filter(pk=company.pk),
        each,
        {"id": "n", "partner_id": "n::text"},
    )
    copy_rows(Agreement.objects.filter(partner_account=company), each, of_account)
    copy_rows(banks, each, of_account | renamed("id", each))
    copy_rows(
        BankProfileVersion.objects.filter(profile__in=banks),
        each,
        renamed("id", each) | renamed("profile_id", each),
    )
    _copy_locations(
        company,
        Copies(f"(n * {MADE} + t.made)", each.series),
        of_account=of_account,
        of_bank=lambda column: renamed(column, each),
    )


def _copy_locations(
    company: PartnerAccount, each: Copies, *, of_account: dict, of_bank
) -> None:
    """Store copies of a company's locations with all that is there."""
    for made, location in enumerate(Location.objects.filter(partner_account=company)):
        this = Copies(each.key.replace("t.made", str(made)), each.series)
        taxes = TaxProfile.objects.filter(location=location)
        of_location = {"location_id": this.key}
        copy_rows(
            Location.objects.filter(pk=location.pk),
            this,
            of_account
            | {
                "id": this.key,
                "partner_id": f"{this.key}::text",
                "name": f"t.name || ' ' || {this.key}",
            },
        )
        copy_rows(
            DefaultBankProfile.objects.filter(location=location),
            this,
            of_account | of_location | of_bank("bank_profile_id"),
        )
        copy_rows(taxes, this, of_location | renamed("id", this))
        copy_rows(
            TaxProfileVersion.objects.filter(profile__in=taxes),
            this,
            renamed("id", this) | renamed("profile_id", this),
        )
        copy_rows(
            Enrollment.objects.filter(location=location),
            this,
            of_account | of_location | renamed("id", this),
        )
        copy_rows(
            Invitation.objects.filter(enrollment__location=location),
            this,
            renamed("id", this) | renamed("enrollment_id", this),
        )
        copy_rows(
            PayoutAssignment.objects.filter(location=location),
            this,
            of_account
            | of_location
            | renamed("enrollment_id", this)
            | of_bank("bank_profile_id")
            | of_bank("bank_version_id")
            | renamed("tax_profile_id", this)
            | renamed("tax_version_id", this),
        )
