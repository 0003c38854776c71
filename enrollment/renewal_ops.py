"""Operators: the fiscal year end, from the rehearsal to the report (experience.md O6)."""

from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_safe

from accounts.access import (
    OperatorNotAllowed,
    operator_requires,
    recently_authenticated,
)
from accounts.posting import posted
from enrollment import services, year_end
from enrollment.models import FiscalYear, RenewalPlan
from enrollment.renewal_forms import ApproveForm, DecideForm, PlanRowsForm, UndoForm

VIEW = "enrollment.view_renewalplan"
PREPARE = "enrollment.prepare_renewals"
APPROVE = "enrollment.approve_renewals"
ASIDE_PER_PAGE = 50
MOST_REFUSED = 5
MOST_REPORTED = 200
# Seconds until a page that waits for the workers looks again by itself.
LOOK_AGAIN = 10


def _years(_year: FiscalYear) -> str:
    return reverse("ops:renewals")


def _page_of(plan: RenewalPlan) -> str:
    return plan.get_absolute_url()


@operator_requires(VIEW)
@require_safe
def renewals(request):
    """List the years something ends for, and where the plan of each stands."""
    context = {
        "years": year_end.year_rows(timezone.now()),
        "may_prepare": request.user.has_perm(PREPARE),
    }
    return render(request, "ops/renewals.html", context)


@operator_requires(PREPARE, on=FiscalYear)
@posted(instead=_years)
def rehearse(request, year):
    """Ask for a rehearsal; the workers write it down."""
    try:
        plan = services.ask_for_rehearsal(year, by=request.user)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
        return redirect("ops:renewals")
    return redirect(plan)


@operator_requires(VIEW, on=RenewalPlan)
@require_safe
def renewal(request, plan):
    """Show one plan: its stage, its counts, and the next step."""
    return _plan_page(request, plan)


@operator_requires(VIEW, on=RenewalPlan)
@require_safe
def rows(request, plan):
    """List what a plan says of every enrollment, a page at a time."""
    plan = _whole(plan)
    form = PlanRowsForm(request.GET, plan=plan, reasons=year_end.reasons_of(plan))
    query = [
        (name, one) for name, one in request.GET.items() if one and name != "after"
    ]
    page = year_end.row_page(
        year_end.plan_rows(plan, **form.chosen),
        plan=plan,
        after=request.GET.get("after", ""),
    )
    context = {
        "plan": plan,
        "name": year_end.plan_name(plan),
        "filter": form,
        "is_filtered": bool(form.chosen),
        "rows": page.rows,
        "is_first": not request.GET.get("after"),
        "first_url": f"?{urlencode(query)}",
        "next_url": f"?{urlencode([*query, ('after', page.last)])}"
        if page.last
        else "",
    }
    return render(request, "ops/renewal_rows.html", context)


@operator_requires(VIEW, on=RenewalPlan)
@require_safe
def export(request, plan):
    """Write every row of a plan as a table."""
    plan = _whole(plan)
    response = StreamingHttpResponse(
        year_end.plan_table(plan, language=request.LANGUAGE_CODE),
        content_type="text/csv; charset=utf-8",
    )
    name = f"year-end-{plan.into.calendar.code}-{plan.into.number}-{plan.number}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


@operator_requires(PREPARE, on=RenewalPlan)
@posted(instead=_page_of)
def propose(request, plan):
    """Put a rehearsed plan before a second operator."""
    return _taken(
        request, plan, services.propose_renewals, _("Another operator approves it.")
    )


