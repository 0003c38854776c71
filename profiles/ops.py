"""Operators' pages about versions of profiles: read, approve, return, sign second."""

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import F
from django.forms.models import model_to_dict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import Hidden, operator_requires, recently_authenticated
from accounts.posting import posted
from accounts.templatetags.portal import moment
from profiles import services
from profiles.checking import checks
from profiles.countries.tax_forms import FORMS
from profiles.downloads import as_file
from profiles.drafting import open_tax_document as opened
from profiles.forms import (
    AnswerForm,
    CatalogForm,
    CheckChangeForm,
    EscalationForm,
    QuestionForm,
    ReasonForm,
    add_errors,
)
from profiles.models import (
    BankChangeStop,
    BankProfile,
    BankProfileVersion,
    ReturnReason,
    ReviewQuestion,
    TaxDocument,
    TaxProfile,
    TaxProfileVersion,
)
from profiles.reasons import KEPT, ExplainedReason, known_fields
from profiles.review import (
    approval_of,
    claim_of,
    compared,
    compared_versions,
    history_of,
    signed_once,
)
from profiles.services import (
    APPROVE_ACCOUNTS,
    KEEP_REASONS,
    REVIEW,
    VALIDATE,
    awaited_approval,
)
from profiles.states import SHOWN, ProfileStatus
from profiles.wording import given_reasons

TEMPLATES = {"bank": "ops/bank_version.html", "tax": "ops/tax_version.html"}
ROWS_PER_PAGE = 25
MOST_REASONS = 3
MOST_NAMED = 10


def _is_in_force(version) -> bool:
    """Returning it takes it out of force: as grave as approving."""
    return version.is_approved


def _page_of(version) -> str:
    return reverse(f"ops:{version.part}_version", kwargs={"pk": version.pk})


@operator_requires(REVIEW)
@require_safe
def second_approvals(request):
    """List the bank accounts that wait for a second operator, with what both sign."""
    waiting = BankProfileVersion.objects.signed_once().select_related(
        "profile__partner_account", "submitted_by", "seconded_by"
    )
    page = Paginator(waiting.order_by("seconded_at", "pk"), ROWS_PER_PAGE).get_page(
        request.GET.get("page")
    )
    context = {"page": page, "rows": signed_once(page, by=request.user)}
    return render(request, "ops/second_approvals.html", context)


@operator_requires(REVIEW, on=BankProfileVersion)
@require_safe
def bank_version(request, version):
    """Show a bank version beside the one in force, with what was checked."""
    return _page(request, version)


@operator_requires(REVIEW, on=BankProfileVersion)
@recently_authenticated
@posted(instead=_page_of)
def approve_bank(request, version):
    """Approve a bank version, or give the first of two approvals."""
    return _approve(request, version)


@operator_requires(REVIEW, on=BankProfileVersion)
@recently_authenticated(where=_is_in_force)
@posted(instead=_page_of)
def return_bank(request, version):
    """Return a bank version with reasons."""
    return _return(request, version)


@operator_requires(REVIEW)
@require_safe
def stopped_changes(request):
    """List the bank changes that somebody stopped, oldest first."""
    stops = (
        BankChangeStop.objects.open()
        .filter(version__in=BankProfileVersion.objects.stopped())
        .select_related("version__profile__partner_account", "stopped_by", "checked_by")
    )
    page = Paginator(stops, ROWS_PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "ops/stopped_changes.html", {"page": page})


@operator_requires(REVIEW, on=BankProfileVersion)
@recently_authenticated
@posted(instead=_page_of)
def check_change(request, version):
    """Write down how one made sure that the company wants a stopped change."""
    if not version.is_stopped:
        _say_nothing_is_left(request)
        return redirect(_page_of(version))
    form = CheckChangeForm(request.POST)
    if form.is_valid():
        try:
            services.check_stopped_change(
                version, evidence=form.cleaned_data["evidence"], by=request.user
            )
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(
                request, _("Written down. Another operator releases the change.")
            )
            return redirect(_page_of(version))
    return _page(request, version, check=form)


@operator_requires(REVIEW, on=BankProfileVersion)
@recently_authenticated
@posted(instead=_page_of)
def release_change(request, version):
    """Release a stopped change that somebody else checked."""
    form = forms.Form(request.POST)
    try:
        services.release_change(version, by=request.user)
    except ValidationError as error:
        form.full_clean()
        add_errors(form, error)
        return _page(request, version, approval=form)
    messages.success(request, _("Released. It is where it was before."))
    return redirect(_page_of(version))


