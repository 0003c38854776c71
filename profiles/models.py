"""How partners are paid: bank profiles, tax profiles, their versions, defaults."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Case, Count, Exists, F, OuterRef, Q, Subquery, When
from django.db.models.functions import Coalesce, Lower
from django.db.models.lookups import IsNull
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts.encryption import (
    EncryptedBytesField,
    EncryptedJSONField,
    EncryptedTextField,
    sealed_check,
    sealed_start_check,
)
from accounts.models import Language, Location, PartnerAccount
from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet
from profiles import countries
from profiles.countries import CountrySchema
from profiles.countries.tax_forms import DOCUMENTS
from profiles.papers import EXTENSIONS
from profiles.paying import why_not_paid
from profiles.states import (
    CANDIDATE,
    CURRENT,
    FOLLOWING,
    HELD,
    IN_FORCE,
    SHOWN,
    STOPPABLE,
    TRANSITIONS,
    USING,
    ProfileLabel,
    ProfileStatus,
    ShownStatus,
)
from profiles.validators import MASK

# The program owner's promise: usually answered within two days (domain.md §2.1).
VALIDATION_PROMISE = timedelta(hours=48)
# How long a claim of a reviewer speaks to the others.
CLAIM_LASTS = timedelta(hours=2)


@dataclass(frozen=True)
class Follower:
    """An enrollment that follows a profile's versions, as a preview names it."""

    enrollment: uuid.UUID
    status: str
    program: str
    place: str


@dataclass(frozen=True)
class Refusal:
    """An enrollment that could not be paid to a new version, and why."""

    follower: Follower
    why: str


@dataclass(frozen=True)
class ChangeImpact:
    """What sending a new version does to enrollments, said before it is sent (R44).

    `sent_back` are Enrolled and go back to validation, `staying` are in validation or
    with the partner and stay there. `refused` need the partner again: their program
    does not pay to the new account. Nothing else follows: what was not submitted yet
    uses the version that is there when it is.
    """

    sent_back: list[Follower]
    staying: list[Follower]
    refused: list[Refusal]


class VersionQuerySet(models.QuerySet):
    """Versions of bank or tax profiles, for the operators who validate them."""

    def same_number_elsewhere(self, version) -> Self:
        """Current versions of other companies with the same account or tax number."""
        if not version.blind_index:
            return self.none()
        account = version.profile.account
        return self._same_number(version.blind_index).exclude(
            **{version.account_path: account}
        )

    def is_elsewhere(self) -> Q:
        """Whether another company has the same number as a version of the query around."""
        account = self.model.account_path
        same = self._same_number(OuterRef("blind_index")).exclude(blind_index="")
        if account != "partner_account":
            # A company has one at thousands of locations, not thousands.
            return Q(Exists(same.exclude(**{account: OuterRef(account)})))
        # Before its company and after it in an index, so that none of its own is read.
        sides = (
            same.filter(**{f"{account}__{side}": OuterRef(account)})
            .order_by(f"{account}_id")
            .values("pk")[:1]
            for side in ("lt", "gt")
        )
        return Q(*(IsNull(Subquery(one), False) for one in sides), _connector=Q.OR)

    def _same_number(self, blind_index: str | OuterRef) -> Self:
        return self.filter(
            blind_index=blind_index, status__in=CURRENT, profile__archived_at=None
        ).order_by()

    def pending(self) -> Self:
        return self.filter(status=ProfileStatus.PENDING)

    def signed_once(self) -> Self:
        """Bank versions that one operator approved and another one has to."""
        return self.pending().filter(
            seconded_by__isnull=False, profile__archived_at=None
        )

    def due(self, at: datetime) -> Self:
        """Approved changes of bank accounts whose cooling-off is over by a moment."""
        return self.filter(
            status=ProfileStatus.COOLING, usable_from__lte=at, profile__archived_at=None
        )

    def stopped(self) -> Self:
        """Changes that somebody stopped and the program owner has to check."""
        return self.filter(status=ProfileStatus.STOPPED, profile__archived_at=None)

    def current_first(self) -> Self:
        """The version the next decision is about before the one in force."""
        return self.filter(status__in=CURRENT).order_by("profile", "-number")

    def overdue(self, at: datetime) -> Self:
        """Pending for longer than promised; they stay pending (R43).

        While the partner owes an answer the promise does not run; what was overdue
        when it was asked stays overdue.
        """
        since = Coalesce("promised_from", "submitted_at")
        until = Coalesce("asked_at", models.Value(at))
        late = self.pending().alias(since=since, until=until)
        return late.filter(since__lt=F("until") - VALIDATION_PROMISE)

    def claimed(self, at: datetime) -> Self:
        """Those that somebody of the program owner is at."""
        return self.filter(claimed_at__gt=at - CLAIM_LASTS)


