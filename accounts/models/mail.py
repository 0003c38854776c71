"""Mail on its way: the outbox rows that commit with the change that caused them."""

import hashlib
import uuid
from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Func, Q, Value
from django.db.models.functions import Cast, Concat, Left
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from accounts.mail_words import Filled, shared
from accounts.models.companies import IncentiveProgram
from accounts.models.people import Language, User


class MailStatus(models.TextChoices):
    """Where a mail is on its way."""

    QUEUED = "queued", _("Waiting to be sent")
    SENDING = "sending", _("Being sent")
    SENT = "sent", _("Sent")
    # The server may or may not have it: sent again once, with the same Message-ID.
    UNKNOWN = "unknown", _("Unclear whether it arrived")
    FAILED = "failed", _("Could not be delivered")
    # Waits for a word: of a campaign whose time has not come, or that is paused.
    HELD = "held", _("Held back")
    CANCELED = "canceled", _("Stopped before it left")


# What a worker may have to do with.
ON_ITS_WAY = (MailStatus.QUEUED, MailStatus.SENDING, MailStatus.UNKNOWN)
# What is found by an index: mails neither sent nor set aside.
TO_LEAVE = Q(sent_at=None, is_set_aside=False)


class MailTopic(models.TextChoices):
    """What a person can do without (experience.md §6.2): the class Optional."""

    REMINDERS = "reminders", _("Reminders of invitations")
    RENEWALS = "renewals", _("What the next fiscal year puts at risk")
    # Muted: reminders come together in one mail, however few they are.
    SINGLE = "single", _("A mail of its own for each reminder")


class OutgoingEmailQuerySet(models.QuerySet):
    def due(self, at: datetime) -> Self:
        """Mails a worker may claim: their time has come and no worker holds them."""
        return self.filter(
            Q(lease_until=None) | Q(lease_until__lt=at),
            TO_LEAVE,
            next_attempt_at__lte=at,
            status__in=ON_ITS_WAY,
        )

    def waiting(self) -> Self:
        """Mails that wait to be sent."""
        return self.filter(TO_LEAVE, status=MailStatus.QUEUED)

    def undelivered(self) -> Self:
        """Mails that were given up or are being tried again, for the operators."""
        return self.filter(
            Q(status__in=[MailStatus.FAILED, MailStatus.UNKNOWN])
            | Q(status=MailStatus.QUEUED, attempts__gt=0)
        )

    def addressed_to(self, user) -> Self:
        """Mails to this person; nobody else reads them.

        What is written only when it leaves is not there before.
        """
        return self.filter(to_user=user).exclude(body_text="", shared_text=None)


def _digest() -> Cast:
    """Return SHA-256 of a shared text, cut to 128 bits; SharedText.of() in SQL."""
    both = Concat("text", Value("\x1f"), "html", output_field=models.TextField())
    digest = Func(both, Value("UTF8"), function="convert_to")
    for function, *words in (("sha256",), ("encode", Value("hex"))):
        digest = Func(digest, *words, function=function)
    return Cast(Left(digest, 32, output_field=models.TextField()), models.UUIDField())