@operator_requires(REVIEW, on=BankProfile)
@require_safe
def compare_bank(request, profile):
    """Show what differs between two versions of a bank profile, numbers masked."""
    return _compare_page(request, profile)


@operator_requires(VALIDATE, on=TaxProfile)
@require_safe
def compare_tax(request, profile):
    """Show what differs between two versions of a tax profile, numbers masked."""
    return _compare_page(request, profile)


# --- Before a decision: claims, questions, escalation ---------------------------------


@operator_requires(REVIEW)
@require_safe
def escalations(request):
    """List what reviewers want the approvers' word on, oldest first."""
    return _escalations_page(request)


@operator_requires(REVIEW, on=ReviewQuestion)
@posted(instead=lambda question: "ops:escalations")
def answer_escalation(request, question):
    """Say what to do with what a reviewer escalated."""
    if not question.is_escalated:
        raise Hidden(ReviewQuestion, {"pk": question.pk}, wanted=REVIEW)
    form = AnswerForm(request.POST, auto_id=f"answer_{question.pk}_%s")
    if form.is_valid():
        try:
            services.answer_question(question, **form.cleaned_data, by=request.user)
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(request, _("Your answer is given. The reviewer is told."))
            return redirect("ops:escalations")
    return _escalations_page(request, answering=question, form=form)


def _escalations_page(request, *, answering=None, form=None):
    asked = (
        ReviewQuestion.objects.open()
        .escalated()
        .select_related(
            "asked_by",
            "bank_version__profile__partner_account",
            "tax_version__profile__location__partner_account",
        )
        .defer("bank_version__details", "tax_version__details")
    )
    number = request.GET.get("page")
    if answering is not None:
        # Whichever page it stands on: what was typed is shown again there.
        keys = list(asked.values_list("pk", flat=True))
        number = (
            keys.index(answering.pk) // ROWS_PER_PAGE + 1
            if (answering.pk in keys)
            else 1
        )
    page = Paginator(asked, ROWS_PER_PAGE).get_page(number)
    may_answer = request.user.has_perm(APPROVE_ACCOUNTS)
    opens = {"bank": True, "tax": request.user.has_perm(VALIDATE)}
    now = timezone.now()
    rows = [
        {
            "question": one,
            "version": one.version,
            "is_overdue": one.version.is_overdue(now),
            "url": _page_of(one.version) if opens[one.version.part] else "",
            "form": (
                form
                if answering is not None and one.pk == answering.pk
                else AnswerForm(auto_id=f"answer_{one.pk}_%s")
            )
            if may_answer and one.asked_by_id != request.user.pk
            else None,
        }
        for one in page
    ]
    if form is not None and all(row["form"] is not form for row in rows):
        # Answered or decided meanwhile.
        messages.warning(request, " ".join(form.non_field_errors()))
        return redirect("ops:escalations")
    has_errors = form is not None
    return render(
        request,
        "ops/escalations.html",
        {
            "page": page,
            "rows": rows,
            "forms": [form] if has_errors else [],
            "has_errors": has_errors,
        },
        status=422 if has_errors else 200,
    )


def claim(request, versions) -> None:
    """Claim versions for the reader, and say what came of it."""
    try:
        claimed = services.claim_versions(
            versions,
            is_taken_over=request.POST.get("take_over") == "on",
            by=request.user,
        )
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
    else:
        if claimed:
            messages.success(request, _("You are at this now. The others see it."))
        else:
            _say_nothing_is_left(request)


def release(request, versions) -> None:
    """Take the reader's claims of versions back, and say what came of it."""
    if services.release_versions(versions, by=request.user):
        messages.success(request, _("Released. Anybody can take it."))
    else:
        _say_nothing_is_left(request)


def _say_nothing_is_left(request) -> None:
    messages.info(
        request, _("This was answered or decided meanwhile. There is nothing to do.")
    )


def _claim(request, version):
    """Tell the others that one is at a version; in somebody's place, if asked."""
    claim(request, [version])
    return redirect(_page_of(version))


def _release(request, version):
    """Leave a version to the others again."""
    release(request, [version])
    return redirect(_page_of(version))


def _ask(request, version):
    """Ask the partner about a version."""
    form = QuestionForm(request.POST, version=version, prefix="question")
    if form.is_valid():
        try:
            services.ask_partner(version, **form.cleaned_data, by=request.user)
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(
                request,
                _("Asked. The partner is told, and you are told when they answer."),
            )
            return redirect(_page_of(version))
    return _page(request, version, question=form)


