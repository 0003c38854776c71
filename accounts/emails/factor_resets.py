"""Mails about lost second factors: to the person, and to whoever can help or object.

The link that stops a request is made when its mail leaves (security.md §6.6).
"""

from typing import Any

from django.conf import settings

from accounts import outbox
from accounts.companies import path_in, site_path
from accounts.holders import appointers, needs_operators, resetters
from accounts.link_tokens import STOP_RESET, token_matching
from accounts.models import FactorReset, OutgoingEmail, PartnerAccount, User

ASKED = "factor_reset_asked"


def factor_reset_asked(reset: FactorReset) -> None:
    """Send the person the link that stops it; tell whoever can vouch for them."""
    outbox.queue(
        ASKED,
        to=reset.user,
        dedupe_key=f"{ASKED}:{reset.pk}",
        context=_about(reset, path=site_path("account_login")) | {"is_kept": True},
        secret_of=reset.pk,
    )
    company = reset.partner_account
    if company is not None:
        outbox.queue_many(
            _mail("factor_reset_notice", reset, to=admin, company=company)
            for admin in appointers(company)
            if admin != reset.user
        )
    if needs_operators(reset):
        _tell_operators(reset)


def factor_reset_vouched(reset: FactorReset) -> None:
    """Tell the operators that one of two has said yes."""
    _tell_operators(reset)


def factors_reset(reset: FactorReset) -> None:
    """Tell the person what to do now, and every admin and operator who could object."""
    outbox.queue(
        "factors_reset",
        to=reset.user,
        dedupe_key=f"factors_reset:{reset.pk}",
        context=_about(reset, path=site_path("account_login")),
    )
    mails = [
        _mail("factors_reset_notice", reset, to=admin, company=company)
        for company in PartnerAccount.objects.with_member(reset.user).order_by("pk")
        for admin in appointers(company)
        if admin != reset.user
    ]
    if reset.user.is_staff:
        mails += [
            _mail("factors_reset_notice", reset, to=one, company=None)
            for one in resetters(reset.user)
        ]
    outbox.queue_many(mails)


def factor_reset_declined(reset: FactorReset) -> None:
    """Tell the person that nothing is reset, and why."""
    outbox.queue(
        "factor_reset_declined",
        to=reset.user,
        dedupe_key=f"factor_reset_declined:{reset.pk}",
        context=_about(reset, path=site_path("account_login")),
    )


def stop_reset_link(email: OutgoingEmail) -> dict[str, Any]:
    """Make what only the mail itself holds: the link that stops a request.

    Raises ValueError when it was answered before the mail could leave.
    """
    reset = (
        FactorReset.objects.open()
        .select_related("user", "partner_account", "vouched_by", "answered_by")
        .filter(pk=email.secret_of)
        .first()
    )
    if reset is None:
        raise ValueError("the request is not open any more")
    token = token_matching(reset.pk, fingerprint=reset.token_sha256, purpose=STOP_RESET)
    return _about(reset, path=site_path("lost:link", token=token)) | {"is_kept": False}


def _tell_operators(reset: FactorReset) -> None:
    step = "second" if reset.vouched_by_id else "first"
    path = site_path("ops:lost_factor", pk=reset.pk)
    outbox.queue_many(
        outbox.prepare(
            "factor_reset_due",
            to=one,
            dedupe_key=f"factor_reset_due:{reset.pk}:{step}:{one.pk}",
            context=_about(reset, path=path),
            about_url=path,
        )
        for one in resetters(reset.user)
        if one.pk != reset.vouched_by_id
    )


def _mail(
    name: str, reset: FactorReset, *, to: User, company: PartnerAccount | None
) -> OutgoingEmail:
    if company is None:
        path = site_path("ops:lost_factor", pk=reset.pk)
    elif company == reset.partner_account:
        path = path_in(company, "accounts:lost_factor", pk=reset.pk)
    else:
        path = path_in(company, "accounts:people")
    return outbox.prepare(
        name,
        to=to,
        dedupe_key=f"{name}:{reset.pk}:{company.pk if company else 0}:{to.pk}",
        context=_about(reset, path=path)
        | {"company": company}
        | _named(reset, company=company),
        about_url=path,
    )


def _named(reset: FactorReset, *, company: PartnerAccount | None) -> dict[str, str]:
    """Who decided, as far as the reader may know: companies read no operator's name.

    Nor do they read who works for another company of the person.
    """
    voucher, operator = reset.vouched_by, reset.answered_by
    is_theirs = company == reset.partner_account and voucher and not voucher.is_staff
    return {
        "voucher": voucher.full_name if voucher and (is_theirs or not company) else "",
        "operator": operator.full_name if operator and not company else "",
    }


def _about(reset: FactorReset, *, path: str) -> dict[str, Any]:
    return {
        "reset": reset,
        "asking": reset.user,
        "company": reset.partner_account,
        "url": settings.PUBLIC_BASE_URL + path,
    }
