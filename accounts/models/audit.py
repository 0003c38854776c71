"""What was done to roles, profiles and approvals, by whom: written once, chained."""

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.companies import Location, PartnerAccount
from accounts.models.people import User
from accounts.origin import Door
from accounts.roles import Permission
from accounts.scoping import Scope, ScopedQuerySet


class AuditAction(models.TextChoices):
    """Something the audit trail remembers."""

    PERSON_ADDED = "person_added", _("Person added")
    PERSON_CHANGED = "person_changed", _("Person changed")
    PERSON_LEFT = "person_left", _("Person deactivated")
    ROLE_ASSIGNED = "role_assigned", _("Role given")
    ROLE_REVOKED = "role_revoked", _("Role ended")
    COMPANY_ADDED = "company_added", _("Company added")
    LOCATION_ADDED = "location_added", _("Location added")
    CLOSING_ASKED = "closing_asked", _("Closing of a location asked for")
    CLOSING_WITHDRAWN = "closing_withdrawn", _("Wish to close a location taken back")
    CLOSING_DECLINED = "closing_declined", _("Closing of a location declined")
    LOCATION_CLOSED = "location_closed", _("Location closed")
    PROFILE_SUBMITTED = "profile_submitted", _("Profile sent for validation")
    PROFILE_APPROVED = "profile_approved", _("Profile approved")
    PROFILE_RETURNED = "profile_returned", _("Profile returned")
    PROFILE_IN_FORCE = "profile_in_force", _("Change of a bank account in force")
    PROFILE_STOPPED = "profile_stopped", _("Change of a bank account stopped")
    PROFILE_RELEASED = "profile_released", _("Change of a bank account released")
    PROFILE_WITHDRAWN = "profile_withdrawn", _("Change of a profile withdrawn")
    PROFILE_ARCHIVED = "profile_archived", _("Profile archived")
    REVIEW_CLAIMED = "review_claimed", _("Review claimed")
    REVIEW_RELEASED = "review_released", _("Claim of a review released")
    REVIEW_ESCALATED = "review_escalated", _("Review escalated")
    REVIEW_ADVISED = "review_advised", _("Escalated review answered")
    QUESTION_ASKED = "question_asked", _("Question about a profile asked")
    QUESTION_ANSWERED = "question_answered", _("Question about a profile answered")
    REASON_ADDED = "reason_added", _("Reason for returns added")
    REASON_CHANGED = "reason_changed", _("Reason for returns changed")
    REASON_RETIRED = "reason_retired", _("Reason for returns retired")
    REASON_REVIVED = "reason_revived", _("Reason for returns taken back into use")
    NUMBER_SHOWN = "number_shown", _("Whole bank number shown")
    DOCUMENT_OPENED = "document_opened", _("Tax document opened")
    DEFAULT_SET = "default_set", _("Default bank profile set")
    DEFAULT_REMOVED = "default_removed", _("Default bank profile removed")
    AGREEMENT_RECORDED = "agreement_recorded", _("Agreement recorded")
    AGREEMENT_ENDED = "agreement_ended", _("Agreement terminated")
    TERMS_DEFINED = "terms_defined", _("Program terms changed")
    TERMS_DRAFT_BEGUN = "terms_draft_begun", _("Draft of program terms begun")
    TERMS_DRAFT_CHANGED = "terms_draft_changed", _("Draft of program terms changed")
    TERMS_DRAFT_DISCARDED = (
        "terms_draft_discarded",
        _("Draft of program terms thrown away"),
    )
    PROGRAM_ADDED = "program_added", _("Program added")
    PROGRAM_CHANGED = "program_changed", _("Program changed")
    CRITERION_ADDED = "criterion_added", _("Criterion added")
    CRITERION_CHANGED = "criterion_changed", _("Criterion changed")
    CALENDAR_ADDED = "calendar_added", _("Fiscal calendar added")
    CALENDAR_CHANGED = "calendar_changed", _("Fiscal calendar called something else")
    YEAR_ADDED = "year_added", _("Fiscal year added")
    GUIDE_ADDED = "guide_added", _("Program guide added")
    GUIDE_REMOVED = "guide_removed", _("Program guide taken away")
    PROGRAM_DISCONTINUED = "program_discontinued", _("Program discontinued")
    INVITED_ANEW = "invited_anew", _("Invited anew")
    INVITATIONS_SENT = "invitations_sent", _("Invitations sent")
    VALUES_UPLOADED = "values_uploaded", _("File of measured values uploaded")
    VALUES_RELEASED = "values_released", _("Held import let through")
    VALUES_CANCELED = "values_canceled", _("Import of measured values canceled")
    VALUES_IMPORTED = "values_imported", _("Measured values imported")
    VALUES_UNDONE = "values_undone", _("Import of measured values undone")
    INVITATION_HANDED_OVER = "invitation_handed_over", _("Invitation handed over")
    REQUIREMENT_DISPUTED = "requirement_disputed", _("Requirement disputed")
    DISPUTE_ANSWERED = "dispute_answered", _("Disputed requirement answered")
    EXTENSION_ASKED = "extension_asked", _("More time to enroll asked for")
    EXTENSION_ANSWERED = "extension_answered", _("Request for more time answered")
    PAYOUT_CONFIRMED = "payout_confirmed", _("Payout details confirmed")
    MAIL_RESENT = "mail_resent", _("Mail sent again")
    MAIL_BOUNCED = "mail_bounced", _("Mail came back")
    MAIL_WANTED_AGAIN = "mail_wanted_again", _("Address tried again")
    MAIL_CHOSEN = "mail_chosen", _("Wanted mail chosen")
    PART_ASKED = "part_asked", _("Colleague asked to fill in details")
    PART_FILLED = "part_filled", _("Details filled in for an Incentives admin")
    PART_USED = "part_used", _("Prepared details gone on with")
    PART_ENDED = "part_ended", _("Prepared details put aside")
    FEED_MADE = "feed_made", _("Calendar address made")
    FEED_ENDED = "feed_ended", _("Calendar address ended")
    CAMPAIGN_PLANNED = "campaign_planned", _("Campaign planned")
    CAMPAIGN_CHANGED = "campaign_changed", _("Campaign changed")
    CAMPAIGN_DISCARDED = "campaign_discarded", _("Campaign discarded")
    CAMPAIGN_CONFIRMED = "campaign_confirmed", _("Campaign confirmed")
    CAMPAIGN_TAKEN_BACK = "campaign_taken_back", _("Campaign taken back")
    CAMPAIGN_STARTED = "campaign_started", _("Campaign started")
    CAMPAIGN_PAUSED = "campaign_paused", _("Campaign paused")
    CAMPAIGN_RESUMED = "campaign_resumed", _("Campaign resumed")
    CAMPAIGN_STOPPED = "campaign_stopped", _("Campaign stopped")
    CAMPAIGN_FINISHED = "campaign_finished", _("Campaign finished")
    CAMPAIGN_RESENT = "campaign_resent", _("Failed mails of a campaign sent again")
    TOKEN_CREATED = "token_created", _("Provisioning token created")
    TOKEN_REVOKED = "token_revoked", _("Provisioning token revoked")
    GROUP_ADDED = "group_added", _("Group added")
    GROUP_CHANGED = "group_changed", _("Group changed")
    GROUP_REMOVED = "group_removed", _("Group removed")
    GROUP_MAPPED = "group_mapped", _("Group connected to a role")
    GROUP_UNMAPPED = "group_unmapped", _("Group disconnected from a role")
    TENANT_REGISTERED = "tenant_registered", _("Company sign-in registered")
    TENANT_CHANGED = "tenant_changed", _("Company sign-in changed")
    APP_ROLE_ASKED = (
        "app_role_asked",
        _("App role connected to a role, to be approved"),
    )
    APP_ROLE_MAPPED = "app_role_mapped", _("App role connected to a role")
    APP_ROLE_UNMAPPED = "app_role_unmapped", _("App role disconnected from a role")
    SIGN_IN_CONNECTED = "sign_in_connected", _("Microsoft sign-in connected")
    SIGN_IN_DISCONNECTED = "sign_in_disconnected", _("Microsoft sign-in disconnected")
    SIGN_IN_REFUSED = "sign_in_refused", _("Microsoft sign-in refused")
    PASSWORD_CHANGED = "password_changed", _("Password changed")
    SECOND_FACTOR_ADDED = "second_factor_added", _("Second factor added")
    SECOND_FACTOR_REMOVED = "second_factor_removed", _("Second factor removed")
    RECOVERY_CODES_MADE = "recovery_codes_made", _("Recovery codes made")
    RECOVERY_CODE_USED = "recovery_code_used", _("Recovery code used")
    SESSIONS_ENDED = "sessions_ended", _("Sessions ended")
    COLLEAGUE_INVITED = "colleague_invited", _("Colleague invited")
    INVITATION_RESENT = "invitation_resent", _("Invitation of a colleague sent again")
    INVITATION_REVOKED = "invitation_revoked", _("Invitation of a colleague withdrawn")
    INVITATION_ACCEPTED = "invitation_accepted", _("Invitation of a colleague accepted")
    INVITATION_EXPIRED = "invitation_expired", _("Invitation of a colleague expired")
    ACCESS_REQUESTED = "access_requested", _("Access asked for")
    ACCESS_GRANTED = "access_granted", _("Access given on request")
    ACCESS_DECLINED = "access_declined", _("Request for access declined")
    ACCESS_LAPSED = "access_lapsed", _("Request for access lapsed")
    RECOVERY_REQUESTED = "recovery_requested", _("Recovery asked for")
    RECOVERY_REVIEWED = "recovery_reviewed", _("Evidence for recovery checked")
    RECOVERY_STOPPED = "recovery_stopped", _("Recovery stopped by an admin")
    RECOVERY_DECLINED = "recovery_declined", _("Recovery declined")
    RECOVERY_LAPSED = "recovery_lapsed", _("Request for recovery lapsed")
    ADMIN_RECOVERED = "admin_recovered", _("Global admin appointed by recovery")
    FACTOR_RESET_ASKED = "factor_reset_asked", _("Reset of second factors asked for")
    FACTOR_RESET_VOUCHED = (
        "factor_reset_vouched",
        _("Vouched for a reset of second factors"),
    )
    FACTOR_RESET_STOPPED = (
        "factor_reset_stopped",
        _("Reset of second factors stopped by the person"),
    )
    FACTOR_RESET_DECLINED = (
        "factor_reset_declined",
        _("Reset of second factors declined"),
    )
    FACTOR_RESET_LAPSED = (
        "factor_reset_lapsed",
        _("Request to reset second factors lapsed"),
    )
    FACTORS_RESET = "factors_reset", _("Second factors reset")
    RENEWALS_REHEARSED = "renewals_rehearsed", _("Year end rehearsed")
    RENEWALS_PROPOSED = "renewals_proposed", _("Year end proposed")
    RENEWALS_APPROVED = "renewals_approved", _("Year end approved")
    RENEWALS_WITHDRAWN = "renewals_withdrawn", _("Year end withdrawn")
    RENEWALS_STARTED = "renewals_started", _("Year end started")
    RENEWALS_PAUSED = "renewals_paused", _("Year end paused")
    RENEWALS_RESUMED = "renewals_resumed", _("Year end resumed")
    RENEWALS_FINISHED = "renewals_finished", _("Year end finished")
    RENEWALS_UNDO_ASKED = "renewals_undo_asked", _("Undoing of a year end asked for")
    RENEWALS_UNDO_DROPPED = "renewals_undo_dropped", _("Undoing of a year end dropped")
    RENEWALS_UNDO_APPROVED = (
        "renewals_undo_approved",
        _("Undoing of a year end approved"),
    )
    RENEWALS_UNDONE = "renewals_undone", _("Year end undone")
    SET_ASIDE_DECIDED = "set_aside_decided", _("Enrollment set aside decided")
    FIELD_KEY_ROTATED = "field_key_rotated", _("Key of sealed values rotated")
    ACCESS_DENIED = "access_denied", _("Access denied")