class ProfileVersion(models.Model):
    """What bank and tax versions share: who sent it, who decided, and what was said."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.PositiveIntegerField(_("version"))
    status = models.CharField(
        _("status"), max_length=20, choices=ProfileStatus, default=ProfileStatus.PENDING
    )
    country = models.CharField(_("country"), max_length=2)
    schema_version = models.PositiveSmallIntegerField(default=1)
    details = EncryptedJSONField(_("details"))
    last4 = models.CharField(_("last four characters"), max_length=4, blank=True)
    blind_index = models.CharField(max_length=64, blank=True, editable=False)
    submitted_at = models.DateTimeField(_("submitted at"), default=timezone.now)
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="%(class)ss_submitted",
        verbose_name=_("submitted by"),
    )
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="%(class)ss_decided",
        verbose_name=_("decided by"),
    )
    # Who is at it: a word to the other reviewers, no lock; it ends by itself.
    claimed_at = models.DateTimeField(_("claimed at"), null=True, blank=True)
    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("claimed by"),
    )
    # Since when the partner owes an answer, and from when the promise runs after one.
    asked_at = models.DateTimeField(_("asked at"), null=True, blank=True)
    promised_from = models.DateTimeField(_("promised from"), null=True, blank=True)
    # Why it was returned: [{"field": key, "code": reason, "note": text}, …].
    returned = models.JSONField(_("returned because"), default=list, blank=True)

    objects = VersionQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ("profile", "-number")
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=ProfileStatus.values),
                name="%(app_label)s_%(class)s_status_is_known",
            ),
            models.UniqueConstraint(
                fields=["profile", "number"],
                name="%(app_label)s_%(class)s_numbered_once",
            ),
            models.UniqueConstraint(
                fields=["id", "profile"],
                name="%(app_label)s_%(class)s_with_its_profile",
            ),
            models.UniqueConstraint(
                fields=["profile"],
                condition=Q(status=ProfileStatus.APPROVED),
                name="%(app_label)s_%(class)s_one_in_force",
            ),
            models.UniqueConstraint(
                fields=["profile"],
                condition=Q(status__in=CANDIDATE),
                name="%(app_label)s_%(class)s_one_candidate",
            ),
            models.CheckConstraint(
                condition=Q(decided_at=None, decided_by=None)
                | Q(decided_at__isnull=False, decided_by__isnull=False),
                name="%(app_label)s_%(class)s_decision_is_paired",
            ),
            models.CheckConstraint(
                condition=~Q(
                    status__in=[
                        ProfileStatus.APPROVED,
                        ProfileStatus.COOLING,
                        ProfileStatus.ACTION_REQUIRED,
                    ]
                )
                | Q(decided_at__isnull=False),
                name="%(app_label)s_%(class)s_decided_has_its_moment",
            ),
            models.CheckConstraint(
                condition=~Q(decided_by=F("submitted_by")),
                name="%(app_label)s_%(class)s_four_eyes",
            ),
            models.CheckConstraint(
                condition=~Q(status=ProfileStatus.ACTION_REQUIRED) | ~Q(returned=[]),
                name="%(app_label)s_%(class)s_returned_has_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(claimed_at=None, claimed_by=None)
                | Q(claimed_at__isnull=False, claimed_by__isnull=False),
                name="%(app_label)s_%(class)s_claim_is_paired",
            ),
        ]

    def __str__(self) -> str:
        return f"version {self.number} of {self.profile_id}"

    def can_become(self, status: ProfileStatus) -> bool:
        return status in TRANSITIONS[ProfileStatus(self.status)]

    @property
    def is_pending(self) -> bool:
        return self.status == ProfileStatus.PENDING

    @property
    def is_approved(self) -> bool:
        return self.status == ProfileStatus.APPROVED

    @property
    def is_returned(self) -> bool:
        return self.status == ProfileStatus.ACTION_REQUIRED

    @property
    def is_cooling(self) -> bool:
        """Approved, and in force only when its cooling-off is over."""
        return self.status == ProfileStatus.COOLING

    @property
    def is_stopped(self) -> bool:
        return self.status == ProfileStatus.STOPPED

    @property
    def is_held(self) -> bool:
        """Waiting, but for no decision: for time to pass, or to be released."""
        return self.status in HELD

    @property
    def is_stoppable(self) -> bool:
        """Whether it is a change that somebody may say was not them."""
        return self.status in STOPPABLE and self.is_change

    @property
    def is_change(self) -> bool:
        """Whether it changes the account, or its holder, that was in force."""
        return getattr(self, "usable_from", None) is not None

    @property
    def moved_at(self) -> datetime | None:
        """When it came to the status it has, as far as the version knows."""
        if self.is_pending:
            return self.submitted_at
        if self.is_approved:
            return getattr(self, "approved_at", None) or self.decided_at
        return self.decided_at if self.is_cooling or self.is_returned else None

    @property
    def is_candidate(self) -> bool:
        """Waiting or returned: what the next decision or change is about."""
        return self.status in CANDIDATE

    @property
    def is_decided(self) -> bool:
        """Nothing is left to decide: approved, returned or replaced."""
        return not self.is_pending

    @property
    def schema(self) -> CountrySchema | None:
        """The fields that its country asked when it was sent and checked."""
        return countries.schema_of(self.country, self.part, version=self.schema_version)

    @property
    def masked_number(self) -> str:
        """The account or tax number with only its end to be read (R59)."""
        return f"{MASK * 4} {self.last4.rjust(4, MASK)}" if self.last4 else ""

    @property
    def shown_status(self) -> ShownStatus:
        return SHOWN["asked" if self.is_asked else self.status]

    def shown_status_on(self, on: date) -> ShownStatus:
        """The same on a day: what was approved may have expired since (R54)."""
        is_expired = self.is_approved and self.is_expired(on)
        return SHOWN["expired"] if is_expired else self.shown_status

    @property
    def due_at(self) -> datetime:
        """When the program owner promised an answer.

        The time the partner took to answer a question is not the program owner's.
        """
        return (self.promised_from or self.submitted_at) + VALIDATION_PROMISE

    def is_overdue(self, at: datetime) -> bool:
        """Pending for longer than promised (R43).

        While the partner is asked no time passes: a question neither makes a version
        overdue nor takes it out of those that are.
        """
        return self.is_pending and self.due_at < (self.asked_at or at)

    @property
    def is_asked(self) -> bool:
        """Whether it waits for the partner's answer to a question."""
        return self.is_pending and self.asked_at is not None

    def is_claimed(self, at: datetime) -> bool:
        """Whether somebody of the program owner is at it."""
        return self.claimed_at is not None and self.claimed_at > at - CLAIM_LASTS


