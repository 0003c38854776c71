"""What operators' pages show of programs: years, sections, differences, effects."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import IO

from django.db.models import Case, Count, Q, QuerySet, When
from django.utils.translation import gettext as _
from django.utils.translation import override

from accounts.kept import MANY, kept
from accounts.models import IncentiveProgram, Location
from accounts.safe_csv import csv_lines
from enrollment.clock import EarningClock, clock_of
from enrollment.eligibility import GAPS, why_not_enrolling
from enrollment.models import (
    Criterion,
    Enrollment,
    FiscalYear,
    GuideFile,
    ProgramTerms,
    TermsDraft,
)
from enrollment.services import Effects, Stranded, problems_of, read_stranded
from enrollment.services.publishing import AGREEMENT, COUNTRY, UNKNOWN
from enrollment.states import (
    ENDS_WITH_PROGRAM,
    OPEN,
    SHOWN,
    EnrollmentStatus,
    ShownStatus,
)
from enrollment.versions import (
    SECTION_NAMES,
    SECTIONS,
    Difference,
    Fact,
    content_of,
    differences,
    facts,
    in_language,
    promise_words,
    requirement_words,
    worded,
)

# Years to come that can be written beside the last one.
YEARS_AHEAD = 2

# What is larger than this lies on disk until it was sent; bytes.
IN_MEMORY = 1 << 20


@dataclass(frozen=True)
class ProgramRow:
    """One program in the list."""

    program: IncentiveProgram
    terms: ProgramTerms | None
    drafts: int
    open_enrollments: int


@dataclass(frozen=True)
class YearRow:
    """One year of a program: what is in force, what is being written."""

    year: FiscalYear
    terms: ProgramTerms | None
    draft: TermsDraft | None
    copy_of: ProgramTerms | None
    guides: list[GuideFile]
    is_over: bool


@dataclass(frozen=True)
class Section:
    """One section of the editor with what it says, and what keeps it from being whole."""

    name: str
    label: str
    facts: list[Fact]
    problems: list[str]


@dataclass(frozen=True)
class Effect:
    """What becomes of enrollments by one change, in words."""

    why: str
    what: str
    turn: str
    count: int
    samples: tuple[Enrollment, ...]


@dataclass(frozen=True)
class PartnersView:
    """What a partner reads of terms, on a day."""

    terms: ProgramTerms
    location: Location
    enrollment: Enrollment
    lines: list
    clock: EarningClock | None
    requirements: list[tuple[str, str]]
    promise: str
    why_not: str


def program_list(at: datetime) -> tuple[list[ProgramRow], datetime | None]:
    """List every program with its newest terms, drafts and open enrollments.

    And as of when those are counted: numbers of a large owner are kept a minute.
    """
    programs = IncentiveProgram.objects.annotate(
        drafts=Count("terms_drafts", distinct=True)
    ).order_by("discontinued_at", "name", "pk")
    newest = {
        terms.program_id: terms
        for terms in ProgramTerms.objects.select_related("fiscal_year").order_by(
            "fiscal_year__starts_on", "pk"
        )
    }
    counted = (
        Enrollment.objects.filter(status__in=OPEN)
        .order_by()
        .values_list("terms__program")
        .annotate(number=Count("pk"))
    )
    opened, as_of = kept(
        "programs",
        lambda: dict(counted),
        at=at,
        is_large=lambda found: sum(found.values()) > MANY,
    )
    # What is discontinued comes last.
    rows = sorted(programs, key=lambda one: one.discontinued_at is not None)
    return [
        ProgramRow(
            program=program,
            terms=newest.get(program.pk),
            drafts=program.drafts,
            open_enrollments=opened.get(program.pk, 0),
        )
        for program in rows
    ], as_of


def writable_years(at: datetime) -> QuerySet[FiscalYear]:
    """Return the years, of every calendar, that are not over; July to June first."""
    return (
        FiscalYear.objects.filter(ends_on__gte=at.date())
        .select_related("calendar")
        .annotate(is_july=Case(When(starts_on__month=7, then=0), default=1))
        .order_by("is_july", "calendar__name", "starts_on", "pk")
    )


def copyable_terms() -> QuerySet[ProgramTerms]:
    """Return terms that others can begin as a copy of, the newest of a program first."""
    return ProgramTerms.objects.select_related("program", "fiscal_year").order_by(
        "program__name", "-fiscal_year__starts_on", "pk"
    )


def year_rows(program: IncentiveProgram, at: datetime) -> list[YearRow]:
    """List a program's years, the latest first, and those that could be written next."""
    terms = {
        one.fiscal_year_id: one
        for one in program.terms.select_related("program", "fiscal_year__calendar")
    }
    drafts = {one.fiscal_year_id: one for one in program.terms_drafts.all()}
    guides: dict[int, list[GuideFile]] = {}
    for guide in shown_guides(program=program):
        guides.setdefault(guide.fiscal_year_id, []).append(guide)
    years = list(
        FiscalYear.objects.filter(
            calendar__in=FiscalYear.objects.filter(pk__in=[*terms, *drafts]).values(
                "calendar"
            )
        )
        .select_related("calendar")
        .order_by("starts_on", "pk")
    )
    rows, last, ahead = [], None, 0
    most = 0 if program.discontinued_at else YEARS_AHEAD
    for year in years:
        is_over = year.calendar.day_at(at) > year.ends_on
        known = terms.get(year.pk)
        if known is None and year.pk not in drafts:
            if is_over or (last is None and not drafts) or ahead >= most:
                continue
            ahead += 1
        rows.append(
            YearRow(
                year=year,
                terms=known,
                draft=drafts.get(year.pk),
                copy_of=last,
                guides=guides.get(year.pk, []),
                is_over=is_over,
            )
        )
        last = known or last
    return rows[::-1]


