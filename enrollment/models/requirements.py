"""What programs ask of locations, and what is known of them."""

from datetime import date
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts.models import Location, PartnerAccount
from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet
from enrollment.models.terms import ProgramTerms


def _in_language(row: models.Model, name: str) -> str:
    """The Swedish text for a Swedish reader, else the English one."""
    return (get_language() == "sv" and getattr(row, f"{name}_sv")) or getattr(
        row, f"{name}_en"
    )


class Criterion(models.Model):
    """Something that can be measured of a location, like twelve months' revenue."""

    class Kind(models.TextChoices):
        NUMBER = "number", _("a number")
        YES_NO = "yes_no", _("yes or no")

    code = models.SlugField(_("code"), max_length=40, unique=True)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    name_en = models.CharField(_("name (English)"), max_length=120)
    name_sv = models.CharField(_("name (Swedish)"), max_length=120)
    how_to_fix_en = models.CharField(_("how to fix (English)"), max_length=400)
    how_to_fix_sv = models.CharField(_("how to fix (Swedish)"), max_length=400)
    unit = models.CharField(_("unit"), max_length=20, blank=True)
    max_age_days = models.PositiveSmallIntegerField(
        _("days a value is good for"),
        null=True,
        blank=True,
        help_text=_("Older values are not known, never not met. Empty: no limit."),
    )

    class Meta:
        verbose_name = _("criterion")
        verbose_name_plural = _("criteria")
        ordering = ("code",)
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["number", "yes_no"]),
                name="%(app_label)s_%(class)s_kind_is_known",
            )
        ]

    def __str__(self) -> str:
        return self.name_en

    @property
    def name(self) -> str:
        return _in_language(self, "name")

    @property
    def unit_name(self) -> str:
        """The unit in the reader's language, where the portal knows it."""
        known = {"people": _("people"), "points": _("points")}
        return str(known.get(self.unit, self.unit))

    @property
    def how_to_fix(self) -> str:
        return _in_language(self, "how_to_fix")


class Requirement(models.Model):
    """One criterion a program asks for in a year, and how much of it."""

    terms = models.ForeignKey(
        ProgramTerms,
        models.PROTECT,
        related_name="requirements",
        verbose_name=_("program terms"),
    )
    criterion = models.ForeignKey(
        Criterion,
        models.PROTECT,
        related_name="requirements",
        verbose_name=_("criterion"),
    )
    at_least = models.DecimalField(
        _("at least"),
        max_digits=16,
        decimal_places=2,
        default=1,
        help_text=_("For yes-or-no criteria: 1."),
    )
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("requirement")
        verbose_name_plural = _("requirements")
        ordering = ("terms", "position", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["terms", "criterion"], name="%(app_label)s_%(class)s_once"
            )
        ]

    def __str__(self) -> str:
        return f"requirement {self.pk}"


class MeasuredValueQuerySet(ScopedQuerySet):
    scope = Scope(account="location__partner_account", location="location")
    view_permission = Permission.ENROLLMENT_VIEW


class MeasuredValue(models.Model):
    """What was measured of a location for a criterion, when, and where from."""

    location = models.ForeignKey(
        Location,
        models.PROTECT,
        related_name="measured_values",
        verbose_name=_("location"),
    )
    criterion = models.ForeignKey(
        Criterion,
        models.PROTECT,
        related_name="measured_values",
        verbose_name=_("criterion"),
    )
    value = models.DecimalField(_("value"), max_digits=16, decimal_places=2)
    measured_on = models.DateField(_("measured on"))
    source = models.CharField(_("source"), max_length=80, blank=True)

    objects = MeasuredValueQuerySet.as_manager()

    class Meta:
        verbose_name = _("measured value")
        verbose_name_plural = _("measured values")
        ordering = ("location", "criterion")
        constraints = [
            models.UniqueConstraint(
                fields=["location", "criterion"], name="%(app_label)s_%(class)s_once"
            )
        ]

    def __str__(self) -> str:
        return f"value {self.pk}"


class AgreementQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.ENROLLMENT_KNOW

    def active(self, on: date) -> Self:
        """Signed, not past its last day, not terminated by then (domain.md §4)."""
        return self.filter(
            Q(ends_on=None) | Q(ends_on__gte=on),
            Q(terminated_on=None) | Q(terminated_on__gt=on),
            starts_on__lte=on,
        )


class Agreement(models.Model):
    """The partner agreement a company signed."""

    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="agreements",
        verbose_name=_("company"),
    )
    starts_on = models.DateField(_("signed on"))
    ends_on = models.DateField(_("last day"), null=True, blank=True)
    terminated_on = models.DateField(
        _("terminated on"),
        null=True,
        blank=True,
        help_text=_("From this day on it is not active. It cannot be taken back."),
    )

    objects = AgreementQuerySet.as_manager()

    class Meta:
        verbose_name = _("agreement")
        verbose_name_plural = _("agreements")
        ordering = ("partner_account", "-starts_on")
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_on=None) | Q(ends_on__gte=F("starts_on")),
                name="%(app_label)s_%(class)s_ends_after_it_starts",
                violation_error_message=_("The last day is before the first."),
            ),
            models.CheckConstraint(
                condition=Q(terminated_on=None) | Q(terminated_on__gte=F("starts_on")),
                name="%(app_label)s_%(class)s_terminated_after_it_starts",
                violation_error_message=_("It cannot end before it was signed."),
            ),
            models.UniqueConstraint(
                fields=["partner_account", "starts_on"],
                name="%(app_label)s_%(class)s_once_per_day",
            ),
        ]

    def __str__(self) -> str:
        return f"agreement {self.pk}"