class ProfileQuerySet(ScopedQuerySet):
    view_permission = Permission.PROFILE_KNOW

    def in_use(self) -> Self:
        """Profiles that can be chosen: not archived."""
        return self.filter(archived_at=None)

    def with_status(self) -> Self:
        """Annotate `status` and the id of the version it comes from.

        The candidate (waiting or returned) speaks before the version in force.
        """
        versions = self.model.versions.rel.related_model.objects.filter(
            profile=OuterRef("pk"), status__in=CURRENT
        ).order_by("-number")
        return self.annotate(
            current_version_id=Subquery(versions.values("pk")[:1]),
            status=Case(
                When(
                    archived_at__isnull=False,
                    then=models.Value(ProfileLabel.ARCHIVED.value),
                ),
                default=Subquery(versions.values("status")[:1]),
            ),
        )

    def with_uses(self) -> Self:
        """Annotate as `uses` how many enrollments under way or in force use each one.

        Enrollments lie above this app; their rows refer to it.
        """
        under_way = Q(payout_assignments__enrollment__status__in=USING)
        enrollments = "payout_assignments__enrollment"
        return self.annotate(
            uses=Count(enrollments, filter=under_way, distinct=True),
        )

    def with_versions(self) -> Self:
        """Prefetch the versions, newest first."""
        versions = self.model.versions.rel.related_model.objects.order_by("-number")
        return self.prefetch_related(models.Prefetch("versions", versions))

    def with_history(self) -> Self:
        """Prefetch the versions, newest first, with who sent and decided them."""
        versions = self.model.versions.rel.related_model.objects.order_by("-number")
        people = versions.select_related("submitted_by", "decided_by")
        return self.prefetch_related(models.Prefetch("versions", people))

    def archived_last(self) -> Self:
        """By name, those put away after the others."""
        return self.order_by(F("archived_at").asc(nulls_first=True), "name", "pk")