def years_of(program: IncentiveProgram) -> QuerySet[FiscalYear]:
    """Return the years a program has terms or a draft for, the latest first."""
    return (
        FiscalYear.objects.filter(
            Q(terms__program=program) | Q(terms_drafts__program=program)
        )
        .select_related("calendar")
        .distinct()
        .order_by("-starts_on", "pk")
    )


def shown_guides(
    *, program: IncentiveProgram, year: FiscalYear | None = None
) -> QuerySet[GuideFile]:
    """Return a program's guides that were not taken away, without their content."""
    guides = GuideFile.objects.filter(program=program, removed_at=None)
    if year is not None:
        guides = guides.filter(fiscal_year=year)
    return guides.defer("content").order_by("fiscal_year", "language", "title", "pk")


def sections_of(
    content: dict,
    problems: Iterable[tuple[str, str]] = (),
    *,
    sections: Collection[str] = tuple(SECTIONS),
) -> list[Section]:
    """Say in words what terms say, section by section."""
    found = list(problems)
    return [
        Section(
            name=name,
            label=str(SECTION_NAMES[name]),
            facts=facts(content, name),
            problems=[sentence for section, sentence in found if section == name],
        )
        for name in sections
    ]


def draft_page(draft: TermsDraft) -> dict:
    """Return what the page of a draft shows."""
    content = worded(draft.content)
    in_force = terms_in_force(draft)
    return {
        "draft": draft,
        "program": draft.program,
        "year": draft.fiscal_year,
        "in_force": in_force,
        "sections": sections_of(content, problems_of(draft)),
        "differences": draft_differences(draft) if in_force else [],
    }


def terms_in_force(draft: TermsDraft) -> ProgramTerms | None:
    return ProgramTerms.objects.filter(
        program=draft.program_id, fiscal_year=draft.fiscal_year_id
    ).first()


def draft_differences(draft: TermsDraft) -> list[Difference]:
    """Say what a draft says otherwise than what is in force."""
    in_force = terms_in_force(draft)
    before = content_of(in_force) if in_force else None
    return differences(before, worded(draft.content))


def effect_rows(effects: Effects) -> list[Effect]:
    """Say why enrollments are stranded, what becomes of them, and which they are."""
    names = _criterion_names(one.reason for one in effects.stranded)
    return [
        Effect(
            why=_why(one.reason, names),
            what=_what(one),
            turn=_shown(one.becomes).turn,
            count=one.count,
            samples=one.samples,
        )
        for one in effects.stranded
    ]


def stranded_table(draft: TermsDraft, *, at: datetime, language: str) -> IO[bytes]:
    """Write every enrollment that publishing would strand as a table.

    Into a file first: the rehearsal is over before the first line leaves; whoever sends
    it closes it. Raises ValidationError as foresee_publishing().
    """
    with ExitStack() as stack:
        file = stack.enter_context(SpooledTemporaryFile(max_size=IN_MEMORY))
        _write_stranded(file, draft, at=at, language=language)
        file.seek(0)
        stack.pop_all()
    return file


