"""The door of a company's directory: SCIM 2.0 (RFC 7644) behind a bearer token.

There is no session and no cookie: who calls is the token, and the token is of one
company. What another company has is missing here, in the same words.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import ModuleType

from allauth.core.internal import ratelimit
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import translation
from django.views.decorators.csrf import csrf_exempt  # noqa: TID251
from pydantic import ValidationError as PayloadError
from scim2_models import (
    ConflictException,
    Context,
    Error,
    InvalidValueException,
    ListResponse,
    NotFoundException,
    NotImplementedException,
    Resource,
    SCIMException,
    UnauthorizedException,
    UniquenessException,
)

from accounts import services
from accounts.access import Access
from accounts.models import PartnerAccount, ProvisioningToken
from accounts.scim import asking, filters, groups, people, resources
from accounts.time_limits import trouble_of

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/scim+json"
# Entra wants 25 a second; a directory gone wild waits for the next minute.
REQUESTS_A_MINUTE = 3_000
WINDOW_SECONDS = 60
# Seconds after which what the database could not do is tried again.
AGAIN_AFTER = 10
# Tokens that open nothing, from one place.
FAILURES = {"scim_token": "30/m/ip"}
REASON = "a company's directory shows its token with every request; no cookie counts"


class TooManyRequests(Exception):
    """Somebody asks too often."""


def by_token(**methods: Callable) -> Callable:
    """Make a view of functions, one a method, each called with the token's company.

    The one place without CSRF tokens: nothing here looks at a cookie, so that there is
    nothing another site could make a browser send (T10).
    """

    @csrf_exempt
    @login_not_required
    def view(request: HttpRequest, **key: str) -> HttpResponse:
        # Whoever reads these sentences reads them in a log of the directory.
        with translation.override("en"):
            response = _answered(request, methods, key)
        response["Cache-Control"] = "no-store"
        return response

    view.access = Access("token", reason=REASON)
    return view


def discovered(describe: Callable) -> Callable:
    """Make a function that answers with what the service says about itself."""

    @wraps(describe)
    def get(request: HttpRequest, company: PartnerAccount, **key: str) -> HttpResponse:
        if "filter" in request.GET:
            return _error(Error(status=403, detail="Discovery takes no filter."))
        return describe(**key)

    return get


# --- Discovery ------------------------------------------------------------------


@discovered
def _service_provider_config() -> HttpResponse:
    return _answer(resources.service_provider_config())


@discovered
def _schemas() -> HttpResponse:
    return _listed(resources.schemas())


@discovered
def _schema(key: str) -> HttpResponse:
    return _answer(_named(resources.schemas(), key))


@discovered
def _resource_types() -> HttpResponse:
    return _listed(resources.resource_types())


@discovered
def _resource_type(key: str) -> HttpResponse:
    return _answer(_named(resources.resource_types(), key))


# --- People and groups: the same steps on another kind of row ----------------------


def _listing(kind: ModuleType, model: type[Resource]) -> Callable:
    def get(request: HttpRequest, company: PartnerAccount) -> HttpResponse:
        query = asking.query_of(request, model)
        rows = kind.rows(company)
        start, count = query.start_index, query.count
        if query.filter is None and query.sort_by is None:
            total = rows.count()
            page = rows[start - 1 : start - 1 + count] if count else []
            found = kind.shown(company, page, with_members=_shows_members(query))
        else:
            if query.filter is not None:
                rows = rows.filter(filters.narrowing(query.filter.ast, kind.narrowed))
            shown = kind.shown(company, rows, with_members=_needs_members(query))
            if query.filter is not None:
                shown = [one for one in shown if query.filter.match(one)]
            shown = query.sort(shown)
            total, found = len(shown), shown[start - 1 : start - 1 + count]
        listed = ListResponse[model](
            total_results=total,
            start_index=start,
            items_per_page=len(found),
            resources=found,
        )
        return _json(
            listed.model_dump(
                scim_ctx=Context.RESOURCE_QUERY_RESPONSE,
                response_parameters=query,
                scim_policy=resources.POLICY,
            )
        )

    return get


def _creating(kind: ModuleType, model: type[Resource]) -> Callable:
    def post(request: HttpRequest, company: PartnerAccount) -> HttpResponse:
        shape = asking.shape_of(request, model)
        wanted = asking.resource_of(request, model, Context.RESOURCE_CREATION_REQUEST)
        (made,) = kind.shown(company, [kind.add(company, wanted)])
        response = _answer(
            made, context=Context.RESOURCE_CREATION_RESPONSE, shape=shape, status=201
        )
        response["Location"] = made.meta.location
        return response

    return post


def _reading(kind: ModuleType, model: type[Resource]) -> Callable:
    def get(request: HttpRequest, company: PartnerAccount, key: str) -> HttpResponse:
        shape = asking.shape_of(request, model)
        row = _found(kind, company, key)
        (shown,) = kind.shown(company, [row], with_members=_shows_members(shape))
        return _answer(shown, shape=shape)

    return get


def _replacing(kind: ModuleType, model: type[Resource]) -> Callable:
    def put(request: HttpRequest, company: PartnerAccount, key: str) -> HttpResponse:
        shape = asking.shape_of(request, model)
        context = Context.RESOURCE_REPLACEMENT_REQUEST
        with _held(company):
            row = _found(kind, company, key)
            wanted = asking.resource_of(request, model, context)
            (original,) = kind.shown(company, [row])
            wanted.replace(original)
            (shown,) = kind.shown(company, [kind.change(company, row, wanted)])
        return _answer(
            shown, context=Context.RESOURCE_REPLACEMENT_RESPONSE, shape=shape
        )

    return put


def _patching(
    kind: ModuleType, model: type[Resource], *, is_silent: bool = False
) -> Callable:
    def patch(request: HttpRequest, company: PartnerAccount, key: str) -> HttpResponse:
        shape = asking.shape_of(request, model)
        with _held(company):
            row = _found(kind, company, key)
            row = kind.patch(company, row, asking.changes_of(request))
        if is_silent and not shape.attributes:
            return HttpResponse(status=204)
        (shown,) = kind.shown(company, [row], with_members=_shows_members(shape))
        return _answer(shown, context=Context.RESOURCE_PATCH_RESPONSE, shape=shape)

    return patch


def _removing(kind: ModuleType) -> Callable:
    def delete(request: HttpRequest, company: PartnerAccount, key: str) -> HttpResponse:
        with _held(company):
            kind.remove(company, _found(kind, company, key))
        return HttpResponse(status=204)

    return delete


def _unknown(request: HttpRequest, company: PartnerAccount, **key: str):
    raise NotFoundException(detail="There is no such resource.")


def _unsupported(request: HttpRequest, company: PartnerAccount, **key: str):
    raise NotImplementedException(
        detail="Ask /Users or /Groups with GET and a filter instead."
    )


service_provider_config = by_token(GET=_service_provider_config)
schemas = by_token(GET=_schemas)
schema = by_token(GET=_schema)
resource_types = by_token(GET=_resource_types)
resource_type = by_token(GET=_resource_type)
search = by_token(POST=_unsupported)
users = by_token(
    GET=_listing(people, resources.User), POST=_creating(people, resources.User)
)
user = by_token(
    GET=_reading(people, resources.User),
    PUT=_replacing(people, resources.User),
    PATCH=_patching(people, resources.User),
    DELETE=_removing(people),
)
directory_groups = by_token(
    GET=_listing(groups, resources.Group), POST=_creating(groups, resources.Group)
)
directory_group = by_token(
    GET=_reading(groups, resources.Group),
    PUT=_replacing(groups, resources.Group),
    # What Entra asks for: a group of thousands is not sent back with every change.
    PATCH=_patching(groups, resources.Group, is_silent=True),
    DELETE=_removing(groups),
)
elsewhere = by_token(
    GET=_unknown, POST=_unknown, PUT=_unknown, PATCH=_unknown, DELETE=_unknown
)


# --- Who calls ---------------------------------------------------------------------


def _answered(request: HttpRequest, methods: dict, key: dict) -> HttpResponse:
    """Answer whatever happens with a resource, a list or a SCIM error."""
    try:
        token = _caller(request)
        answer = methods.get("GET" if request.method == "HEAD" else request.method)
        if answer is None:
            return _not_allowed(methods)
        with services.acting_as(
            f"SCIM: {token.name} ({token.pk})", on_behalf_of=token.created_by
        ):
            return answer(request, token.partner_account, **key)
    except TooManyRequests:
        response = _error(Error(status=429, detail="Too many requests. Wait a minute."))
        response["Retry-After"] = str(WINDOW_SECONDS)
        return response
    except UnauthorizedException as refusal:
        response = _error(refusal.to_error())
        response["WWW-Authenticate"] = 'Bearer realm="SCIM"'
        return response
    except SCIMException as refusal:
        return _error(refusal.to_error())
    except PayloadError as refusal:
        return _error(Error.from_validation_errors(refusal)[0])
    except ValidationError as refusal:
        return _error(_refused(refusal).to_error())
    except IntegrityError:
        # Two requests at once: the database let one of them through.
        logger.warning("scim: two requests at once")
        return _error(UniquenessException().to_error())
    except (OperationalError, InterfaceError) as error:
        trouble = trouble_of(error)
        if trouble is None:
            raise
        logger.warning("scim: the database is %s", trouble.value)
        response = _error(Error(status=503, detail="Try again in a moment."))
        response["Retry-After"] = str(AGAIN_AFTER)
        return response


def _caller(request: HttpRequest) -> ProvisioningToken:
    """Return the token a request shows; whoever guesses is slowed down."""
    scheme, _space, secret = request.headers.get("Authorization", "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise UnauthorizedException(detail="Send a bearer token.")
    token = services.use_provisioning_token(secret)
    if token is None:
        services.note_refused_token(secret)
        if not ratelimit.consume(
            request,
            app="accounts",
            action="scim_token",
            config=FAILURES,
            limit_get=True,
        ):
            raise TooManyRequests
        raise UnauthorizedException(detail="The token is unknown, revoked or expired.")
    if _requests_this_minute(token) > REQUESTS_A_MINUTE:
        raise TooManyRequests
    return token


def _requests_this_minute(token: ProvisioningToken) -> int:
    """Count one more request of a token."""
    name = f"scim:{token.pk}:{int(time.time() // WINDOW_SECONDS)}"
    try:
        return cache.incr(name)
    except ValueError:
        cache.set(name, 1, WINDOW_SECONDS)
        return 1


# --- Rows -------------------------------------------------------------------------


@contextmanager
def _held(company: PartnerAccount) -> Iterator[None]:
    """Read and change a row as one step: nobody changes it in between."""
    with transaction.atomic():
        services.lock_companies(company.pk)
        yield


def _found(kind: ModuleType, company: PartnerAccount, key: str):
    number = filters.key_of(key)
    row = None if number is None else kind.rows(company).filter(pk=number).first()
    if row is None:
        if number is not None:
            services.note_refusal(
                kind.rows(company).model,
                {"pk": number},
                wanted="directory",
                by=None,
                company=company.pk,
            )
        raise NotFoundException(detail="There is no such resource.")
    return row


def _named(described: list, key: str):
    for one in described:
        if str(one.id).lower() == key.lower():
            return one
    raise NotFoundException(detail="There is no such resource.")


# --- Answers ----------------------------------------------------------------------


def _answer(
    resource: Resource,
    *,
    context: Context = Context.RESOURCE_QUERY_RESPONSE,
    shape=None,
    status: int = 200,
) -> HttpResponse:
    return _json(
        resource.model_dump(
            scim_ctx=context, response_parameters=shape, scim_policy=resources.POLICY
        ),
        status=status,
    )


def _listed(described: list) -> HttpResponse:
    return _json(
        ListResponse[type(described[0])](
            total_results=len(described),
            start_index=1,
            items_per_page=len(described),
            resources=described,
        ).model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE)
    )


def _error(error: Error) -> HttpResponse:
    return _json(error.model_dump(), status=error.status or 400)


def _json(payload: dict, *, status: int = 200) -> HttpResponse:
    return JsonResponse(payload, status=status, content_type=CONTENT_TYPE)


def _not_allowed(methods: dict) -> HttpResponse:
    response = _error(Error(status=405, detail="This is not done here."))
    response["Allow"] = ", ".join(sorted(methods))
    return response


def _refused(refusal: ValidationError) -> SCIMException:
    """Say what a service refused: 409 what the company's state forbids, else 400."""
    code, detail = services.refusal_code(refusal), " ".join(refusal.messages)
    if code == "taken":
        return UniquenessException(detail=detail)
    if code == "last_global_admin":
        return ConflictException(detail=detail)
    return InvalidValueException(detail=detail)


def _shows_members(shape) -> bool:
    hidden = {str(path).lower() for path in shape.excluded_attributes or []}
    wanted = {str(path).lower() for path in shape.attributes or []}
    if wanted:
        return any("members" in path for path in wanted)
    return not any(path.rpartition(":")[2] == "members" for path in hidden)


def _needs_members(query) -> bool:
    """Whether members are shown, or a filter or an order asks about them."""
    asked = f"{query.filter or ''} {query.sort_by or ''}".lower()
    return "members" in asked or _shows_members(query)