def _escalate(request, version):
    """Ask the approvers about a version."""
    form = EscalationForm(request.POST, prefix="escalation")
    if form.is_valid():
        try:
            services.escalate_version(version, **form.cleaned_data, by=request.user)
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(
                request,
                _("Escalated. The approvers are told, and you when they answer."),
            )
            return redirect(_page_of(version))
    return _page(request, version, escalation=form)


def _of_bank_and_tax(view):
    """The same of a bank version, for second operators too, and of a tax version."""
    act = posted(instead=_page_of)(view)
    return (
        operator_requires(REVIEW, on=BankProfileVersion)(act),
        operator_requires(VALIDATE, on=TaxProfileVersion)(act),
    )


claim_bank, claim_tax = _of_bank_and_tax(_claim)
release_bank, release_tax = _of_bank_and_tax(_release)
ask_bank, ask_tax = _of_bank_and_tax(_ask)
escalate_bank, escalate_tax = _of_bank_and_tax(_escalate)


# --- The catalog of reasons -----------------------------------------------------------


@operator_requires(KEEP_REASONS)
@require_safe
def reasons(request):
    """List the reasons a profile is returned for; the retired ones last."""
    rows = ReturnReason.objects.order_by(
        F("retired_at").asc(nulls_first=True), "pk"
    ).select_related("changed_by")
    labels = known_fields("bank") | known_fields("tax")
    context = {
        "rows": [
            {
                "reason": row,
                "fields": [str(labels.get(key, key)) for key in row.field_keys],
                "is_kept": row.code in KEPT,
            }
            for row in rows
        ]
    }
    return render(request, "ops/reasons.html", context)


@operator_requires(KEEP_REASONS)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
def add_reason(request):
    """Add a reason; shown first as the partner will read it, if asked."""
    form = CatalogForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and "preview" not in request.POST:
        try:
            services.add_reason(**form.cleaned_data, by=request.user)
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(request, _("Added. Reviewers can choose it now."))
            return redirect("ops:reasons")
    return _reason_page(request, form, reason=None)


@operator_requires(KEEP_REASONS, on=ReturnReason)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
def change_reason(request, reason):
    """Change the words of a reason; shown first as the partner will read it, if asked."""
    is_changed = False
    if request.method == "POST":
        form = CatalogForm(request.POST, reason=reason)
    else:
        form = CatalogForm(reason=reason, initial=model_to_dict(reason))
    if request.method == "POST" and form.is_valid() and "preview" not in request.POST:
        try:
            services.change_reason(
                reason,
                seen=request.POST.get("seen", ""),
                **form.cleaned_data,
                by=request.user,
            )
        except ValidationError as error:
            add_errors(form, error)
            is_changed = getattr(error, "code", "") == "changed"
        else:
            messages.success(request, _("Saved. Partners read it so from now on."))
            return redirect("ops:reasons")
    return _reason_page(request, form, reason=reason, is_changed=is_changed)


@operator_requires(KEEP_REASONS, on=ReturnReason)
@posted(instead=lambda reason: "ops:reasons")
def retire_reason(request, reason):
    """Let reviewers choose a reason no more."""
    try:
        services.retire_reason(reason, by=request.user)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
    else:
        messages.success(request, _("Retired. What was returned for it says so still."))
    return redirect("ops:reasons")


@operator_requires(KEEP_REASONS, on=ReturnReason)
@posted(instead=lambda reason: "ops:reasons")
def revive_reason(request, reason):
    """Let reviewers choose a retired reason again."""
    services.revive_reason(reason, by=request.user)
    messages.success(request, _("In use again."))
    return redirect("ops:reasons")


def _reason_page(request, form, *, reason, is_changed=False):
    """The form, and above it what the partner will read, where that was asked.

    Where somebody changed it meanwhile, what it says now.
    """
    shown = None
    seen = request.POST.get("seen", "")
    if reason is not None and (is_changed or request.method != "POST"):
        reason.refresh_from_db()
        seen = services.reason_seen(reason)
    if is_changed:
        keys = reason.field_keys or ["account_holder"]
        label = (known_fields("bank") | known_fields("tax")).get(keys[0], "")
        shown = ExplainedReason(reason=reason, field=keys[0], label=label, note="")
    if form.is_bound and not form.errors:
        values = {**form.cleaned_data}
        keys = values["field_keys"] or ["account_holder"]
        labels = known_fields("bank") | known_fields("tax")
        draft = ReturnReason(**{"code": getattr(reason, "code", "")} | values)
        shown = ExplainedReason(
            reason=draft, field=keys[0], label=labels.get(keys[0], ""), note=""
        )
    return render(
        request,
        "ops/reason.html",
        {
            "form": form,
            "reason": reason,
            "shown": shown,
            "is_changed": is_changed,
            "seen": seen,
            "read_in": ("en", "sv"),
            "has_errors": bool(form.errors),
        },
        status=422 if form.errors else 200,
    )