class AuditKind(models.TextChoices):
    """What events are about, for choosing among them."""

    PEOPLE = "people", _("People and roles")
    SIGN_IN = "sign_in", _("Signing in")
    DIRECTORY = "directory", _("The company's directory")
    COMPANY = "company", _("Company and locations")
    PROFILES = "profiles", _("Bank and tax profiles")
    PROGRAMS = "programs", _("Programs and enrollments")
    DENIED = "denied", _("Refused access")

    @property
    def actions(self) -> list[AuditAction]:
        return [action for action in AuditAction if kind_of(action) == self]


# By how an action's name begins; the first that fits. The rest is about the company.
_BEGINNINGS = (
    (AuditKind.DENIED, ("access_denied",)),
    (
        AuditKind.SIGN_IN,
        (
            "password_", "second_factor_", "factor", "recovery_code", "session",
            "sign_in_", "feed_",
        ),
    ),
    (AuditKind.DIRECTORY, ("token_", "group_", "tenant_", "app_role_")),
    (
        AuditKind.PROFILES,
        (
            "profile_", "default_", "payout_", "document_", "review_", "question_",
            "reason_", "part_",
        ),
    ),
    (
        AuditKind.PROGRAMS,
        (
            "terms_", "program_", "criterion_", "calendar_", "year_", "guide_",
            "invited_anew", "invitations_", "values_", "mail_",
            "renewals_", "set_aside_", "campaign_",
        ),
    ),
    (
        AuditKind.PEOPLE,
        (
            "person_", "role_", "colleague_", "invitation_", "access_", "recovery_",
            "admin_",
        ),
    ),
)  # fmt: skip


