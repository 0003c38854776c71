"""Operators: campaigns, from the audience to what became of each mail (O4)."""

from urllib.parse import urlencode

from csp.constants import NONE, SELF, UNSAFE_INLINE
from csp.decorators import csp
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from accounts.access import operator_requires
from accounts.models import User
from accounts.posting import posted
from accounts.time_limits import at_length
from accounts.typed import keeps_typed, refilled
from enrollment import campaigns as shown
from enrollment import services
from enrollment.audience import REASONS, problems_of_words, reach_of
from enrollment.audience import left_out as left_out_of
from enrollment.campaign_forms import (
    CampaignForm,
    ConfirmForm,
    LeftOutForm,
    LogForm,
    PreviewForm,
    variables,
)
from enrollment.campaign_mails import preview_of
from enrollment.eligibility import locations_to_invite
from enrollment.models import Campaign, ProgramTerms

VIEW = "enrollment.view_programterms"
SEND = "enrollment.send_invitations"
ROWS_PER_PAGE = 50
MOST_FOUND = 20
# Seconds until a page that waits for the workers looks again by itself.
LOOK_AGAIN = 10


def _page_of(campaign: Campaign) -> str:
    return campaign.get_absolute_url()


@operator_requires(SEND, on=ProgramTerms)
@posted(instead=lambda terms: "ops:invitations")
def plan(request, terms):
    """Begin a draft for a program's year."""
    try:
        campaign = services.plan_campaign(terms, by=request.user)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
        return redirect("ops:invitations")
    return redirect(campaign)


@operator_requires(VIEW)
@require_safe
def campaigns(request):
    """List every campaign, the newest first."""
    rows = Campaign.objects.for_pages().select_related("created_by")
    page = Paginator(rows.order_by("-created_at", "pk"), ROWS_PER_PAGE).get_page(
        request.GET.get("page")
    )
    context = {
        "page": page,
        "rows": [(one, shown.SHOWN_CAMPAIGNS[one.status]) for one in page],
    }
    return render(request, "ops/campaigns.html", context)


@operator_requires(VIEW, on=Campaign)
@require_safe
def campaign(request, campaign):
    """Show one campaign: a draft with its audience, or how far it has come."""
    return _campaign_page(request, campaign)


@operator_requires(SEND, on=Campaign)
@posted(instead=_page_of)
@keeps_typed
def change(request, campaign):
    """Keep what was chosen and written of a draft."""
    form = _form_of(campaign, request.POST)
    if not form.is_valid():
        return _campaign_page(request, campaign, form=form, status=422)
    try:
        services.change_campaign(campaign, **form.chosen, by=request.user)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
    else:
        messages.success(request, _("The draft is kept. Nothing is sent yet."))
    return redirect(campaign)


@operator_requires(VIEW, on=Campaign)
@require_safe
@at_length()
def left_out(request, campaign):
    """List the locations that get no mail, for one reason."""
    form = LeftOutForm(request.GET)
    chosen = form.cleaned_data.get("why") if form.is_valid() else ""
    reason = chosen or next(iter(REASONS))
    today = _fresh(campaign).terms.today()
    locations = left_out_of(campaign, reason, on=today).select_related(
        "partner_account"
    )
    page = Paginator(
        locations.order_by("partner_account__name", "name", "pk"), ROWS_PER_PAGE
    ).get_page(request.GET.get("page"))
    context = {
        "campaign": campaign,
        "filter": LeftOutForm({"why": reason}),
        "reason": REASONS[reason],
        "page": page,
        "query": urlencode({"why": reason}),
    }
    return render(request, "ops/left_out.html", context)


# --- The mail ------------------------------------------------------------------------


@operator_requires(VIEW, on=Campaign)
@require_safe
@at_length()
def preview(request, campaign):
    """Show the mail as any recipient would read it."""
    campaign, now = _fresh(campaign), timezone.now()
    form = PreviewForm(request.GET)
    chosen = form.cleaned_data if form.is_valid() else {}
    words = chosen.get("q", "")
    found = list(shown.found_people(campaign, words, at=now)[:MOST_FOUND])
    person = _recipient(campaign, chosen.get("person"), found)
    language = chosen.get("language") or (person.language if person else "en")
    part, look = chosen.get("part") or "html", chosen.get("look") or "light"
    mail = preview_of(campaign, person, language=language) if person else None
    asked = {
        "q": words,
        "person": person.pk if person else "",
        "language": language,
        "part": part,
        "look": look,
    }

    def ways(name: str, choices) -> list[dict]:
        return [
            {
                "label": label,
                "url": f"?{urlencode(asked | {name: code})}",
                "is_current": asked[name] == code,
            }
            for code, label in choices
        ]

    context = {
        "campaign": campaign,
        "filter": form,
        "people": [
            {
                "person": one,
                "url": f"?{urlencode(asked | {'person': one.pk, 'language': one.language})}",
                "is_current": one == person,
            }
            for one in found
        ],
        "is_filtered": bool(words),
        "recipient": person,
        "language": language,
        "mail": mail,
        "part": part,
        "mail_languages": ways("language", form.fields["language"].choices),
        "sender": f"{mail.sender_name or settings.SENDER_NAME} "
        f"<{settings.DEFAULT_FROM_EMAIL}>"
        if mail
        else "",
        "parts": ways("part", form.fields["part"].choices),
        "looks": ways("look", form.fields["look"].choices),
        "frame_url": reverse("ops:preview_campaign_html", kwargs={"pk": campaign.pk})
        + f"?{urlencode(asked)}",
        "may_send": request.user.has_perm(SEND),
        "is_whole": not problems_of_words(campaign),
    }
    return render(request, "ops/campaign_preview.html", context)