def _write_stranded(
    file: IO[bytes], draft: TermsDraft, *, at: datetime, language: str
) -> None:
    with override(language):
        names = {one.code: one.name for one in Criterion.objects.all()}
        header = [
            _("PartnerID"),
            _("Location"),
            _("Company"),
            _("Reference"),
            _("Why"),
            _("Before"),
            _("After"),
        ]

        def read(found: Iterator[tuple]) -> None:
            file.writelines(csv_lines(header, (_cells(row, names) for row in found)))

        read_stranded(draft, at=at, read=read)


def _cells(row: tuple, names: Mapping[str, str]) -> list[object]:
    reason, status, becomes, partner_id, location, company, key = row
    return [
        partner_id,
        location,
        company,
        Enrollment(pk=key).reference,
        _why(reason, names),
        SHOWN[status].label,
        SHOWN[becomes].label,
    ]


def _criterion_names(reasons: Iterable[str]) -> dict[str, str]:
    codes = {one.rpartition(":")[2] for one in reasons}
    return {one.code: one.name for one in Criterion.objects.filter(code__in=codes)}


def _why(reason: str, names: Mapping[str, str]) -> str:
    if reason in GAPS:
        return str(GAPS[reason].sentence)
    if reason == COUNTRY:
        return _("The program is not offered in the location's country.")
    if reason == AGREEMENT:
        return _("The company has no active partner agreement.")
    kind, _colon, code = reason.rpartition(":")
    name = names.get(code, code)
    if f"{kind}:" == UNKNOWN:
        return _("It is not known whether the location meets “%(name)s”.") % {
            "name": name
        }
    return _("The location does not meet “%(name)s”.") % {"name": name}


def _what(one: Stranded) -> str:
    before, after = _shown(one.status).label, _shown(one.becomes).label
    if one.becomes == EnrollmentStatus.INELIGIBLE:
        return _(
            "%(before)s → %(after)s; whoever can enroll there gets one mail. They come "
            "back by themselves once the requirement is met."
        ) % {"before": before, "after": after}
    if one.becomes != one.status:
        return _("%(before)s → %(after)s; whoever can mend it gets one mail.") % {
            "before": before,
            "after": after,
        }
    if one.reason in GAPS:
        return _(
            "%(before)s: they stay so, and cannot be submitted before it is mended."
        ) % {"before": before}
    if one.reason.startswith(UNKNOWN):
        return _("%(before)s: they stay so. What is not known ends nothing.") % {
            "before": before
        }
    return _(
        "%(before)s: they stay so this year, and do not continue into the next."
    ) % {"before": before}


def _shown(status: EnrollmentStatus) -> ShownStatus:
    return SHOWN[status.value]


def partners_view(terms: ProgramTerms, *, at: datetime) -> PartnersView:
    """Return what a partner reads of terms, at an invented location, on a day.

    Call it in the partner's language, and while the terms are in force or rehearsed.
    """
    content = content_of(terms)
    today = terms.fiscal_year.calendar.day_at(at)
    on = max(today, terms.fiscal_year.starts_on)
    last_day = terms.last_day_for(on)
    return PartnersView(
        terms=terms,
        location=Location(
            name=_("Example location"),
            partner_id="6120000",
            country=next(iter(terms.countries), "SE"),
        ),
        enrollment=Enrollment(
            terms=terms, status=EnrollmentStatus.INVITED, enroll_by=last_day
        ),
        lines=[
            {"name": one.get_kind_display(), "share": one.share}
            for one in terms.earning_types.order_by("-share", "pk")
        ],
        clock=clock_of(terms, on=on, last_day=last_day),
        requirements=[
            (requirement_words(one), in_language(one, "how_to_fix"))
            for one in content["requirements"]
        ],
        promise=promise_words(terms.validation_hours),
        why_not=why_not_enrolling(terms, on=today),
    )


def discontinued_counts(program: IncentiveProgram) -> list[tuple[ShownStatus, int]]:
    """Count the enrollments that end with a program, by what they are now (R67)."""
    counted = (
        Enrollment.objects.filter(terms__program=program, status__in=ENDS_WITH_PROGRAM)
        .order_by()
        .values_list("status")
        .annotate(number=Count("pk"))
    )
    return sorted(
        ((SHOWN[status], number) for status, number in counted),
        key=lambda row: row[0].code,
    )


def guide_name(guide: GuideFile) -> str:
    """What a guide is called as a file: the program's code, its year and language."""
    return (
        f"{guide.program.code}-{guide.fiscal_year.number}-{guide.language}-{guide.pk}"
    )


def criteria_list() -> QuerySet[Criterion]:
    """List every criterion with how many terms ask for it."""
    return Criterion.objects.annotate(uses=Count("requirements")).order_by("code", "pk")