class Profile(models.Model):
    """What bank and tax profiles share: a name, and versions that are never edited."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("profile name"), max_length=80)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="%(class)ss_created",
        verbose_name=_("created by"),
    )
    archived_at = models.DateTimeField(_("archived at"), null=True, blank=True)
    archived_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="%(class)ss_archived",
        verbose_name=_("archived by"),
    )

    class Meta:
        abstract = True
        ordering = ("name", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(archived_at=None, archived_by=None)
                | Q(archived_at__isnull=False, archived_by__isnull=False),
                name="%(app_label)s_%(class)s_archiving_is_paired",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def current_version(self):
        """The version that matters now: the candidate, else the one in force."""
        current = [v for v in self.versions.all() if v.status in CURRENT]
        return max(current, key=lambda version: version.number, default=None)

    @property
    def version_in_force(self):
        """The approved version, which payments follow."""
        return next((v for v in self.versions.all() if v.is_approved), None)

    @property
    def candidate(self):
        """The version that is waiting or was returned, if there is one."""
        return next((v for v in self.versions.all() if v.is_candidate), None)

    @property
    def is_archived(self) -> bool:
        return self.archived_at is not None

    def shown_statuses(self, on: date) -> list[ShownStatus]:
        """What a reader sees of it on a day: its status, and a new version beside it."""
        if self.is_archived:
            return [SHOWN["archived"]]
        in_force, candidate = self.version_in_force, self.candidate
        if in_force is None:
            return [candidate.shown_status] if candidate else []
        statuses = [in_force.shown_status_on(on)]
        if candidate is not None:
            code = candidate.shown_status.code
            code = "returned" if candidate.is_returned else code
            statuses.append(SHOWN[f"new_{code}"])
        return statuses

    def followers(self) -> models.QuerySet:
        """The enrollments that move with its versions: submitted, and not over.

        Asked by the service that moves them and by the preview of a change. Enrollments
        lie above this app; their rows refer to it.
        """
        rows = self.payout_assignments.filter(
            enrollment__status__in=FOLLOWING, enrollment__submitted_at__isnull=False
        )
        return rows.order_by("enrollment").values("enrollment").distinct()

    def uses_by_name(self) -> list[Follower]:
        """The enrollments under way or in force that keep it from being archived (R53)."""
        rows = self.payout_assignments.filter(enrollment__status__in=USING)
        return _followers(rows.order_by("enrollment"))

    def change_impact(self, new: "ProfileVersion | None" = None) -> ChangeImpact:
        """Say what sending a new version does to the enrollments that follow it.

        `new` is what would be sent, where it is known already.
        """
        followers = _followers(self.followers())
        refused = self._refused(new) if new is not None and new.part == "bank" else []
        gone = {one.follower.enrollment for one in refused}
        return ChangeImpact(
            sent_back=[
                one
                for one in followers
                if one.status == IN_FORCE and one.enrollment not in gone
            ],
            staying=[
                one
                for one in followers
                if one.status != IN_FORCE and one.enrollment not in gone
            ],
            refused=refused,
        )

    def _refused(self, new: "BankProfileVersion") -> list[Refusal]:
        """Enrollments that use it whose program would not pay to a new account."""
        rows = self.payout_assignments.filter(
            enrollment__status__in=USING
        ).select_related("enrollment__terms__program", "enrollment__location")
        found = {}
        for row in rows.order_by("enrollment", "pk"):
            one = row.enrollment
            why = why_not_paid(new, terms=one.terms, currency=row.currency)
            if why:
                follower = Follower(
                    one.pk, one.status, one.terms.program.name, one.location.name
                )
                found.setdefault(one.pk, Refusal(follower, why))
        return sorted(
            found.values(), key=lambda one: (one.follower.program, one.follower.place)
        )

    def refuse_taken_name(self) -> None:
        """Raise ValidationError on `name` when it cannot be taken (R47)."""
        try:
            self.validate_constraints()
        except ValidationError as error:
            raise ValidationError({"name": error.messages}) from None


def _followers(assignments: models.QuerySet) -> list[Follower]:
    rows = assignments.values_list(
        "enrollment",
        "enrollment__status",
        "enrollment__terms__program__name",
        "enrollment__location__name",
    ).distinct()
    return sorted(
        (Follower(*row) for row in rows),
        key=lambda one: (one.program, one.place, one.enrollment),
    )


class BankProfileQuerySet(ProfileQuerySet):
    scope = Scope(account="partner_account")

    def where_user_may(self, user, permission: Permission) -> Self:
        """As everywhere; but a change reaches every location that is paid there.

        Who may change a bank profile may do so at all the locations that use it: an
        Incentives admin of one location does not redirect another's payments.
        """
        rows = super().where_user_may(user, permission)
        if permission != Permission.PROFILE_EDIT:
            return rows
        reached = Location.objects.where_user_may(user, permission)
        out_of_reach = Location.objects.filter(
            Q(default_bank_profile__bank_profile=OuterRef("pk"))
            | Q(payout_assignments__bank_profile=OuterRef("pk"))
        ).exclude(pk__in=reached.order_by().values("pk"))
        return rows.exclude(Exists(out_of_reach))


class BankProfile(Profile):
    """A bank account of a company, for any of its locations and programs (R46)."""

    part = "bank"
    account_path = "partner_account"

    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="bank_profiles",
        verbose_name=_("company"),
    )

    objects = BankProfileQuerySet.as_manager()

    class Meta(Profile.Meta):
        verbose_name = _("bank profile")
        verbose_name_plural = _("bank profiles")
        constraints = [
            *Profile.Meta.constraints,
            models.UniqueConstraint(
                "partner_account",
                Lower("name"),
                name="%(app_label)s_%(class)s_name_once_per_company",
                violation_error_message=_(
                    "Your company has a bank profile with this name. Choose another."
                ),
            ),
            models.UniqueConstraint(
                fields=["id", "partner_account"],
                name="%(app_label)s_%(class)s_with_its_company",
            ),
        ]

    def get_absolute_url(self) -> str:
        return reverse("profiles:bank", kwargs={"pk": self.pk})

    @property
    def account(self) -> PartnerAccount:
        return self.partner_account


class BankProfileVersion(ProfileVersion):
    """One state of a bank profile; never edited once sent."""

    part = "bank"
    account_path = "profile__partner_account"

    profile = models.ForeignKey(
        BankProfile,
        models.PROTECT,
        related_name="versions",
        verbose_name=_("bank profile"),
    )
    bank_name = models.CharField(_("bank"), max_length=120, blank=True)
    local_currency = models.CharField(_("local currency"), max_length=3)
    takes_only_local = models.BooleanField(
        _("takes only the local currency"), default=False
    )
    # When it came into force. Kept for good: a later account is a change (domain.md
    # §10.7).
    approved_at = models.DateTimeField(_("approved at"), null=True, blank=True)
    # Of a change of the account in force: nobody is paid there before (security.md T1).
    usable_from = models.DateTimeField(
        _("usable from"), null=True, blank=True, editable=False
    )
    # The fingerprint of the link by which the previous contact can stop the change.
    stop_sha256 = models.CharField(
        max_length=64, blank=True, db_default="", editable=False
    )
    # The first of two approvals, where one operator is not enough (domain.md §10.7).
    seconded_at = models.DateTimeField(_("first approval at"), null=True, blank=True)
    seconded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="bank_versions_seconded",
        verbose_name=_("first approval by"),
    )
    # What the first approval was given for; it counts for nothing else.
    seconded_digest = models.CharField(
        max_length=64, blank=True, db_default="", editable=False
    )

    class Meta(ProfileVersion.Meta):
        verbose_name = _("bank profile version")
        verbose_name_plural = _("bank profile versions")
        constraints = [
            *ProfileVersion.Meta.constraints,
            sealed_check("details", name="%(app_label)s_%(class)s_details_are_sealed"),
            models.CheckConstraint(
                condition=~Q(status=ProfileStatus.APPROVED)
                | Q(approved_at__isnull=False),
                name="%(app_label)s_%(class)s_approved_has_its_moment",
            ),
            models.CheckConstraint(
                condition=Q(seconded_at=None, seconded_by=None)
                | Q(seconded_at__isnull=False, seconded_by__isnull=False),
                name="%(app_label)s_%(class)s_first_approval_is_paired",
            ),
            models.CheckConstraint(
                condition=~Q(seconded_by=F("decided_by"), status="approved")
                & ~Q(seconded_by=F("submitted_by")),
                name="%(app_label)s_%(class)s_six_eyes_on_a_change",
            ),
            models.CheckConstraint(
                condition=~Q(status=ProfileStatus.PENDING, seconded_by__isnull=False)
                | Q(seconded_digest__regex=r"^[0-9a-f]{64}$"),
                name="%(app_label)s_%(class)s_first_approval_of_something",
            ),
            models.CheckConstraint(
                condition=Q(usable_from=None) | Q(usable_from__gte=F("submitted_at")),
                name="%(app_label)s_%(class)s_cooling_off_after_the_request",
            ),
            models.CheckConstraint(
                condition=~Q(status=ProfileStatus.COOLING)
                | Q(usable_from__isnull=False),
                name="%(app_label)s_%(class)s_cooling_off_has_an_end",
            ),
            models.CheckConstraint(
                condition=Q(usable_from=None)
                | ~Q(status__in=[ProfileStatus.COOLING, ProfileStatus.APPROVED])
                | Q(seconded_by__isnull=False) & ~Q(seconded_by=F("decided_by")),
                name="%(app_label)s_%(class)s_change_takes_two",
            ),
            models.UniqueConstraint(
                fields=["stop_sha256"],
                condition=~Q(stop_sha256=""),
                name="%(app_label)s_%(class)s_link_stops_one",
            ),
        ]
        indexes = [
            models.Index(fields=["blind_index"], name="profiles_bank_blind_index"),
            models.Index(
                Coalesce("promised_from", "submitted_at"),
                "id",
                condition=Q(status=ProfileStatus.PENDING),
                name="profiles_bank_pending",
            ),
            models.Index(
                fields=["usable_from"],
                condition=Q(status=ProfileStatus.COOLING),
                name="profiles_bank_cooling",
            ),
        ]
        permissions = [
            ("review_profiles", "Can see bank details that wait for a decision"),
            ("validate_profiles", "Can validate bank and tax profiles"),
            ("approve_bank_accounts", "Can give the second approval of bank accounts"),
        ]

    @property
    def account_before(self) -> "BankProfileVersion | None":
        """The version that was last in force before this one, whatever became of it.

        Where none was, the one that was sent before it; of an account that is stopped
        from the start, what the change was to take the place of that was stopped first.
        """
        before = type(self).objects.filter(
            profile=self.profile_id, number__lt=self.number
        )
        found = (
            before.filter(approved_at__isnull=False).order_by("-number").first()
            or before.order_by("-number").first()
        )
        if found is not None:
            return found
        again = self.stops.exclude(follows=None).select_related("follows__version")
        stop = again.first()
        return stop.follows.version.account_before if stop else None

    def is_expired(self, on: date) -> bool:
        """Bank details do not expire."""
        return False


class BankChangeStopQuerySet(ScopedQuerySet):
    scope = Scope(account="version__profile__partner_account")
    view_permission = Permission.PROFILE_KNOW

    def open(self) -> Self:
        return self.filter(released_at=None)

    def standing_against(self, version: "BankProfileVersion") -> Self:
        """Those of a version's account, at its company, that nobody released since.

        Whatever became of the change: who withdraws it, or archives its profile,
        releases nothing (docs/adr/0010). The newest first.
        """
        if not version.blind_index:
            return self.none()
        of_account = self.filter(
            version__blind_index=version.blind_index,
            version__profile__partner_account=version.profile.partner_account_id,
        )
        released_since = of_account.filter(released_at__gte=OuterRef("stopped_at"))
        return (
            of_account.open()
            .exclude(Exists(released_since.order_by()))
            .select_related("stopped_by", "follows")
            .order_by("-stopped_at", "pk")
        )


class BankChangeStop(models.Model):
    """Somebody said "this was not us" of a change of a bank account (security.md T1).

    Two operators release it after checking: one says how they made sure, another one
    releases. Without a person it was the previous contact, by the link in the mail.
    The account sent again is stopped from the start: that stop `follows` the first.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    version = models.ForeignKey(
        BankProfileVersion,
        models.PROTECT,
        related_name="stops",
        verbose_name=_("bank profile version"),
    )
    stopped_at = models.DateTimeField(_("stopped at"), default=timezone.now)
    stopped_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="bank_changes_stopped",
        verbose_name=_("stopped by"),
    )
    follows = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("follows"),
    )
    checked_at = models.DateTimeField(_("checked at"), null=True, blank=True)
    checked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("checked by"),
    )
    # How they made sure that the company wants the change, in words.
    evidence = models.CharField(_("evidence"), max_length=400, blank=True)
    released_at = models.DateTimeField(_("released at"), null=True, blank=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("released by"),
    )

    objects = BankChangeStopQuerySet.as_manager()

    class Meta:
        verbose_name = _("stopped change of a bank account")
        verbose_name_plural = _("stopped changes of bank accounts")
        ordering = ("stopped_at", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["version"],
                condition=Q(released_at=None),
                name="%(app_label)s_%(class)s_one_open",
            ),
            models.CheckConstraint(
                condition=Q(checked_at=None, checked_by=None, evidence="")
                | Q(checked_at__isnull=False, checked_by__isnull=False)
                & ~Q(evidence=""),
                name="%(app_label)s_%(class)s_checked_with_evidence",
            ),
            models.CheckConstraint(
                condition=Q(released_at=None, released_by=None)
                | Q(
                    released_at__isnull=False,
                    released_by__isnull=False,
                    checked_by__isnull=False,
                ),
                name="%(app_label)s_%(class)s_released_after_a_check",
            ),
            models.CheckConstraint(
                condition=~Q(released_by=F("checked_by")),
                name="%(app_label)s_%(class)s_released_by_two",
            ),
        ]

    def __str__(self) -> str:
        return f"stop of {self.version_id}"


class BankProfileDraftQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.PROFILE_EDIT


class BankProfileDraft(models.Model):
    """What somebody has filled in of a bank profile and not sent yet.

    One step after another, to go on with on another day. Each person has one of a new
    profile at a company, and one of each change; only who began it sees it. Sent or
    discarded, it is gone.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="bank_profile_drafts",
        verbose_name=_("company"),
    )
    # What is changed; nothing of a new profile.
    profile = models.ForeignKey(
        BankProfile,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="drafts",
        verbose_name=_("bank profile"),
    )
    # The version a change was begun on, and whether it had been returned by then.
    based_on = models.ForeignKey(
        BankProfileVersion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("based on"),
    )
    is_mending = models.BooleanField(_("mends what was returned"), default=False)
    name = models.CharField(_("profile name"), max_length=80)
    country = models.CharField(_("country"), max_length=2)
    details = EncryptedJSONField(_("details"), default="")
    # The steps that are done, besides the first.
    done = ArrayField(
        models.CharField(max_length=12), verbose_name=_("done"), default=list
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="bank_profile_drafts",
        verbose_name=_("created by"),
    )

    objects = BankProfileDraftQuerySet.as_manager()

    class Meta:
        verbose_name = _("draft of a bank profile")
        verbose_name_plural = _("drafts of bank profiles")
        ordering = ("-updated_at", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["partner_account", "created_by"],
                condition=Q(profile=None),
                name="%(app_label)s_%(class)s_one_for_each",
            ),
            models.UniqueConstraint(
                fields=["profile", "created_by"],
                name="%(app_label)s_%(class)s_one_change_for_each",
            ),
            sealed_check("details", name="%(app_label)s_%(class)s_details_are_sealed"),
        ]

    def __str__(self) -> str:
        return f"draft {self.pk}"


class TaxProfileQuerySet(ProfileQuerySet):
    scope = Scope(account="location__partner_account", location="location")


class TaxProfile(Profile):
    """The tax details of one location, used by its enrollments."""

    part = "tax"
    account_path = "location__partner_account"

    location = models.ForeignKey(
        Location,
        models.PROTECT,
        related_name="tax_profiles",
        verbose_name=_("location"),
    )

    objects = TaxProfileQuerySet.as_manager()

    class Meta(Profile.Meta):
        verbose_name = _("tax profile")
        verbose_name_plural = _("tax profiles")
        constraints = [
            *Profile.Meta.constraints,
            models.UniqueConstraint(
                "location",
                Lower("name"),
                name="%(app_label)s_%(class)s_name_once_per_location",
                violation_error_message=_(
                    "This location has a tax profile with this name. Choose another."
                ),
            ),
            models.UniqueConstraint(
                fields=["id", "location"],
                name="%(app_label)s_%(class)s_with_its_location",
            ),
        ]

    def get_absolute_url(self) -> str:
        return reverse("profiles:tax", kwargs={"pk": self.pk})

    @property
    def account(self) -> PartnerAccount:
        return self.location.partner_account


class TaxVersionQuerySet(VersionQuerySet, ScopedQuerySet):
    scope = Scope(account="partner_account", location="profile__location")
    view_permission = Permission.PROFILE_VIEW


class TaxProfileVersion(ProfileVersion):
    """One state of a tax profile; never edited once sent."""

    part = "tax"
    account_path = "partner_account"

    profile = models.ForeignKey(
        TaxProfile,
        models.PROTECT,
        related_name="versions",
        verbose_name=_("tax profile"),
    )
    # Its location's company. The database says it, whatever is written.
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="+",
        verbose_name=_("company"),
        editable=False,
        db_constraint=False,
        db_index=False,
    )
    form = models.CharField(_("form"), max_length=20)
    # Which details are filled in, so that a program's needs can be asked of many
    # rows without opening any.
    provided = ArrayField(
        models.CharField(max_length=40), verbose_name=_("provided"), default=list
    )
    expires_on = models.DateField(_("expires on"), null=True, blank=True)
    # The answers that decided on the form, and what the form asks; no numbers.
    setup = models.JSONField(_("answers"), default=dict, blank=True)

    objects = TaxVersionQuerySet.as_manager()

    class Meta(ProfileVersion.Meta):
        verbose_name = _("tax profile version")
        verbose_name_plural = _("tax profile versions")
        constraints = [
            *ProfileVersion.Meta.constraints,
            sealed_check("details", name="%(app_label)s_%(class)s_details_are_sealed"),
        ]
        indexes = [
            models.Index(
                fields=["blind_index", "partner_account"],
                name="profiles_tax_number_of_company",
            ),
            models.Index(
                Coalesce("promised_from", "submitted_at"),
                "id",
                condition=Q(status=ProfileStatus.PENDING),
                name="profiles_tax_pending",
            ),
            models.Index(
                fields=["expires_on", "id"],
                condition=Q(status=ProfileStatus.APPROVED, expires_on__isnull=False),
                name="profiles_tax_expiring",
            ),
        ]

    def is_expired(self, on: date) -> bool:
        """Past its last day (R54)."""
        return self.expires_on is not None and self.expires_on < on


# --- Drafts and documents of tax profiles -------------------------------------------


class TaxProfileDraftQuerySet(ScopedQuerySet):
    scope = Scope(account="location__partner_account", location="location")
    view_permission = Permission.PROFILE_EDIT

    def unsent(self) -> Self:
        """Those to go on with."""
        return self.filter(sent_as=None)


class TaxProfileDraft(models.Model):
    """What somebody has filled in of a tax profile and not sent yet: one step after
    another, to go on with on another day.

    Of a new profile each person has one for a location; of a change there is one.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        related_name="tax_profile_drafts",
        verbose_name=_("location"),
    )
    profile = models.ForeignKey(
        TaxProfile,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="drafts",
        verbose_name=_("tax profile"),
    )
    # As of a bank profile.
    based_on = models.ForeignKey(
        TaxProfileVersion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("based on"),
    )
    is_mending = models.BooleanField(_("mends what was returned"), default=False)
    # What it became; whoever goes back in the browser is led there.
    sent_as = models.ForeignKey(
        TaxProfileVersion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="drafts",
        verbose_name=_("sent as"),
    )
    name = models.CharField(_("profile name"), max_length=80, blank=True)
    country = models.CharField(_("country"), max_length=2)
    setup = models.JSONField(_("answers"), default=dict, blank=True)
    details = EncryptedJSONField(_("details"), default="")
    # What the program that led here asks beyond the country's own (R55).
    needs = ArrayField(
        models.CharField(max_length=40), verbose_name=_("needed"), default=list
    )
    # The steps that are done, in the order of the way.
    done = ArrayField(
        models.CharField(max_length=10), verbose_name=_("done"), default=list
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="tax_profile_drafts",
        verbose_name=_("created by"),
    )

    objects = TaxProfileDraftQuerySet.as_manager()

    class Meta:
        verbose_name = _("draft of a tax profile")
        verbose_name_plural = _("drafts of tax profiles")
        ordering = ("-updated_at", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["location", "created_by"],
                condition=Q(profile=None, sent_as=None),
                name="%(app_label)s_%(class)s_one_new_for_each",
            ),
            models.UniqueConstraint(
                fields=["profile"],
                condition=Q(sent_as=None),
                name="%(app_label)s_%(class)s_one_change",
            ),
            sealed_check("details", name="%(app_label)s_%(class)s_details_are_sealed"),
        ]

    def __str__(self) -> str:
        return f"draft {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("profiles:tax_draft", kwargs={"pk": self.pk})

    @property
    def title(self) -> str:
        return self.profile.name if self.profile else self.name


