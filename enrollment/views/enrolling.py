"""The steps of an enrollment. Each view calls one service; none decides anything."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import recently_authenticated, requires
from accounts.dates import full_day
from accounts.holders import (
    people_with,
)
from accounts.roles import Permission
from accounts.typed import keeps_typed, refilled
from enrollment import services
from enrollment.clock import earning_outlook
from enrollment.eligibility import gaps_of, payout_at
from enrollment.forecast import changes_of
from enrollment.forms import (
    ChooseBankProfileForm,
    ChooseTaxProfileForm,
    DeclineForm,
)
from enrollment.history import history_of
from enrollment.models import Enrollment, FiscalCalendar
from enrollment.payout import currency_form_of, foreseen_checks, payout_page
from enrollment.receipts import receipt_of
from enrollment.revisions import differences, revision_of
from enrollment.rows import enrollment_rows
from enrollment.states import EDITABLE, FOLLOWS_PROFILES, VEILED, EnrollmentStatus
from enrollment.versions import changes_since
from enrollment.views.posting import posted
from profiles.parts import parts_to_check

# Nothing can be done here any more; who could enroll is no question.
CLOSED = frozenset({EnrollmentStatus.EXPIRED, EnrollmentStatus.DISCONTINUED})


@requires(Permission.ENROLLMENT_VIEW, on=Enrollment)
@require_safe
def detail(request, enrollment):
    """Show the step this enrollment is at, as this reader sees it."""
    return _page(request, enrollment)


@requires(Permission.ENROLLMENT_EDIT, on=Enrollment)
@posted
def accept(request, enrollment):
    """Accept the invitation and go on to bank and tax."""
    version = request.POST.get("version", "")[:20]
    return _step(request, enrollment, services.accept_enrollment, version=version)


@requires(Permission.ENROLLMENT_EDIT, on=Enrollment)
@posted
@keeps_typed
def decline(request, enrollment):
    """Decline, with a reason or without."""
    form = DeclineForm(request.POST)
    if not form.is_valid():
        return _page(request, enrollment, decline_form=form, status=422)
    return _step(
        request,
        enrollment,
        services.decline_enrollment,
        decline_form=form,
        notice=_("Declined. You can change your mind until %(day)s.")
        % {"day": full_day(enrollment.enroll_by)},
        reason=form.cleaned_data["reason"],
        seen=_seen(request),
    )


@requires(Permission.ENROLLMENT_EDIT, on=Enrollment)
@posted
def reconsider(request, enrollment):
    """Take a decline back."""
    return _step(
        request,
        enrollment,
        services.reconsider_enrollment,
        notice=_("The invitation is open again."),
    )


@requires(Permission.ENROLLMENT_EDIT, on=Enrollment)
@posted
def ask_for_details(request, enrollment):
    """Continue to the Payment and Tax profile page (R35, R36)."""
    return _step(
        request, enrollment, services.ask_for_details, then="enrollment:profiles"
    )


@requires(Permission.ENROLLMENT_EDIT, on=Enrollment)
@posted
def submit(request, enrollment):
    """Send the enrollment to the program owner."""
    return _step(request, enrollment, services.submit_enrollment, seen=_seen(request))


@requires(Permission.ENROLLMENT_EDIT, on=Enrollment)
@posted
def recall(request, enrollment):
    """Take the submission back to change it."""
    return _step(
        request,
        enrollment,
        services.recall_enrollment,
        notice=_("Recalled. Nothing is with the program owner now."),
    )


@requires(Permission.ENROLLMENT_EDIT, on=Enrollment)
@require_safe
def receipt(request, enrollment):
    """The receipt of a submission as a text to keep."""
    if enrollment.submitted_at is None:
        return redirect(enrollment)
    response = HttpResponse(
        receipt_of(enrollment), content_type="text/plain; charset=utf-8"
    )
    response["Content-Disposition"] = (
        f'attachment; filename="{enrollment.reference}.txt"'
    )
    return response


@requires(Permission.ENROLLMENT_EDIT, on=Enrollment)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
def choose_bank(request, enrollment):
    """Use another bank profile for this enrollment; the default stays (R32).

    It decides where money goes, as adding or changing an account does (T1).
    """
    if not enrollment.is_editable:
        return redirect(enrollment)
    form = None
    if request.method == "POST":
        form = ChooseBankProfileForm(
            request.POST,
            enrollment=enrollment,
            types=list(enrollment.terms.earning_types.all()),
        )
        if form.is_valid() and _attempt(
            request, form, services.choose_bank_profile, enrollment
        ):
            return _back(enrollment)
    paid_for = request.POST.get("earning_type") or request.GET.get("for", "")
    context = payout_page(enrollment, form=form, paid_for=paid_for)
    if context["is_by_credit_note"]:
        return redirect(enrollment)
    return render(
        request,
        "enrollment/choose_bank.html",
        context | _changed(request, enrollment, context),
        status=422 if form is not None else 200,
    )


@requires(Permission.ENROLLMENT_EDIT, on=Enrollment)
@posted
def choose_tax(request, enrollment):
    """Use one of the location's tax profiles (R31)."""
    form = ChooseTaxProfileForm(request.POST, enrollment=enrollment)
    if form.is_valid() and _attempt(
        request, form, services.choose_tax_profile, enrollment
    ):
        return _back(enrollment)
    return _profiles_page(request, enrollment, tax_form=form)


