"""Enrollments: who was invited, how they are paid, and every step of their history."""

import base64
import uuid
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import (
    DateTimeField,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    Value,
)
from django.db.models.functions import Coalesce, Greatest
from django.db.models.lookups import LessThan
from django.utils.translation import gettext_lazy as _

from accounts.addresses import address_of
from accounts.models import Location, OutgoingEmail, PartnerAccount
from accounts.prepared import Given
from accounts.roles import Permission
from accounts.scoping import HeldRoles, Scope, ScopedQuerySet
from enrollment.models.terms import EarningType, ProgramTerms, on_its_day
from enrollment.states import (
    EDITABLE,
    ENDS_WITH_PROGRAM,
    FOLLOWS_PROFILES,
    OPEN,
    TRANSITIONS,
    EndReason,
    EnrollmentStatus,
)
from profiles.models import (
    BankProfile,
    BankProfileVersion,
    TaxProfile,
    TaxProfileVersion,
)
from profiles.states import PayoutMethod


def was_promised_earlier() -> Q:
    """Whether what waits `since` a moment was promised an answer before `until`."""
    promise = ExpressionWrapper(
        F("terms__validation_hours") * Value(timedelta(hours=1)),
        output_field=DurationField(),
    )
    due = ExpressionWrapper(F("since") + promise, output_field=DateTimeField())
    return Q(LessThan(due, F("until")))


def _begun_and_lapsing() -> Q:
    return Q(
        status=EnrollmentStatus.ACTION_REQUIRED,
        submitted_at=None,
        enroll_by__lt=F("terms__fiscal_year__ends_on"),
    )


class EnrollmentQuerySet(ScopedQuerySet):
    scope = Scope(
        account="partner_account",
        location="location",
        program="terms__program",
    )
    view_permission = Permission.ENROLLMENT_KNOW

    def to_act_on(
        self, held: HeldRoles, *, location: Location | Given | None = None
    ) -> Self:
        """What somebody may enroll in a company, or at one location of it."""
        mine = self.where_held(held, Permission.ENROLLMENT_EDIT)
        return mine if location is None else mine.filter(location=location)

    def invited(self) -> Self:
        """Waiting for the partner's answer."""
        return self.filter(status=EnrollmentStatus.INVITED)

    def to_answer(self) -> Self:
        """Invitations that wait for an Incentives admin: not answered, not over."""
        return self.invited().filter(
            accepted_at=None,
            location__closed_at=None,
            terms__is_open_to_all=False,
            terms__program__discontinued_at=None,
        )

    def open(self) -> Self:
        """Under way or in force."""
        return self.filter(status__in=OPEN)

    def ineligible(self) -> Self:
        """Not eligible: waiting to be so again."""
        return self.filter(status=EnrollmentStatus.INELIGIBLE)

    def not_over(self) -> Self:
        """Under way, in force, or waiting to be eligible again."""
        return self.filter(status__in=ENDS_WITH_PROGRAM)

    def submitted(self) -> Self:
        """Sent by the partner: from here on profiles move them (R40, R41, R44)."""
        return self.filter(status__in=FOLLOWS_PROFILES, submitted_at__isnull=False)

    def between_years(self) -> Self:
        """In force, and no decision of the year end has left it behind.

        With the terms that follow: its year is over, or will be.
        """
        return self.filter(status__in=FOLLOWS_PROFILES).exclude(
            set_aside__decided_at__isnull=False
        )

    def validating(self) -> Self:
        """Waiting for the program owner."""
        return self.filter(status=EnrollmentStatus.VALIDATING)

    def overdue(self, at: datetime) -> Self:
        """With the program owner for longer than promised (R43).

        As is_overdue(): what was overdue when the partner was asked stays so.
        """
        since = Greatest("promised_from", "status_since")
        until = Coalesce("asked_at", models.Value(at))
        late = self.validating().alias(since=since, until=until)
        return late.filter(was_promised_earlier())

    def unanswered(self, days: Mapping[date, list[int]]) -> Self:
        """What was not submitted by its last day (domain.md §10.4).

        Also what somebody began and did not send; but where the last day is the
        fiscal year's, the year end says what becomes of that. `days` come from
        FiscalCalendar.objects.by_day().
        """
        calendar = "terms__fiscal_year__calendar"
        late = on_its_day(days, calendar, lambda day: Q(enroll_by__lt=day))
        return self.filter(
            Q(status=EnrollmentStatus.INVITED) | _begun_and_lapsing()
        ).filter(late)

    def to_submit(self) -> Self:
        """What somebody began and did not submit, and what lapses if it stays so."""
        accepted = Q(status=EnrollmentStatus.INVITED, accepted_at__isnull=False)
        return self.filter(
            accepted | _begun_and_lapsing(),
            location__closed_at=None,
            terms__program__discontinued_at=None,
        )

    def lapsed(self) -> Self:
        """Expired because nothing was submitted in time: they can be invited anew."""
        return self.filter(
            status=EnrollmentStatus.EXPIRED, end_reason=EndReason.NOT_ANSWERED
        )

    def of_calendar(self, calendar) -> Self:
        """Of programs that count their days in a calendar."""
        return self.filter(terms__fiscal_year__calendar=calendar)

    def with_tax_expired(self, on: date) -> Self:
        """Whose tax profile is past its last day on a day (R54)."""
        return self.filter(
            payout_assignments__standing__tax_expires_on__lt=on
        ).distinct()

    def with_was_left(self) -> Self:
        """Annotate whether an operator decided at the year end to leave it there."""
        left = type(self)(self.model).filter(
            pk=OuterRef("pk"),
            set_aside__decided_at__isnull=False,
            set_aside__is_applied=False,
        )
        return self.annotate(was_left=Exists(left.order_by()))

    def for_pages(self) -> Self:
        """With what every page says of an enrollment."""
        return self.select_related(
            "location__partner_account",
            "terms__program",
            "terms__fiscal_year__calendar",
        )


