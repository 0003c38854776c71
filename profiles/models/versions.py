"""What bank and tax profiles share: profiles, versions, and what a change does."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Self

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Case, Count, Exists, F, OuterRef, Q, Subquery, When
from django.db.models.functions import Coalesce
from django.db.models.lookups import IsNull
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.encryption import (
    EncryptedJSONField,
)
from accounts.roles import Permission
from accounts.scoping import ScopedQuerySet
from profiles import countries
from profiles.countries import CountrySchema
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

VALIDATION_PROMISE = timedelta(hours=48)
# How long a claim of a reviewer speaks to the others.
CLAIM_LASTS = timedelta(hours=2)
# On the page of one enrollment no more uses of its profile are counted; and no program has
# so many types of earnings.
MOST_USES = 100
MOST_TYPES = 20


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

    def with_some_uses(self) -> Self:
        """Annotate as `some_uses` the keys of enrollments that use each one, as with_uses().

        Each stands there once for every type of earnings, and of a company's thousands
        so many only that more than MOST_USES can be told from what is fewer.
        """
        payout = self.model.payout_assignments.rel
        rows = payout.related_model.objects.filter(
            **{payout.field.name: OuterRef("pk")}, enrollment__status__in=USING
        )
        some = rows.order_by().values("enrollment")[: MOST_USES * MOST_TYPES + 1]
        return self.annotate(some_uses=ArraySubquery(some))

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

    def change_impact(self, new: ProfileVersion | None = None) -> ChangeImpact:
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

    def _refused(self, new: ProfileVersion) -> list[Refusal]:
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
