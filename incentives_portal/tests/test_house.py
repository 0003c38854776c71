"""The house keeps its own rules: found in the code, the addresses and the models."""

import re
from functools import cache

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.db.models import ForeignKey, OneToOneField

from accounts.access import Access, public
from accounts.encryption import EncryptedTextField
from accounts.models import Location, PartnerAccount
from accounts.scoping import ScopedQuerySet
from incentives_portal.tests.addresses import every_address

# Forbidden things that one file does, and why that is safe there.
ALLOWED = {
    (r"csrf_exempt", "accounts/scim/views.py"): (
        "a bearer token with every request, and no cookie is looked at (RFC 7644 §2)"
    ),
    (r"csrf_exempt", "accounts/views/mail.py"): (
        "mail programs post unsubscribe links, which are signed (RFC 8058)"
    ),
}
OUR_APPS = ("accounts", "profiles", "enrollment")
ROOT = settings.BASE_DIR

# Views of libraries, which declare nothing of ours.
FOREIGN_VIEWS = {
    "account_": "django-allauth: signing in and one's own account",
    "mfa_": "django-allauth: second factors of one's own",
    "admin:": "Django's admin: accounts/admin_site.py decides, test_admin.py looks",
}


def our_models():
    return [
        model for app in OUR_APPS for model in apps.get_app_config(app).get_models()
    ]


@cache
def our_files(*suffixes):
    folders = (*OUR_APPS, "incentives_portal", "templates")
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in suffixes and "__pycache__" not in path.parts
    ]


@cache
def our_texts():
    return {
        path: path.read_text()
        for path in our_files(".py", ".html", ".txt")
        if "tests" not in path.parts
    }


@cache
def all_our_text() -> str:
    return "\n".join(our_texts().values())


def test_every_view_declares_who_may_use_it():
    open_ones = {
        address.name: what_is_undeclared(address.view)
        for address in every_address()
        if not address.name.startswith(tuple(FOREIGN_VIEWS))
    }

    assert open_ones == dict.fromkeys(open_ones, "")


def what_is_undeclared(view) -> str:
    """What a view leaves open about who may use it; nothing if all is said."""
    declared = getattr(view, "access", None)
    if not isinstance(declared, Access):
        return "declares no access"
    if not declared.permission and len(declared.reason) <= 20:
        return "does not say why it is open"
    return ""


def test_every_exemption_is_needed():
    names = [address.name for address in every_address()]

    for prefix in FOREIGN_VIEWS:
        assert any(name.startswith(prefix) for name in names)


def test_a_view_without_a_declaration_would_be_found():
    def forgotten(request):
        """Declares nothing."""

    assert what_is_undeclared(forgotten) == "declares no access"
    assert what_is_undeclared(public("why not")(forgotten)) != ""


def _belongs_to_tenants(model) -> bool:
    return model in (PartnerAccount, Location) or any(
        isinstance(field, ForeignKey | OneToOneField)
        and field.related_model in (PartnerAccount, Location)
        for field in model._meta.get_fields()
    )


def test_every_tenant_table_is_scoped():
    for model in filter(_belongs_to_tenants, our_models()):
        queryset = model._default_manager.all()

        assert isinstance(queryset, ScopedQuerySet), f"{model.__name__} is not scoped"
        assert queryset.scope.account, model
        assert queryset.view_permission, model


def test_no_template_is_unused():
    names = [
        path.relative_to(ROOT / "templates")
        for path in sorted((ROOT / "templates").rglob("*.*"))
    ]

    assert len(names) > 100
    assert [path.as_posix() for path in names if not _is_used(path)] == []


def _is_used(path) -> bool:
    name = path.as_posix()
    if name.startswith(("allauth/", "account/", "mfa/", "admin/")):
        return True  # found by the names their libraries give them
    if re.fullmatch(r"[45]\d\d(_csrf)?\.html", name):
        return True  # found by Django by their names
    if name.startswith("emails/") and not name.startswith("emails/_"):
        message = path.name.partition(".")[0]
        wanted = f'"{message}"'
    else:
        wanted = name

    own = our_texts().get(ROOT / "templates" / path, "")
    return all_our_text().count(wanted) > own.count(wanted)


def test_every_form_that_posts_carries_its_token():
    for path in our_files(".html"):
        for form in re.findall(r"<form\b[^>]*>.*?</form>", path.read_text(), re.DOTALL):
            if 'method="post"' in form.partition(">")[0]:
                assert "csrf_token" in form or "{% slot %}" in form, path


def test_pages_have_no_inline_script_or_style():
    # Mails are read outside the portal and carry their own style.
    for path in our_files(".html"):
        text = path.read_text()
        if "emails" in path.parts:
            continue
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), path
        assert not re.search(r"\sstyle=", text), path
        assert not re.search(r"\son[a-z]+=\"", text), path


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"build_absolute_uri", "links come from PUBLIC_BASE_URL (T9)"),
        (r"mark_safe|SafeString\(", "text is escaped where it is shown (T11)"),
        (r"csrf_exempt", "every POST carries its token (T10)"),
        (r"\.raw\(|\.extra\(|RawSQL", "the ORM asks the database (T12)"),
        (
            r"\.delay\(|apply_async",
            "mail and work are found in the database (fault 28)",
        ),
        (r"countdown=|\beta=", "due times live in the database (fault 6)"),
    ],
)
def test_a_forbidden_thing_is_nowhere(pattern, why):
    for path in our_files(".py"):
        if "tests" in path.parts or "migrations" in path.parts:
            continue
        if (pattern, path.relative_to(ROOT).as_posix()) in ALLOWED:
            continue
        assert not re.search(pattern, path.read_text()), f"{path}: {why}"


@pytest.mark.parametrize(("pattern", "path"), sorted(ALLOWED))
def test_every_allowance_is_needed(pattern, path):
    assert re.search(pattern, (ROOT / path).read_text())


def test_only_views_behind_a_token_do_without_the_forms_token():
    open_ones = {
        address.name
        for address in every_address()
        if getattr(address.view, "csrf_exempt", False)
        and not address.name.startswith("admin:")
    }

    assert open_ones == {"unsubscribe"} | {
        address.name
        for address in every_address()
        if getattr(getattr(address.view, "access", None), "kind", "") == "token"
    }


def encrypted_fields():
    return {
        (model, field.name)
        for model in our_models()
        for field in model._meta.get_fields()
        if isinstance(field, EncryptedTextField)
    }


def test_bank_and_tax_details_and_secrets_are_encrypted():
    assert {(model.__name__, name) for model, name in encrypted_fields()} == {
        ("BankProfileDraft", "details"),
        ("BankProfileVersion", "details"),
        ("CompanyTenant", "client_secret"),
        ("PreparedPart", "details"),
        ("TaxDocument", "content"),
        ("TaxDocument", "name"),
        ("TaxProfileDraft", "details"),
        ("TaxProfileVersion", "details"),
    }


def test_the_admin_shows_no_encrypted_field():
    for model, model_admin in admin.site._registry.items():
        hidden = {name for owner, name in encrypted_fields() if owner is model}
        shown = {
            *map(str, model_admin.list_display),
            *map(str, model_admin.readonly_fields),
            *map(str, model_admin.search_fields),
            *map(str, model_admin.list_filter),
            *(model_admin.fields or ()),
        }
        assert hidden.isdisjoint(shown), model
        if hidden:
            assert model_admin.fields or model_admin.exclude, model
