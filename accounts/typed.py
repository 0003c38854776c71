"""What was sent after its sender had been signed out: kept for them, filled in again.

It waits sealed in the session of the browser and opens to nobody but the person whom
that browser signed in last. Nothing of it is ever sent by itself (security.md, fault 46).
"""

import json
import re
import time
from collections.abc import Callable

from allauth.core.internal import ratelimit
from django.contrib import messages
from django.forms import BaseForm
from django.http import HttpRequest, QueryDict
from django.utils import translation
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _

from accounts import known_browsers
from accounts.sealing import DecryptionError, seal, unseal

# Seconds, and characters as they were sent: more is not kept.
KEPT_FOR = 30 * 60
LONGEST = 20_000
_KEPT = "typed_when_signed_out"
_PERSON = re.compile("[0-9a-f]{64}")


def keeps_typed(view: Callable) -> Callable:
    """Let what is sent to a view be kept when nobody is signed in any more.

    For forms of words only: none with a password, a bank or tax number or a file. The
    view that shows the form fills it in again with `refilled`.
    """
    view.keeps_typed = True
    return view


def keep(request: HttpRequest, view: Callable) -> None:
    """Keep that something was sent, and what, where the view keeps it, and say why.

    The token of its form has been looked at: what another site sends is not kept. Nor
    is what a script sends by itself, or what comes from a browser nobody signed in with.
    """
    person = known_browsers.latest(request)
    if (
        not _PERSON.fullmatch(person)
        or request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
    ):
        return
    if not ratelimit.consume(request, app="allauth.account", action="typed_signed_out"):
        return
    typed = request.POST.copy()
    typed.pop("csrfmiddlewaretoken", None)
    text = typed.urlencode() if getattr(view, "keeps_typed", False) else ""
    kept = {
        "at": time.time(),
        "path": request.path,
        "typed": text if len(text) <= LONGEST else "",
    }
    request.session[_KEPT] = seal(json.dumps(kept), **_place(person))
    messages.info(request, _("You were signed out. Sign in to go on."))


def tell(request: HttpRequest, user) -> None:
    """Tell who has signed in that what they had sent before was not taken."""
    kept = _kept_for(user, request)
    if kept is None or not kept["typed"]:
        request.session.pop(_KEPT, None)
    if kept is not None:
        with translation.override(user.language):
            messages.warning(request, _("You were signed out. Nothing was sent."))


def refilled(request: HttpRequest, form: BaseForm, *, at: str = "") -> BaseForm:
    """Fill a form that was not sent yet with what its reader typed before, once.

    `at` is the address the form is sent to, where that is not this page's own.
    """
    if request.method != "GET" or form.is_bound or _KEPT not in request.session:
        return form
    kept = _kept_for(request.user, request)
    if kept is not None and kept["path"] != (at or request.path):
        return form
    del request.session[_KEPT]
    if kept is None:
        return form
    typed, no_files = QueryDict(kept["typed"]), MultiValueDict()
    for name, field in form.fields.items():
        sent = (typed, no_files, form.add_prefix(name))
        if not field.widget.value_omitted_from_data(*sent):
            form.initial[name] = field.widget.value_from_datadict(*sent)
    return form


def _kept_for(user, request: HttpRequest) -> dict | None:
    """Return what is kept, unless it is somebody else's or has waited too long."""
    place = _place(known_browsers.fingerprint(user))
    try:
        kept = json.loads(unseal(request.session.get(_KEPT, ""), **place))
    except DecryptionError:
        return None
    return kept if time.time() - kept["at"] < KEPT_FOR else None


def _place(person: str) -> dict[str, object]:
    """Where it may be opened: in a session, for the person of a fingerprint."""
    return {"table": "session", "pk": person, "column": "typed_when_signed_out"}
