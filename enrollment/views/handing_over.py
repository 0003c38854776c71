"""Handing an invitation over: from the mail or the first step, to a named colleague."""

from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from accounts.access import requires
from accounts.companies import path_in
from accounts.dates import full_day
from accounts.holders import appointers, people_with
from accounts.models import User
from accounts.roles import Permission, Role
from accounts.templatetags.portal import listed
from accounts.typed import keeps_typed, refilled
from enrollment import services
from enrollment.forms import HandOverForm
from enrollment.models import Invitation
from enrollment.successors import successors_of


@requires(Permission.ENROLLMENT_EDIT, on=Invitation)
@require_http_methods(["GET", "HEAD", "POST"])
@keeps_typed
def hand_over(request, invitation):
    """Ask to whom, and hand over what the same mail invited, or some of it."""
    if invitation.user_id != request.user.pk:
        raise Http404
    together = _together(request, invitation)
    if not together:
        messages.info(request, _("There is nothing to hand over here any more."))
        return redirect(invitation.enrollment)
    suggested = successors_of(
        [one.enrollment for one in together], without=request.user
    )
    form = HandOverForm(
        request.POST if request.method == "POST" else None,
        invitations=together,
        first=invitation,
        suggested=suggested,
    )
    form = refilled(request, form)
    if request.method == "POST" and form.is_valid():
        answer = _handed(request, form, together)
        if answer is not None:
            return answer
    first = together[0].enrollment
    context = {
        "form": form,
        "program": invitation.enrollment.terms.program,
        "only": first.location if len(together) == 1 else None,
        "last_day": full_day(min(one.enrollment.enroll_by for one in together)),
        "appointers": appointers(first.location.partner_account),
        "invite_url": _invite_url(request, form, together),
    }
    return render(
        request,
        "enrollment/hand_over.html",
        context,
        status=422 if form.errors else 200,
    )


def _invite_url(request, form, together: list[Invitation]) -> str:
    """Where to invite whom the company does not know yet, with what was typed.

    "" for who may not add people: they are told who can.
    """
    company = together[0].enrollment.location.partner_account
    if not form.has_error("email", code="stranger") or request.user not in people_with(
        Permission.PERSON_EDIT, company=company
    ):
        return ""
    chosen = form.cleaned_data.get("invitations") or [str(together[0].pk)]
    places = [one.enrollment for one in together if str(one.pk) in chosen]
    typed = {
        "email": form.data.get("email", ""),
        "role": Role.INCENTIVES_ADMIN.value,
        "location": [one.location_id for one in places],
        "depth": "some",
        "program": sorted({one.terms.program_id for one in places}),
    }
    return f"{path_in(company, 'accounts:invite')}?{urlencode(typed, doseq=True)}"


def _together(request, invitation) -> list[Invitation]:
    """What the same mail invited, this one first, as far as it can be acted on."""
    mine = Invitation.objects.where_user_may(
        request.user, Permission.ENROLLMENT_EDIT
    ).of_company(invitation.enrollment.location.partner_account)
    same_mail = {"email": invitation.email_id} if invitation.email_id else {}
    key = same_mail or {"pk": invitation.pk}
    now = timezone.now()
    found = (
        mine.addressed_to(request.user)
        .filter(**key)
        .select_related(
            "enrollment__location__partner_account",
            "enrollment__terms__program",
            "enrollment__terms__fiscal_year__calendar",
        )
        .order_by("enrollment__location__name", "pk")
    )
    return [
        one
        for one in found
        if one.enrollment.is_editable and not one.enrollment.is_late(now)
    ]


def _handed(request, form, together):
    """Hand over what was chosen; None when it was refused, and the form says why."""
    chosen = form.cleaned_data.get("invitations") or [str(together[0].pk)]
    try:
        to = form.colleague()
        result = services.hand_over(
            [one for one in together if str(one.pk) in chosen],
            to=to,
            note=form.cleaned_data["note"],
            by=request.user,
        )
    except ValidationError as refusal:
        form.add_refusal(refusal)
        return None
    _say(request, result, to=to)
    return redirect("home")


def _say(request, result, *, to: User) -> None:
    if result.handed:
        messages.success(
            request,
            ngettext(
                "%(person)s has the invitation of %(places)s now. You are not reminded "
                "of it any more.",
                "%(person)s has the invitations of %(places)s now. You are not reminded "
                "of them any more.",
                len(result.handed),
            )
            % {
                "person": to.full_name,
                "places": listed([one.location.name for one in result.handed]),
            },
        )
    if result.asked:
        messages.info(
            request,
            _(
                "%(person)s needs the role Incentives admin first: %(places)s. The "
                "admins were asked for it. Until then it stays with you."
            )
            % {
                "person": to.full_name,
                "places": listed([one.location.name for one in result.asked]),
            },
        )
    if result.takes_it:
        messages.info(
            request,
            _(
                "%(person)s can take the role Incentives admin without asking, and was "
                "told. Until then it stays with you: %(places)s."
            )
            % {
                "person": to.full_name,
                "places": listed([one.location.name for one in result.takes_it]),
            },
        )
