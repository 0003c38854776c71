"""Operators' records of programs: identity, criteria, calendars and guides.

Each change is one audit event with before and after; without a difference nothing is
written.
"""

import hashlib
from calendar import monthrange
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import AuditAction, IncentiveProgram, User
from accounts.services import record_audit_event
from accounts.text import clean_line
from enrollment.models import (
    Criterion,
    FiscalCalendar,
    FiscalYear,
    GuideFile,
    ProgramTerms,
    TermsDraft,
)
from enrollment.services.publishing import begin_terms_draft
from profiles.papers import checked_paper

IDENTITY = ("name", "summary_en", "summary_sv")
CALENDAR = ("name", "name_sv")
CRITERION = (
    "kind",
    "unit",
    "max_age_days",
    "name_en",
    "name_sv",
    "how_to_fix_en",
    "how_to_fix_sv",
)


@transaction.atomic
def add_program(
    *,
    code: str,
    name: str,
    summary_en: str = "",
    summary_sv: str = "",
    fiscal_year: FiscalYear,
    copy_of: ProgramTerms | None = None,
    by: User,
) -> TermsDraft:
    """Add a program and begin its first year, empty or as a copy of other terms.

    Partners learn of it when these are published. Raises ValidationError when the code
    is taken.
    """
    program = IncentiveProgram(
        code=code, name=name, summary_en=summary_en, summary_sv=summary_sv
    )
    program.full_clean()
    program.save(force_insert=True)
    _record(
        program,
        AuditAction.PROGRAM_ADDED,
        by=by,
        after={"code": code, **_facts(program, IDENTITY)},
    )
    return begin_terms_draft(program, fiscal_year=fiscal_year, copy_of=copy_of, by=by)


@transaction.atomic
def change_program(
    program: IncentiveProgram, *, by: User, **values: str
) -> IncentiveProgram:
    """Call a program something else, or say otherwise what it is; its code stays."""
    program = IncentiveProgram.objects.select_for_update(of=("self",)).get(
        pk=program.pk
    )
    return _changed(
        program, IDENTITY, values, action=AuditAction.PROGRAM_CHANGED, by=by
    )


@transaction.atomic
def add_criterion(*, code: str, by: User, **values: Any) -> Criterion:
    """Add something that can be measured of a location, and asked for by programs."""
    criterion = Criterion(code=code, **values)
    criterion.full_clean()
    criterion.save(force_insert=True)
    _record(
        criterion,
        AuditAction.CRITERION_ADDED,
        by=by,
        after={"code": code, **_facts(criterion, CRITERION)},
    )
    return criterion


@transaction.atomic
def change_criterion(criterion: Criterion, *, by: User, **values: Any) -> Criterion:
    """Say it better, or for how long a value is good.

    Its code stays. Its kind and unit stay where it was measured or is asked for: what
    was measured would mean something else. Versions of terms keep the words they had.
    Where it is asked for, enrollments are held against it anew by the clock.
    """
    criterion = Criterion.objects.select_for_update(of=("self",)).get(pk=criterion.pk)
    is_used = criterion.requirements.exists() or criterion.measured_values.exists()
    for name in ("kind", "unit"):
        if is_used and values[name] != getattr(criterion, name):
            raise ValidationError(
                {
                    name: _(
                        "This was measured already or is asked for. Add another "
                        "criterion instead."
                    )
                }
            )
    ProgramTerms.objects.filter(requirements__criterion=criterion).update(
        standing_on=None
    )
    return _changed(
        criterion, CRITERION, values, action=AuditAction.CRITERION_CHANGED, by=by
    )


@transaction.atomic
def add_fiscal_calendar(
    *,
    code: str,
    name: str,
    name_sv: str = "",
    first_month: int,
    time_zone: str,
    at: datetime,
    by: User,
) -> FiscalCalendar:
    """Add a rhythm of years that begin with a month, with this year and the next."""
    calendar = FiscalCalendar(
        code=code, name=name, name_sv=name_sv, time_zone=time_zone
    )
    calendar.full_clean()
    calendar.save(force_insert=True)
    _record(
        calendar,
        AuditAction.CALENDAR_ADDED,
        by=by,
        after={
            "code": code,
            "name": name,
            "name_sv": name_sv,
            "first_month": first_month,
            "time_zone": time_zone,
        },
    )
    today = calendar.day_at(at)
    began = today.year if today.month >= first_month else today.year - 1
    for start in (began, began + 1):
        _add_year(calendar, starts_on=date(start, first_month, 1), by=by)
    return calendar


