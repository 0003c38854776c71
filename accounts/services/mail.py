"""Mails sent again, mails that came back, and mails that nobody wants."""

from collections.abc import Collection

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import outbox
from accounts.bounces import Bounce, bounces_in, unsubscribing_in
from accounts.emails import mail_came_back
from accounts.models import (
    AuditAction,
    IncentiveProgram,
    MailTopic,
    MutedMail,
    OutgoingEmail,
    PartnerAccount,
    UndeliverableAddress,
    User,
)
from accounts.muting import read_mute_token
from accounts.services.audit import record_audit_event, record_of_person


@transaction.atomic
def resend_email(email: OutgoingEmail, *, by: User) -> OutgoingEmail:
    """Queue a mail that was given up once more, with the same Message-ID.

    A mail that is on its way already stays as it is.
    """
    email = OutgoingEmail.objects.select_for_update(of=("self",)).get(pk=email.pk)
    if not email.is_given_up:
        return email
    outbox.requeue(OutgoingEmail.objects.filter(pk=email.pk))
    email.refresh_from_db()
    record_audit_event(
        email,
        action=AuditAction.MAIL_RESENT,
        by=by,
        partner_account=None,
        after={"message": email.name},
    )
    return email


# --- Mail that came back -------------------------------------------------------------


def receive_mail(raw: bytes) -> int:
    """Do what a mail to the sender's address asks; return how much it changed.

    A notification that mail came back, or an "unsubscribe" of a mail program that
    knows no other way. Anything else is nobody's, and changes nothing.
    """
    token = unsubscribing_in(raw)
    if not token:
        return note_bounces(raw)
    try:
        mute_by_token(token)
    except ValidationError:
        return 0
    return 1


def note_bounces(raw: bytes) -> int:
    """Read a delivery status notification; return how many addresses it marked.

    Marked is only an address that takes no mail at all; that this one came back is
    noted of it in any case.
    Believed is only what names a mail of ours by both of its marks, to the address it
    went to: whoever can write to the sender's address knows neither (fault 20).
    """
    return sum(_note_bounce(bounce) for bounce in bounces_in(raw))


@transaction.atomic
def _note_bounce(bounce: Bounce) -> bool:
    email = (
        OutgoingEmail.objects.select_for_update(of=("self",))
        .filter(pk=bounce.entity, sent_at__isnull=False)
        .first()
    )
    if (
        email is None
        or outbox.message_id(email) != bounce.message_id
        or email.to_address.lower() != bounce.address
    ):
        return False
    if email.bounced_at is None:
        email.bounced_at = timezone.now()
        email.last_error = bounce.diagnostic[:300]
        email.save(update_fields=["bounced_at", "last_error"])
    if not bounce.is_of_address:
        return False
    _address, is_new = UndeliverableAddress.objects.get_or_create(
        address=bounce.address,
        defaults={"diagnostic": bounce.diagnostic[:300], "email": email},
    )
    if not is_new:
        return False
    person = email.to_user
    if person is None or person.email != bounce.address:
        record_audit_event(
            email, action=AuditAction.MAIL_BOUNCED, by=None, partner_account=None
        )
        return True
    record_of_person(
        person, AuditAction.MAIL_BOUNCED, by=None, after={"message": email.name}
    )
    for company in PartnerAccount.objects.with_member(person).order_by("pk"):
        mail_came_back(person, company=company, email=email)
    return True


@transaction.atomic
def try_address_again(address: UndeliverableAddress, *, by: User) -> None:
    """Let mail go to an address again that it came back from."""
    person = User.objects.filter(email=address.address).first()
    told = {"after": {"diagnostic": address.diagnostic}}
    if person is None:
        record_audit_event(
            address,
            action=AuditAction.MAIL_WANTED_AGAIN,
            by=by,
            partner_account=None,
            **told,
        )
    else:
        record_of_person(person, AuditAction.MAIL_WANTED_AGAIN, by=by, **told)
    address.delete()


# --- Mail that nobody wants ----------------------------------------------------------


@transaction.atomic
def mute_by_token(token: str) -> MutedMail:
    """Switch off what an unsubscribe link names, at once; twice changes nothing.

    Raises ValidationError for a link that the portal did not make.
    """
    try:
        person, topic, program = read_mute_token(token)
        user = User.objects.get(pk=person)
        if program is not None:
            IncentiveProgram.objects.get(pk=program)
    except (ValueError, User.DoesNotExist, IncentiveProgram.DoesNotExist) as error:
        raise ValidationError(
            _("This link is not whole. Open it from the mail again."), code="no_link"
        ) from error
    muted, is_new = MutedMail.objects.get_or_create(
        user=user, topic=topic, program_id=program
    )
    if is_new:
        _record_choice(user, before=[], after=[_as_code(muted)], by=user)
    return muted


@transaction.atomic
def choose_mail(
    user: User,
    *,
    topics: Collection[str],
    programs: Collection[IncentiveProgram] = (),
    by: User,
) -> None:
    """Let a person get these optional mails, and reminders of no program in `programs`.

    Of what is mandatory nothing can be switched off (experience.md §6.2).
    """
    User.objects.select_for_update(of=("self",)).get(pk=user.pk)
    before = {_as_code(row) for row in MutedMail.objects.filter(user=user)}
    wanted = {(topic, None) for topic in MailTopic.values if topic not in topics} | {
        (MailTopic.REMINDERS, program.pk) for program in programs
    }
    for row in MutedMail.objects.filter(user=user).order_by("pk"):
        if (row.topic, row.program_id) not in wanted:
            row.delete()
    for topic, program in sorted(wanted, key=str):
        MutedMail.objects.get_or_create(user=user, topic=topic, program_id=program)
    after = {_as_code(row) for row in MutedMail.objects.filter(user=user)}
    if before != after:
        _record_choice(user, before=sorted(before), after=sorted(after), by=by)


def _as_code(muted: MutedMail) -> str:
    return f"{muted.topic}:{muted.program_id or ''}"


def _record_choice(
    user: User, *, before: list[str], after: list[str], by: User
) -> None:
    record_of_person(
        user,
        AuditAction.MAIL_CHOSEN,
        by=by,
        before={"without": before},
        after={"without": after},
    )
