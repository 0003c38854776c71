"""What a directory asks for, read from a request: bodies, patches, queries."""

import json
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.http.request import UnreadablePostError
from scim2_models import (
    Context,
    InvalidSyntaxException,
    PatchOp,
    PayloadTooLargeException,
    Resource,
    ResponseParameters,
    SearchRequest,
)

from accounts.scim.resources import MOST_RESULTS, POLICY

MOST_OPERATIONS = 1_000
# Beyond any list, and still a whole number for the database.
FURTHEST = 10**9
DEFAULT_COUNT = 100


def body_of(request: HttpRequest) -> dict[str, Any]:
    """Return the JSON object a request carries."""
    try:
        payload = json.loads(request.body, parse_constant=_refuse_constant)
    except RequestDataTooBig as error:
        raise PayloadTooLargeException(detail="The request is too large.") from error
    except (UnreadablePostError, ValueError, RecursionError) as error:
        raise InvalidSyntaxException(detail="The request is no JSON.") from error
    if not isinstance(payload, dict):
        raise InvalidSyntaxException(detail="The request is no JSON object.")
    return payload


def resource_of(
    request: HttpRequest, model: type[Resource], context: Context
) -> Resource:
    """Return the whole resource a request carries."""
    return model.model_validate(body_of(request), scim_ctx=context, scim_policy=POLICY)


@dataclass(frozen=True)
class Changes:
    """What a patch asks for: its operations as they were sent, and what is around."""

    message: dict[str, Any]
    operations: list[Any]


def changes_of(request: HttpRequest) -> Changes:
    """Return the patch a request carries, with one operation for each filter."""
    payload = body_of(request)
    operations = _items(payload, "operations")
    if len(operations) > MOST_OPERATIONS:
        raise PayloadTooLargeException(
            detail=f"Send at most {MOST_OPERATIONS} operations."
        )
    return Changes(
        message={
            name: value
            for name, value in payload.items()
            if name.lower() != "operations"
        },
        operations=[part for operation in operations for part in _spread(operation)],
    )


def apply(changes: Changes, resource: Resource) -> None:
    """Change a resource as a patch asks, also in the forms only Entra sends."""
    operations = [_removing_by_key(operation) for operation in changes.operations]
    patch = PatchOp[type(resource)].model_validate(
        changes.message | {"Operations": operations},
        scim_ctx=Context.RESOURCE_PATCH_REQUEST,
        scim_policy=POLICY,
    )
    patch.patch(resource, scim_policy=POLICY)


def query_of(request: HttpRequest, model: type[Resource]) -> SearchRequest:
    """Return what of a list is asked for, and in which order."""
    asked = {
        name: request.GET[name]
        for name in (
            "filter",
            "sortBy",
            "sortOrder",
            "startIndex",
            "count",
            "attributes",
            "excludedAttributes",
        )
        if request.GET.get(name)
    }
    query = SearchRequest[model].model_validate(
        asked, scim_ctx=Context.DEFAULT, scim_policy=POLICY
    )
    query.start_index = min(query.start_index or 1, FURTHEST)
    query.count = min(
        DEFAULT_COUNT if query.count is None else query.count, MOST_RESULTS
    )
    return query


def shape_of(request: HttpRequest, model: type[Resource]) -> ResponseParameters:
    """Return which attributes an answer is to have."""
    asked = {
        name: request.GET[name]
        for name in ("attributes", "excludedAttributes")
        if request.GET.get(name)
    }
    return ResponseParameters[model].model_validate(
        asked, scim_ctx=Context.DEFAULT, scim_policy=POLICY
    )


def _spread(operation: Any) -> list[Any]:
    """Give filters their own operation that Entra writes as names in a value.

    {"op": "Replace", "value": {"emails[type eq \\"work\\"].value": "a@b.example"}}
    means the path of that name; the library reads names in a value as attributes.
    """
    if not isinstance(operation, dict) or member(operation, "path"):
        return [operation]
    value = member(operation, "value")
    if not isinstance(value, dict):
        return [operation]
    paths = {
        name: one
        for name, one in value.items()
        if "[" in name or name.lower() == "members"
    }
    if not paths:
        return [operation]
    plain = {name: one for name, one in value.items() if name not in paths}
    op = member(operation, "op")
    spread = [{"op": op, "path": name, "value": one} for name, one in paths.items()]
    return [{"op": op, "value": plain}, *spread] if plain else spread


def _removing_by_key(operation: Any) -> Any:
    """Let the value of a removal name entries by what it says of them, not by nulls.

    Entra sends {"$ref": null, "value": "7"} where it means the entry of that value.
    """
    if not isinstance(operation, dict):
        return operation
    entries = member(operation, "value")
    if str(member(operation, "op")).lower() != "remove" or not entries:
        return operation
    entries = entries if isinstance(entries, list) else [entries]
    if len(entries) > MOST_OPERATIONS:
        raise PayloadTooLargeException(
            detail=f"Remove at most {MOST_OPERATIONS} values at once."
        )
    said = [
        {name: one for name, one in entry.items() if one is not None}
        if isinstance(entry, dict)
        else entry
        for entry in entries
    ]
    return {"op": "remove", "path": member(operation, "path"), "value": said}


def _items(payload: dict[str, Any], name: str) -> list[Any]:
    items = member(payload, name)
    return items if isinstance(items, list) else []


def member(payload: dict[str, Any], name: str) -> Any:
    """Return what an object has under a name, in whatever case."""
    return next((one for key, one in payload.items() if key.lower() == name), None)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
