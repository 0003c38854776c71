"""People as SCIM users: what is shown of them, and what a directory says of them."""

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _
from scim2_models import Meta

from accounts import services
from accounts.directory import directory_people
from accounts.models import DirectoryPerson, Language, Membership, PartnerAccount
from accounts.models.provisioning import NAME_LENGTH
from accounts.scim import asking, resources
from accounts.scim.text import cleaned, said
from accounts.text import normalize_email

# The name of an account is shorter than what a directory may call somebody.
FULL_NAME_LENGTH = 120


def rows(account: PartnerAccount) -> QuerySet[Membership]:
    """Return the people a company's directory sees."""
    return directory_people(account)


def narrowed(name: str, value: object) -> Q | None:
    """Return what a comparison for equality asks of the table; None if it cannot."""
    if name == "active" and isinstance(value, bool):
        return Q(is_here=value)
    if name == "username" and isinstance(value, str):
        return Q(user_name__iexact=value)
    if name == "externalid" and isinstance(value, str):
        return Q(external_id=value)
    if name == "emails.value" and isinstance(value, str):
        return _with_address(value)
    return None


def shown(
    account: PartnerAccount, members: Iterable[Membership], **_options
) -> list[resources.User]:
    """Show people as the directory knows them, else as the portal does."""
    members = list(members)
    entries = {
        entry.user_id: entry
        for entry in DirectoryPerson.objects.of_company(account).filter(
            user__in=[member.user_id for member in members]
        )
    }
    return [_shown(member, entries.get(member.user_id)) for member in members]


def add(account: PartnerAccount, wanted: resources.User) -> Membership:
    """Add a person; raises ValidationError as the service does."""
    entry = _entry(wanted, was_active=True)
    return services.add_directory_person(account, entry)


def change(
    account: PartnerAccount, member: Membership, wanted: resources.User
) -> Membership:
    """Make a person what the resource says; raises ValidationError as the service."""
    entry = _entry(wanted, was_active=member.is_here)
    return services.change_directory_person(account, member.user, entry)


def patch(
    account: PartnerAccount, member: Membership, changes: asking.Changes
) -> Membership:
    """Change a person as a patch asks; raises ValidationError as the service does."""
    (wanted,) = shown(account, [member])
    asking.apply(changes, wanted)
    return change(account, member, wanted)


def remove(account: PartnerAccount, member: Membership) -> None:
    """Deactivate a person and forget them here."""
    services.remove_directory_person(account, member.user)


def _with_address(text: str) -> Q | None:
    """Ask for whoever may have an address, as the portal or the directory has it."""
    if '"' in text or "\\" in text:
        # Written in another way where the table keeps it.
        return None
    entries = DirectoryPerson.objects.filter(
        user=OuterRef("user"),
        partner_account=OuterRef("partner_account"),
        facts__emails__icontains=text,
    )
    return Q(user__email__iexact=text) | Q(Exists(entries))


def _shown(member: Membership, entry: DirectoryPerson | None) -> resources.User:
    user = resources.User.model_validate(
        entry.facts
        if entry is not None and entry.facts
        else {
            "displayName": member.user.full_name,
            "name": {"formatted": member.user.full_name},
            "emails": [{"value": member.user.email, "type": "work", "primary": True}],
        }
    )
    user.id = str(member.pk)
    user.user_name = member.user_name
    user.external_id = member.external_id or None
    user.active = member.is_here
    user.meta = Meta(
        resource_type="User",
        created=member.added_at,
        last_modified=max(entry.updated_at, member.added_at)
        if entry
        else member.added_at,
        location=resources.location("Users", user.id),
    )
    return user


def _entry(wanted: resources.User, *, was_active: bool) -> services.PersonEntry:
    """Read a resource; what Entra leaves out is what it was, or what userName says."""
    user_name = cleaned(wanted.user_name, max_length=NAME_LENGTH)
    if not user_name:
        raise ValidationError(_("userName must not be empty."))
    wanted = wanted.model_copy(deep=True)
    wanted.emails = [one for one in wanted.emails or [] if one.value]
    email = _address(wanted, user_name)
    if not wanted.emails:
        wanted.emails = [resources.Email(value=email, type="work", primary=True)]
    facts = said(wanted, "name", "display_name", "preferred_language", "emails")
    return services.PersonEntry(
        user_name=user_name,
        external_id=cleaned(wanted.external_id, max_length=NAME_LENGTH),
        email=email,
        full_name=_full_name(facts, user_name)[:FULL_NAME_LENGTH].strip(),
        language=_language(wanted.preferred_language),
        is_active=was_active if wanted.active is None else wanted.active,
        facts=facts,
    )


def _address(wanted: resources.User, user_name: str) -> str:
    """Return the one address that counts: the primary, the first, or the userName."""
    for is_primary in (True, False):
        for one in wanted.emails:
            if bool(one.primary) is is_primary:
                return normalize_email(one.value)
    try:
        return normalize_email(user_name)
    except ValidationError as error:
        raise ValidationError(
            _("Send an e-mail address: emails is empty and userName is no address.")
        ) from error


def _full_name(facts: dict, user_name: str) -> str:
    name = facts.get("name", {})
    parts = [name.get("givenName", ""), name.get("familyName", "")]
    return (
        facts.get("displayName")
        or name.get("formatted")
        or " ".join(filter(None, parts))
        or user_name
    )


def _language(preferred: str | None) -> str:
    code = (preferred or "")[:2].lower()
    return code if code in Language.values else Language.ENGLISH
