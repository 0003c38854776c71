"""Operators: companies in which nobody can give roles, and who asks to become admin."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import services
from accounts.access import operator_requires, recently_authenticated
from accounts.holders import appointers, givers_of
from accounts.models import FactorReset, Membership, RecoveryRequest, RecoveryState
from accounts.posting import posted
from accounts.recovery_forms import EvidenceForm, NoRecoveryForm
from accounts.roles import Role
from accounts.waiting import recovery_rows, reset_row

PAGE_SIZE = 50
VIEW = "accounts.view_recoveryrequest"


def _page_of(asked: RecoveryRequest) -> str:
    return reverse("ops:recovery", kwargs={"pk": asked.pk})


@operator_requires(VIEW)
@require_safe
def recoveries(request):
    """List who asks, the oldest first, then what was decided."""
    asked = RecoveryRequest.objects.select_related(
        "partner_account", "user", "reviewed_by", "answered_by"
    )
    answered = asked.exclude(answered_at=None).order_by("-answered_at", "pk")
    page = Paginator(answered, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "waiting": recovery_rows(asked.open().order_by("asked_at", "pk")),
        "page": page,
        "answered": recovery_rows(page),
        "resets": [
            reset_row(one)
            for one in FactorReset.objects.open().for_pages().order_by("asked_at", "pk")
        ],
    }
    return render(request, "ops/recoveries.html", context)


@operator_requires(VIEW, on=RecoveryRequest)
@require_safe
def recovery(request, asked):
    """Show one: who asks, what is known of the company, and the next step."""
    return _page(request, asked)


@operator_requires(services.DECIDE_RECOVERY, on=RecoveryRequest)
@recently_authenticated
@posted(instead=_page_of)
def review(request, asked):
    """Note what was checked."""
    form = EvidenceForm(request.POST)
    if not form.is_valid():
        return _page(request, asked, evidence_form=form, status=422)
    try:
        services.review_recovery(
            asked, evidence=form.cleaned_data["evidence"], by=request.user
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _("Noted. Another operator appoints."))
    return redirect(_page_of(asked))


@operator_requires(services.DECIDE_RECOVERY, on=RecoveryRequest)
@recently_authenticated
@posted(instead=_page_of)
def appoint(request, asked):
    """Make who asked Global admin."""
    try:
        services.appoint_recovered(asked, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(
            request,
            _("%(person)s is Global admin of %(company)s. Everybody there is told.")
            % {
                "person": asked.user.full_name,
                "company": asked.partner_account.name,
            },
        )
    return redirect(_page_of(asked))


@operator_requires(services.DECIDE_RECOVERY, on=RecoveryRequest)
@require_http_methods(["GET", "HEAD", "POST"])
def decline(request, asked):
    """Say no, and why; the form stands on the request's page."""
    if request.method != "POST":
        return redirect(_page_of(asked))
    form = NoRecoveryForm(request.POST)
    if not form.is_valid():
        return _page(request, asked, decline_form=form, status=422)
    try:
        services.decline_recovery(
            asked, reason=form.cleaned_data["reason"], by=request.user
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(
            request,
            _("Declined. %(person)s reads why.") % {"person": asked.user.full_name},
        )
    return redirect(_page_of(asked))


def _page(request, asked, *, evidence_form=None, decline_form=None, status=200):
    asked = RecoveryRequest.objects.select_related(
        "partner_account", "user", "reviewed_by", "answered_by"
    ).get(pk=asked.pk)
    company = asked.partner_account
    is_open = RecoveryRequest.objects.open().filter(pk=asked.pk).exists()
    may_decide = is_open and request.user.has_perm(services.DECIDE_RECOVERY)
    is_checked = asked.state == RecoveryState.REVIEWED
    has_had_time = timezone.now() >= asked.decided_from
    (row,) = recovery_rows([asked])
    membership = Membership.objects.filter(user=asked.user, partner_account=company)
    context = {
        "row": row,
        "asked": asked,
        "company": company,
        "domains": company.email_domains,
        "member_since": membership.order_by("-added_at")
        .values_list("added_at", flat=True)
        .first(),
        "global_admins": givers_of(Role.GLOBAL_ADMIN, company),
        "appointers": appointers(company),
        "people_count": Membership.objects.current().of_company(company).count(),
        "is_open": is_open,
        "has_had_time": has_had_time,
        "is_own_check": asked.reviewed_by_id == request.user.pk,
        "may_review": may_decide and not is_checked,
        "may_appoint": may_decide
        and is_checked
        and has_had_time
        and asked.reviewed_by_id != request.user.pk,
        "may_decline": may_decide,
        "evidence_form": evidence_form or EvidenceForm(),
        "decline_form": decline_form or NoRecoveryForm(auto_id="decline_%s"),
        "has_errors": status != 200,
    }
    return render(request, "ops/recovery.html", context, status=status)
