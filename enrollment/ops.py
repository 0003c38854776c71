"""Operators: what waits today, invitations to send, enrollments to validate.

Locations that companies want closed, too.
"""

from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Q
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import for_operators, operator_requires, recently_authenticated
from accounts.forms import without_fields
from accounts.kept import kept
from accounts.models import Location
from accounts.posting import posted
from accounts.rows import role_row
from accounts.services import check_closing
from accounts.services import decline_closing as decline
from accounts.stretches import CappedPaginator, reader_of, stretch_of
from accounts.templatetags.portal import full_day
from accounts.widgets import PlainSelect
from enrollment import queues, services
from enrollment.forms import LocationsFilter, ReasonForm
from enrollment.models import Enrollment
from enrollment.review import outcome_of, review_enrollment
from enrollment.states import SHOWN
from profiles import ops as version_ops
from profiles.countries import country_name
from profiles.models import BankProfileVersion
from profiles.services import REVIEW

ROWS_PER_PAGE = 25
SEND = "enrollment.send_invitations"
CLOSE = "accounts.close_location"


def _page_of(enrollment) -> str:
    return reverse("ops:enrollment", kwargs={"pk": enrollment.pk})


class QueueFilter(forms.Form):
    """What the validation queue shows; all of it is in the address."""

    part = forms.ChoiceField(
        label=gettext_lazy("To validate"),
        required=False,
        widget=PlainSelect,
        choices=[("", gettext_lazy("All")), *queues.PARTS.items()],
    )
    country = forms.ChoiceField(
        label=gettext_lazy("Country"), required=False, widget=PlainSelect
    )
    turn = forms.ChoiceField(
        label=gettext_lazy("Whose turn"),
        required=False,
        widget=PlainSelect,
        choices=[("", gettext_lazy("All")), *queues.TURNS.items()],
    )
    claim = forms.ChoiceField(
        label=gettext_lazy("Claimed"),
        required=False,
        widget=PlainSelect,
        choices=[("", gettext_lazy("All")), *queues.CLAIMS.items()],
    )
    risk = forms.ChoiceField(
        label=gettext_lazy("Look twice"),
        required=False,
        widget=PlainSelect,
        choices=[("", gettext_lazy("All")), *queues.RISKS.items()],
    )
    overdue = forms.BooleanField(label=gettext_lazy("Overdue only"), required=False)

    def __init__(self, *args, countries: list[str], **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["country"].choices = [
            ("", _("All")),
            *_named(tuple(countries), get_language()),
        ]
        self.full_clean()

    @property
    def chosen(self) -> dict[str, Any]:
        """What was chosen, as validation_queue() takes it; nonsense chooses nothing."""
        return {
            "part": self.cleaned_data.get("part", ""),
            "country": self.cleaned_data.get("country", ""),
            "turn": self.cleaned_data.get("turn", ""),
            "claim": self.cleaned_data.get("claim", ""),
            "risk": self.cleaned_data.get("risk", ""),
            "is_overdue": self.cleaned_data.get("overdue", False),
        }


@lru_cache(maxsize=16)
def _named(countries: tuple[str, ...], language: str) -> list[tuple[str, str]]:
    """Countries to choose from, in a language: of a long queue all there are."""
    return [(code, f"{country_name(code)} ({code})") for code in countries]


class ConfirmForm(forms.Form):
    """The part that is approved, and the versions that were looked at."""

    part = forms.ChoiceField(choices=list(queues.PARTS.items()))
    seen = forms.CharField()
    and_next = forms.BooleanField(required=False)

    def clean_seen(self) -> list[UUID]:
        try:
            return [UUID(key) for key in self.cleaned_data["seen"].split(",")]
        except ValueError as error:
            raise ValidationError(_("These are not versions of a profile.")) from error


@for_operators("shows only queues whose page the operator may open")
@require_safe
def today(request):
    """Show every queue with its number and the age of its oldest row."""
    now = timezone.now()
    queues_now, as_of = queues.queues_today(now, may=request.user.has_perm)
    may_validate = request.user.has_perm(REVIEW)
    context = {
        "queues": queues_now,
        "as_of": as_of,
        "is_empty": all(queue.count == 0 for queue in queues_now),
        "most": queues.MOST_WAITING,
        "next_address": (
            queues.next_address(now, by=request.user) if may_validate else ""
        ),
    }
    return render(request, "ops/today.html", context)


@operator_requires("enrollment.view_programterms")
@require_safe
def invitations(request):
    """Show how far the invitations to each running program have come."""
    now = timezone.now()
    programs, as_of = queues.program_invitations(now)
    lapsed = CappedPaginator(
        queues.lapsed_invitations([row.terms for row in programs], now), ROWS_PER_PAGE
    )
    context = {
        "programs": programs,
        "as_of": as_of,
        "lapsed": lapsed.get_page(request.GET.get("page")),
        "may_send": request.user.has_perm(SEND),
    }
    return render(request, "ops/invitations.html", context)


@operator_requires(SEND, on=Enrollment)
@posted(instead=lambda enrollment: "ops:invitations")
def invite_anew(request, enrollment):
    """Invite a location again that did not answer in time."""
    try:
        invited = services.invite_anew(enrollment, by=request.user)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
    else:
        messages.success(
            request,
            _("%(location)s is invited to %(program)s, until %(day)s.")
            % {
                "location": invited.location.name,
                "program": invited.terms.program.name,
                "day": full_day(invited.enroll_by),
            },
        )
    return redirect("ops:invitations")


@operator_requires("enrollment.view_enrollment")
@require_safe
def validation(request):
    """List what waits for a decision, oldest first; filters are in the address."""
    now = timezone.now()
    some, as_of = kept(
        "waiting",
        queues.some_waiting,
        at=now,
        is_large=lambda found: len(found) > queues.MOST_WAITING,
    )
    form = QueueFilter(request.GET, countries=queues.countries_of(some))
    is_filtered = any(form.chosen.values())
    waiting = partial(queues.validation_queue, now, **form.chosen, reader=request.user)
    page = stretch_of(
        request,
        reader_of(waiting()) if is_filtered else queues.read_waiting,
        order=queues.ORDER,
        size=ROWS_PER_PAGE,
        values_of=queues.values_at,
        key_of=queues.place_of,
        groups=queues.PARTNERS_TURN,
    )
    rows = queues.waiting_rows(page.rows, reader=request.user, at=now)
    count = len(some)
    if page.is_whole or is_filtered:
        count = len(page.rows) if page.is_whole else waiting().count_some()
        as_of = None
    context = {
        "page": page,
        "as_of": as_of,
        "rows": rows,
        "count": count,
        "most": queues.MOST_WAITING,
        "openable": {row.key for row in rows if request.user.has_perm(row.right)},
        "filter": form,
        "is_filtered": is_filtered,
        "may_validate": request.user.has_perm(REVIEW),
        "second_count": (
            BankProfileVersion.objects.signed_once().count()
            if request.user.has_perm(REVIEW)
            else 0
        ),
    }
    return render(request, "ops/validation.html", context)


@operator_requires(REVIEW)
@require_safe
def next_row(request):
    """Go to what comes next in the queue of this operator: behind a row, or on top."""
    now = timezone.now()
    try:
        after = UUID(request.GET.get("after", ""))
    except ValueError:
        following = queues.next_waiting(now, by=request.user)
    else:
        following = queues.waiting_behind(now, by=request.user, after=after)
    if following is None:
        messages.info(request, _("Nothing else is waiting for you."))
        return redirect("ops:validation")
    return redirect(following.url)


@operator_requires("enrollment.view_enrollment", on=Enrollment)
@require_safe
def enrollment(request, enrollment):
    """Show one enrollment: its bank and tax parts and what this operator can decide."""
    review = review_enrollment(enrollment, by=request.user, at=timezone.now())
    may_validate = request.user.has_perm(REVIEW)
    is_done = may_validate and not review.first_to_decide
    context = {
        "review": review,
        "enrollment": review.enrollment,
        "location": review.enrollment.location,
        "terms": review.enrollment.terms,
        "status": SHOWN[review.enrollment.status],
        "may_validate": may_validate,
        "is_done": is_done,
        "next": _next(request, enrollment) if is_done else None,
    }
    return render(request, "ops/enrollment.html", context)


@operator_requires(REVIEW, on=Enrollment)
@posted(instead=_page_of)
def claim(request, enrollment):
    """Tell the others that one is at what an enrollment waits with."""
    review = review_enrollment(enrollment, by=request.user, at=timezone.now())
    version_ops.claim(request, review.claimable)
    return redirect("ops:enrollment", pk=enrollment.pk)


@operator_requires(REVIEW, on=Enrollment)
@posted(instead=_page_of)
def release(request, enrollment):
    """Leave what an enrollment waits with to the others again."""
    review = review_enrollment(enrollment, by=request.user, at=timezone.now())
    version_ops.release(request, review.claimable)
    return redirect("ops:enrollment", pk=enrollment.pk)


@operator_requires(REVIEW, on=Enrollment)
@recently_authenticated
@posted(instead=_page_of)
def confirm(request, enrollment):
    """Approve the bank or the tax part; who decided meanwhile is shown by the page."""
    form = ConfirmForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose what to approve: bank or tax."))
        return redirect("ops:enrollment", pk=enrollment.pk)
    part, seen = form.cleaned_data["part"], form.cleaned_data["seen"]
    try:
        decided = services.confirm_payout(
            enrollment, part=part, seen=seen, by=request.user
        )
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
        return redirect("ops:enrollment", pk=enrollment.pk)
    messages.success(
        request, outcome_of(decided, part=part, by=request.user, at=timezone.now())
    )
    if not form.cleaned_data["and_next"]:
        return redirect("ops:enrollment", pk=enrollment.pk)
    following = _next(request, enrollment)
    return redirect(following.url if following else "ops:validation")


def _next(request, enrollment):
    """The oldest thing that waits for this operator, other than the one at hand."""
    return queues.next_waiting(timezone.now(), by=request.user, after=enrollment.pk)


# --- Locations ------------------------------------------------------------------------


@operator_requires("accounts.view_location")
@require_safe
def locations(request):
    """List the locations that companies want closed, oldest first; find any other."""
    filters = LocationsFilter(request.GET)
    filters.is_valid()
    words = filters.cleaned_data.get("q", "").split()
    found = Location.objects.active()
    for word in words:
        found = found.filter(
            Q(name__icontains=word)
            | Q(city__icontains=word)
            | Q(partner_id__startswith=word)
            | Q(partner_account__name__icontains=word)
        )
    shown = found.order_by("partner_account__name", "name", "pk") if words else None
    asked = Location.objects.closing_asked().order_by("closing_asked_at", "pk")
    rows = shown if words else asked
    page = Paginator(rows.for_pages(), ROWS_PER_PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "page": page,
        "filters": filters,
        "is_filtered": bool(words),
        "query": query.urlencode(),
        "may_close": request.user.has_perm(CLOSE),
    }
    return render(request, "ops/locations.html", context)


@operator_requires(CLOSE, on=Location)
@require_http_methods(["GET", "HEAD", "POST"])
def close_location(request, location):
    """Show what closing a location ends, then end it; it cannot be taken back."""
    if request.method != "POST":
        form = ReasonForm(initial={"reason": location.closing_reason})
        return _closing_page(request, location, form)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return _closing_page(request, location, form, status=422)
    try:
        services.close_location(location, **form.cleaned_data, by=request.user)
    except ValidationError as error:
        form.add_error(None, error)
        return _closing_page(request, location, form, status=422)
    messages.success(
        request,
        _("%(location)s is closed. Its people are told.") % {"location": location.name},
    )
    return redirect("ops:locations")


@operator_requires(CLOSE, on=Location)
@require_http_methods(["GET", "HEAD", "POST"])
def decline_closing(request, location):
    """Answer that a location stays open, and why."""
    if request.method != "POST":
        return redirect("ops:close_location", pk=location.pk)
    form = ReasonForm(request.POST, auto_id="answer_%s")
    if not form.is_valid():
        return _closing_page(request, location, decline_form=form, status=422)
    try:
        decline(location, answer=form.cleaned_data["reason"], by=request.user)
    except ValidationError as error:
        form.add_error(None, error)
        return _closing_page(request, location, decline_form=form, status=422)
    messages.success(
        request,
        _("%(location)s stays open. Who asked is told.") % {"location": location.name},
    )
    return redirect("ops:locations")


def _closing_page(request, location, form=None, *, decline_form=None, status=200):
    """What would end now, whatever was shown before."""
    location = Location.objects.for_pages().get(pk=location.pk)
    form = form or ReasonForm(initial={"reason": location.closing_reason})
    if decline_form and not location.is_closing_asked:
        without_fields(decline_form)
    plan = services.plan_closing(location)
    try:
        check_closing(location)
    except ValidationError as error:
        why_not = " ".join(error.messages)
    else:
        why_not = ""
    context = {
        "location": location,
        "company": location.partner_account,
        "plan": plan,
        "enrollments": [
            {"enrollment": one, "status": SHOWN[one.status]} for one in plan.enrollments
        ],
        "roles": [
            {"person": one.user, "role": role_row(one, given=frozenset())}
            for one in plan.roles
        ],
        "why_not": why_not,
        "form": form,
        "decline_form": decline_form or ReasonForm(auto_id="answer_%s"),
        "has_errors": bool(form.errors or (decline_form and decline_form.errors)),
    }
    return render(request, "ops/close_location.html", context, status=status)