@operator_requires(VIEW, on=Campaign)
@require_safe
@xframe_options_sameorigin
@csp(
    {
        "default-src": [NONE],
        "style-src": [UNSAFE_INLINE],
        "sandbox": [],
        "frame-ancestors": [SELF],
    }
)
@at_length()
def preview_html(request, campaign):
    """Show the HTML of the mail alone, for the frame of the preview."""
    campaign = _fresh(campaign)
    form = PreviewForm(request.GET)
    chosen = form.cleaned_data if form.is_valid() else {}
    found = shown.found_people(campaign, "", at=timezone.now())[:1]
    person = _recipient(campaign, chosen.get("person"), found)
    mail = person and preview_of(
        campaign, person, language=chosen.get("language") or person.language
    )
    if not mail:
        return HttpResponse(_("No one is waiting for an invitation."))
    return HttpResponse(
        shown.forced_look(mail.body_html, chosen.get("look") or "light")
    )


@operator_requires(SEND, on=Campaign)
@posted(
    instead=lambda campaign: reverse("ops:preview_campaign", kwargs={"pk": campaign.pk})
)
@at_length()
def test(request, campaign):
    """Mail the operator what a recipient would get."""
    campaign = _fresh(campaign)
    form = PreviewForm(request.POST)
    chosen = form.cleaned_data if form.is_valid() else {}
    person = _recipient(campaign, chosen.get("person"), [])
    language = chosen.get("language") or request.user.language
    back = reverse("ops:preview_campaign", kwargs={"pk": campaign.pk})
    if person is None:
        messages.warning(request, _("Choose whose mail to send you as a test."))
        return redirect(back)
    try:
        services.send_test(campaign, person, language=language, by=request.user)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
    else:
        messages.success(
            request,
            _("A test is on its way to %(address)s.") % {"address": request.user.email},
        )
    return redirect(f"{back}?{urlencode({'person': person.pk, 'language': language})}")


# --- Sending -------------------------------------------------------------------------


@operator_requires(SEND, on=Campaign)
@posted(instead=_page_of)
def send(request, campaign):
    """Confirm the number of people; a minute later it begins."""
    form = ConfirmForm(request.POST)
    confirmed = form.cleaned_data if form.is_valid() else {"people": -1, "seen": ""}
    try:
        services.confirm_campaign(campaign, **confirmed, by=request.user)
    except ValidationError as error:
        return _campaign_page(request, campaign, refused=error.messages, status=422)
    return redirect(campaign)


@operator_requires(SEND, on=Campaign)
@posted(instead=_page_of)
def stop(request, campaign):
    """Take it back in the hold; later, let nothing more leave."""
    was_waiting = _fresh(campaign).is_scheduled
    said = (
        _("Taken back. Nothing was sent; it is a draft again.")
        if was_waiting
        else _(
            "Stopped. Nothing more leaves; who is invited stays invited. The next "
            "campaign writes to whoever got no mail."
        )
    )
    return _taken(request, campaign, services.stop_campaign, said)


@operator_requires(SEND, on=Campaign)
@posted(instead=_page_of)
def pause(request, campaign):
    """Hold back what has not left."""
    return _taken(
        request,
        campaign,
        services.pause_campaign,
        _("Paused. What has not left is held back."),
    )


@operator_requires(SEND, on=Campaign)
@posted(instead=_page_of)
def resume(request, campaign):
    """Go on where it paused."""
    return _taken(request, campaign, services.resume_campaign, _("It goes on."))


@operator_requires(SEND, on=Campaign)
@posted(instead=_page_of)
def discard(request, campaign):
    """Throw a draft away."""
    try:
        services.discard_campaign(campaign, by=request.user)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
        return redirect(campaign)
    messages.success(request, _("The draft is gone."))
    return redirect("ops:campaigns")


