"""Mail one can do without: from the mail's own link, and on one's account."""

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.csrf import csrf_exempt  # noqa: TID251
from django.views.decorators.http import require_http_methods

from accounts import services
from accounts.access import public, signed_in
from accounts.models import IncentiveProgram, MailTopic, MutedMail
from accounts.muting import read_mute_token

# What a person gets by default; for partners alone.
_WORDS = {
    MailTopic.REMINDERS: gettext_lazy(
        "Reminders 14, 7 and 2 days before the last day of an invitation"
    ),
    MailTopic.SINGLE: gettext_lazy(
        "A mail of its own for each reminder, up to three; otherwise one mail for all"
    ),
    MailTopic.RENEWALS: gettext_lazy(
        "What the next fiscal year puts at risk, 90, 60, 30 and 7 days before"
    ),
}


class MailForm(forms.Form):
    """Which optional mail somebody wants."""

    topics = forms.MultipleChoiceField(
        label=gettext_lazy("Mail me"),
        choices=list(_WORDS.items()),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    programs = forms.ModelMultipleChoiceField(
        label=gettext_lazy("No reminders of these programs"),
        queryset=IncentiveProgram.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *args, programs, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["programs"].queryset = programs
        self.fields["programs"].label_from_instance = lambda program: program.name
        if not programs:
            del self.fields["programs"]


# A mail program posts without a page of ours before: there is no form to hold a token.
# What the address holds is signed, names one thing, and takes nothing from anybody.
@csrf_exempt
@public(
    "an unsubscribe link: its signed token switches off one kind of mail (RFC 8058)"
)
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request, token: str):
    """Ask, and switch off on POST; a mail program posts without asking (RFC 8058)."""
    try:
        _person, topic, program = read_mute_token(token)
        if request.method == "POST":
            services.mute_by_token(token)
    except (ValueError, ValidationError):
        return render(
            request, "accounts/unsubscribe.html", {"is_broken": True}, status=404
        )
    context = {
        "is_broken": False,
        "is_done": request.method == "POST",
        "is_of_reminders": topic == MailTopic.REMINDERS,
        "program": program and IncentiveProgram.objects.filter(pk=program).first(),
    }
    return render(request, "accounts/unsubscribe.html", context)


@signed_in("shows and changes nothing but what mail the person wants")
@require_http_methods(["GET", "HEAD", "POST"])
def mail(request):
    """Choose the optional mail one gets; what is mandatory is named, and stays."""
    muted = list(MutedMail.objects.filter(user=request.user).order_by("pk"))
    programs = IncentiveProgram.objects.filter(
        pk__in=[row.program_id for row in muted if row.program_id]
    ).order_by("name", "pk")
    without = {row.topic for row in muted if row.program_id is None}
    initial = {
        "topics": [topic for topic in _WORDS if topic not in without],
        "programs": [program.pk for program in programs],
    }
    form = MailForm(
        request.POST if request.method == "POST" else None,
        initial=initial,
        programs=programs,
    )
    if request.method == "POST" and form.is_valid():
        services.choose_mail(
            request.user,
            topics=form.cleaned_data["topics"],
            programs=form.cleaned_data.get("programs", ()),
            by=request.user,
        )
        messages.success(request, _("Your choice is kept."))
        return redirect("own:mail")
    status = 422 if form.errors else 200
    return render(request, "accounts/mail.html", {"form": form}, status=status)