def kind_of(action: str) -> AuditKind:
    """Return the kind of thing an action is about."""
    for kind, beginnings in _BEGINNINGS:
        if action.startswith(beginnings):
            return kind
    return AuditKind.COMPANY


class AuditEventQuerySet(ScopedQuerySet):
    scope = Scope(account="partner_account")
    view_permission = Permission.ACTIVITY_VIEW

    def of_chain(self, partner_account: PartnerAccount) -> Self:
        """A company's events, in the order of its chain."""
        return self.of_company(partner_account).filter(
            chain=chain_name(partner_account)
        )

    def of_person(self, user) -> Self:
        """What somebody did and what was done to them, as they may know it.

        What they were refused is not among it: that would tell what there is (R16).
        """
        return self.filter(
            Q(actor=user) | Q(person=user) | Q(on_behalf_of=user)
        ).exclude(action=AuditAction.ACCESS_DENIED)

    def about(self, people) -> Self:
        """Events that any of the people did, caused or were the subject of."""
        return self.filter(
            Q(actor__in=people) | Q(person__in=people) | Q(on_behalf_of__in=people)
        )


def chain_name(partner_account: PartnerAccount | None) -> str:
    """Return the name of the chain that a company's events are in, or the portal's."""
    return f"company:{partner_account.pk}" if partner_account else "portal"


