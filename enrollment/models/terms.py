"""Fiscal years, and what a program asks and allows in one of them."""

from calendar import monthrange
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import (
    ArrayField,
    BigIntegerRangeField,
    DateRangeField,
    RangeOperators,
)
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, FilteredRelation, Func, Q, Value
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts.models import IncentiveProgram, many
from accounts.prepared import Given, planned
from profiles.states import PayoutMethod


def known_time_zone(name: str) -> None:
    """Refuse a time zone that the machine does not know."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValidationError(
            _("Use the name of a time zone, like Europe/Stockholm.")
        ) from error


@dataclass(frozen=True)
class CalendarDays:
    """The day it is in each calendar, and the years that begin within six months."""

    days: dict[date, list[int]]
    coming: dict["FiscalYear", date]


# A little more than the longest six months.
SIX_MONTHS = timedelta(days=190)


class FiscalCalendarQuerySet(models.QuerySet):
    def days_at(self, at: datetime) -> CalendarDays:
        """Return what by_day() does, and the years to come with the day there.

        In one question: pages that ask for one need the other.
        """
        first, last = _begins(at)
        days: dict[date, list[int]] = defaultdict(list)
        coming = {}
        for calendar in _calendars().ask(first=first, last=last):
            today = calendar.day_at(at)
            if calendar.pk not in days[today]:
                days[today].append(calendar.pk)
            coming |= _coming(calendar, calendar, today)
        return CalendarDays(days=dict(days), coming=coming)

    def by_day(self, at: datetime) -> dict[date, list[int]]:
        """Group the calendars' keys by the day it is there at a moment (R66).

        It is one day everywhere most of the time, and never more than three.
        """
        days: dict[date, list[int]] = defaultdict(list)
        for calendar in self.order_by("pk"):
            days[calendar.day_at(at)].append(calendar.pk)
        return dict(days)


@planned
def _calendars() -> models.QuerySet:
    """Calendars, each with its year that begins within some days."""
    begins = Q(years__starts_on__range=(Given("first"), Given("last")))
    return FiscalCalendar.objects.annotate(
        year=FilteredRelation("years", condition=begins),
        **{f"year_{name}": F(f"year__{name}") for name in _YEAR},
    ).order_by("pk", "year__starts_on")


def _begins(at: datetime) -> tuple[date, date]:
    """When years begin that people read of at a moment."""
    return at.date() - timedelta(days=1), at.date() + SIX_MONTHS


def _coming(calendar: "FiscalCalendar", row, today: date) -> dict["FiscalYear", date]:
    """The year to come that a row of a question says of its calendar, if it is near."""
    if row.year_id is None:
        return {}
    facts = {name: getattr(row, f"year_{name}") for name in _YEAR}
    year = FiscalYear(calendar=calendar, **facts)
    return {year: today} if year.is_near(today) else {}


class FiscalCalendar(models.Model):
    """A rhythm of years that programs share, and the zone its days are counted in."""

    code = models.SlugField(_("code"), max_length=20, unique=True)
    name = models.CharField(_("name (English)"), max_length=80)
    name_sv = models.CharField(
        _("name (Swedish)"), max_length=80, blank=True, default="", db_default=""
    )
    time_zone = models.CharField(
        _("time zone"), max_length=64, default="UTC", validators=[known_time_zone]
    )

    objects = FiscalCalendarQuerySet.as_manager()

    class Meta:
        verbose_name = _("fiscal calendar")
        verbose_name_plural = _("fiscal calendars")
        ordering = ("name", "pk")

    def __str__(self) -> str:
        return self.name

    @property
    def title(self) -> str:
        """The Swedish name for a Swedish reader, where there is one, else the English."""
        return (get_language() == "sv" and self.name_sv) or self.name

    def day_at(self, moment: datetime) -> date:
        """The calendar day of a moment, in the calendar's own zone (R66)."""
        return moment.astimezone(ZoneInfo(self.time_zone)).date()