@operator_requires(SEND, on=Campaign)
@posted(instead=_page_of)
def resend(request, campaign):
    """Send what could not be delivered once more."""
    log_page = redirect("ops:campaign_log", pk=campaign.pk)
    try:
        number = services.resend_failures(campaign, by=request.user)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
        return log_page
    if number:
        said = ngettext(
            "%(count)d mail is on its way again.",
            "%(count)d mails are on their way again.",
            number,
        )
        messages.success(request, said % {"count": number})
    else:
        messages.info(
            request,
            _("Nothing to send again: mail to these addresses comes back."),
        )
    return log_page


@operator_requires(VIEW, on=Campaign)
@require_safe
@at_length()
def log(request, campaign):
    """List every recipient and what became of the mail."""
    campaign = _fresh(campaign)
    form = LogForm(request.GET, outcomes=shown.OUTCOMES)
    chosen = form.cleaned_data if form.is_valid() else {}
    rows = shown.recipients_of(
        campaign, outcome=chosen.get("outcome", ""), words=chosen.get("q", "")
    )
    page = Paginator(rows, ROWS_PER_PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "campaign": campaign,
        "filter": form,
        "is_filtered": any(chosen.values()),
        "page": page,
        "rows": shown.log_rows(list(page)),
        "query": query.urlencode(),
        "may_send": request.user.has_perm(SEND),
        "failed": shown.progress_of(campaign).resendable,
    }
    return render(request, "ops/campaign_log.html", context)


def _taken(request, campaign, step, said: str):
    try:
        step(campaign, by=request.user)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
    else:
        messages.success(request, said)
    return redirect(campaign)


def _stopped_words(campaign: Campaign, progress: shown.Progress) -> str:
    """Say how many mails had left, failed, and how many people get none."""
    left, failed, rest = shown.left_failed_and_rest(campaign, progress)
    said = ngettext(
        "%(count)d mail had left when it was stopped.",
        "%(count)d mails had left when it was stopped.",
        left,
    ) % {"count": left}
    if failed:
        undelivered = ngettext(
            "%(count)d mail could not be delivered.",
            "%(count)d mails could not be delivered.",
            failed,
        ) % {"count": failed}
        said = f"{said} {undelivered}"
    if not rest:
        return said
    none = ngettext(
        "%(count)d person got none. It does not go on; a new campaign writes to them.",
        "%(count)d people got none. It does not go on; a new campaign writes to them.",
        rest,
    ) % {"count": rest}
    return f"{said} {none}"


def _fresh(campaign: Campaign) -> Campaign:
    return Campaign.objects.for_pages().get(pk=campaign.pk)


def _recipient(campaign: Campaign, key: int | None, found) -> User | None:
    if key:
        people = shown.found_people(campaign, "", at=timezone.now())
        return people.filter(pk=key).first()
    return next(iter(found), None)


@at_length()
def _form_of(campaign: Campaign, data=None) -> CampaignForm:
    campaign = _fresh(campaign)
    countries = (
        locations_to_invite(campaign.terms, on=campaign.terms.today())
        .order_by("country")
        .values_list("country", flat=True)
        .distinct()
    )
    return CampaignForm(data, instance=campaign, countries=list(countries))


def _form_again(request, campaign: Campaign) -> CampaignForm:
    """The draft's form, with what its reader was signed out over."""
    sent_to = reverse("ops:change_campaign", kwargs={"pk": campaign.pk})
    return refilled(request, _form_of(campaign), at=sent_to)


def _campaign_page(request, campaign, *, form=None, refused=(), status=200):
    campaign, now = _fresh(campaign), timezone.now()
    may_send = request.user.has_perm(SEND)
    looks_again = request.GET.get("looks_again", "")
    context = {
        "campaign": campaign,
        "terms": campaign.terms,
        "status": shown.SHOWN_CAMPAIGNS[campaign.status],
        "may_send": may_send,
        "refused": list(refused),
        "has_errors": bool(refused),
        "form": form,
        "variables": variables(),
        "look_again": campaign.is_scheduled or campaign.is_running,
        "looks_again": looks_again,
    }
    if campaign.is_draft:
        reach = reach_of(campaign, on=campaign.terms.today())
        context |= {
            "form": (form or _form_again(request, campaign)) if may_send else None,
            "reach": reach,
            "reasons": [
                (code, REASONS[code], number)
                for code, number in reach.left_out.items()
                if number
            ],
            "is_sendable": bool(reach.people or reach.left_out["nobody"]),
            "unknown": problems_of_words(campaign),
        }
    elif campaign.is_scheduled:
        context["seconds"] = max(0, int((campaign.starts_at - now).total_seconds()))
    else:
        progress = shown.progress_of(campaign)
        context |= {
            "progress": progress,
            "step_words": shown.step_words(campaign),
            "stopped_words": campaign.is_stopped and _stopped_words(campaign, progress),
        }
    return render(request, "ops/campaign.html", context, status=status)