@requires(Permission.ENROLLMENT_EDIT, on=Enrollment)
@posted
def choose_currency(request, enrollment):
    """Choose the currency this enrollment is paid in."""
    form = currency_form_of(_assignments(enrollment), data=request.POST)
    if form.is_valid() and _attempt(
        request, form, services.choose_currency, enrollment
    ):
        return _back(enrollment)
    return _profiles_page(request, enrollment, currency_form=form)


@requires(Permission.ENROLLMENT_EDIT, on=Enrollment)
@require_safe
def profiles(request, enrollment):
    """The Payment and Tax profile page: asks only for what is missing (R35)."""
    if not (enrollment.is_editable and enrollment.is_accepted):
        return redirect(enrollment)
    return _profiles_page(request, enrollment)


def _assignments(enrollment):
    return payout_at([enrollment], at=timezone.now())[enrollment.pk]


def _profiles_page(request, enrollment, **forms):
    has_errors = any(form.errors for form in forms.values())
    context = payout_page(enrollment, **forms)
    if context["is_by_credit_note"]:
        return redirect(enrollment)
    return render(
        request,
        "enrollment/profiles.html",
        context
        | {
            "has_errors": has_errors,
            "forms": list(forms.values()),
            "prepared": parts_to_check(request.user, location=enrollment.location),
        }
        | _changed(request, enrollment, context),
        status=422 if has_errors else 200,
    )


def _extension_of(enrollment, *, at) -> dict:
    """Whether more time can be asked for, and what became of the last wish."""
    if not (enrollment.may_edit and (enrollment.is_editable or enrollment.is_lapsed)):
        return {}
    last = enrollment.extension_requests.order_by("-asked_at", "pk").first()
    waits = last is not None and last.is_open
    return {
        "last": last,
        "can_ask": not waits and not services.why_not_asking(enrollment, at=at),
    }