class Enrollment(models.Model):
    """A location's participation in a program in one fiscal year.

    `status` is written by services.moving.move() alone, which also writes the event.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # A year end writes every index of this table for every row: what another index
    # begins with, or nobody looks for, has none.
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        related_name="enrollments",
        verbose_name=_("location"),
        db_constraint=False,
        db_index=False,
    )
    # The location's company, by which a large company's rows are found without its
    # locations. Only for asking the database, which fills it in where a writer does not;
    # one key holds both.
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="enrollments",
        verbose_name=_("company"),
        editable=False,
        db_constraint=False,
        db_index=False,
    )
    terms = models.ForeignKey(
        ProgramTerms,
        models.PROTECT,
        related_name="enrollments",
        verbose_name=_("program terms"),
        db_index=False,
    )
    status = models.CharField(
        _("status"),
        max_length=20,
        choices=EnrollmentStatus,
        default=EnrollmentStatus.INVITED,
    )
    status_since = models.DateTimeField(_("since"))
    # Of what it is validated with: since when the partner owes an answer, and from when
    # the promise runs after one. services.follow_questions() alone writes them.
    asked_at = models.DateTimeField(_("asked at"), null=True, blank=True)
    promised_from = models.DateTimeField(_("promised from"), null=True, blank=True)
    invited_at = models.DateTimeField(_("invited at"))
    enroll_by = models.DateField(_("enroll by"))
    accepted_at = models.DateTimeField(_("accepted at"), null=True, blank=True)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="enrollments_accepted",
        verbose_name=_("accepted by"),
        db_index=False,
    )
    agreement_version = models.CharField(
        _("agreement accepted"), max_length=20, blank=True
    )
    # Which TermsVersion was in force when it was accepted, by its number.
    terms_version = models.PositiveIntegerField(
        _("version of the terms accepted"), null=True, blank=True
    )
    submitted_at = models.DateTimeField(_("submitted at"), null=True, blank=True)
    # Where it was sent again after it was returned; a recall empties it.
    first_submitted_at = models.DateTimeField(
        _("first submitted at"), null=True, blank=True
    )
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="enrollments_submitted",
        verbose_name=_("submitted by"),
        db_index=False,
    )
    enrolled_at = models.DateTimeField(_("enrolled at"), null=True, blank=True)
    earns_from = models.DateField(_("earns from"), null=True, blank=True)
    end_reason = models.CharField(
        _("ended because"), max_length=20, choices=EndReason, blank=True
    )
    renewed_from = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="renewals",
        verbose_name=_("continues"),
    )

    objects = EnrollmentQuerySet.as_manager()

    # Noted by eligibility.note_held(): a decision is not what it waits for.
    is_held = False
    is_held_by_stop = False
    held_until: datetime | None = None

    class Meta:
        verbose_name = _("enrollment")
        verbose_name_plural = _("enrollments")
        ordering = ("terms__program__name", "location__name", "pk")
        constraints = [
            # Terms are a program's year, so this is one per location, program and
            # year (R29).
            # What stands where is read from the index alone.
            models.UniqueConstraint(
                fields=["location", "terms"],
                include=["id", "status"],
                name="%(app_label)s_%(class)s_once",
            ),
            models.UniqueConstraint(
                fields=["id", "location"],
                name="%(app_label)s_%(class)s_with_its_location",
            ),
            models.CheckConstraint(
                condition=Q(status__in=EnrollmentStatus.values),
                name="%(app_label)s_%(class)s_status_is_known",
            ),
            models.CheckConstraint(
                condition=Q(accepted_at=None, accepted_by=None)
                | Q(accepted_at__isnull=False, accepted_by__isnull=False),
                name="%(app_label)s_%(class)s_acceptance_is_paired",
            ),
            models.CheckConstraint(
                condition=Q(submitted_at=None, submitted_by=None)
                | Q(submitted_at__isnull=False, submitted_by__isnull=False),
                name="%(app_label)s_%(class)s_submission_is_paired",
            ),
            models.CheckConstraint(
                condition=Q(submitted_at=None) | Q(accepted_at__isnull=False),
                name="%(app_label)s_%(class)s_submitted_was_accepted",
            ),
            models.CheckConstraint(
                condition=Q(first_submitted_at=None) | Q(submitted_at__isnull=False),
                name="%(app_label)s_%(class)s_first_submitted_is_submitted",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["validating", "enrolled"])
                | Q(submitted_at__isnull=False),
                name="%(app_label)s_%(class)s_validating_was_submitted",
            ),
            models.CheckConstraint(
                condition=~Q(status=EnrollmentStatus.ENROLLED)
                | Q(enrolled_at__isnull=False, earns_from__isnull=False),
                name="%(app_label)s_%(class)s_enrolled_has_its_moment",
            ),
            models.CheckConstraint(
                condition=Q(end_reason="")
                | Q(status__in=["expired", "discontinued", "inactive"]),
                name="%(app_label)s_%(class)s_reason_only_at_the_end",
            ),
        ]
        indexes = [
            models.Index(
                fields=["terms", "status", "id"], name="enrollment_terms_status"
            ),
            models.Index(
                fields=["partner_account", "status", "status_since", "id"],
                name="enrollment_of_company",
            ),
            # What stands where in a company is read from this alone.
            models.Index(
                fields=["partner_account", "terms", "location"],
                include=["id", "status"],
                name="enrollment_of_company_by_terms",
            ),
            # What a company has to answer or to submit, by its last day.
            models.Index(
                fields=["partner_account", "enroll_by", "status_since", "id"],
                include=["location"],
                condition=Q(status__in=sorted(EDITABLE)),
                name="enrollment_to_do",
            ),
            # What was not answered and can be invited anew, the latest first.
            models.Index(
                fields=["-status_since", "id"],
                condition=Q(status="expired", end_reason="not_answered"),
                name="enrollment_lapsed",
            ),
            # The validation queue in its order: what waits for an operator, and then
            # where the partner is asked.
            models.Index(
                Greatest("promised_from", "status_since"),
                "id",
                condition=Q(status="validating", asked_at=None),
                name="enrollment_waiting",
            ),
            models.Index(
                Greatest("promised_from", "status_since"),
                "id",
                condition=Q(status="validating", asked_at__isnull=False),
                name="enrollment_asked",
            ),
        ]

    def __str__(self) -> str:
        return self.reference

    def get_absolute_url(self) -> str:
        return address_of("enrollment:detail", self.pk)

    @property
    def reference(self) -> str:
        """What people quote, like ENR-7K3M-22Q9: forty bits of the key."""
        text = base64.b32encode(self.pk.bytes[:5]).decode()
        text = text.translate(str.maketrans("ILOU", "1890"))
        return f"ENR-{text[:4]}-{text[4:]}"

    def can_become(self, status: EnrollmentStatus) -> bool:
        return status in TRANSITIONS[EnrollmentStatus(self.status)]

    @property
    def is_editable(self) -> bool:
        """Whether profiles can be chosen and the enrollment submitted."""
        return self.status in EDITABLE

    @property
    def is_accepted(self) -> bool:
        return self.accepted_at is not None

    @property
    def counts_from(self) -> datetime | None:
        """When it was submitted, where the month of that earns (domain.md §10.1).

        The first time: being returned and sent again costs no month. What was recalled
        was not submitted.
        """
        return self.first_submitted_at or self.submitted_at

    @property
    def is_agreement_outdated(self) -> bool:
        """Whether another version of the agreement was accepted than is in force.

        What was submitted stands by the version it was submitted under.
        """
        return (
            self.is_accepted
            and self.submitted_at is None
            and self.agreement_version != self.terms.agreement_version
        )

    @property
    def is_invited(self) -> bool:
        return self.status == EnrollmentStatus.INVITED

    @property
    def is_validating(self) -> bool:
        return self.status == EnrollmentStatus.VALIDATING

    @property
    def is_enrolled(self) -> bool:
        return self.status == EnrollmentStatus.ENROLLED

    @property
    def is_declined(self) -> bool:
        return self.status == EnrollmentStatus.DECLINED

    @property
    def is_action_required(self) -> bool:
        return self.status == EnrollmentStatus.ACTION_REQUIRED

    @property
    def is_lapsed(self) -> bool:
        """Expired because nothing was submitted in time: it can be invited anew."""
        return (
            self.status == EnrollmentStatus.EXPIRED
            and self.end_reason == EndReason.NOT_ANSWERED
        )

    def can_begin_again(self, at: datetime) -> bool:
        """Whether its partner begins it again without being invited (R26).

        What lapsed of a program that is open to all, while it takes enrollments.
        """
        today = self.terms.fiscal_year.calendar.day_at(at)
        return (
            self.is_lapsed
            and self.terms.is_open_to_all
            and self.terms.program.discontinued_at is None
            and self.location.closed_at is None
            and today <= self.terms.last_day_for(today)
        )

    def is_late(self, at: datetime) -> bool:
        """Whether its last day to enroll passed before it was submitted.

        Once submitted, mending what was returned is not late.
        """
        return (
            self.submitted_at is None
            and self.status in EDITABLE | {EnrollmentStatus.DECLINED}
            and self.terms.fiscal_year.calendar.day_at(at) > self.enroll_by
        )

    def is_between_years(self, at: datetime) -> bool:
        """Whether its year is over and nobody has carried it over or ended it yet."""
        year = self.terms.fiscal_year
        return (
            self.status in FOLLOWS_PROFILES and year.calendar.day_at(at) > year.ends_on
        )

    @property
    def due_at(self) -> datetime:
        """When the program owner promised an answer.

        The time the partner took to answer a question is not the program owner's.
        """
        since = max(self.status_since, self.promised_from or self.status_since)
        return since + self.terms.validation_promise

    def is_overdue(self, at: datetime) -> bool:
        """With the program owner for longer than promised (R43).

        While the partner is asked no time passes, as of a profile's version.
        """
        return (
            self.is_validating
            and not self.is_held
            and self.due_at < (self.asked_at or at)
        )

    @property
    def is_asked(self) -> bool:
        """Whether its validation waits for the partner's answer to a question."""
        return self.is_validating and self.asked_at is not None


