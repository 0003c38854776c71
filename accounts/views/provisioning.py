"""Connecting a company's directory: its tokens, and which of its groups hold a role."""

from datetime import timedelta

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts import services
from accounts.access import recently_authenticated, requires
from accounts.connections import group_rows, token_rows
from accounts.directory import guests_without_their_role
from accounts.forms import GroupMappingForm, TokenForm
from accounts.models import GroupMapping, ProvisioningToken
from accounts.posting import posted
from accounts.roles import Permission, Role
from accounts.scoping import today
from accounts.sealing import DecryptionError, seal, unseal
from accounts.views.around import around

# Where a session keeps a new token, sealed, until it was shown once.
_NEW_TOKEN = "new_provisioning_token"
MOST_SHOWN = 50
# What the form proposes; a token may also have no end.
USUAL_LIFETIME = timedelta(days=365)


def _page_of(row) -> str:
    """The page a token or a group stands on."""
    return reverse("accounts:provisioning")


@requires(Permission.PROVISIONING_EDIT)
@require_safe
def provisioning(request):
    """Show how the directory is connected; a new token this once."""
    return _page(request, new_token=_new_token(request))


@requires(Permission.PROVISIONING_EDIT)
@recently_authenticated
@posted(instead=lambda: "accounts:provisioning")
def create_token(request):
    """Make a token for the directory; the next page shows it, and no page after it."""
    form = TokenForm(request.POST)
    if form.is_valid():
        try:
            token, secret = services.create_provisioning_token(
                request.company, by=request.user, **form.cleaned_data
            )
        except ValidationError as error:
            form.add_refusal(error)
        else:
            _keep_new_token(request, token, secret)
            return redirect(_page_of(token))
    return _page(request, token_form=form, status=422)


@requires(Permission.PROVISIONING_EDIT, on=ProvisioningToken)
@recently_authenticated
@posted(instead=_page_of)
def replace_token(request, token):
    """Make a new token in place of one, which works for a week more."""
    try:
        new, secret = services.replace_provisioning_token(token, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        _keep_new_token(request, new, secret)
    return redirect(_page_of(token))


@requires(Permission.PROVISIONING_EDIT, on=ProvisioningToken)
@recently_authenticated
@posted(instead=_page_of)
def revoke_token(request, token):
    """End a token at once."""
    services.revoke_provisioning_token(token, by=request.user)
    messages.success(
        request, _("The token %(name)s no longer works.") % {"name": token.name}
    )
    return redirect(_page_of(token))


@requires(Permission.PROVISIONING_EDIT)
@recently_authenticated
@posted(instead=lambda: "accounts:provisioning")
def map_group(request):
    """Let the members of a group hold a role."""
    form = GroupMappingForm(request.POST, company=request.company)
    if form.is_searching:
        return _page(request, searching=form.unchecked(company=request.company))
    if form.is_valid():
        try:
            mapping = services.map_group(
                request.company, by=request.user, **form.cleaned_data
            )
        except ValidationError as error:
            form.add_refusal(error)
        else:
            messages.success(
                request,
                _("The group %(group)s gives the role %(role)s.")
                % {"group": mapping.group_name, "role": Role(mapping.role).label},
            )
            return redirect(_page_of(mapping))
    return _page(request, group_form=form, status=422)


@requires(Permission.PROVISIONING_EDIT, on=GroupMapping)
@recently_authenticated
@posted(instead=_page_of)
def unmap_group(request, mapping):
    """Take the role away that a group gives."""
    page = _page_of(mapping)
    try:
        services.unmap_group(mapping, by=request.user)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(
            request,
            _("The group %(group)s no longer gives the role %(role)s.")
            % {"group": mapping.group_name, "role": Role(mapping.role).label},
        )
    return redirect(page)


def _page(
    request,
    *,
    token_form=None,
    group_form=None,
    searching=None,
    new_token=None,
    status=200,
):
    company = request.company
    tokens = (
        ProvisioningToken.objects.where_user_may(
            request.user, Permission.PROVISIONING_EDIT
        )
        .of_company(company)
        .select_related("created_by")
    )
    mappings = (
        GroupMapping.objects.where_user_may(request.user, Permission.PROVISIONING_EDIT)
        .of_company(company)
        .select_related("location", "program")
    )
    mapped, idle = group_rows(company, mappings)
    guests = guests_without_their_role(company)
    forms = [form for form in (token_form, group_form) if form is not None]
    context = {
        "tenant_url": f"{settings.PUBLIC_BASE_URL}/scim/v2",
        "tokens": token_rows(tokens, on=today()),
        "mapped": mapped,
        "idle": idle[:MOST_SHOWN],
        "more_idle": len(idle[MOST_SHOWN:]),
        "guests": [member.user for member in guests],
        "token_form": token_form
        or TokenForm(initial={"expires_on": today() + USUAL_LIFETIME}),
        "group_form": group_form or searching or GroupMappingForm(company=company),
        "forms": forms,
        "has_errors": bool(forms),
        "new_token": new_token,
    }
    return render(
        request,
        "accounts/provisioning.html",
        context | around(request, "provisioning"),
        status=status,
    )


def _keep_new_token(request, token: ProvisioningToken, secret: str) -> None:
    request.session[_NEW_TOKEN] = seal(secret, **_place(request, token.pk))
    request.session[f"{_NEW_TOKEN}_id"] = token.pk


def _new_token(request) -> dict[str, str] | None:
    """Return the token just made, with its name; the second look finds nothing."""
    sealed = request.session.pop(_NEW_TOKEN, None)
    key = request.session.pop(f"{_NEW_TOKEN}_id", None)
    if sealed is None or request.method == "HEAD":
        return None
    token = ProvisioningToken.objects.of_company(request.company).filter(pk=key).first()
    try:
        secret = unseal(sealed, **_place(request, key))
    except DecryptionError:
        return None
    return {"name": token.name, "secret": secret} if token else None


def _place(request, key: int) -> dict[str, object]:
    return {"table": "session", "pk": f"{request.user.pk}/{key}", "column": "token"}
