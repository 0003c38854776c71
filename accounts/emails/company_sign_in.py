"""Mails about which directory signs a company's people in, and what its roles give."""

import uuid

from django.conf import settings
from django.urls import reverse

from accounts import outbox
from accounts.holders import people_with
from accounts.models import CompanyTenant, OutgoingEmail, TenantRoleMapping
from accounts.roles import Permission


def company_sign_in_changed(
    tenant: CompanyTenant, *, news: str, mapping: TenantRoleMapping | None = None
) -> list[OutgoingEmail]:
    """Tell every Global admin: whoever speaks for a company decides who its people are.

    `news` is registered, changed, stopped, started, asked, mapped or unmapped; the last
    three are about `mapping`.
    """
    company = tenant.partner_account
    path = f"{reverse('activity:list')}?company={company.partner_id}"
    return outbox.queue_many(
        outbox.prepare(
            "company_sign_in",
            to=admin,
            dedupe_key=f"company_sign_in:{tenant.pk}:{admin.pk}:{uuid.uuid4()}",
            context={
                "news": news,
                "domain": tenant.label,
                "tenant_id": str(tenant.tenant_id),
                "mapping": mapping,
                "company": company,
                "url": settings.PUBLIC_BASE_URL + path,
            },
            about_url=path,
        )
        for admin in people_with(Permission.PROVISIONING_EDIT, company=company)
    )