@operator_requires(APPROVE, on=RenewalPlan)
@recently_authenticated
@posted(instead=_page_of)
def approve(request, plan):
    """Approve exactly the rows that the digest stands for."""
    form = ApproveForm(request.POST)
    digest = form.cleaned_data["digest"] if form.is_valid() else ""
    try:
        services.approve_renewals(plan, digest=digest, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(
            request, _("Approved. It runs by itself when the year begins.")
        )
    return redirect(plan)


@operator_requires(PREPARE, on=RenewalPlan)
@posted(instead=_page_of)
def withdraw(request, plan):
    """Take a plan back that did not begin."""
    return _taken(
        request, plan, services.withdraw_renewals, _("The plan is withdrawn.")
    )


@operator_requires(PREPARE, on=RenewalPlan)
@posted(instead=_page_of)
def pause(request, plan):
    """Stop a run after the batches at work."""
    return _taken(
        request,
        plan,
        services.pause_renewals,
        _("Paused. What is done is done; nothing new is begun."),
    )


@operator_requires(PREPARE, on=RenewalPlan)
@posted(instead=_page_of)
def resume(request, plan):
    """Go on with a run that was paused."""
    return _taken(request, plan, services.resume_renewals, _("It goes on."))


@operator_requires(PREPARE, on=RenewalPlan)
@posted(instead=_page_of)
def ask_to_undo(request, plan):
    """Ask another operator to undo a run; without a reason the page asks for one."""
    form = UndoForm(request.POST)
    if not form.is_valid():
        return _plan_page(request, plan, form=form, status=422)
    reason = form.cleaned_data["reason"]
    try:
        services.ask_to_undo(plan, reason=reason, by=request.user)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
    else:
        messages.success(request, _("Another operator approves the undoing."))
    return redirect(plan)


@operator_requires(PREPARE, on=RenewalPlan)
@posted(instead=_page_of)
def drop_undoing(request, plan):
    """Leave a run as it is, though somebody asked to undo it."""
    return _taken(
        request, plan, services.drop_undoing, _("The year end stays as it is.")
    )


@operator_requires(APPROVE, on=RenewalPlan)
@recently_authenticated
@posted(instead=_page_of)
def approve_undoing(request, plan):
    """Let the workers undo a run that somebody else asked to undo."""
    return _taken(
        request,
        plan,
        services.approve_undoing,
        _("Approved. The workers put everything back, batch by batch."),
    )


@operator_requires(VIEW, on=RenewalPlan)
@require_safe
def set_aside(request, plan):
    """List what the run set aside, and decide it."""
    return _aside_page(request, plan)


@operator_requires(VIEW, on=RenewalPlan)
@recently_authenticated
@posted(instead=lambda plan: reverse("ops:set_aside", kwargs={"pk": plan.pk}))
def decide(request, plan):
    """Carry out, or leave, the enrollments that were ticked, or all of a kind.

    Whoever prepares or approves decides; what ends an enrollment needs an approver,
    which the service asks for.
    """
    if not _may_decide(request.user):
        raise OperatorNotAllowed(PREPARE)
    kind = request.GET.get("kind", "")
    undecided = year_end.asides(plan, kind=kind).undecided()
    form = DecideForm(request.POST, undecided=undecided)
    if not undecided.exists():
        messages.warning(request, _("One of them was decided meanwhile. Look again."))
        return redirect("ops:set_aside", pk=plan.pk)
    if not form.is_valid():
        return _aside_page(request, plan, form=form, status=422)
    chosen = form.cleaned_data
    asked = undecided if kind and chosen["alike"] else chosen["rows"]
    found = list(asked.order_by("pk")[: services.MOST_DECIDED_AT_ONCE])
    shown, said = request.POST.getlist("shown"), request.POST.getlist("found")
    seen = dict(zip(shown, said, strict=False))
    for row in found:
        # What the page said of it: nothing else is carried out.
        row.found = seen.get(str(row.pk), row.found)
    refused = services.decide_alike(
        found, apply=chosen["apply"], reason=chosen["reason"], by=request.user
    )
    if done := len(found) - len(refused):
        messages.success(
            request,
            ngettext("%(count)d is decided.", "%(count)d are decided.", done)
            % {"count": done},
        )
    for row, why in list(refused.items())[:MOST_REFUSED]:
        messages.warning(request, f"{row.enrollment.location.name}: {why}")
    is_left = kind and year_end.asides(plan, kind=kind).exists()
    query = f"?{urlencode({'kind': kind})}" if is_left else ""
    return redirect(reverse("ops:set_aside", kwargs={"pk": plan.pk}) + query)


@operator_requires(VIEW, on=RenewalPlan)
@require_safe
def report(request, plan):
    """Show what is kept of a year end: counts, reasons, times, who, what was aside."""
    plan = _whole(plan)
    now = timezone.now()
    asides = year_end.asides(plan)
    context = {
        "plan": plan,
        "name": year_end.plan_name(plan),
        "counts": year_end.outcome_counts(plan),
        "progress": year_end.shown_progress(plan, at=now),
        "took": year_end.time_taken(plan),
        "asides": year_end.aside_rows(asides[:MOST_REPORTED]),
        "asides_count": asides.count(),
        "undecided_count": asides.undecided().count(),
        "written_at": now,
    }
    return render(request, "ops/renewal_report.html", context)


def _may_decide(user) -> bool:
    return user.has_perm(PREPARE) or user.has_perm(APPROVE)


def _taken(request, plan, step, sentence):
    """Take one step of a plan, and say what came of it on its page."""
    try:
        step(plan, by=request.user)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
    else:
        messages.success(request, sentence)
    return redirect(plan)


def _whole(plan: RenewalPlan) -> RenewalPlan:
    return RenewalPlan.objects.select_related(
        "into__calendar",
        "compared_with",
        "rehearsed_by",
        "proposed_by",
        "approved_by",
        "undo_asked_by",
        "undo_approved_by",
    ).get(pk=plan.pk)


def _plan_page(request, plan, *, form=None, status=200):
    plan = _whole(plan)
    now = timezone.now()
    may_prepare = request.user.has_perm(PREPARE)
    prepared_by = (plan.proposed_by_id, plan.rehearsed_by_id)
    progress = year_end.shown_progress(plan, at=now)
    is_moving = plan.is_unfinished or plan.is_running or plan.is_undoing
    may_undo = plan.can_be_undone and _may_decide(request.user)
    is_undo_asked = form or plan.undo_asked_by or "undo" in request.GET
    context = {
        "plan": plan,
        "name": year_end.plan_name(plan),
        "status": year_end.SHOWN_PLANS[plan.status],
        "stages": year_end.stages_of(plan),
        "when": year_end.when_words(
            (plan.into.starts_on - plan.into.calendar.day_at(now)).days
        ),
        "newer": year_end.newer_plan(plan),
        "counts": year_end.outcome_counts(plan),
        "changes": year_end.change_counts(plan),
        "earlier": year_end.earlier_plans(plan),
        "changed_count": sum(plan.changes.values()),
        "progress": progress,
        "time_left": year_end.time_left_words(progress),
        "look_again": LOOK_AGAIN if is_moving else 0,
        "undecided_count": year_end.undecided_count(plan),
        "may_prepare": may_prepare,
        "may_approve": request.user.has_perm(APPROVE),
        "is_own": request.user.pk in prepared_by,
        "approvers": year_end.approvers_of(plan),
        "may_undo": may_undo,
        # It is counted over all of them: when it is asked for, and for who decides.
        "undoable": services.undoable(plan) if may_undo and is_undo_asked else None,
        "undone": year_end.undone_counts(plan),
        "is_own_undoing": request.user.pk == plan.undo_asked_by_id,
        "undo_approvers": year_end.undo_approvers_of(plan),
        "undo_form": form or UndoForm(),
        "has_errors": status != 200,
    }
    return render(request, "ops/renewal.html", context, status=status)


def _aside_page(request, plan, *, form=None, status=200):
    plan = _whole(plan)
    kind = request.GET.get("kind", "")
    found = year_end.asides(plan, kind=kind)
    page = Paginator(found, ASIDE_PER_PAGE).get_page(request.GET.get("page"))
    kinds = year_end.aside_kinds(plan)
    context = {
        "plan": plan,
        "name": year_end.plan_name(plan),
        "kinds": kinds,
        "kind": next((one for one in kinds if one.key == kind), None),
        "page": page,
        "rows": year_end.aside_rows(page),
        "query": urlencode({"kind": kind}) if kind else "",
        "form": form or DecideForm(),
        "ticked": form.data.getlist("rows") if form else [],
        "may_decide": _may_decide(request.user) and bool(kinds),
        "most_at_once": services.MOST_DECIDED_AT_ONCE,
        "has_errors": status != 200,
    }
    return render(request, "ops/set_aside.html", context, status=status)