class TaxDocumentQuerySet(ScopedQuerySet):
    scope = Scope(account="location__partner_account", location="location")
    view_permission = Permission.PROFILE_VIEW

    def without_content(self) -> Self:
        """For lists: what is stored of each, not the file."""
        return self.defer("content")


class TaxDocument(models.Model):
    """A signed form or a certificate: of a draft first, then of the version it was sent
    with, and kept with that for good.

    Content and name are sealed; what is in a file says more than any field.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        related_name="tax_documents",
        verbose_name=_("location"),
    )
    draft = models.ForeignKey(
        TaxProfileDraft,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="documents",
        verbose_name=_("draft"),
    )
    version = models.ForeignKey(
        TaxProfileVersion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="documents",
        verbose_name=_("tax profile version"),
    )
    kind = models.CharField(_("kind"), max_length=40)
    dated_on = models.DateField(_("dated on"))
    content_type = models.CharField(_("type"), max_length=20)
    size = models.PositiveIntegerField(_("size"))
    name = EncryptedTextField(_("file name"))
    content = EncryptedBytesField(_("content"))
    added_at = models.DateTimeField(_("added at"), default=timezone.now)
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="tax_documents_added",
        verbose_name=_("added by"),
    )

    objects = TaxDocumentQuerySet.as_manager()

    class Meta:
        verbose_name = _("tax document")
        verbose_name_plural = _("tax documents")
        ordering = ("kind", "-dated_on", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(draft=None, version__isnull=False)
                | Q(draft__isnull=False, version=None),
                name="%(app_label)s_%(class)s_of_a_draft_or_a_version",
            ),
            models.CheckConstraint(
                condition=Q(content_type__in=list(EXTENSIONS)),
                name="%(app_label)s_%(class)s_type_is_known",
            ),
            models.CheckConstraint(
                condition=Q(size__gt=0), name="%(app_label)s_%(class)s_is_not_empty"
            ),
            sealed_check("name", name="%(app_label)s_%(class)s_name_is_sealed"),
            sealed_start_check(
                "content", name="%(app_label)s_%(class)s_content_is_sealed"
            ),
        ]

    def __str__(self) -> str:
        return f"document {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("profiles:tax_document", kwargs={"pk": self.pk})

    @property
    def kind_label(self) -> Promise | str:
        return DOCUMENTS[self.kind].label if self.kind in DOCUMENTS else self.kind

    @property
    def last_day(self) -> date | None:
        """The last day it is good for; None where it does not expire."""
        known = DOCUMENTS.get(self.kind)
        return known.last_day(self.dated_on) if known else None

    def is_ending(self, on: date) -> bool:
        """Whether it is time to have a new one."""
        known = DOCUMENTS.get(self.kind)
        return known is not None and known.is_ending(self.dated_on, on=on)

    @property
    def type_label(self) -> str:
        return EXTENSIONS.get(self.content_type, "").upper()


class DefaultBankProfileQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account", location="location")
    view_permission = Permission.PROFILE_KNOW


class DefaultBankProfile(models.Model):
    """The bank profile and currency a location's next enrollments start with.

    At most one per location (R51); it never rewrites enrollments already submitted.
    """

    location = models.OneToOneField(
        Location,
        models.PROTECT,
        related_name="default_bank_profile",
        verbose_name=_("location"),
        db_constraint=False,
    )
    # Composite keys of the migration keep location and bank profile in one company.
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="default_bank_profiles",
        verbose_name=_("company"),
    )
    bank_profile = models.ForeignKey(
        BankProfile,
        models.PROTECT,
        related_name="defaults",
        verbose_name=_("bank profile"),
        db_constraint=False,
    )
    currency = models.CharField(_("currency"), max_length=3)
    set_at = models.DateTimeField(_("set at"), auto_now=True)
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="default_bank_profiles_set",
        verbose_name=_("set by"),
    )

    objects = DefaultBankProfileQuerySet.as_manager()

    class Meta:
        verbose_name = _("default bank profile")
        verbose_name_plural = _("default bank profiles")
        ordering = ("pk",)
        constraints = [
            models.CheckConstraint(
                condition=Q(currency__regex=r"^[A-Z]{3}$"),
                name="%(app_label)s_%(class)s_currency_is_three_letters",
            )
        ]

    def __str__(self) -> str:
        return f"default of location {self.location_id}"


# --- Questions of a reviewer ------------------------------------------------------------


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


# --- Why a reviewer returns a version -----------------------------------------------------


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


class Section(models.TextChoices):
    """What of a profile a colleague fills in for an Incentives admin: one, not both."""

    BANK = "bank", _("Bank details")
    TAX = "tax", _("Tax details")


class PartState(models.TextChoices):
    """What came of a part that somebody fills in for an Incentives admin."""

    OPEN = "open", _("Asked for, not handed in")
    FILLED = "filled", _("To be checked")
    USED = "used", _("Gone on with")
    ENDED = "ended", _("Put aside")
    EXPIRED = "expired", _("Expired")


class PreparedPartQuerySet(ScopedQuerySet):
    scope = Scope(account="location__partner_account", location="location")
    view_permission = Permission.PROFILE_EDIT

    def addressed_to(self, user) -> Self:
        """Parts that a person may fill in now: bound to their address, not over."""
        return self.open_at(timezone.now()).filter(email=user.email)

    def open_at(self, at: datetime) -> Self:
        """Parts that can be filled in, whether the clock has been by or not."""
        return self.filter(state=PartState.OPEN, expires_at__gt=at)

    def filled(self) -> Self:
        """Parts that wait for an Incentives admin."""
        return self.filter(state=PartState.FILLED)

    def overdue(self, at: datetime) -> Self:
        """Parts whose time is over and that nobody has closed yet."""
        return self.filter(
            state__in=[PartState.OPEN, PartState.FILLED], expires_at__lte=at
        )

    def for_pages(self) -> Self:
        return self.select_related("location__partner_account", "asked_by", "filled_by")


class PreparedPart(models.Model):
    """The bank or the tax details of one location, filled in by somebody without the
    role and checked by somebody with it (experience.md §3.1).

    It is bound to an address, shows nothing but itself and ends by itself. It is no
    profile: an Incentives admin goes on with it as with an own draft and sends that, so
    that everything which protects accounts holds (docs/adr/0017). What was filled in is
    sealed, and emptied when the part is closed.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        related_name="prepared_parts",
        verbose_name=_("location"),
    )
    section = models.CharField(_("section"), max_length=4, choices=Section)
    email = models.EmailField(_("e-mail address"))
    full_name = models.CharField(_("full name"), max_length=120)
    language = models.CharField(
        _("language"), max_length=2, choices=Language, default=Language.ENGLISH
    )
    # Nobody where a colleague who sees the enrollment prepares of their own accord;
    # then there is no link either.
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="parts_asked_for",
        verbose_name=_("asked by"),
    )
    token_sha256 = models.CharField(max_length=64, blank=True, editable=False)
    note = models.CharField(_("note"), max_length=400, blank=True)
    state = models.CharField(
        _("state"), max_length=8, choices=PartState, default=PartState.OPEN
    )
    asked_at = models.DateTimeField(_("asked at"))
    expires_at = models.DateTimeField(_("works until"))
    country = models.CharField(_("country"), max_length=2, blank=True)
    details = EncryptedJSONField(_("details"), default="")
    filled_at = models.DateTimeField(_("filled in at"), null=True, blank=True)
    filled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="parts_filled",
        verbose_name=_("filled in by"),
    )
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)

    objects = PreparedPartQuerySet.as_manager()

    class Meta:
        verbose_name = _("prepared part of a profile")
        verbose_name_plural = _("prepared parts of profiles")
        ordering = ("-asked_at", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(email=Lower("email")),
                name="%(app_label)s_%(class)s_email_is_lower_case",
            ),
            models.CheckConstraint(
                condition=Q(asked_by=None, token_sha256="")
                | Q(asked_by__isnull=False, token_sha256__regex=r"^[0-9a-f]{64}$"),
                name="%(app_label)s_%(class)s_keeps_a_fingerprint",
            ),
            models.UniqueConstraint(
                fields=["token_sha256"],
                condition=~Q(token_sha256=""),
                name="%(app_label)s_%(class)s_token_once",
            ),
            models.UniqueConstraint(
                fields=["location", "section", "email"],
                condition=Q(state="open"),
                name="%(app_label)s_%(class)s_one_open_for_each",
            ),
            models.CheckConstraint(
                condition=Q(
                    state="open", filled_at=None, filled_by=None, closed_at=None
                )
                | Q(
                    state="filled",
                    filled_at__isnull=False,
                    filled_by__isnull=False,
                    closed_at=None,
                )
                | Q(
                    state__in=["used", "ended", "expired"],
                    closed_at__isnull=False,
                ),
                name="%(app_label)s_%(class)s_state_has_its_moments",
            ),
            sealed_check("details", name="%(app_label)s_%(class)s_details_are_sealed"),
        ]

    def __str__(self) -> str:
        return f"part {self.pk}"

    @property
    def company(self) -> PartnerAccount:
        return self.location.partner_account

    @property
    def schema(self) -> CountrySchema | None:
        """What the country asks of this section."""
        if self.section == Section.BANK:
            return countries.bank_schema(self.country)
        return countries.tax_schema(self.country)

    @property
    def is_bank(self) -> bool:
        return self.section == Section.BANK

    def is_open(self, at: datetime) -> bool:
        """Whether it can be filled in."""
        return self.state == PartState.OPEN and at < self.expires_at