def _compare_page(request, profile):
    context = compared_versions(
        profile, old=request.GET.get("old", ""), new=request.GET.get("new", "")
    )
    return render(request, "ops/compare.html", {"profile": profile, **context})


@operator_requires(VALIDATE, on=TaxProfileVersion)
@require_safe
def tax_version(request, version):
    """Show a tax version beside the one in force, with what was checked."""
    return _page(request, version)


@operator_requires(VALIDATE, on=TaxProfileVersion)
@recently_authenticated
@posted(instead=_page_of)
def approve_tax(request, version):
    """Approve a tax version."""
    return _approve(request, version)


@operator_requires(VALIDATE, on=TaxProfileVersion)
@recently_authenticated(where=_is_in_force)
@posted(instead=_page_of)
def return_tax(request, version):
    """Return a tax version with reasons."""
    return _return(request, version)


@operator_requires(VALIDATE, on=TaxDocument)
@posted(instead=lambda document: "ops:validation")
@sensitive_variables()
def open_tax_document(request, document):
    """Hand a document to a reviewer, as a file; the trail keeps it."""
    try:
        content = opened(document, by=request.user)
    except ValidationError:
        # A draft's: the partner's alone.
        raise Hidden(TaxDocument, {"pk": document.pk}, wanted=VALIDATE) from None
    return as_file(document, content)


def _approve(request, version):
    approval = forms.Form(request.POST)
    try:
        decided = services.approve_version(
            version, seen=request.POST.get("seen", ""), by=request.user
        )
    except ValidationError as error:
        approval.full_clean()
        add_errors(approval, error)
        return _page(request, version, approval=approval)
    name = {"name": decided.profile.name, "company": decided.profile.account.name}
    if decided.is_cooling:
        messages.success(
            request,
            _("Approved: %(name)s of %(company)s. It is in force from %(moment)s.")
            % {**name, "moment": moment(decided.usable_from)},
        )
    elif not decided.is_approved:
        messages.success(
            request,
            _(
                "First approval given: %(name)s of %(company)s. A second operator has "
                "to approve it too."
            )
            % name,
        )
    elif decided.decided_by_id != request.user.pk:
        messages.info(
            request,
            _("%(who)s approved this already: %(name)s of %(company)s.")
            % {"who": decided.decided_by.full_name, **name},
        )
    else:
        messages.success(request, _("Approved: %(name)s of %(company)s.") % name)
    return redirect("ops:next" if "and_next" in request.POST else "ops:validation")


def _return(request, version):
    reason_forms = _reason_forms(version, request.POST)
    if all(form.is_valid() for form in reason_forms):
        filled = [form for form in reason_forms if form.returned]
        try:
            decided = services.return_version(
                version, returned=[form.returned for form in filled], by=request.user
            )
        except ValidationError as error:
            _add_errors_by_row(filled or reason_forms, error)
        else:
            messages.success(
                request,
                _("Returned: %(name)s of %(company)s.")
                % {
                    "name": decided.profile.name,
                    "company": decided.profile.account.name,
                },
            )
            return redirect("ops:validation")
    return _page(request, version, reason_forms=reason_forms)


def _add_errors_by_row(filled, error):
    """Put each error at the reason it is about; those about none at the first."""
    if not hasattr(error, "error_dict"):
        filled[0].add_error(None, error)
        return
    for field, errors in error.error_dict.items():
        for one in errors:
            filled[(one.params or {}).get("row", 0)].add_error(field, one)


def _reason_forms(version, data=None):
    return [
        ReasonForm(data, version=version, prefix=f"reason-{number}")
        for number in range(1, MOST_REASONS + 1)
    ]