class InvitationQuerySet(ScopedQuerySet):
    scope = Scope(
        account="enrollment__location__partner_account",
        location="enrollment__location",
        program="enrollment__terms__program",
    )
    view_permission = Permission.ENROLLMENT_EDIT

    def addressed_to(self, user) -> Self:
        return self.filter(user=user)

    def unopened(self) -> Self:
        """Messages the person has not selected on the home page (R22, R23)."""
        return self.filter(opened_at=None)


class Invitation(models.Model):
    """The word sent to one person that an enrollment awaits them.

    `opened_at` is when this person selected the message on the home page; it hides
    the message from them for good and changes nothing else (R23-R25).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    enrollment = models.ForeignKey(
        Enrollment,
        models.PROTECT,
        related_name="invitations",
        verbose_name=_("enrollment"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="invitations",
        verbose_name=_("to"),
    )
    email = models.ForeignKey(
        OutgoingEmail,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="invitations",
        verbose_name=_("mail"),
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    opened_at = models.DateTimeField(_("opened at"), null=True, blank=True)
    # When this person first came by the mail's link, signed in; no pixel tells it.
    link_opened_at = models.DateTimeField(_("link opened at"), null=True, blank=True)
    # Whom this person gave it to: they are reminded no more, while that one may act.
    handed_to = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="invitations_taken_over",
        verbose_name=_("handed to"),
    )
    handed_at = models.DateTimeField(_("handed over at"), null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ("-created_at", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["enrollment", "user"],
                name="%(app_label)s_%(class)s_once_per_person",
            ),
            models.CheckConstraint(
                condition=Q(handed_to=None, handed_at=None)
                | (
                    Q(handed_to__isnull=False, handed_at__isnull=False)
                    & ~Q(handed_to=F("user"))
                ),
                name="%(app_label)s_%(class)s_handed_to_somebody_else",
            ),
        ]

    def __str__(self) -> str:
        return f"invitation {self.pk}"


class PayoutAssignmentQuerySet(ScopedQuerySet):
    scope = Scope(
        account="partner_account",
        location="location",
        program="enrollment__terms__program",
    )
    view_permission = Permission.PROFILE_KNOW


class PayoutAssignment(models.Model):
    """How one enrollment is paid for one earning type (domain.md §3.1, §10.5).

    Until the enrollment is submitted, an empty bank profile or currency means "the
    location's default" and an empty tax profile "the location's tax profile"; Submit
    writes down what was used. `bank_version` and `tax_version` are the versions the
    program owner validated for this enrollment.
    """

    enrollment = models.ForeignKey(
        Enrollment,
        models.PROTECT,
        related_name="payout_assignments",
        verbose_name=_("enrollment"),
        db_constraint=False,
        db_index=False,
    )
    earning_type = models.ForeignKey(
        EarningType,
        models.PROTECT,
        related_name="payout_assignments",
        verbose_name=_("earning type"),
    )
    # Composite keys of the migration tie enrollment, location, company and profiles
    # together: nobody is paid to another company's account.
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        related_name="payout_assignments",
        verbose_name=_("location"),
        db_constraint=False,
    )
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        related_name="payout_assignments",
        verbose_name=_("company"),
        db_constraint=False,
    )
    method = models.CharField(
        _("payment method"),
        max_length=20,
        choices=PayoutMethod,
        default=PayoutMethod.BANK_TRANSFER,
    )
    bank_profile = models.ForeignKey(
        BankProfile,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="payout_assignments",
        verbose_name=_("bank profile"),
        db_constraint=False,
    )
    tax_profile = models.ForeignKey(
        TaxProfile,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="payout_assignments",
        verbose_name=_("tax profile"),
        db_constraint=False,
    )
    currency = models.CharField(_("currency"), max_length=3, blank=True)
    bank_version = models.ForeignKey(
        BankProfileVersion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="payout_assignments",
        verbose_name=_("bank version validated"),
        db_constraint=False,
    )
    tax_version = models.ForeignKey(
        TaxProfileVersion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="payout_assignments",
        verbose_name=_("tax version validated"),
        db_constraint=False,
    )

    objects = PayoutAssignmentQuerySet.as_manager()

    class Meta:
        verbose_name = _("payout assignment")
        verbose_name_plural = _("payout assignments")
        ordering = ("enrollment", "-earning_type__share", "pk")
        constraints = [
            models.UniqueConstraint(
                fields=["enrollment", "earning_type"],
                name="%(app_label)s_%(class)s_once",
            ),
            models.CheckConstraint(
                condition=Q(method__in=PayoutMethod.values),
                name="%(app_label)s_%(class)s_method_is_known",
            ),
            models.CheckConstraint(
                condition=Q(currency__regex=r"^([A-Z]{3})?$"),
                name="%(app_label)s_%(class)s_currency_is_three_letters",
            ),
            models.CheckConstraint(
                condition=Q(bank_version=None) | Q(bank_profile__isnull=False),
                name="%(app_label)s_%(class)s_bank_version_has_its_profile",
            ),
            models.CheckConstraint(
                condition=Q(tax_version=None) | Q(tax_profile__isnull=False),
                name="%(app_label)s_%(class)s_tax_version_has_its_profile",
            ),
        ]

    def __str__(self) -> str:
        return f"payout of {self.enrollment_id}"


class EnrollmentEventQuerySet(ScopedQuerySet):
    scope = Scope(
        account="enrollment__location__partner_account",
        location="enrollment__location",
        program="enrollment__terms__program",
    )
    view_permission = Permission.ENROLLMENT_SEE_PROGRESS


class EnrollmentEvent(models.Model):
    """One step in an enrollment's history; written once (a trigger refuses changes)."""

    class Code(models.TextChoices):
        """What happened."""

        INVITED = "invited", _("Invited")
        STARTED = "started", _("Enrollment started")
        INVITED_ANEW = "invited_anew", _("Invited anew")
        EXTENDED = "extended", _("More time given")
        ACCEPTED = "accepted", _("Invitation accepted")
        DECLINED = "declined", _("Invitation declined")
        RECONSIDERED = "reconsidered", _("Decline taken back")
        PROFILES_CHOSEN = "profiles_chosen", _("Payout details chosen")
        DETAILS_ASKED = "details_asked", _("Continued to missing details")
        SUBMITTED = "submitted", _("Submitted")
        RECALLED = "recalled", _("Submission recalled")
        BANK_CONFIRMED = "bank_confirmed", _("Bank profile validated")
        TAX_CONFIRMED = "tax_confirmed", _("Tax profile validated")
        PROFILE_CHANGED = "profile_changed", _("A profile was changed")
        RETURNED = "returned", _("A profile was returned")
        PROFILE_EXPIRED = "profile_expired", _("A tax profile expired")
        TERMS_CHANGED = "terms_changed", _("The program's terms changed")
        ENROLLED = "enrolled", _("Enrolled")
        LAPSED = "lapsed", _("Invitation lapsed")
        DISCONTINUED = "discontinued", _("Program discontinued")
        LOCATION_CLOSED = "location_closed", _("Location closed")
        YEAR_ENDED = "year_ended", _("The fiscal year ended")
        RENEWED = "renewed", _("Continued from the year before")
        YEAR_END_UNDONE = "year_end_undone", _("The year end was undone")
        ELIGIBILITY_LOST = "eligibility_lost", _("Not eligible any more")
        ELIGIBILITY_REGAINED = "eligibility_regained", _("Eligible again")
        ELIGIBILITY_UNDONE = "eligibility_undone", _("An import was undone")

    # The database holds the other end: nobody deletes what has a history. Asking for
    # every event whether its enrollment is there was a tenth of a year end.
    enrollment = models.ForeignKey(
        Enrollment,
        models.PROTECT,
        related_name="events",
        verbose_name=_("enrollment"),
        db_constraint=False,
    )
    code = models.CharField(_("what happened"), max_length=20, choices=Code)
    from_status = models.CharField(
        _("from"), max_length=20, choices=EnrollmentStatus, blank=True
    )
    to_status = models.CharField(_("to"), max_length=20, choices=EnrollmentStatus)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="enrollment_events",
        verbose_name=_("by"),
    )
    note = models.CharField(_("note"), max_length=400, blank=True)
    at = models.DateTimeField(_("at"))

    objects = EnrollmentEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("enrollment event")
        verbose_name_plural = _("enrollment events")
        ordering = ("enrollment", "at", "pk")
        constraints = [
            models.CheckConstraint(
                condition=Q(from_status__in=["", *EnrollmentStatus.values])
                & Q(to_status__in=EnrollmentStatus.values),
                name="%(app_label)s_%(class)s_statuses_are_known",
            )
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.enrollment_id}"