@transaction.atomic
def add_fiscal_year(calendar: FiscalCalendar, *, by: User) -> FiscalYear:
    """Add the year after a calendar's last one: twelve months from the next day on."""
    calendar = FiscalCalendar.objects.select_for_update(of=("self",)).get(
        pk=calendar.pk
    )
    last = calendar.years.order_by("-starts_on").first()
    return _add_year(
        calendar, starts_on=date.fromordinal(last.ends_on.toordinal() + 1), by=by
    )


def _add_year(calendar: FiscalCalendar, *, starts_on: date, by: User) -> FiscalYear:
    """It is named by the year it ends in (R66)."""
    month = (starts_on.month + 10) % 12 + 1
    end = starts_on.year + (starts_on.month > 1)
    ends_on = date(end, month, monthrange(end, month)[1])
    if starts_on.day > 1:
        ends_on = date(starts_on.year + 1, starts_on.month, starts_on.day - 1)
    year = FiscalYear(
        calendar=calendar, number=ends_on.year, starts_on=starts_on, ends_on=ends_on
    )
    year.full_clean()
    year.save(force_insert=True)
    _record(
        year,
        AuditAction.YEAR_ADDED,
        by=by,
        after={
            "calendar": calendar.code,
            "number": year.number,
            "starts_on": starts_on.isoformat(),
            "ends_on": ends_on.isoformat(),
        },
    )
    return year


@transaction.atomic
def change_fiscal_calendar(
    calendar: FiscalCalendar, *, by: User, **values: str
) -> FiscalCalendar:
    """Call a calendar something else.

    Its code, its zone and its years stay: last days of enrollments hang on them (R66).
    """
    calendar = FiscalCalendar.objects.select_for_update(of=("self",)).get(
        pk=calendar.pk
    )
    return _changed(
        calendar, CALENDAR, values, action=AuditAction.CALENDAR_CHANGED, by=by
    )


@transaction.atomic
def add_guide(
    program: IncentiveProgram,
    *,
    fiscal_year: FiscalYear,
    language: str,
    title: str,
    content: bytes,
    size: int | None = None,
    by: User,
) -> GuideFile:
    """Add a guide of a program's year; partners find it once its terms are published.

    Its content is looked at as every document's is (docs/adr/0012). Raises
    ValidationError when it is no PDF, PNG or JPEG, or is there already.
    """
    try:
        paper = checked_paper(content, size=size)
    except ValidationError as error:
        raise ValidationError({"file": error}) from error
    digest = hashlib.sha256(paper.content).hexdigest()
    known = GuideFile.objects.filter(
        program=program,
        fiscal_year=fiscal_year,
        language=language,
        digest=digest,
        removed_at=None,
    )
    if known.exists():
        raise ValidationError({"file": _("This file is there already.")})
    guide = GuideFile.objects.create(
        program=program,
        fiscal_year=fiscal_year,
        language=language,
        title=clean_line(title, max_length=120),
        content=paper.content,
        content_type=paper.content_type,
        size=len(paper.content),
        digest=digest,
        added_at=timezone.now(),
        added_by=by,
    )
    _record(guide, AuditAction.GUIDE_ADDED, by=by, after=_guide_facts(guide))
    return guide


@transaction.atomic
def remove_guide(guide: GuideFile, *, by: User) -> GuideFile:
    """Take a guide away from partners; operators still find it. Twice is once."""
    guide = GuideFile.objects.select_for_update(of=("self",)).get(pk=guide.pk)
    if guide.removed_at is None:
        guide.removed_at = timezone.now()
        guide.save(update_fields=["removed_at"])
        _record(guide, AuditAction.GUIDE_REMOVED, by=by, before=_guide_facts(guide))
    return guide


def _guide_facts(guide: GuideFile) -> dict[str, Any]:
    return {
        "program": guide.program_id,
        "year": guide.fiscal_year.number,
        "language": guide.language,
        "title": guide.title,
        "digest": guide.digest,
    }


def _facts(row, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _changed(
    row, names: tuple[str, ...], values: Mapping[str, Any], *, action, by: User
):
    before = _facts(row, names)
    for name in names:
        setattr(row, name, values[name])
    row.full_clean()
    changed = [name for name in names if getattr(row, name) != before[name]]
    if changed:
        row.save(update_fields=changed)
        _record(
            row,
            action,
            by=by,
            before={name: before[name] for name in changed},
            after={"code": row.code} | {name: getattr(row, name) for name in changed},
        )
    return row


def _record(
    row,
    action: AuditAction,
    *,
    by: User,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    record_audit_event(
        row, action=action, by=by, partner_account=None, before=before, after=after
    )
