"""Operators: which company's directory signs its people in, and what its roles give."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Count
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import openid, services
from accounts.access import operator_requires, recently_authenticated
from accounts.forms import AppRoleForm, ChangeSignInForm, RegisterSignInForm
from accounts.models import CompanyTenant, TenantRoleMapping
from accounts.posting import posted
from accounts.roles import Role
from accounts.rows import last_use

PAGE_SIZE = 50
VIEW = "accounts.view_companytenant"
ADD = "accounts.add_companytenant"
CHANGE = "accounts.change_companytenant"


def _page_of(row: CompanyTenant | TenantRoleMapping) -> str:
    tenant = row if isinstance(row, CompanyTenant) else row.tenant
    return tenant.get_absolute_url()


@operator_requires(VIEW)
@require_safe
def sign_ins(request):
    """List the companies whose directory signs people in."""
    tenants = (
        CompanyTenant.objects.select_related("partner_account")
        .prefetch_related("domains")
        .annotate(mapped=Count("role_mappings"))
        .order_by("partner_account__name", "pk")
    )
    context = {
        "page": Paginator(tenants, PAGE_SIZE).get_page(request.GET.get("page")),
        "may_register": request.user.has_perm(ADD),
    }
    return render(request, "ops/sign_ins.html", context)


@operator_requires(ADD)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
def register(request):
    """Register a company's directory."""
    form = RegisterSignInForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        facts = dict(form.cleaned_data)
        company = facts.pop("company")
        try:
            tenant = services.register_tenant(company, **facts, by=request.user)
        except ValidationError as refusal:
            form.add_refusal(refusal)
        else:
            messages.success(
                request,
                _("Registered. Now say which app roles give which roles."),
            )
            return redirect(tenant)
    return _form_page(request, form, tenant=None)


@operator_requires(VIEW, on=CompanyTenant)
@require_safe
def sign_in(request, tenant):
    """Show one company's sign-in: what to enter in Entra, and the table of roles."""
    return _page(request, tenant)


@operator_requires(CHANGE, on=CompanyTenant)
@recently_authenticated
@require_http_methods(["GET", "HEAD", "POST"])
def change(request, tenant):
    """Change how a directory is asked."""
    known = {
        "client_id": tenant.client_id,
        "issuer": tenant.issuer,
        "mfa_context": tenant.mfa_context,
        "domains": ", ".join(one.domain for one in tenant.domains.all()),
    }
    form = ChangeSignInForm(request.POST or None, initial=known)
    if request.method == "POST" and form.is_valid():
        try:
            services.change_tenant(tenant, **form.cleaned_data, by=request.user)
        except ValidationError as refusal:
            form.add_refusal(refusal)
        else:
            messages.success(request, _("Changed."))
            return redirect(tenant)
    return _form_page(request, form, tenant=tenant)


@operator_requires(CHANGE, on=CompanyTenant)
@recently_authenticated
@posted(instead=_page_of)
def stop(request, tenant):
    """Let a directory sign nobody in; the roles it gave end."""
    services.set_tenant_active(tenant, is_active=False, by=request.user)
    messages.success(
        request,
        _(
            "Nobody signs in through it now. The roles it gave have ended, except that the "
            "last Global admin stays one."
        ),
    )
    return redirect(tenant)


@operator_requires(CHANGE, on=CompanyTenant)
@recently_authenticated
@posted(instead=_page_of)
def start(request, tenant):
    """Let a directory sign people in again."""
    services.set_tenant_active(tenant, is_active=True, by=request.user)
    messages.success(
        request, _("People sign in through it again; each gets the roles then.")
    )
    return redirect(tenant)


@operator_requires(CHANGE, on=CompanyTenant)
@recently_authenticated
@posted(instead=_page_of)
def map_app_role(request, tenant):
    """Let whoever has an app role hold a role."""
    form = AppRoleForm(request.POST, company=tenant.partner_account)
    if form.is_searching:
        return _page(
            request, tenant, form=form.unchecked(company=tenant.partner_account)
        )
    if form.is_valid():
        try:
            mapping = services.map_app_role(
                tenant, **form.cleaned_data, by=request.user
            )
        except ValidationError as refusal:
            form.add_refusal(refusal)
        else:
            if not mapping.is_in_force:
                messages.info(
                    request,
                    _(
                        "%(app_role)s gives the role %(role)s when a second operator has "
                        "approved it."
                    )
                    % {"app_role": mapping.app_role, "role": Role(mapping.role).label},
                )
                return redirect(tenant)
            messages.success(
                request,
                _("%(app_role)s gives the role %(role)s from the next sign-in on.")
                % {"app_role": mapping.app_role, "role": Role(mapping.role).label},
            )
            return redirect(tenant)
    return _page(request, tenant, form=form, status=422)


@operator_requires(CHANGE, on=TenantRoleMapping)
@recently_authenticated
@posted(instead=_page_of)
def approve_app_role(request, mapping):
    """Approve, as the second operator, a role that gives roles."""
    try:
        mapping = services.approve_app_role(mapping, by=request.user)
    except ValidationError as refusal:
        messages.error(request, " ".join(refusal.messages))
    else:
        messages.success(
            request,
            _("%(app_role)s gives the role %(role)s from the next sign-in on.")
            % {"app_role": mapping.app_role, "role": Role(mapping.role).label},
        )
    return redirect(mapping.tenant)


@operator_requires(CHANGE, on=TenantRoleMapping)
@recently_authenticated
@posted(instead=_page_of)
def unmap_app_role(request, mapping):
    """Take a line out of the table; what only it gave ends."""
    tenant = mapping.tenant
    services.unmap_app_role(mapping, by=request.user)
    messages.success(
        request,
        _("%(app_role)s no longer gives the role %(role)s.")
        % {"app_role": mapping.app_role, "role": Role(mapping.role).label},
    )
    return redirect(tenant)


def _page(request, tenant, *, form=None, status=200):
    mappings = tenant.role_mappings.select_related("location", "program", "mapped_by")
    context = {
        "tenant": tenant,
        "company": tenant.partner_account,
        "domains": [one.domain for one in tenant.domains.all()],
        "callback": openid.callback_address(tenant),
        "mappings": mappings,
        "use": last_use(tenant),
        "may_change": request.user.has_perm(CHANGE),
        "form": form or AppRoleForm(company=tenant.partner_account),
    }
    return render(request, "ops/sign_in.html", context, status=status)


def _form_page(request, form, *, tenant):
    return render(
        request,
        "ops/sign_in_form.html",
        {"form": form, "tenant": tenant},
        status=422 if form.errors else 200,
    )
