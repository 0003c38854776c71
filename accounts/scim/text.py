"""What a directory sends as words: kept as one clean line each, or refused."""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from scim2_models import Context, Resource

from accounts.models.provisioning import NAME_LENGTH
from accounts.text import clean_line

# A person has a few addresses; more is a mistake, or meant to fill the table.
MOST_VALUES = 20


def cleaned(text: str | None, *, max_length: int = NAME_LENGTH) -> str:
    """Return a clean line, or nothing; raises ValidationError as clean_line does."""
    if not text or text.isspace():
        return ""
    return clean_line(text, max_length=max_length)


def said(resource: Resource, *names: str) -> dict[str, Any]:
    """Return what a resource says in some attributes, as they are stored."""
    facts = resource.model_dump(scim_ctx=Context.DEFAULT, include=set(names))
    facts.pop("schemas", None)
    return _cleaned_within(facts)


def _cleaned_within(value: Any) -> Any:
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, list):
        if len(value) > MOST_VALUES:
            raise ValidationError(
                _("Send at most %(most)d values.") % {"most": MOST_VALUES}
            )
        return [_cleaned_within(one) for one in value]
    if isinstance(value, dict):
        kept = {name: _cleaned_within(one) for name, one in value.items()}
        return {
            name: one for name, one in kept.items() if one not in ("", None, {}, [])
        }
    return value