class AuditEvent(models.Model):
    """One thing done, with who, when, and what it was before and after.

    A trigger fills `seq`, `at`, `prev_hash` and `hash`; others refuse UPDATE, DELETE and
    TRUNCATE. The chain is per company, so that companies do not wait for each other
    (security.md §6.5). `before` and `after` never hold bank or tax numbers.
    """

    chain = models.CharField(max_length=40, editable=False)
    seq = models.PositiveBigIntegerField(default=0, editable=False)
    at = models.DateTimeField(_("at"), auto_now_add=True)
    partner_account = models.ForeignKey(
        PartnerAccount,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="audit_events",
        verbose_name=_("company"),
    )
    actor = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="audit_events",
        verbose_name=_("by"),
    )
    # Who acted where no person did: a company's directory, by the name of its token.
    actor_name = models.CharField(
        _("by"), max_length=160, blank=True, db_default="", editable=False
    )
    # By whose right, where somebody else carried it out: the inviter's, when the
    # invited person accepts; the admin's who made a directory's key.
    on_behalf_of = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("on behalf of"),
    )
    action = models.CharField(_("action"), max_length=30, choices=AuditAction)
    object_type = models.CharField(_("kind"), max_length=60)
    object_id = models.CharField(_("object"), max_length=64)
    # Whom and which place it is about, for looking them up.
    person = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("person"),
    )
    location = models.ForeignKey(
        Location,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("location"),
    )
    before = models.JSONField(_("before"), default=dict)
    after = models.JSONField(_("after"), default=dict)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    door = models.CharField(
        _("came by"), max_length=10, choices=Door, blank=True, db_default=""
    )
    # The task's or the command's name.
    door_name = models.CharField(
        _("task or command"), max_length=80, blank=True, db_default=""
    )
    # A network and a browser's name: where from, roughly.
    place = models.CharField(_("from"), max_length=43, blank=True, db_default="")
    device = models.CharField(_("device"), max_length=60, blank=True, db_default="")
    session_hash = models.CharField(
        _("session"), max_length=16, blank=True, db_default=""
    )
    request_id = models.CharField(max_length=36, blank=True, editable=False)
    prev_hash = models.CharField(max_length=64, blank=True, editable=False)
    hash = models.CharField(max_length=64, blank=True, editable=False)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("audit event")
        verbose_name_plural = _("audit events")
        ordering = ("-pk",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(action__in=AuditAction.values),
                name="%(app_label)s_%(class)s_action_is_known",
            ),
            models.UniqueConstraint(
                fields=["chain", "seq"], name="%(app_label)s_%(class)s_one_chain"
            ),
        ]
        indexes = [
            models.Index(
                fields=["object_type", "object_id"], name="accounts_audit_object"
            ),
            models.Index(fields=["chain", "at"], name="accounts_audit_chain_at"),
            models.Index(fields=["chain", "action"], name="accounts_audit_chain_kind"),
            models.Index(fields=["at"], name="accounts_audit_at"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_type} {self.object_id}"


class AuditChain(models.Model):
    """The head of one company's chain; only the trigger writes it."""

    chain = models.CharField(max_length=40, primary_key=True)
    seq = models.PositiveBigIntegerField(default=0)
    hash = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = _("audit chain")
        verbose_name_plural = _("audit chains")

    def __str__(self) -> str:
        return self.chain
