"""The demo's mailbox: mail that really arrived, for anybody at this machine."""

from collections.abc import Callable
from functools import wraps

from csp.constants import NONE, SELF, UNSAFE_INLINE
from csp.decorators import csp
from django import forms
from django.conf import settings
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from accounts import demo_mail
from accounts.access import public

ON_A_PAGE = 25
# What a mail may do in its frame: nothing, but lead to a page when somebody asks it to.
IN_ITS_FRAME = "allow-popups allow-top-navigation-by-user-activation"


class WhoseMail(forms.Form):
    """Whose mail to list."""

    to = forms.ChoiceField(label=gettext_lazy("To"), required=False)

    def __init__(self, data=None, *, people: list[str]):
        super().__init__(data)
        self.fields["to"].choices = [
            ("", _("Everybody")),
            *((address, address) for address in people),
        ]


def only_in_the_demo(view: Callable) -> Callable:
    """Let a page exist in demo mode alone, whatever the addresses say."""

    @wraps(view)
    def guarded(request, **key):
        if not settings.DEMO:
            raise Http404
        return view(request, **key)

    return guarded


@public("demo mode only: invented people's mail, so that anybody can try an invitation")
@require_safe
@only_in_the_demo
def mailbox(request):
    """Show all mail, newest first, or one person's."""
    mails = demo_mail.newest_first()
    people = sorted({address for mail in mails for address in mail.to})
    whose = WhoseMail(request.GET, people=people)
    address = whose.cleaned_data["to"] if whose.is_valid() else ""
    if address:
        mails = [mail for mail in mails if address in mail.to]
    return render(
        request,
        "demo/mailbox.html",
        {
            "page": Paginator(mails, ON_A_PAGE).get_page(request.GET.get("page")),
            "whose": whose,
            "address": address,
        },
    )


@public("demo mode only: invented people's mail, so that anybody can try an invitation")
@require_safe
@only_in_the_demo
def message(request, name: str):
    """Show one mail: what it says of itself, and its HTML or its text."""
    mail = _mail_or_404(name)
    html = demo_mail.html_of(name)
    shows_text = request.GET.get("part") == "text" or not html
    url = reverse("demo:message", kwargs={"name": name})
    return render(
        request,
        "demo/message.html",
        {
            "mail": mail,
            "text": demo_mail.text_of(name) if shows_text else "",
            "shows_text": shows_text,
            "sandbox": IN_ITS_FRAME,
            "parts": [
                {"label": _("HTML"), "url": url, "is_current": not shows_text},
                {
                    "label": _("Text"),
                    "url": f"{url}?part=text",
                    "is_current": shows_text,
                },
            ],
        },
    )


@public("demo mode only: invented people's mail, so that anybody can try an invitation")
@require_safe
@only_in_the_demo
@xframe_options_sameorigin
@csp(
    {
        "default-src": [NONE],
        "style-src": [UNSAFE_INLINE],
        "sandbox": IN_ITS_FRAME.split(),
        "frame-ancestors": [SELF],
    }
)
def message_html(request, name: str):
    """Show a mail's HTML alone, for the frame; its links open outside of it."""
    _mail_or_404(name)
    html = demo_mail.html_of(name)
    if not html:
        raise Http404
    return HttpResponse(_opening_outside(html))


def _mail_or_404(name: str) -> demo_mail.ReceivedMail:
    mail = demo_mail.find(name)
    if mail is None:
        raise Http404
    return mail


def _opening_outside(html: str) -> str:
    outside = '<base target="_top">'
    before, head, after = html.partition("<head>")
    return f"{before}{head}{outside}{after}" if head else outside + html
