"""What programs ask and allow: calendars, fiscal years, terms, criteria.

Defining again what is there changes what differs, and nothing if nothing does.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.forms import model_to_dict
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import AuditAction, IncentiveProgram, User
from accounts.services import record_audit_event
from enrollment.models import (
    Criterion,
    EarningType,
    FiscalCalendar,
    FiscalYear,
    ProgramTerms,
    Requirement,
    TermsVersion,
)
from enrollment.models.terms import EarningsStart
from enrollment.versions import content_of
from profiles.currencies import CURRENCIES

TEXTS = ("agreement_text_en", "agreement_text_sv")


@transaction.atomic
def define_fiscal_calendar(
    *, code: str, name: str, name_sv: str = "", time_zone: str = "UTC"
) -> FiscalCalendar:
    """Define a rhythm of years that programs share."""
    calendar = _known_or_new(FiscalCalendar, code=code)
    calendar.name = name
    calendar.name_sv = name_sv
    calendar.time_zone = time_zone
    return _saved(calendar)


@transaction.atomic
def define_fiscal_year(
    calendar: FiscalCalendar, *, number: int, starts_on: date, ends_on: date
) -> FiscalYear:
    """Define a year of a calendar; two of its years cannot overlap."""
    year = _known_or_new(FiscalYear, calendar=calendar, number=number)
    year.starts_on = starts_on
    year.ends_on = ends_on
    return _saved(year)


@transaction.atomic
def define_program(
    *, code: str, name: str, summary_en: str = "", summary_sv: str = ""
) -> IncentiveProgram:
    """Define a program; what it asks and allows in a year are its terms."""
    program = _known_or_new(IncentiveProgram, code=code)
    program.name = name
    program.summary_en = summary_en
    program.summary_sv = summary_sv
    return _saved(program)


@transaction.atomic
def define_criterion(
    *,
    code: str,
    kind: Criterion.Kind | str,
    name_en: str,
    name_sv: str,
    how_to_fix_en: str,
    how_to_fix_sv: str,
    unit: str = "",
    max_age_days: int | None = None,
) -> Criterion:
    """Define something that can be measured of a location."""
    criterion = _known_or_new(Criterion, code=code)
    criterion.kind = kind
    criterion.name_en = name_en
    criterion.name_sv = name_sv
    criterion.how_to_fix_en = how_to_fix_en
    criterion.how_to_fix_sv = how_to_fix_sv
    criterion.unit = unit
    criterion.max_age_days = max_age_days
    return _saved(criterion)


@transaction.atomic
def define_program_terms(
    program: IncentiveProgram,
    *,
    fiscal_year: FiscalYear,
    earning_types: Iterable[tuple[EarningType.Kind | str, int]],
    requirements: Iterable[tuple[Criterion, Decimal]] = (),
    is_open_to_all: bool = False,
    is_listed: bool = True,
    needs_agreement: bool = True,
    countries: list[str],
    bank_countries: list[str],
    bank_countries_refused: list[str],
    currencies: list[str],
    pays_local_currency: bool = True,
    methods: list[str],
    required_tax_details: list[str],
    enroll_by: date | None = None,
    enroll_within_days: int | None = None,
    earnings_start: EarningsStart | str = EarningsStart.VALIDATED,
    agreement_version: str = "1",
    agreement_text_en: str,
    agreement_text_sv: str,
    guide_url: str = "",
    validation_hours: int = 48,
    sender_name: str = "",
    invitation_subject_en: str = "",
    invitation_subject_sv: str = "",
    is_rehearsal: bool = False,
    by: User | None,
) -> ProgramTerms:
    """Define what a program asks and allows in one fiscal year, as its next version.

    What is there already and differs in nothing gets none. Enrollments are moved by
    publishing.publish_terms(), which says first what would become of them: for who
    takes it all back, a rehearsal writes neither a version nor an event.

    `earning_types` are pairs of a kind and its share in percent, 100 together;
    `requirements` pairs of a criterion and how much of it, in the order shown. Raises
    ValidationError when a program that is open to all asks for criteria (R26), when
    a currency is not paid in, and when the text of an agreement that somebody accepted
    would change under the same version.
    """
    shares, requirements = dict(earning_types), list(requirements)
    terms = _known_or_new(ProgramTerms, program=program, fiscal_year=fiscal_year)
    _refuse_unknown_currencies(currencies)
    check_agreement_text(
        terms,
        version=agreement_version,
        texts=(agreement_text_en, agreement_text_sv),
    )
    check_earning_types(terms, shares)
    check_requirements(requirements, is_open_to_all=is_open_to_all)
    before = _described(terms) if terms.pk else {}
    if terms.pk and not terms.version and not is_rehearsal:
        # As it stood before versions were kept.
        _keep_version(terms, by=None)
    terms.is_open_to_all = is_open_to_all
    terms.is_listed = is_listed
    terms.needs_agreement = needs_agreement
    terms.countries = countries
    terms.bank_countries = bank_countries
    terms.bank_countries_refused = bank_countries_refused
    terms.currencies = currencies
    terms.pays_local_currency = pays_local_currency
    terms.methods = methods
    terms.required_tax_details = required_tax_details
    terms.enroll_by = enroll_by
    terms.enroll_within_days = enroll_within_days
    terms.earnings_start = earnings_start
    terms.agreement_version = agreement_version
    terms.agreement_text_en = agreement_text_en
    terms.agreement_text_sv = agreement_text_sv
    terms.guide_url = guide_url
    terms.validation_hours = validation_hours
    terms.sender_name = sender_name
    terms.invitation_subject_en = invitation_subject_en
    terms.invitation_subject_sv = invitation_subject_sv
    _saved(terms)
    _set_earning_types(terms, shares)
    _set_requirements(terms, requirements)
    if not is_rehearsal and (
        _record_change(terms, before=before, by=by) or not terms.version
    ):
        _keep_version(terms, by=by)
    return terms


def _keep_version(terms: ProgramTerms, *, by: User | None) -> None:
    terms.version += 1
    terms.save(update_fields=["version"])
    TermsVersion.objects.create(
        terms=terms,
        number=terms.version,
        content=content_of(terms),
        published_at=timezone.now(),
        published_by=by,
    )


def check_agreement_text(
    terms: ProgramTerms, *, version: str, texts: tuple[str, str]
) -> None:
    """Raise when a version that somebody accepted would say something else.

    Its text is not kept, so neither is an older version taken up again. Where lines
    break is not what it says.
    """
    known = (terms.agreement_text_en, terms.agreement_text_sv)
    is_changed = version != terms.agreement_version or any(
        old.split() != new.split() for old, new in zip(known, texts, strict=True)
    )
    if (
        terms.pk
        and is_changed
        and terms.enrollments.filter(
            agreement_version=version, accepted_at__isnull=False
        ).exists()
    ):
        raise ValidationError(
            {
                "agreement_version": _(
                    "Somebody has accepted this version of the agreement. Give the "
                    "changed text a new version."
                )
            }
        )


def check_earning_types(terms: ProgramTerms, shares: Mapping[str, int]) -> None:
    """Raise when the shares are not everything, or enrollments would be left unpaid.

    Enrollments carry one payout for each earning type from the start: once somebody
    was invited none is added, and none they are paid by is left out.
    """
    if sum(shares.values()) != 100:
        raise _wrong_earning_types(
            _("The shares of the earning types must be 100% in all.")
        )
    if not terms.pk:
        return
    left_out = terms.earning_types.exclude(kind__in=shares)
    if left_out.filter(payout_assignments__isnull=False).exists():
        raise _wrong_earning_types(
            _("Enrollments are paid by an earning type that is left out here.")
        )
    known = set(terms.earning_types.values_list("kind", flat=True))
    if not known.issuperset(shares) and terms.enrollments.exists():
        raise _wrong_earning_types(
            _("Locations were invited already: no earning type can be added.")
        )


def check_requirements(
    requirements: list[tuple[Criterion, Decimal]], *, is_open_to_all: bool
) -> None:
    """Raise when a program that is open to all would ask for criteria (R26)."""
    if is_open_to_all and requirements:
        raise ValidationError(
            {"requirements": _("A program that is open to all has no criteria.")}
        )


def _known_or_new(model: type[models.Model], **key) -> models.Model:
    """Return the row with a key, locked, or a new one that is not saved yet.

    Nothing that only refers to it waits: partners enroll meanwhile.
    """
    rows = model.objects.select_for_update(of=("self",), no_key=True)
    known = rows.filter(**key).first()
    return known or model(**key)


def _saved(row: models.Model) -> models.Model:
    row.full_clean()
    row.save()
    return row


def _set_earning_types(terms: ProgramTerms, shares: Mapping[str, int]) -> None:
    superfluous = terms.earning_types.exclude(kind__in=shares)
    superfluous.delete()
    for kind, share in shares.items():
        earning_type = _known_or_new(EarningType, terms=terms, kind=kind)
        earning_type.share = share
        _saved(earning_type)


def _set_requirements(
    terms: ProgramTerms, requirements: list[tuple[Criterion, Decimal]]
) -> None:
    criteria = [criterion for criterion, _at_least in requirements]
    terms.requirements.exclude(criterion__in=criteria).delete()
    for position, (criterion, at_least) in enumerate(requirements):
        requirement = _known_or_new(Requirement, terms=terms, criterion=criterion)
        requirement.at_least = at_least
        requirement.position = position
        _saved(requirement)


def _refuse_unknown_currencies(codes: list[str]) -> None:
    unknown = ", ".join(sorted(set(codes) - set(CURRENCIES)))
    if unknown:
        raise ValidationError(
            {
                "currencies": _("Nobody is paid in %(currencies)s.")
                % {"currencies": unknown}
            }
        )


def _wrong_earning_types(sentence: str) -> ValidationError:
    return ValidationError({"earning_types": sentence})


def _record_change(
    terms: ProgramTerms, *, before: dict[str, Any], by: User | None
) -> bool:
    """Write down what differs, and say whether anything does."""
    after = _described(terms)
    changed = [name for name in after if after[name] != before.get(name)]
    if changed:
        record_audit_event(
            terms,
            action=AuditAction.TERMS_DEFINED,
            by=by,
            partner_account=None,
            before={name: before[name] for name in changed if name in before},
            after={name: after[name] for name in changed},
        )
    return bool(changed)


def _described(terms: ProgramTerms) -> dict[str, Any]:
    """Everything the terms say, as the audit trail keeps it; long texts by their hash."""
    fields = model_to_dict(terms, exclude=("id", *TEXTS))
    return {
        **{
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in fields.items()
        },
        **{
            name: hashlib.sha256(getattr(terms, name).encode()).hexdigest()
            for name in TEXTS
        },
        "earning_types": dict(
            terms.earning_types.order_by("kind").values_list("kind", "share")
        ),
        "requirements": [
            [code, f"{at_least:.2f}"]
            for code, at_least in terms.requirements.order_by("position").values_list(
                "criterion__code", "at_least"
            )
        ],
    }
