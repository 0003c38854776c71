"""People who are not there yet: inviting colleagues by e-mail, and what came of it."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import services
from accounts.access import requires, roles_here
from accounts.emails import undeliverable
from accounts.forms import ROLE_TEXTS, InviteForm
from accounts.holders import people_with, roles_given_by, roles_given_in
from accounts.models import ColleagueInvitation, RoleAssignment, scope_words
from accounts.posting import posted
from accounts.reach import reach_of
from accounts.roles import COMPANY_WIDE_ROLES, Permission, Role
from accounts.views.around import around, typed
from accounts.waiting import invitation_rows

PAGE_SIZE = 25


def _list_with(invitation) -> str:
    """The list an invitation stands in."""
    return reverse("accounts:invitations")


@requires(Permission.PERSON_EDIT)
@require_safe
def invitations(request):
    """List whom the company invited, open invitations first."""
    rows = (
        ColleagueInvitation.objects.where_held(
            roles_here(request), Permission.PERSON_EDIT
        )
        .open_first(timezone.now())
        .select_related("created_by", "closed_by")
        .prefetch_related("places__location", "places__program")
    )
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    given_by = roles_given_in(request.company)
    context = {
        "page": page,
        "rows": invitation_rows(
            page,
            given=given_by.get(request.user.pk, frozenset()),
            given_by=given_by,
            adding=frozenset(
                one.pk
                for one in people_with(Permission.PERSON_EDIT, company=request.company)
            ),
            undelivered=undeliverable(invitation.pk for invitation in page),
            at=timezone.now(),
        ),
    }
    return render(
        request, "accounts/invitations.html", context | around(request, "invitations")
    )


@requires(Permission.PERSON_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def invite(request):
    """Ask whom to invite to which role; send the invitation."""
    if request.method != "POST":
        given = roles_given_by(request.user, request.company)
        usual = Role.INCENTIVES_ADMIN.value
        initial = {
            "role": usual if given else InviteForm.NO_ROLE,
            "language": request.user.language,
            "width": InviteForm.SOME,
        } | request.GET.dict()
        initial |= {name: request.GET.getlist(name) for name in ("location", "program")}
        return _invite_page(request, _form(request, initial=initial))
    form = _form(request, data=request.POST)
    invitation = _asked(request, form, services.invite_colleague)
    if invitation is None:
        return _invite_page(request, form, status=422)
    messages.success(
        request,
        _("The invitation to %(person)s (%(address)s) is on its way.")
        % {"person": invitation.full_name, "address": invitation.email},
    )
    return redirect("accounts:invitations")


@requires(Permission.PERSON_EDIT)
@require_http_methods(["GET", "HEAD", "POST"])
def preview_invitation(request):
    """Say in words what an invitation would offer; nothing is sent."""
    if request.method != "POST":
        return redirect("accounts:invite")
    form = _form(request, data=request.POST)
    scopes = _asked(request, form, _check_colleague)
    if scopes is None:
        return _invite_page(request, form, status=422)
    role = form.answers["role"]
    offered = [
        RoleAssignment(role=role, location=location, program=program)
        for location, program in scopes
        if role
    ]
    context = {
        "form": form,
        "full_name": form.cleaned_data["full_name"],
        "email": form.cleaned_data["email"],
        "language": dict(form.fields["language"].choices)[
            form.cleaned_data["language"]
        ],
        "role": role.label if role else _("No role yet"),
        "has_role": bool(role),
        "duty": ROLE_TEXTS[role] if role in COMPANY_WIDE_ROLES else "",
        "ends_on": form.answers.get("ends_on"),
        "places": [scope_words(*scope) for scope in scopes],
        "reach": reach_of(offered),
        "lifetime_days": services.INVITATION_LIFETIME.days,
        "change_url": f"{reverse('accounts:invite')}?{typed(request)}",
    }
    return render(request, "accounts/preview_invitation.html", context)


@requires(Permission.PERSON_EDIT, on=ColleagueInvitation)
@posted(instead=_list_with)
def resend_invitation(request, invitation):
    """Send an open invitation's mail again."""
    try:
        services.resend_invitation(invitation, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(
            request,
            _("The invitation to %(address)s is on its way again.")
            % {"address": invitation.email},
        )
    return redirect(_list_with(invitation))


@requires(Permission.PERSON_EDIT, on=ColleagueInvitation)
@posted(instead=_list_with)
def revoke_invitation(request, invitation):
    """End an open invitation."""
    try:
        services.revoke_invitation(invitation, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(
            request,
            _("The invitation to %(address)s no longer works.")
            % {"address": invitation.email},
        )
    return redirect(_list_with(invitation))


def _form(request, *, data=None, initial=None) -> InviteForm:
    return InviteForm(
        data,
        initial=initial,
        company=request.company,
        given=roles_given_by(request.user, request.company),
    )


def _check_colleague(account, *, full_name, language, **offer):
    return services.check_colleague(account, **offer)


def _asked(request, form, service):
    """Ask a service what the form says; None when the form or the service refuses."""
    if not form.is_valid():
        return None
    try:
        return service(request.company, by=request.user, **form.answers)
    except ValidationError as error:
        form.add_refusal(error)
        return None


def _invite_page(request, form, *, status=200):
    return render(request, "accounts/invite.html", {"form": form}, status=status)