@sensitive_variables()
def _page(
    request,
    version,
    *,
    approval=None,
    check=None,
    reason_forms=None,
    question=None,
    escalation=None,
):
    """The version as it is now, whoever decided meanwhile; what was typed is kept."""
    version = (
        type(version)
        .objects.select_related("submitted_by", "decided_by", "claimed_by", "profile")
        .get(pk=version.pk)
    )
    now = timezone.now()
    profile = version.profile
    others = profile.versions.exclude(pk=version.pk)
    in_force = others.filter(status=ProfileStatus.APPROVED).first()
    reason_forms = reason_forms or _reason_forms(version)
    check = check or CheckChangeForm()
    question = question or QuestionForm(version=version, prefix="question")
    escalation = escalation or EscalationForm(prefix="escalation")
    first = [
        form for form in (approval, check, question, escalation) if form is not None
    ]
    errors = [form for form in (*first, *reason_forms) if form.errors]
    is_own = version.submitted_by_id == request.user.pk
    waits = version.is_pending and not profile.is_archived
    awaited = awaited_approval(version) if waits else None
    next_approval = (
        approval_of(version, awaited=awaited, by=request.user) if awaited else None
    )
    is_signed = next_approval is not None and next_approval.first is not None
    may_decide = not (is_own or profile.is_archived) and (
        request.user.has_perm(VALIDATE)
        or (next_approval is not None and next_approval.may_return)
    )
    questions = ReviewQuestion.objects.about(version).select_related(
        "asked_by", "answered_by"
    )
    held_up = _held_up(profile) if version.is_approved else None
    names = {"bank": "approve_bank", "tax": "approve_tax"}
    return render(
        request,
        TEMPLATES[version.part],
        {
            "version": version,
            "status": SHOWN["seconded"] if is_signed else version.shown_status,
            "profile": profile,
            "company": profile.account,
            "form_name": FORMS.get(getattr(version, "form", ""), ""),
            "in_force": in_force,
            "rows": compared(version, in_force),
            "checks": checks(
                version, in_force, on=timezone.localdate(), awaited=awaited
            ),
            "documents": (
                version.documents.without_content() if version.part == "tax" else ()
            ),
            "reasons": given_reasons(version),
            "is_overdue": version.is_overdue(now),
            "is_own": is_own,
            "may_review": may_decide and version.is_pending,
            "claim": claim_of(version, by=request.user, at=now),
            "questions": questions,
            "question_form": question,
            "escalation_form": escalation,
            "history": history_of(version),
            "is_escalated": any(
                one.is_escalated and not one.is_answered for one in questions
            ),
            "may_keep_reasons": request.user.has_perm(KEEP_REASONS),
            "urls": {
                verb: reverse(f"ops:{verb}_{version.part}", kwargs={"pk": version.pk})
                for verb in ("claim", "release", "ask", "escalate")
            },
            "next_approval": next_approval,
            "signature": services.signature_of(version) if waits else "",
            # Who may not, and tries, reads beside the fields what was wrong.
            "may_return": any(form.errors for form in reason_forms)
            or may_decide
            and version.can_become(ProfileStatus.ACTION_REQUIRED)
            and not (
                version.is_approved
                and any(other.is_candidate for other in others.order_by("-number"))
            ),
            "held_up_count": held_up.count() if held_up is not None else 0,
            "held_up": held_up[:MOST_NAMED] if held_up is not None else [],
            "newer": _newer(version, others),
            "compare_url": (
                reverse(f"ops:compare_{version.part}", kwargs={"pk": profile.pk})
                if version.number > 1
                else ""
            ),
            "reason_forms": reason_forms,
            "stop": (
                version.stops.open()
                .select_related("stopped_by", "checked_by", "follows")
                .first()
                if version.is_stopped
                else None
            ),
            "check_form": check,
            "forms": [*first, *reason_forms],
            "has_errors": bool(errors),
            "approve_url": reverse(
                f"ops:{names[version.part]}", kwargs={"pk": version.pk}
            ),
            "return_url": reverse(
                f"ops:return_{version.part}", kwargs={"pk": version.pk}
            ),
        },
        status=422 if errors else 200,
    )


def _newer(version, others):
    """The version that replaced this one, if it is still to be decided or in force."""
    return (
        others.filter(number__gt=version.number)
        .exclude(status=ProfileStatus.REPLACED)
        .order_by("-number")
        .first()
    )


def _held_up(profile):
    """The enrollments that a return would move to Action required (R41)."""
    return (
        profile.payout_assignments.filter(
            enrollment__status__in=["validating", "enrolled"],
            enrollment__submitted_at__isnull=False,
        )
        .values(
            "enrollment",
            program=F("enrollment__terms__program__name"),
            place=F("enrollment__location__name"),
        )
        .order_by("program", "place", "enrollment")
        .distinct()
    )
