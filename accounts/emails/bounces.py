"""What the portal writes when mail to somebody comes back."""

from django.conf import settings

from accounts import outbox
from accounts.companies import path_in
from accounts.holders import appointers
from accounts.models import Membership, OutgoingEmail, PartnerAccount, User


def mail_came_back(
    person: User, *, company: PartnerAccount, email: OutgoingEmail
) -> None:
    """Tell the admins of a company that mail to one of its people comes back.

    Not the person: that mail would come back as well.
    """
    member = Membership.objects.current().of_company(company).get(user=person)
    path = path_in(company, "accounts:person", pk=member.pk)
    for admin in appointers(company):
        if admin.pk == person.pk:
            continue
        outbox.queue(
            "mail_came_back",
            to=admin,
            dedupe_key=f"mail_came_back:{email.pk}:{company.pk}:{admin.pk}",
            context={
                "person": person,
                "company": company,
                "message_subject": email.subject,
                "url": settings.PUBLIC_BASE_URL + path,
            },
            about_url=path,
        )