class SharedText(models.Model):
    """What mails of a campaign have in common, kept once: text and HTML with marks.

    Each mail has its own words for the marks (accounts.mail_words). The key is a digest
    of both, so that what was sent is never changed: another text is another row.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    text = models.TextField(_("text"))
    html = models.TextField(_("HTML"))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("text of a campaign's mails")
        verbose_name_plural = _("texts of campaigns' mails")
        ordering = ("pk",)
        constraints = [
            models.CheckConstraint(
                condition=Q(id=_digest()),
                name="%(app_label)s_%(class)s_is_never_changed",
            )
        ]

    def __str__(self) -> str:
        return f"text {self.pk}"

    @classmethod
    def of(cls, text: str, html: str) -> Self:
        """Return the unsaved row of a text and its HTML."""
        digest = hashlib.sha256(f"{text}\x1f{html}".encode()).hexdigest()
        return cls(id=uuid.UUID(digest[:32]), text=text, html=html)


class OutgoingEmail(models.Model):
    """One mail to one person.

    Delivery is at least once, with a Message-ID that stays the same (security.md
    §6.6). `fence` grows with every claim; a worker that lost its lease cannot stamp.
    A mail is SENDING only while its text goes out. What it says is in `text` and `html`:
    whole in the columns of its bodies, or a shared text and its own words.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    dedupe_key = models.CharField(max_length=200)
    name = models.CharField(_("message"), max_length=60)
    to_user = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="emails",
        verbose_name=_("to"),
        # The index of a person's mails by time begins with it.
        db_index=False,
    )
    to_address = models.EmailField(_("address"))
    language = models.CharField(_("language"), max_length=2, choices=Language)
    subject = models.CharField(_("subject"), max_length=200)
    body_text = models.TextField(_("text"))
    body_html = models.TextField(_("HTML"))
    about_url = models.CharField(max_length=300, blank=True)
    shared_text = models.ForeignKey(
        SharedText,
        models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        # Nobody asks which mails have it.
        db_index=False,
    )
    # One a line; `about_url` is the first of its own words and stands there.
    own_words = models.TextField(blank=True, default="", db_default="", editable=False)
    # The row whose link the mail carries when it leaves, if it carries one.
    secret_of = models.UUIDField(null=True, blank=True, editable=False)
    status = models.CharField(
        _("status"), max_length=10, choices=MailStatus, default=MailStatus.QUEUED
    )
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt at"))
    lease_until = models.DateTimeField(null=True, blank=True)
    fence = models.PositiveIntegerField(default=0)
    last_error = models.CharField(_("last error"), max_length=300, blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)
    # Held back, stopped or given up: nothing that a worker looks for. The database says
    # so by the status, whoever writes that.
    is_set_aside = models.BooleanField(default=False, db_default=False, editable=False)
    # Goes after what somebody waits for, and is written when it leaves.
    is_bulk = models.BooleanField(default=False, db_default=False, editable=False)
    # What its List-Unsubscribe switches off: a MailTopic, and a program's key with it.
    mutes = models.CharField(max_length=40, blank=True, db_default="", editable=False)
    # The name it comes from, where it is not that of all mail.
    sender_name = models.CharField(
        max_length=80, blank=True, db_default="", editable=False
    )
    bounced_at = models.DateTimeField(_("came back at"), null=True, blank=True)

    objects = OutgoingEmailQuerySet.as_manager()

    class Meta:
        verbose_name = _("outgoing mail")
        verbose_name_plural = _("outgoing mail")
        ordering = ("-created_at", "pk")
        # No index has what changes while a mail is claimed and begun: its row then stays
        # on its page, which is left half empty for that, and no index is written.
        constraints = [
            models.UniqueConstraint(
                fields=["dedupe_key"], name="%(app_label)s_%(class)s_told_once"
            ),
            models.CheckConstraint(
                condition=Q(status__in=MailStatus.values),
                name="%(app_label)s_%(class)s_status_is_known",
            ),
            models.CheckConstraint(
                condition=Q(status=MailStatus.SENT, sent_at__isnull=False)
                | (~Q(status=MailStatus.SENT) & Q(sent_at=None)),
                name="%(app_label)s_%(class)s_sent_has_its_moment",
            ),
            models.CheckConstraint(
                condition=~Q(subject__regex=r"[\r\n]"),
                name="%(app_label)s_%(class)s_subject_is_one_line",
            ),
            models.CheckConstraint(
                condition=Q(shared_text=None, own_words="")
                | Q(shared_text__isnull=False, body_text="", body_html=""),
                name="%(app_label)s_%(class)s_says_one_thing",
            ),
        ]
        indexes = [
            models.Index(
                fields=["is_bulk", "next_attempt_at", "id"],
                condition=TO_LEAVE,
                name="accounts_mail_to_leave",
            ),
            models.Index(fields=["to_user", "-created_at"], name="accounts_mail_to"),
            models.Index(
                fields=["to_address", "name", "created_at"],
                condition=Q(is_bulk=False),
                name="accounts_mail_address",
            ),
        ]
        permissions = [("resend_outgoingemail", "Can send mail again")]

    def __str__(self) -> str:
        return f"{self.name} {self.pk}"

    @cached_property
    def key(self) -> str:
        """The key as text: slow to ask for, and asked for often while a mail leaves."""
        return str(self.pk)

    @property
    def text(self) -> str:
        """The text as it leaves, or as it left."""
        filled = self.filled
        return filled.as_read()[0] if filled else self.body_text

    @property
    def html(self) -> str:
        """The HTML as it leaves, or as it left."""
        filled = self.filled
        return filled.as_read()[1] if filled else self.body_html

    @property
    def filled(self) -> Filled | None:
        """A shared text with this mail's own words; None where it shares none."""
        if self.shared_text is None:
            return None
        own = [self.about_url, *self.own_words.split("\n")]
        return shared(self.shared_text.text, self.shared_text.html).filled(own)

    @property
    def is_given_up(self) -> bool:
        """Whether nobody tries any more; undelivered() also finds what is tried again."""
        return self.status == MailStatus.FAILED

    @property
    def is_unclear(self) -> bool:
        """Whether it may have arrived: no answer came, or its worker died sending."""
        return self.status in (MailStatus.UNKNOWN, MailStatus.SENDING)


class UndeliverableAddress(models.Model):
    """An address that mail came back from: nothing is sent there any more (fault 20)."""

    address = models.EmailField(_("address"), unique=True)
    noted_at = models.DateTimeField(_("noted at"), auto_now_add=True)
    diagnostic = models.CharField(_("answer"), max_length=300, blank=True)
    email = models.ForeignKey(
        OutgoingEmail,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("mail"),
    )

    class Meta:
        verbose_name = _("address that mail comes back from")
        verbose_name_plural = _("addresses that mail comes back from")
        ordering = ("-noted_at", "pk")

    def __str__(self) -> str:
        return f"address {self.pk}"


class MutedMail(models.Model):
    """A kind of mail that a person wants none of; of one program, or of all."""

    user = models.ForeignKey(
        User, models.CASCADE, related_name="muted_mails", verbose_name=_("person")
    )
    topic = models.CharField(_("topic"), max_length=10, choices=MailTopic)
    program = models.ForeignKey(
        IncentiveProgram,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("program"),
    )
    since = models.DateTimeField(_("since"), auto_now_add=True)

    class Meta:
        verbose_name = _("muted mail")
        verbose_name_plural = _("muted mail")
        ordering = ("pk",)
        constraints = [
            models.UniqueConstraint(
                fields=["user", "topic", "program"],
                nulls_distinct=False,
                name="%(app_label)s_%(class)s_once",
            ),
            models.CheckConstraint(
                condition=Q(topic__in=MailTopic.values),
                name="%(app_label)s_%(class)s_topic_is_known",
            ),
            models.CheckConstraint(
                condition=Q(program=None) | Q(topic=MailTopic.REMINDERS),
                name="%(app_label)s_%(class)s_only_reminders_by_program",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} without {self.topic}"
