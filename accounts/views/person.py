"""One person: what they can do, ending a role, and ending their part in the company."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import F
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import services
from accounts.access import requires, roles_here
from accounts.connections import tokens_left_by
from accounts.forms import ROLE_TEXTS
from accounts.holders import (
    gaps_left_by,
    given_by_roles,
    givers_of,
    holds_anywhere,
    people_with,
    roles_given_by,
)
from accounts.models import Membership, RoleAssignment, UndeliverableAddress
from accounts.reach import reach_of
from accounts.roles import COMPANY_WIDE_ROLES, Permission, Role, roles_with
from accounts.rows import by_words, gap_warnings, role_row
from accounts.scoping import today
from accounts.views.people import page_of, query_without_page

ROLES_PER_PAGE = 50
# Ended roles, the last ones.
MOST_ENDED = 10
# What tells where roles hold, in words.
SCOPE = ("location", "program")
REACH_COLUMNS = (
    *("role", "location", "program"),
    *("location__name", "location__partner_id", "program__name"),
)


@requires(Permission.PERSON_VIEW, on=Membership)
@require_safe
def person(request, member):
    """Show one person: what their roles add up to, which they are, who gave them."""
    company = member.partner_account
    mine = roles_here(request).anywhere
    given = given_by_roles(mine)
    roles = _roles_of(member).live()
    # All of them for what they add up to: only what that takes.
    held = list(roles.select_related(None).select_related(*SCOPE).only(*REACH_COLUMNS))
    page = page_of(request, roles, size=ROLES_PER_PAGE, count=len(held))
    ended = _roles_of(member).exclude(pk__in=roles.values("pk"))
    context = {
        "member": member,
        "holder": member.user,
        "is_self": member.user == request.user,
        "bad_address": UndeliverableAddress.objects.filter(
            address=member.user.email
        ).first(),
        "is_guest": not company.welcomes(member.user.email),
        "has_left": member.ended_at is not None,
        "added_by": by_words(member.added_by),
        "page": page,
        "query": query_without_page(request),
        "roles": [role_row(one, given=given) for one in page],
        "ended": [
            role_row(one, given=frozenset())
            for one in ended.order_by(F("revoked_at").desc(nulls_last=True), "-pk")[
                :MOST_ENDED
            ]
        ],
        "reach": reach_of(held),
        "duties": [
            {"role": role.label, "text": ROLE_TEXTS[role]}
            for role in ROLE_TEXTS
            if role in COMPANY_WIDE_ROLES and role in {one.role for one in held}
        ],
        "may_assign": bool(given),
        "may_deactivate": bool(mine & roles_with(Permission.PERSON_EDIT)),
        "people_url": reverse("accounts:people"),
        "company": company,
    }
    return render(request, "accounts/person.html", context)


@requires(Permission.PERSON_EDIT, on=Membership)
@require_http_methods(["GET", "HEAD", "POST"])
def deactivate(request, member):
    """Say what ending a person's part in the company means, then end it."""
    if request.method != "POST":
        return _deactivate_page(request, member)
    try:
        services.deactivate_person(member, by=request.user)
    except ValidationError as error:
        return _deactivate_page(request, member, refusal=error, status=422)
    company = member.partner_account
    is_self = member.user == request.user
    if is_self:
        request.session.flush()
    messages.success(
        request,
        _("%(person)s no longer belongs to %(company)s.")
        % {"person": member.user.full_name, "company": company.name},
    )
    return redirect("home" if is_self else reverse("accounts:people"))


@requires(Permission.ROLE_ASSIGN, on=RoleAssignment)
@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request, assignment):
    """Say what ending a role means, then end it."""
    if request.method != "POST":
        return _revoke_page(request, assignment)
    try:
        services.revoke_role(assignment, by=request.user)
    except ValidationError as error:
        return _revoke_page(request, assignment, refusal=error, status=422)
    messages.success(
        request,
        _("%(person)s no longer has the role %(role)s: %(place)s.")
        % {
            "person": assignment.user.full_name,
            "role": Role(assignment.role).label,
            "place": assignment.where,
        },
    )
    company = assignment.partner_account
    may_stay = holds_anywhere(request.user, Permission.PERSON_VIEW, company)
    return redirect(reverse("accounts:people") if may_stay else "home")


def _roles_of(member):
    """The roles of a person in a company, held and ended, widest first."""
    return (
        RoleAssignment.objects.of_company(member.partner_account)
        .filter(user=member.user)
        .select_related("location", "program", "granted_by", "revoked_by")
        .order_by(
            F("location__name").asc(nulls_first=True), "role", "program__name", "pk"
        )
    )


def _refusal(check, subject, request):
    """What a check refuses, if it does."""
    try:
        check(subject, by=request.user)
    except ValidationError as error:
        return error
    return None


def _deactivate_page(request, member, *, refusal=None, status=200):
    """What deactivating this person would do, or why the reader cannot do it."""
    company = member.partner_account
    has_left = member.ended_at is not None
    if refusal is None and not has_left:
        refusal = _refusal(services.check_deactivating, member, request)
    roles = [] if has_left else list(_roles_of(member).live())
    others = (
        member.user.memberships.filter(ended_at=None).exclude(pk=member.pk).exists()
    )
    is_about_roles = refusal is not None and _code(refusal) == "not_granting"
    context = {
        "member": member,
        "holder": member.user,
        "company": company,
        "is_self": member.user == request.user,
        "has_left": has_left,
        "belongs_elsewhere": others,
        "roles": [role_row(one, given=frozenset()) for one in roles],
        "refusal": " ".join(refusal.messages) if refusal else "",
        "left": gap_warnings(gaps_left_by(*roles)),
        "tokens": tokens_left_by(member.user, company, on=today()),
        "provisioning_url": _provisioning_url(request),
        "givers": [
            one
            for one in people_with(Permission.PERSON_EDIT, company=company)
            if one != request.user
            and roles_given_by(one, company) >= {Role(role.role) for role in roles}
        ]
        if is_about_roles
        else [],
        "people_url": reverse("accounts:people"),
    }
    return render(request, "accounts/deactivate.html", context, status=status)


def _provisioning_url(request) -> str:
    """Where tokens are revoked, for who may."""
    may = roles_here(request).anywhere & roles_with(Permission.PROVISIONING_EDIT)
    return reverse("accounts:provisioning") if may else ""


def _code(error: ValidationError) -> str:
    return getattr(error, "code", "") or ""


def _revoke_page(request, assignment, *, refusal=None, status=200):
    """What ending this role would do, or why the reader cannot end it."""
    if refusal is None:
        refusal = _refusal(services.check_revoking, assignment, request)
    company = assignment.partner_account
    role = Role(assignment.role)
    is_over = assignment.is_over(today())
    context = {
        "assignment": assignment,
        "row": role_row(assignment, given=roles_given_by(request.user, company)),
        "is_self": assignment.user == request.user,
        "is_over": is_over,
        "refusal": " ".join(refusal.messages) if refusal else "",
        "people_url": reverse("accounts:people"),
        "left": [] if is_over else gap_warnings(gaps_left_by(assignment)),
        "tokens": tokens_left_by(assignment.user, company, on=today())
        if role in roles_with(Permission.PROVISIONING_EDIT)
        else "",
        "provisioning_url": _provisioning_url(request),
        "givers": givers_of(role, company),
    }
    return render(request, "accounts/revoke.html", context, status=status)
