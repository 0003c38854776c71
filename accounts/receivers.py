"""What signing in and running tasks set off: notes, mails, a new session key.

A factor is noted when its row is written, in the same transaction, whichever page or
command wrote it; allauth's own signals come after the commit, which may never run.
"""

from allauth.account.internal.flows.login import record_authentication
from allauth.account.signals import authentication_step_completed
from allauth.core import context as current
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authentication_failed, authenticator_used
from allauth.usersessions.models import UserSession
from celery.signals import task_postrun, task_prerun
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver

from accounts import proof, services, typed
from accounts.models import User
from accounts.origin import Door, Origin, coming_from


def _acting() -> User | None:
    """Who is signed in to the request that is being answered, if anybody."""
    request = current.request
    user = getattr(request, "user", None)
    return user if user is not None and user.is_authenticated else None


@receiver(post_save, sender=Authenticator, dispatch_uid="accounts.factor_added")
def note_added_factor(sender, instance, created, **_signal) -> None:
    """Note a new factor; the session in which it was added has proved it."""
    if not created:
        return
    acting = _acting()
    services.note_second_factor(instance, is_added=True, by=acting)
    if acting != instance.user:
        return
    if instance.type == Authenticator.Type.RECOVERY_CODES:
        current.request.session[proof.CODES_MADE] = instance.pk
    else:
        proof.note_renewal(current.request)
        record_authentication(
            current.request, acting, "mfa", id=instance.pk, type=instance.type
        )


@receiver(post_delete, sender=Authenticator, dispatch_uid="accounts.factor_removed")
def note_removed_factor(sender, instance, **_signal) -> None:
    services.note_second_factor(instance, is_added=False, by=_acting())


@receiver(authenticator_used, dispatch_uid="accounts.factor_used")
def note_used_factor(sender, user, authenticator, **_signal) -> None:
    """Whoever uses a factor has not lost them; a recovery code used up is news."""
    services.find_factor_again(user)
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        services.note_recovery_code_used(user)


@receiver(user_login_failed, dispatch_uid="accounts.sign_in_failed")
def note_failed_sign_in(sender, credentials, **_signal) -> None:
    """Note a password that did not match; whose it was is found out after the answer."""
    address = User.objects.normalize_email(credentials.get("email", ""))
    services.note_refusal(User, {"email": address}, wanted="sign_in", by=_acting())


@receiver(authentication_failed, dispatch_uid="accounts.code_refused")
def note_failed_code(sender, user, **_signal) -> None:
    """Note a code that did not match: whoever types it knows the password already."""
    services.note_refusal(User, {"pk": user.pk}, wanted="second_factor", by=_acting())


@receiver(user_logged_in, dispatch_uid="accounts.signed_in")
def stamp_sign_in(sender, request, user, **_signal) -> None:
    """Every way in that asks here counts as a proof of its moment."""
    proof.stamp_sign_in(request, user)
    typed.tell(request, user)


@receiver(pre_save, sender=User, dispatch_uid="accounts.address_changes")
def remember_address(sender, instance, update_fields=None, **_signal) -> None:
    """Note the address that is about to be replaced, whoever replaces it."""
    if instance.pk is None or (update_fields and "email" not in update_fields):
        return
    stored = User.objects.filter(pk=instance.pk).exclude(email=instance.email)
    instance.address_before = stored.values_list("email", flat=True).first()


@receiver(post_save, sender=User, dispatch_uid="accounts.address_changed")
def tell_of_address(sender, instance, **_signal) -> None:
    """Tell both addresses, so that nobody loses an account without a word."""
    before = instance.__dict__.pop("address_before", None)
    if before:
        services.note_new_address(instance, before=before)


@receiver(authentication_step_completed, dispatch_uid="accounts.confirmed")
def change_session_key(sender, request, user, reauthenticated=False, **_signal) -> None:
    """Whoever proves more gets another session key; the old one opens nothing (T8)."""
    if not reauthenticated or not request.user.is_authenticated:
        return
    before = request.session.session_key
    request.session.cycle_key()
    UserSession.objects.filter(session_key=before).update(
        session_key=request.session.session_key
    )


@task_prerun.connect(dispatch_uid="accounts.task_begins")
def say_which_task(task, task_id, **_signal) -> None:
    """Let the trail say which task acts, until it ends."""
    here = Origin(door=Door.TASK, name=task.name, request_id=task_id)
    task.request.origin = here
    task.request.leave_origin = coming_from(here)
    task.request.leave_origin.__enter__()


@task_postrun.connect(dispatch_uid="accounts.task_ends")
def leave_task(task, **_signal) -> None:
    task.request.leave_origin.__exit__(None, None, None)
    services.write_refusals(task.request.origin)
