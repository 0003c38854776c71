"""The resources a directory reads and writes: people and groups, as RFC 7643 has them.

Only what the portal needs is taken in and kept; whatever else a directory sends of a
person is left where it is.
"""

from typing import Annotated, Any

from django.conf import settings
from pydantic import Field
from scim2_models import (
    URN,
    AuthenticationScheme,
    Bulk,
    CaseExact,
    ChangePassword,
    ComplexAttribute,
    ETag,
    Filter,
    Meta,
    Mutability,
    Patch,
    Reference,
    Required,
    Resource,
    ResourceType,
    Schema,
    ScimPolicy,
    ScimProvider,
    ServiceProviderConfig,
    Sort,
    Uniqueness,
)

MOST_RESULTS = 200
CORE = "urn:ietf:params:scim:schemas:core:2.0"


class Name(ComplexAttribute):
    """The parts of a person's name."""

    formatted: str | None = None
    family_name: str | None = None
    given_name: str | None = None


class Email(ComplexAttribute):
    """An address of a person; the primary one, else the first, is what counts."""

    value: str | None = None
    type: str | None = None
    primary: bool | None = None


class User(Resource[Any]):
    """A person of the company."""

    __schema__ = URN(f"{CORE}:User")

    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    name: Name | None = None
    display_name: str | None = None
    preferred_language: str | None = None
    active: bool | None = None
    emails: list[Email] | None = None


class Member(ComplexAttribute):
    """A person in a group."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    ref: Annotated[Reference["User"] | None, Mutability.immutable] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    type: Annotated[str | None, Mutability.immutable] = Field(None, examples=["User"])


class Group(Resource[Any]):
    """A group of the company's directory; the portal says which role it gives."""

    __schema__ = URN(f"{CORE}:Group")

    display_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    members: list[Member] | None = None


# What Entra sends besides the standard: attributes of no use here, members to remove in
# a value, and filters in a path that are to make the entry they do not find.
POLICY = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
PROVIDER = ScimProvider(models=[User, Group], policy=POLICY)
# A person is always active or not, and always has an address: published as required,
# and read as what they were or what userName says where Entra leaves them out.
_ALWAYS_THERE = frozenset({"active", "emails"})


def service_provider_config() -> ServiceProviderConfig:
    """Say what this service can do."""
    return ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=MOST_RESULTS),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=True),
        etag=ETag(supported=False),
        authentication_schemes=[
            AuthenticationScheme(
                type=AuthenticationScheme.Type.oauthbearertoken,
                name="Bearer token",
                description="A token that a Global admin makes on the People pages.",
                primary=True,
            )
        ],
        meta=Meta(
            resource_type="ServiceProviderConfig",
            location=location("ServiceProviderConfig"),
        ),
    )


def schemas() -> list[Schema]:
    """Describe people and groups."""
    described = []
    for schema in PROVIDER.schemas:
        published = schema.model_copy(deep=True)
        for attribute in published.attributes or []:
            if attribute.name in _ALWAYS_THERE:
                attribute.required = True
                for part in attribute.sub_attributes or []:
                    part.required = part.name == "value"
        published.meta = Meta(
            resource_type="Schema", location=location("Schemas", str(published.id))
        )
        described.append(published)
    return described


def resource_types() -> list[ResourceType]:
    """Say where people and groups are."""
    described = []
    for resource_type in PROVIDER.resource_types:
        published = resource_type.model_copy(deep=True)
        published.meta = Meta(
            resource_type="ResourceType",
            location=location("ResourceTypes", str(published.id)),
        )
        described.append(published)
    return described


def location(*parts: str) -> str:
    """Return the whole address of something here, whatever the request came to (T9)."""
    return "/".join((f"{settings.PUBLIC_BASE_URL}/scim/v2", *parts))