HashableDays = tuple[tuple[date, tuple[int, ...]], ...]


def hashable(days: Mapping[date, list[int]]) -> HashableDays:
    """Return what by_day() says so that a prepared question can be kept by it."""
    return tuple((day, tuple(keys)) for day, keys in days.items())


def on_its_day(
    days: Mapping[date, Collection[int]], calendar: str, holds: Callable[[date], Q]
) -> Q:
    """Return the condition that something holds on the day it is in a row's calendar.

    `days` come from FiscalCalendar.objects.by_day(); `calendar` is the row's path to
    its calendar. Where it is one day in all of them, as it is most of the time, nothing
    is asked of the row's.
    """
    if len(days) == 1:
        return holds(*days)
    condition = Q(pk__in=[])
    for day, keys in days.items():
        condition |= Q(**{f"{calendar}__in": keys}) & holds(day)
    return condition


class FiscalYearQuerySet(models.QuerySet):
    def containing(self, day: date) -> Self:
        """Years whose first to last day include the day."""
        return self.filter(starts_on__lte=day, ends_on__gte=day)

    def at(self, moment: datetime, *, calendar: FiscalCalendar) -> "FiscalYear":
        """The one year of a calendar that a moment falls in (R66).

        Half-open: the first instant of the next year's first day, in the calendar's
        zone, belongs to the next year. Raises FiscalYear.DoesNotExist in a gap.
        """
        return self.containing(calendar.day_at(moment)).get(calendar=calendar)


