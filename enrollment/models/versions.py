"""What operators write of a program's year before it counts, and what counted when."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.models import IncentiveProgram
from enrollment.models.terms import FiscalYear, ProgramTerms


class TermsVersion(models.Model):
    """What a program's terms said from a moment on; written once, never changed.

    The newest says what ProgramTerms says, which alone is asked by everything else
    (docs/adr/0014-terms-are-published.md). `content` is versions.content_of().
    """

    terms = models.ForeignKey(
        ProgramTerms,
        models.PROTECT,
        related_name="versions",
        verbose_name=_("program terms"),
    )
    number = models.PositiveIntegerField(_("version"))
    content = models.JSONField(_("content"))
    published_at = models.DateTimeField(_("published at"))
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="terms_published",
        verbose_name=_("published by"),
    )

    class Meta:
        verbose_name = _("version of program terms")
        verbose_name_plural = _("versions of program terms")
        ordering = ("terms", "-number")
        constraints = [
            models.UniqueConstraint(
                fields=["terms", "number"], name="%(app_label)s_%(class)s_once"
            ),
            models.CheckConstraint(
                condition=Q(number__gte=1), name="%(app_label)s_%(class)s_counts_from_1"
            ),
        ]

    def __str__(self) -> str:
        return f"terms {self.terms_id} version {self.number}"

    def get_absolute_url(self) -> str:
        return reverse("ops:terms_version", kwargs={"pk": self.pk})


class TermsDraft(models.Model):
    """What a program is to ask and allow in a year, as far as it is written.

    One for a program and year. Nothing reads it but the operators' pages.
    """

    program = models.ForeignKey(
        IncentiveProgram,
        models.PROTECT,
        related_name="terms_drafts",
        verbose_name=_("program"),
    )
    fiscal_year = models.ForeignKey(
        FiscalYear,
        models.PROTECT,
        related_name="terms_drafts",
        verbose_name=_("fiscal year"),
    )
    content = models.JSONField(_("content"))
    # The number of the version it changes; 0 where the year has no terms yet.
    based_on = models.PositiveIntegerField(_("based on version"), default=0)
    begun_at = models.DateTimeField(_("begun at"))
    changed_at = models.DateTimeField(_("changed at"))
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="terms_drafted",
        verbose_name=_("changed by"),
    )

    class Meta:
        verbose_name = _("draft of program terms")
        verbose_name_plural = _("drafts of program terms")
        ordering = ("program__name", "-fiscal_year__starts_on", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["program", "fiscal_year"], name="%(app_label)s_%(class)s_once"
            )
        ]

    def __str__(self) -> str:
        return f"draft {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("ops:terms_draft", kwargs={"pk": self.pk})


class GuideFile(models.Model):
    """A program's guide for a year, as a file; taken away, it is kept for who asks.

    Its content was looked at before it is here (profiles/papers.py).
    """

    class Language(models.TextChoices):
        ENGLISH = "en", _("English")
        SWEDISH = "sv", _("Swedish")

    program = models.ForeignKey(
        IncentiveProgram,
        models.PROTECT,
        related_name="guide_files",
        verbose_name=_("program"),
    )
    fiscal_year = models.ForeignKey(
        FiscalYear,
        models.PROTECT,
        related_name="guide_files",
        verbose_name=_("fiscal year"),
    )
    language = models.CharField(_("language"), max_length=2, choices=Language)
    title = models.CharField(_("title"), max_length=120)
    content = models.BinaryField(_("content"))
    content_type = models.CharField(_("kind of file"), max_length=40)
    size = models.PositiveIntegerField(_("size"))
    digest = models.CharField(_("hash"), max_length=64)
    added_at = models.DateTimeField(_("added at"))
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="guides_added",
        verbose_name=_("added by"),
    )
    removed_at = models.DateTimeField(_("taken away at"), null=True, blank=True)

    class Meta:
        verbose_name = _("guide file")
        verbose_name_plural = _("guide files")
        ordering = ("program", "-fiscal_year__starts_on", "language", "title", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(language__in=["en", "sv"]),
                name="%(app_label)s_%(class)s_language_is_known",
            ),
            models.CheckConstraint(
                condition=Q(
                    content_type__in=["application/pdf", "image/png", "image/jpeg"]
                ),
                name="%(app_label)s_%(class)s_content_type_is_known",
            ),
        ]

    def __str__(self) -> str:
        return self.title
