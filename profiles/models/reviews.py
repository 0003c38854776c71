"""What reviewers ask, and the reasons they return a version for."""

import uuid
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from profiles import countries
from profiles.models.bank import BankProfileVersion
from profiles.models.tax import TaxProfileVersion
from profiles.models.versions import ProfileVersion
from profiles.states import (
    ProfileStatus,
)


class ReviewQuestionQuerySet(models.QuerySet):
    """What reviewers asked about versions before they decided."""

    def about(self, version: ProfileVersion) -> Self:
        return self.filter(**{f"{version.part}_version": version})

    def open(self) -> Self:
        """Those without an answer, of versions that are still to be decided."""
        return self.filter(
            Q(
                bank_version__status=ProfileStatus.PENDING,
                bank_version__profile__archived_at=None,
            )
            | Q(
                tax_version__status=ProfileStatus.PENDING,
                tax_version__profile__archived_at=None,
            ),
            answered_at=None,
        )

    def to_partner(self) -> Self:
        return self.filter(to=ReviewQuestion.To.PARTNER)

    def escalated(self) -> Self:
        """Those to the operators who give the second approval."""
        return self.filter(to=ReviewQuestion.To.APPROVERS)


class ReviewQuestion(models.Model):
    """What a reviewer wants to know of a version before deciding it; answered once.

    The partner answers it, or, where it is escalated, the operators who give second
    approvals.
    """

    class To(models.TextChoices):
        PARTNER = "partner", _("Question to the partner")
        APPROVERS = "approvers", _("Escalated")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    bank_version = models.ForeignKey(
        BankProfileVersion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="questions",
        verbose_name=_("bank profile version"),
    )
    tax_version = models.ForeignKey(
        TaxProfileVersion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="questions",
        verbose_name=_("tax profile version"),
    )
    to = models.CharField(_("to"), max_length=10, choices=To)
    # The field it is about; nothing where it is about the whole profile.
    field = models.CharField(_("field"), max_length=40, blank=True)
    text = models.CharField(_("question"), max_length=400)
    asked_at = models.DateTimeField(_("asked at"), default=timezone.now)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="+",
        verbose_name=_("asked by"),
    )
    answer = models.CharField(_("answer"), max_length=400, blank=True)
    answered_at = models.DateTimeField(_("answered at"), null=True, blank=True)
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("answered by"),
    )

    objects = ReviewQuestionQuerySet.as_manager()

    class Meta:
        verbose_name = _("question of a reviewer")
        verbose_name_plural = _("questions of reviewers")
        ordering = ("asked_at", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(bank_version=None, tax_version__isnull=False)
                | Q(bank_version__isnull=False, tax_version=None),
                name="%(app_label)s_%(class)s_of_one_version",
            ),
            models.CheckConstraint(
                condition=Q(to__in=["partner", "approvers"]),
                name="%(app_label)s_%(class)s_addressee_is_known",
            ),
            models.CheckConstraint(
                condition=Q(answered_at=None, answered_by=None, answer="")
                | Q(answered_at__isnull=False, answered_by__isnull=False)
                & ~Q(answer=""),
                name="%(app_label)s_%(class)s_answer_is_whole",
            ),
            models.CheckConstraint(
                condition=~Q(answered_by=F("asked_by")),
                name="%(app_label)s_%(class)s_answered_by_another",
            ),
            models.UniqueConstraint(
                fields=["bank_version", "to"],
                condition=Q(answered_at=None),
                name="%(app_label)s_%(class)s_one_open_of_a_bank",
            ),
            models.UniqueConstraint(
                fields=["tax_version", "to"],
                condition=Q(answered_at=None),
                name="%(app_label)s_%(class)s_one_open_of_a_tax",
            ),
        ]

    def __str__(self) -> str:
        return f"question {self.pk}"

    @property
    def version(self) -> ProfileVersion:
        return self.bank_version or self.tax_version

    @property
    def is_answered(self) -> bool:
        return self.answered_at is not None

    @property
    def is_escalated(self) -> bool:
        return self.to == self.To.APPROVERS

    @property
    def label(self) -> Promise | str:
        """The field it is about, in words; empty where it is about the whole."""
        version = self.version
        if not self.field:
            return ""
        return countries.field_label(version.country, version.part, self.field)


class ReturnReasonQuerySet(models.QuerySet):
    def in_use(self) -> Self:
        """Those that reviewers can choose."""
        return self.filter(retired_at=None)


class ReturnReason(models.Model):
    """One entry of the catalog of reasons: one meaning per code, in every language.

    The code stays; a reason that is not given any more is retired, never deleted:
    what was returned for it says so for good.
    """

    code = models.CharField(_("code"), max_length=40, unique=True)
    parts = ArrayField(
        models.CharField(max_length=4), verbose_name=_("for"), default=list
    )
    # What it can be about; empty: anything.
    field_keys = ArrayField(
        models.CharField(max_length=40), verbose_name=_("fields"), default=list
    )
    title_en = models.CharField(_("title in English"), max_length=120)
    title_sv = models.CharField(_("title in Swedish"), max_length=120)
    text_en = models.CharField(_("what is wrong, in English"), max_length=300)
    text_sv = models.CharField(_("what is wrong, in Swedish"), max_length=300)
    remedy_en = models.CharField(_("what to do, in English"), max_length=300)
    remedy_sv = models.CharField(_("what to do, in Swedish"), max_length=300)
    example = models.CharField(_("example"), max_length=120, blank=True)
    # The reviewer writes what to do.
    needs_note = models.BooleanField(_("needs a note"), default=False)
    retired_at = models.DateTimeField(_("retired at"), null=True, blank=True)
    changed_at = models.DateTimeField(_("changed at"), null=True, blank=True)
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("changed by"),
    )

    objects = ReturnReasonQuerySet.as_manager()

    class Meta:
        verbose_name = _("reason for a return")
        verbose_name_plural = _("reasons for returns")
        ordering = ("pk",)
        constraints = [
            models.CheckConstraint(
                condition=Q(code__regex=r"^[A-Z][A-Z0-9_]+$"),
                name="%(app_label)s_%(class)s_code_is_plain",
            ),
            models.CheckConstraint(
                condition=Q(parts__contained_by=["bank", "tax"]) & ~Q(parts=[]),
                name="%(app_label)s_%(class)s_is_for_a_part",
            ),
            models.CheckConstraint(
                condition=~Q(title_en="")
                & ~Q(title_sv="")
                & ~Q(text_en="")
                & ~Q(text_sv="")
                & ~Q(remedy_en="")
                & ~Q(remedy_sv=""),
                name="%(app_label)s_%(class)s_says_everything_twice",
            ),
        ]

    def __str__(self) -> str:
        return self.code

    def fits(self, field_key: str) -> bool:
        """Say whether the reason can be about a field."""
        return not self.field_keys or field_key in self.field_keys

    @property
    def title(self) -> str:
        return self._in_language("title")

    @property
    def text(self) -> str:
        return self._in_language("text")

    @property
    def remedy(self) -> str:
        return self._in_language("remedy")

    @property
    def is_retired(self) -> bool:
        return self.retired_at is not None

    def _in_language(self, name: str) -> str:
        language = "sv" if get_language() == "sv" else "en"
        return getattr(self, f"{name}_{language}")