def _page(request, enrollment, *, errors=(), decline_form=None, status=200):
    """The enrollment's page in the variant its status and its reader ask for."""
    shown = (
        Enrollment.objects.filter(pk=enrollment.pk)
        .select_related("accepted_by", "location__default_bank_profile")
        .with_covered(
            Permission.PROFILE_VIEW, user=request.user, name="may_see_numbers"
        )
    )
    years = {}
    # Before that the next year says nothing of it.
    if enrollment.status in FOLLOWS_PROFILES:
        years = FiscalCalendar.objects.days_at(timezone.now()).coming
    row = enrollment_rows(shown, user=request.user, years=years)[0]
    enrollment, now = row.enrollment, timezone.now()
    is_closed = enrollment.status in CLOSED
    context = payout_page(enrollment, assignments=row.assignments)
    context |= {
        "row": row,
        "may_edit": enrollment.may_edit,
        "sees_progress": enrollment.sees_progress,
        "may_see_numbers": enrollment.may_see_numbers,
        "outlook": (
            earning_outlook(enrollment, at=now) if enrollment.is_validating else ""
        ),
        "errors": errors,
        "has_errors": bool(errors) or decline_form is not None,
        "decline_form": decline_form
        or refilled(
            request,
            DeclineForm(),
            at=reverse("enrollment:decline", kwargs={"pk": enrollment.pk}),
        ),
        "is_overdue": enrollment.is_overdue(now),
        "is_late": enrollment.is_late(now),
        "can_recall": not enrollment.enrolled_at
        and enrollment.terms.today() <= enrollment.enroll_by,
        "is_closed": is_closed,
        "is_between_years": enrollment.is_between_years(now),
        "extension": _extension_of(enrollment, at=now),
        "receipt": (
            receipt_of(enrollment, payouts=_payouts(context["lines"]))
            if enrollment.may_edit and enrollment.is_validating
            else ""
        ),
        "prepared": (
            parts_to_check(request.user, location=enrollment.location)
            if enrollment.may_edit
            and enrollment.is_editable
            and not enrollment.is_late(now)
            else []
        ),
        # The same for all that is veiled: it tells nothing of how far it got (R42).
        "can_prepare": not enrollment.may_edit
        and enrollment.status in {*EDITABLE, *VEILED},
        "own_invitation": (
            enrollment.invitations.filter(user=request.user).first()
            if enrollment.may_edit
            and enrollment.is_invited
            and not enrollment.is_accepted
            else None
        ),
        "who_can": [],
        "next_one": None,
        "changes": (
            changes_of({enrollment: row.forecast}).get(enrollment.pk, [])
            if row.forecast
            else []
        ),
        # What the program changed since it was accepted, before it is submitted.
        "terms_changes": (
            changes_since(enrollment.terms, enrollment.terms_version)
            if enrollment.is_editable and enrollment.submitted_at is None
            else []
        ),
        "foreseen": (
            foreseen_checks(
                context["lines"], on=enrollment.terms.today(), by=request.user
            )
            if enrollment.may_see_numbers and _is_to_submit(enrollment, context)
            else []
        ),
        **history_of(enrollment, sees_progress=enrollment.sees_progress),
    }
    context |= _changed(request, enrollment, context)
    context["has_doubts"] = any(
        not check.is_ok for _name, checks in context["foreseen"] for check in checks
    )
    if not enrollment.may_edit and not is_closed:
        context["who_can"] = people_with(
            Permission.ENROLLMENT_EDIT,
            company=row.location.partner_account,
            row=enrollment,
        )
    if enrollment.may_edit and enrollment.is_validating:
        context["next_one"] = _next_to_enroll(request, row)
    return render(request, "enrollment/detail.html", context, status=status)


def _payouts(lines) -> list[dict]:
    """What the page shows of payments, as emails.payouts_of() asks for it."""
    return [
        {
            "earning_type": line.assignment.earning_type,
            "method": line.assignment.get_method_display,
            "currency": line.currency,
            "bank": line.bank and line.bank.profile,
            "tax": line.tax and line.tax.profile,
        }
        for line in lines
    ]


def _is_to_submit(enrollment, context) -> bool:
    """Whether nothing is missing and Submit is what comes next."""
    return (
        enrollment.is_editable
        and enrollment.is_accepted
        and not enrollment.is_agreement_outdated
        and not context["gaps"]
    )


def _step(
    request, enrollment, service, *, then="", notice="", decline_form=None, **options
):
    """Take one step; a refusal is shown on the same page, with everything kept."""
    try:
        enrollment = service(enrollment, by=request.user, **options)
    except ValidationError as error:
        return _page(
            request,
            enrollment,
            errors=error.messages,
            decline_form=decline_form,
            status=422,
        )
    if notice:
        messages.success(request, notice)
    return redirect(then, pk=enrollment.pk) if then else redirect(enrollment)


def _seen(request) -> str:
    """The note of what the page of a form showed (enrollment/revisions.py)."""
    return request.POST.get("seen", "")[:4000]


def _changed(request, enrollment, context) -> dict:
    """What somebody else changed while the reader had the page before them."""
    rows = [line.assignment for line in context["lines"]]
    seen = _seen(request)
    return {
        "seen": revision_of(enrollment, rows),
        "changed": differences(enrollment, rows, seen=seen) if seen else [],
    }


def _attempt(request, form, service, enrollment) -> bool:
    """Call a service with what was chosen; put a refusal where it belongs."""
    try:
        service(enrollment, seen=_seen(request), by=request.user, **form.cleaned_data)
    except ValidationError as error:
        form.add_error(None, error)
        return False
    return True


def _back(enrollment):
    """To what is still missing, or to the enrollment when nothing is."""
    missing = gaps_of(_assignments(enrollment))
    if missing and not enrollment.is_invited:
        return redirect("enrollment:profiles", pk=enrollment.pk)
    return redirect(enrollment)


def _next_to_enroll(request, row):
    """Another invitation waiting for this person, for "Enroll the next location"."""
    return (
        Enrollment.objects.where_user_may(request.user, Permission.ENROLLMENT_EDIT)
        .of_company(row.location.partner_account)
        .invited()
        .exclude(pk=row.enrollment.pk)
        .select_related("location", "terms__program")
        .order_by("enroll_by", "location__name", "pk")
        .first()
    )
