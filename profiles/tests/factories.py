"""Bank and tax profiles for tests: approved unless said otherwise."""

import io
from datetime import timedelta

import factory
from django.db import connection
from django.utils import timezone
from pypdf import PdfWriter

from accounts.sealing import blind_index
from accounts.tests.factories import (
    LocationFactory,
    PartnerAccountFactory,
    UserFactory,
)
from profiles import countries
from profiles.models import (
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
from profiles.tests.known_numbers import DOCUMENT

HELD = ("cooling", "stopped")
IBAN = "SE3550000000054910000003"
BANK_DETAILS = {
    "account_holder": "Nordvik IT AB",
    "account_kind": "iban",
    "iban": IBAN,
    "contact_name": "Maria Petersson",
    "contact_email": "finance@partner.example",
    "contact_phone": "+468123456",
    "street": "Storgatan 1",
    "postcode": "111 22",
    "city": "Stockholm",
}
TAX_DETAILS = {
    "legal_name": "Nordvik IT AB",
    "org_number": "5599990669",
    "street": "Storgatan 1",
    "postcode": "11122",
    "city": "Stockholm",
}


def _account_of(version) -> str:
    schema = countries.bank_schema(version.country)
    return countries.account_number(schema, version.details)


def _tax_number_of(version) -> str:
    schema = countries.tax_schema(version.country)
    return countries.tax_number(schema, version.details)


def _begun_on(draft):
    """What a change of a profile starts from; nothing of a new one."""
    profile = getattr(draft, "profile", None)
    return profile.current_version if profile is not None else None


class BankProfileFactory(factory.django.DjangoModelFactory):
    """A bank profile with one version; `pending=True`, `returned=True` or approved."""

    class Meta:
        model = BankProfile
        skip_postgeneration_save = True

    partner_account = factory.SubFactory(PartnerAccountFactory)
    name = factory.Sequence(lambda n: f"Bank profile {n}")
    created_by = factory.SubFactory(UserFactory)

    @factory.post_generation
    def version(profile, create, extracted, **kwargs):
        if extracted is not False:
            BankVersionFactory(
                profile=profile, submitted_by=profile.created_by, **kwargs
            )


class BankVersionFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = BankProfileVersion

    profile = factory.SubFactory(BankProfileFactory, version=False)
    number = 1
    country = "SE"
    details = factory.LazyFunction(lambda: dict(BANK_DETAILS))
    last4 = factory.LazyAttribute(lambda v: countries.last4(_account_of(v)))
    blind_index = factory.LazyAttribute(
        lambda v: blind_index(_account_of(v), purpose="bank")
    )
    bank_name = "Testbanken"
    local_currency = "SEK"
    submitted_by = factory.SubFactory(UserFactory)
    status = "approved"
    # A moment ago: what a test gives as "now" is later.
    submitted_at = factory.LazyFunction(lambda: timezone.now() - timedelta(seconds=1))
    approved_at = factory.LazyAttribute(
        lambda v: timezone.now() if v.status in ("approved", "replaced") else None
    )
    decided_at = factory.LazyFunction(timezone.now)
    decided_by = factory.SubFactory(UserFactory, operator=True)
    # A change that was approved by two, and may take effect.
    usable_from = factory.LazyAttribute(
        lambda v: v.submitted_at if v.status in HELD else None
    )
    seconded_at = factory.LazyAttribute(
        lambda v: timezone.now() if v.status in HELD else None
    )
    seconded_by = factory.LazyAttribute(
        lambda v: UserFactory(operator=True) if v.status in HELD else None
    )
    seconded_digest = factory.LazyAttribute(
        lambda v: "0" * 64 if v.status in HELD else ""
    )

    class Params:
        pending = factory.Trait(status="pending", decided_at=None, decided_by=None)
        was_returned = factory.Trait(
            status="action_required",
            returned=[
                {"field": "account_holder", "code": "BANK_NAME_MISMATCH", "note": ""}
            ],
        )


class BankProfileDraftFactory(factory.django.DjangoModelFactory):
    """A bank profile that somebody filled in, all of it, and did not send."""

    class Meta:
        model = BankProfileDraft

    partner_account = factory.SubFactory(PartnerAccountFactory)
    name = factory.Sequence(lambda n: f"Begun {n}")
    country = "SE"
    details = factory.LazyFunction(lambda: dict(BANK_DETAILS))
    done = ["account", "beneficiary"]
    based_on = factory.LazyAttribute(_begun_on)
    created_by = factory.SubFactory(UserFactory)


class ReviewQuestionFactory(factory.django.DjangoModelFactory):
    """What a reviewer escalated and nobody has answered yet."""

    class Meta:
        model = ReviewQuestion

    bank_version = factory.SubFactory(BankVersionFactory, pending=True)
    to = "approvers"
    text = "Is this company known to you?"
    asked_by = factory.SubFactory(UserFactory, operator=True)


class TaxProfileFactory(factory.django.DjangoModelFactory):
    """A tax profile with one version, approved unless said otherwise."""

    class Meta:
        model = TaxProfile
        skip_postgeneration_save = True

    location = factory.SubFactory(LocationFactory)
    name = factory.Sequence(lambda n: f"Tax profile {n}")
    created_by = factory.SubFactory(UserFactory)

    @factory.post_generation
    def version(profile, create, extracted, **kwargs):
        if extracted is not False:
            TaxVersionFactory(
                profile=profile, submitted_by=profile.created_by, **kwargs
            )


class TaxVersionFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = TaxProfileVersion

    profile = factory.SubFactory(TaxProfileFactory, version=False)
    number = 1
    country = "SE"
    form = "local"
    details = factory.LazyFunction(lambda: dict(TAX_DETAILS))
    provided = factory.LazyAttribute(lambda v: sorted(v.details))
    last4 = factory.LazyAttribute(lambda v: countries.last4(_tax_number_of(v)))
    blind_index = factory.LazyAttribute(
        lambda v: blind_index(_tax_number_of(v), purpose="tax")
    )
    submitted_by = factory.SubFactory(UserFactory)
    status = "approved"
    decided_at = factory.LazyFunction(timezone.now)
    decided_by = factory.SubFactory(UserFactory, operator=True)

    class Params:
        pending = factory.Trait(status="pending", decided_at=None, decided_by=None)
        was_returned = factory.Trait(
            status="action_required",
            returned=[{"field": "legal_name", "code": "TAX_NAME_MISMATCH", "note": ""}],
        )


class TaxProfileDraftFactory(factory.django.DjangoModelFactory):
    """A draft of a new tax profile with its first three steps done."""

    class Meta:
        model = TaxProfileDraft

    location = factory.SubFactory(LocationFactory)
    name = "Draft"
    country = "SE"
    setup = factory.LazyFunction(lambda: {"payer": "other", "registered": "no"})
    details = factory.LazyFunction(lambda: dict(TAX_DETAILS))
    done = factory.LazyFunction(lambda: ["company", "setup", "status"])
    based_on = factory.LazyAttribute(_begun_on)
    created_by = factory.SubFactory(UserFactory)


class TaxDocumentFactory(factory.django.DjangoModelFactory):
    """A certificate of a version, or of a draft."""

    class Meta:
        model = TaxDocument

    version = factory.SubFactory(TaxVersionFactory)
    location = factory.LazyAttribute(
        lambda d: (d.version.profile if d.version else d.draft).location
    )
    kind = "registration"
    dated_on = factory.LazyFunction(timezone.localdate)
    content_type = "application/pdf"
    name = "certificate.pdf"
    content = factory.LazyFunction(lambda: a_pdf(DOCUMENT))
    size = factory.LazyAttribute(lambda d: len(d.content))
    added_by = factory.SubFactory(UserFactory)


class PreparedPartFactory(factory.django.DjangoModelFactory):
    """Bank details that a colleague prepares of their own accord; `filled=True`."""

    class Meta:
        model = PreparedPart

    location = factory.SubFactory(LocationFactory)
    section = "bank"
    email = factory.Sequence(lambda n: f"finance{n}@partner.example")
    full_name = "Fia Finance"
    asked_at = factory.LazyFunction(timezone.now)
    expires_at = factory.LazyAttribute(lambda p: p.asked_at + timedelta(days=7))

    class Params:
        filled = factory.Trait(
            state="filled",
            country="SE",
            details=BANK_DETAILS,
            filled_at=factory.LazyFunction(timezone.now),
            filled_by=factory.SubFactory(UserFactory),
        )


class DefaultBankProfileFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = DefaultBankProfile

    location = factory.SubFactory(LocationFactory)
    partner_account = factory.SelfAttribute("location.partner_account")
    bank_profile = factory.SubFactory(
        BankProfileFactory, partner_account=factory.SelfAttribute("..partner_account")
    )
    currency = "SEK"
    set_by = factory.SubFactory(UserFactory)


def a_pdf(text: str, *, pages: int = 1) -> bytes:
    """A small whole PDF; `text` is its title, to be found among its bytes."""
    writer = PdfWriter()
    for _page in range(pages):
        writer.add_blank_page(width=200, height=200)
    writer.add_metadata({"/Title": text})
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def as_if_sent(versions, **facts) -> None:
    """Let versions have been sent with other facts: the trigger lets nobody edit."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        versions.update(**facts)
        cursor.execute("SET session_replication_role = DEFAULT")
