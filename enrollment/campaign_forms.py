"""What operators choose and write for a campaign."""

import re
from datetime import datetime, time
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Location, PartnerAccount
from accounts.text import CleanTextField
from enrollment.audience import REASONS, VARIABLES
from enrollment.models import Campaign
from profiles.countries import country_name

MOST_PARTNER_IDS = 2000


class CampaignForm(forms.ModelForm):
    """A draft: which locations, which words, when and how fast."""

    countries = forms.MultipleChoiceField(
        label=gettext_lazy("Only in these countries"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    partner_ids = forms.CharField(
        label=gettext_lazy("Only these PartnerIDs"),
        help_text=gettext_lazy(
            "Of companies or of locations, with spaces, commas or new lines between."
        ),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    send_on = forms.DateField(
        label=gettext_lazy("Not before this day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    send_from = forms.TimeField(
        label=gettext_lazy("Not before this time"),
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}),
    )
    mails_per_hour = forms.IntegerField(
        label=gettext_lazy("Mails an hour, at most"),
        help_text=gettext_lazy("Empty: as fast as the mail server takes."),
        required=False,
        min_value=1,
        error_messages={
            "min_value": gettext_lazy(
                "Give at least 1, or nothing: as fast as the mail server takes."
            )
        },
    )

    class Meta:
        model = Campaign
        fields = ("words_en", "words_sv", "mails_per_hour")
        widgets = {
            "words_en": forms.Textarea(attrs={"rows": 5}),
            "words_sv": forms.Textarea(attrs={"rows": 5}),
        }
        field_classes = {"words_en": CleanTextField, "words_sv": CleanTextField}

    def __init__(self, *args, countries: list[str], **kwargs):
        super().__init__(*args, **kwargs)
        campaign = self.instance
        known = sorted({*countries, *campaign.countries})
        self.fields["countries"].choices = [
            (code, f"{country_name(code)} ({code})") for code in known
        ]
        self.initial["countries"] = campaign.countries
        self.initial["partner_ids"] = "\n".join(campaign.partner_ids)
        if campaign.send_at:
            here = timezone.localtime(campaign.send_at, self._zone)
            self.initial |= {"send_on": here.date(), "send_from": here.time()}
        if len(known) < 2:
            del self.fields["countries"]

    @property
    def _zone(self):
        return ZoneInfo(self.instance.terms.fiscal_year.calendar.time_zone)

    def clean_partner_ids(self) -> list[str]:
        """Every number is one of a company or a location; the unknown ones are named."""
        asked = list(
            dict.fromkeys(re.findall(r"[^\s,;]+", self.cleaned_data["partner_ids"]))
        )
        if len(asked) > MOST_PARTNER_IDS:
            raise ValidationError(
                _("Give at most %(most)d PartnerIDs."),
                params={"most": MOST_PARTNER_IDS},
            )
        known = {
            *Location.objects.filter(partner_id__in=asked).values_list(
                "partner_id", flat=True
            ),
            *PartnerAccount.objects.filter(partner_id__in=asked).values_list(
                "partner_id", flat=True
            ),
        }
        unknown = [one for one in asked if one not in known]
        if unknown:
            raise ValidationError(
                _("Nobody has these PartnerIDs: %(unknown)s."),
                params={"unknown": ", ".join(unknown[:20])},
            )
        return asked

    def clean(self):
        cleaned = super().clean()
        day, hour = cleaned.get("send_on"), cleaned.get("send_from")
        cleaned["send_at"] = None
        if hour and not day:
            self.add_error("send_on", _("Give a day with the time."))
        elif day:
            moment = datetime.combine(day, hour or time(0), tzinfo=self._zone)
            cleaned["send_at"] = moment
            now = timezone.localtime(timezone.now(), self._zone)
            if day < now.date():
                self.add_error("send_on", _("This day has passed."))
            elif hour and moment <= now:
                self.add_error("send_from", _("This moment has passed."))
        return cleaned

    @property
    def chosen(self) -> dict:
        """What was chosen, as change_campaign() takes it."""
        kept = ("partner_ids", "words_en", "words_sv", "mails_per_hour", "send_at")
        return {name: self.cleaned_data[name] for name in kept} | {
            "countries": self.cleaned_data.get("countries", [])
        }


class ConfirmForm(forms.Form):
    """The number of people that somebody confirmed, and the draft they looked at."""

    people = forms.IntegerField(min_value=0)
    seen = forms.CharField(max_length=64)


class PreviewForm(forms.Form):
    """Whose mail, in which language, in which look."""

    person = forms.IntegerField(required=False)
    q = forms.CharField(
        label=gettext_lazy("Name or e-mail address"),
        required=False,
        max_length=120,
        widget=forms.SearchInput,
    )
    language = forms.ChoiceField(
        required=False, choices=[("en", "English"), ("sv", "Svenska")]
    )
    part = forms.ChoiceField(
        required=False, choices=[("html", "HTML"), ("text", gettext_lazy("Text"))]
    )
    look = forms.ChoiceField(
        required=False,
        choices=[("light", gettext_lazy("Light")), ("dark", gettext_lazy("Dark"))],
    )


class LogForm(forms.Form):
    """Which recipients are listed."""

    outcome = forms.ChoiceField(label=gettext_lazy("Status"), required=False)
    q = forms.CharField(
        label=gettext_lazy("Name or e-mail address"),
        required=False,
        max_length=120,
        widget=forms.SearchInput,
    )

    def __init__(self, *args, outcomes: dict, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["outcome"].choices = [("", _("All")), *outcomes.items()]


class LeftOutForm(forms.Form):
    """Why the listed locations are left out."""

    why = forms.ChoiceField(
        label=gettext_lazy("Why"), choices=list(REASONS.items()), required=False
    )


def variables() -> list[tuple[str, str]]:
    """Return what words may hold in braces, and what it says."""
    return [(f"{{{name}}}", str(meaning)) for name, meaning in VARIABLES.items()]