class FiscalYear(models.Model):
    """The twelve months an enrollment is valid, named by the year they end in."""

    calendar = models.ForeignKey(
        FiscalCalendar,
        models.PROTECT,
        related_name="years",
        verbose_name=_("fiscal calendar"),
    )
    number = models.PositiveSmallIntegerField(
        _("year"), validators=[MinValueValidator(2000), MaxValueValidator(2200)]
    )
    starts_on = models.DateField(_("first day"))
    ends_on = models.DateField(_("last day"))

    objects = FiscalYearQuerySet.as_manager()

    class Meta:
        verbose_name = _("fiscal year")
        verbose_name_plural = _("fiscal years")
        ordering = ("-starts_on", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["calendar", "number"],
                name="%(app_label)s_%(class)s_numbered_once",
            ),
            models.CheckConstraint(
                condition=Q(ends_on__gt=F("starts_on")),
                name="%(app_label)s_%(class)s_ends_after_it_starts",
            ),
            # A range of one calendar id stands in for "=": no extension is needed.
            ExclusionConstraint(
                name="%(app_label)s_%(class)s_no_overlap",
                expressions=[
                    (
                        Func(
                            "calendar",
                            "calendar",
                            Value("[]"),
                            function="int8range",
                            output_field=BigIntegerRangeField(),
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                    (
                        Func(
                            "starts_on",
                            "ends_on",
                            Value("[]"),
                            function="daterange",
                            output_field=DateRangeField(),
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
                violation_error_message=_(
                    "This year overlaps another year of the calendar."
                ),
            ),
        ]

    def __str__(self) -> str:
        return str(self.number)

    @property
    def begins_at(self) -> datetime:
        """The first instant of the year in its calendar's zone (R66)."""
        zone = ZoneInfo(self.calendar.time_zone)
        return datetime.combine(self.starts_on, time(0), tzinfo=zone)

    def contains(self, day: date) -> bool:
        """Whether the day is between the first and the last, both included."""
        return self.starts_on <= day <= self.ends_on

    def is_near(self, day: date) -> bool:
        """Whether it begins after a day, and at most six months after it."""
        months = self.starts_on.year * 12 + self.starts_on.month - 1 - 6
        year, month = divmod(months, 12)
        last = monthrange(year, month + 1)[1]
        return (
            date(year, month + 1, min(self.starts_on.day, last)) <= day < self.starts_on
        )


# Keys for `among`, or their place in a prepared question.
Keys = Value | Given

# What of a year days_at() reads beside its calendar.
_YEAR = ("id", "number", "starts_on", "ends_on")


class EarningsStart(models.TextChoices):
    """Which month an enrollment earns from (domain.md §10.1)."""

    VALIDATED = "validated", _("the month in which it is validated")
    SUBMITTED = "submitted", _("the month in which it is submitted")


@dataclass(frozen=True)
class ShownTerms:
    """What rows of the Overview are about: asked once for a page, by their keys."""

    running: dict[int, "ProgramTerms"]
    # Of the last year of programs that have none now: shown where somebody enrolled.
    over: dict[int, "ProgramTerms"]
    # Programs with a year that is over: only there somebody can be between two.
    had_a_year: frozenset[int]
    # By the names of their programs, as the database orders them.
    named: dict[str, list[int]]
    # What FiscalCalendar.objects.days_at() says of their calendars.
    days: CalendarDays

    def __getitem__(self, key: int) -> "ProgramTerms":
        return self.running.get(key) or self.over[key]

    @property
    def keys(self) -> tuple[Keys, Keys | None]:
        """Those that run, and those that are over if there are any: for `among`."""
        return many(self.running), many(self.over) if self.over else None


class ProgramTermsQuerySet(models.QuerySet):
    def current(self, on: date) -> Self:
        """Terms of the fiscal years that contain the day."""
        return self.filter(fiscal_year__starts_on__lte=on, fiscal_year__ends_on__gte=on)

    def over(self, days: Mapping[date, Collection[int]]) -> Self:
        """Terms whose year is over, by the day it is in their calendar.

        `days` come from FiscalCalendar.objects.by_day().
        """
        calendar = "fiscal_year__calendar"
        over = on_its_day(days, calendar, lambda day: Q(fiscal_year__ends_on__lt=day))
        return self.filter(over)

    def shown(self, at: datetime) -> ShownTerms:
        """Return the terms of the years that run at a moment, and of those that ran last.

        Each program counts its days in its own calendar (R66). Texts that only one
        program's page shows stay there.
        """
        first, last = _begins(at)
        rows = _terms_with_years().ask(
            started=at.date() + timedelta(days=1),
            ended=at.date() - timedelta(days=367),
            first=first,
            last=last,
        )
        days, coming = defaultdict(list), {}
        running, over = {}, {}
        for terms in rows:
            calendar, year = terms.fiscal_year.calendar, terms.fiscal_year
            today = calendar.day_at(at)
            if calendar.pk not in days[today]:
                days[today].append(calendar.pk)
            coming |= _coming(calendar, terms, today)
            if year.starts_on > today or year.ends_on < today - timedelta(days=366):
                continue
            (over if year.ends_on < today else running)[terms.pk] = terms
        programs = {terms.program_id for terms in running.values()}
        had_a_year = frozenset(terms.program_id for terms in over.values())
        over = {key: one for key, one in over.items() if one.program_id not in programs}
        named = defaultdict(list)
        for terms in rows:
            keys = named[terms.program.name]
            if (terms.pk in running or terms.pk in over) and terms.pk not in keys:
                keys.append(terms.pk)
        named = {name: keys for name, keys in named.items() if keys}
        days = CalendarDays(dict(days), coming)
        return ShownTerms(running, over, had_a_year, named, days)

    def offered(self) -> Self:
        """Terms of programs that are not discontinued."""
        return self.filter(program__discontinued_at=None)


@planned
def _terms_with_years() -> models.QuerySet:
    """Terms that may run or have run last, each with its calendar's year to come."""
    years = "fiscal_year__calendar__years"
    begins = Q(**{f"{years}__starts_on__range": (Given("first"), Given("last"))})
    return (
        ProgramTerms.objects.filter(
            fiscal_year__starts_on__lte=Given("started"),
            fiscal_year__ends_on__gte=Given("ended"),
        )
        .annotate(
            year=FilteredRelation(years, condition=begins),
            **{f"year_{name}": F(f"year__{name}") for name in _YEAR},
        )
        .select_related("program", "fiscal_year__calendar")
        .defer("agreement_text_en", "agreement_text_sv")
        .order_by("program__name", "pk", "year__starts_on")
    )


class ProgramTerms(models.Model):
    """What a program asks and allows in one fiscal year."""

    program = models.ForeignKey(
        IncentiveProgram,
        models.PROTECT,
        related_name="terms",
        verbose_name=_("program"),
    )
    fiscal_year = models.ForeignKey(
        FiscalYear,
        models.PROTECT,
        related_name="terms",
        verbose_name=_("fiscal year"),
    )
    is_open_to_all = models.BooleanField(
        _("open to all"),
        default=False,
        help_text=_("No criteria, no invitation mail (R26)."),
    )
    is_listed = models.BooleanField(
        _("listed for partners who are not eligible"),
        default=True,
        help_text=_("Off: only invited locations learn that the program exists."),
    )
    needs_agreement = models.BooleanField(_("needs an active agreement"), default=True)
    countries = ArrayField(
        models.CharField(max_length=2),
        verbose_name=_("countries"),
        default=list,
        blank=True,
        help_text=_("Of the locations that may take part. Empty: all."),
    )
    bank_countries = ArrayField(
        models.CharField(max_length=2),
        verbose_name=_("countries of banks it pays to"),
        default=list,
        blank=True,
        help_text=_("Empty: all but the ones below."),
    )
    bank_countries_refused = ArrayField(
        models.CharField(max_length=2),
        verbose_name=_("countries of banks it cannot pay to"),
        default=list,
        blank=True,
    )
    currencies = ArrayField(
        models.CharField(max_length=3),
        verbose_name=_("currencies"),
        default=list,
        blank=True,
    )
    pays_local_currency = models.BooleanField(
        _("pays in the bank's local currency too"), default=True
    )
    methods = ArrayField(
        models.CharField(max_length=20, choices=PayoutMethod),
        verbose_name=_("payment methods"),
        default=list,
        help_text=_("bank_transfer, credit_note"),
    )
    required_tax_details = ArrayField(
        models.CharField(max_length=40),
        verbose_name=_("required tax details"),
        default=list,
        blank=True,
        help_text=_("Keys of tax fields this program needs beyond the usual."),
    )
    enroll_by = models.DateField(
        _("enroll by"), null=True, blank=True, help_text=_("Last day to submit.")
    )
    enroll_within_days = models.PositiveSmallIntegerField(
        _("days to answer an invitation"), null=True, blank=True
    )
    earnings_start = models.CharField(
        _("earnings start"),
        max_length=10,
        choices=EarningsStart,
        default=EarningsStart.VALIDATED,
    )
    agreement_version = models.CharField(
        _("version of the agreement text"), max_length=20, default="1"
    )
    agreement_text_en = models.TextField(_("agreement text (English)"), blank=True)
    agreement_text_sv = models.TextField(_("agreement text (Swedish)"), blank=True)
    guide_url = models.URLField(_("program guide"), blank=True)
    validation_hours = models.PositiveSmallIntegerField(
        _("hours until an answer"),
        default=48,
        validators=[MinValueValidator(1), MaxValueValidator(720)],
        help_text=_("So long after Submit the program owner promises an answer."),
    )
    sender_name = models.CharField(
        _("name of the sender"),
        max_length=80,
        blank=True,
        help_text=_("Of mail about this program. Empty: as for all mail."),
    )
    invitation_subject_en = models.CharField(
        _("subject of the invitation (English)"), max_length=60, blank=True
    )
    invitation_subject_sv = models.CharField(
        _("subject of the invitation (Swedish)"), max_length=60, blank=True
    )
    # The number of the newest TermsVersion; 0 before versions were kept.
    version = models.PositiveIntegerField(_("version"), default=0, editable=False)
    # Whether every enrollment stands where these terms put it.
    is_followed = models.BooleanField(_("followed"), default=True, editable=False)
    # The day whose requirements every enrollment stands by; empty: to be asked anew.
    standing_on = models.DateField(
        _("requirements followed on"), null=True, blank=True, editable=False
    )

    objects = ProgramTermsQuerySet.as_manager()

    class Meta:
        verbose_name = _("program terms")
        verbose_name_plural = _("program terms")
        ordering = ("program__name", "-fiscal_year__starts_on", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["program", "fiscal_year"],
                name="%(app_label)s_%(class)s_once_per_year",
            ),
            models.CheckConstraint(
                condition=Q(
                    methods__contained_by=[str(method) for method in PayoutMethod]
                ),
                name="%(app_label)s_%(class)s_methods_are_known",
            ),
            models.CheckConstraint(
                condition=Q(earnings_start__in=EarningsStart.values),
                name="%(app_label)s_%(class)s_earnings_start_is_known",
            ),
        ]
        permissions = [("send_invitations", "Can send invitations")]

    def __str__(self) -> str:
        return f"terms {self.pk}"

    def clean(self) -> None:
        """Refuse a last day that the fiscal year does not have."""
        year = getattr(self, "fiscal_year", None)
        if year and self.enroll_by and not year.contains(self.enroll_by):
            raise ValidationError(
                {"enroll_by": _("Choose a day of the fiscal year these terms are for.")}
            )

    @property
    def agreement_text(self) -> str:
        """The agreement in the reader's language, else in English."""
        swedish = get_language() == "sv" and self.agreement_text_sv
        return swedish or self.agreement_text_en

    def last_day_for(self, invited_on: date) -> date:
        """The last day to submit for somebody invited on a day (domain.md §10.4)."""
        days = [self.fiscal_year.ends_on]
        if self.enroll_by is not None:
            days.append(self.enroll_by)
        if self.enroll_within_days is not None:
            days.append(invited_on + timedelta(days=self.enroll_within_days))
        return min(days)

    def earns_from(self, *, submitted_at: datetime, validated_at: datetime) -> date:
        """The first day that earns, by the moment that decides (R45)."""
        moment = (
            submitted_at
            if self.earnings_start == EarningsStart.SUBMITTED
            else validated_at
        )
        return self.first_earning_day(self.fiscal_year.calendar.day_at(moment))

    def first_earning_day(self, on: date) -> date:
        """The first day that earns if everything is complete on a day (R45).

        It is the first of that month; whoever enrolls before the fiscal year begins
        earns from its first day.
        """
        return max(on.replace(day=1), self.fiscal_year.starts_on)

    @property
    def validation_promise(self) -> timedelta:
        """How long after Submit the program owner promises an answer."""
        return timedelta(hours=self.validation_hours)

    def today(self) -> date:
        """Today in the zone of the program's calendar."""
        return self.fiscal_year.calendar.day_at(timezone.now())


class EarningType(models.Model):
    """A way a program pays in a year: rebate, co-op, fee (domain.md §2.7)."""

    class Kind(models.TextChoices):
        REBATE = "rebate", _("Rebate")
        CO_OP = "co_op", _("Co-op")
        FEE = "fee", _("Fee")
        LUMP_SUM = "lump_sum", _("Lump sum")
        VOUCHER = "voucher", _("Voucher")

    terms = models.ForeignKey(
        ProgramTerms,
        models.PROTECT,
        related_name="earning_types",
        verbose_name=_("program terms"),
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    share = models.PositiveSmallIntegerField(
        _("share in percent"), default=100, validators=[MaxValueValidator(100)]
    )

    class Meta:
        verbose_name = _("earning type")
        verbose_name_plural = _("earning types")
        ordering = ("terms", "-share", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["terms", "kind"], name="%(app_label)s_%(class)s_once"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["rebate", "co_op", "fee", "lump_sum", "voucher"]),
                name="%(app_label)s_%(class)s_kind_is_known",
            ),
            models.CheckConstraint(
                condition=Q(share__gte=1, share__lte=100),
                name="%(app_label)s_%(class)s_share_is_a_percentage",
            ),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()
