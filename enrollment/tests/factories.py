"""Programs' years and enrollments for tests: this fiscal year, invited, minimal."""

import datetime

import factory
from django.utils import timezone

from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    UserFactory,
)
from enrollment.models import (
    Agreement,
    Criterion,
    EarningType,
    Enrollment,
    FiscalCalendar,
    FiscalYear,
    GuideFile,
    Invitation,
    MeasuredValue,
    PayoutAssignment,
    ProgramTerms,
    Requirement,
    TermsDraft,
    TermsVersion,
)
from enrollment.versions import content_of
from profiles.tests.factories import BankProfileFactory, TaxProfileFactory


def fiscal_number(day: datetime.date) -> int:
    """The July-June year a day falls in, by the year it ends in."""
    return day.year + (day.month >= 7)


class FiscalCalendarFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = FiscalCalendar
        django_get_or_create = ("code",)

    code = "july"
    name = "July to June"
    time_zone = "UTC"


class FiscalYearFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = FiscalYear
        django_get_or_create = ("calendar", "number")

    calendar = factory.SubFactory(FiscalCalendarFactory)
    number = factory.LazyFunction(lambda: fiscal_number(timezone.localdate()))
    starts_on = factory.LazyAttribute(lambda y: datetime.date(y.number - 1, 7, 1))
    ends_on = factory.LazyAttribute(lambda y: datetime.date(y.number, 6, 30))


class ProgramTermsFactory(factory.django.DjangoModelFactory):
    """Terms by invitation without criteria but the agreement, one earning type."""

    class Meta:
        model = ProgramTerms
        skip_postgeneration_save = True

    program = factory.SubFactory(IncentiveProgramFactory)
    fiscal_year = factory.SubFactory(FiscalYearFactory)
    currencies = ["EUR", "USD"]
    methods = ["bank_transfer"]
    agreement_text_en = "The rules of the program."
    agreement_text_sv = "Programmets regler."

    class Params:
        open_to_all = factory.Trait(is_open_to_all=True, needs_agreement=False)

    @factory.post_generation
    def earning_types(terms, create, extracted, **kwargs):
        for kind, share in extracted or [("rebate", 100)]:
            EarningTypeFactory(terms=terms, kind=kind, share=share)


class TermsVersionFactory(factory.django.DjangoModelFactory):
    """What terms say now, as their first version."""

    class Meta:
        model = TermsVersion

    terms = factory.SubFactory(ProgramTermsFactory)
    number = 1
    content = factory.LazyAttribute(lambda version: content_of(version.terms))
    published_at = factory.LazyFunction(timezone.now)


class TermsDraftFactory(factory.django.DjangoModelFactory):
    """A draft that says what is in force."""

    class Meta:
        model = TermsDraft

    program = factory.SubFactory(IncentiveProgramFactory)
    fiscal_year = factory.SubFactory(FiscalYearFactory)
    content = factory.LazyAttribute(
        lambda draft: content_of(
            ProgramTerms.objects.get(
                program=draft.program, fiscal_year=draft.fiscal_year
            )
        )
    )
    begun_at = factory.LazyFunction(timezone.now)
    changed_at = factory.LazyFunction(timezone.now)
    changed_by = factory.SubFactory(UserFactory, operator=True)


class GuideFileFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = GuideFile

    program = factory.SubFactory(IncentiveProgramFactory)
    fiscal_year = factory.SubFactory(FiscalYearFactory)
    language = "en"
    title = "Program guide"
    content = b"%PDF-1.4"
    content_type = "application/pdf"
    size = 8
    digest = "0" * 64
    added_at = factory.LazyFunction(timezone.now)
    added_by = factory.SubFactory(UserFactory, operator=True)


class EarningTypeFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = EarningType

    kind = "rebate"
    share = 100


class CriterionFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Criterion

    code = factory.Sequence(lambda n: f"criterion-{n}")
    kind = "number"
    name_en = "Revenue in twelve months"
    name_sv = "Omsättning på tolv månader"
    how_to_fix_en = "Sell more through the program."
    how_to_fix_sv = "Sälj mer genom programmet."
    unit = "USD"


class RequirementFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Requirement

    terms = factory.SubFactory(ProgramTermsFactory)
    criterion = factory.SubFactory(CriterionFactory)
    at_least = 25000


class MeasuredValueFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = MeasuredValue

    location = factory.SubFactory(LocationFactory)
    criterion = factory.SubFactory(CriterionFactory)
    value = 30000
    measured_on = factory.LazyFunction(timezone.localdate)
    source = "monthly report"


class AgreementFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Agreement

    starts_on = datetime.date(2020, 1, 1)


class EnrollmentFactory(factory.django.DjangoModelFactory):
    """An invited enrollment with its payout assignments; `accepted=True` accepts it."""

    class Meta:
        model = Enrollment
        skip_postgeneration_save = True

    location = factory.SubFactory(LocationFactory)
    terms = factory.SubFactory(ProgramTermsFactory)
    status = "invited"
    status_since = factory.LazyFunction(timezone.now)
    invited_at = factory.LazyFunction(timezone.now)
    enroll_by = factory.LazyAttribute(lambda e: e.terms.fiscal_year.ends_on)

    class Params:
        accepted = factory.Trait(
            accepted_at=factory.LazyFunction(timezone.now),
            accepted_by=factory.SubFactory(UserFactory),
            agreement_version="1",
        )
        submitted = factory.Trait(
            accepted=True,
            status="validating",
            submitted_at=factory.LazyFunction(timezone.now),
            submitted_by=factory.SubFactory(UserFactory),
        )
        complete = factory.Trait(
            submitted=True,
            status="enrolled",
            enrolled_at=factory.LazyFunction(timezone.now),
            earns_from=factory.LazyFunction(
                lambda: timezone.localdate().replace(day=1)
            ),
        )

    @factory.post_generation
    def payout(enrollment, create, extracted, **kwargs):
        """One assignment per earning type; keywords are its fields."""
        for earning_type in enrollment.terms.earning_types.all():
            PayoutAssignment.objects.create(
                enrollment=enrollment,
                earning_type=earning_type,
                location=enrollment.location,
                partner_account=enrollment.location.partner_account,
                **kwargs,
            )


class InvitationFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Invitation

    enrollment = factory.SubFactory(EnrollmentFactory)
    user = factory.SubFactory(UserFactory)


def enrolled(location, terms, *, expires=None, currency="SEK", status="enrolled"):
    """An enrollment in force whose profiles are validated."""
    bank = BankProfileFactory(partner_account=location.partner_account)
    tax = TaxProfileFactory(location=location, version__expires_on=expires)
    enrollment = EnrollmentFactory(
        location=location,
        terms=terms,
        complete=True,
        payout__bank_profile=bank,
        payout__tax_profile=tax,
        payout__bank_version=bank.versions.get(),
        payout__tax_version=tax.versions.get(),
        payout__currency=currency,
    )
    Enrollment.objects.filter(pk=enrollment.pk).update(status=status)
    enrollment.refresh_from_db()
    return enrollment
