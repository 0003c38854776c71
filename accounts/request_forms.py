"""What is typed about access that is asked for, and about the answer."""

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.forms import (
    PLACE_WORDS,
    ROLE_TEXTS,
    LocationField,
    OfferingMixin,
    RefusableForm,
    find_field,
)
from accounts.models import IncentiveProgram, Location
from accounts.roles import REQUESTABLE_ROLES, Role
from accounts.text import CleanTextField

# What is chosen instead of a location.
WHOLE_COMPANY = "company"


class PlaceField(LocationField):
    """One location, or the whole company in so many words: never by leaving it empty."""

    def to_python(self, value):
        return value if value == WHOLE_COMPANY else super().to_python(value)

    def prepare_value(self, value):
        return value if value == WHOLE_COMPANY else super().prepare_value(value)


class AccessRequestForm(OfferingMixin, RefusableForm):
    """What somebody asks for, prefilled by the page that refused."""

    WHOLE_COMPANY, ALL_PROGRAMS = WHOLE_COMPANY, ""

    role = forms.ChoiceField(
        label=_("Role"),
        widget=forms.RadioSelect,
        choices=[(role.value, role.label) for role in REQUESTABLE_ROLES],
        error_messages={
            "required": _("Choose a role."),
            "invalid_choice": _("Choose one of these roles."),
        },
    )
    find_location = find_field(_("Find locations by name, country or PartnerID"))
    location = PlaceField(
        label=_("Where"),
        queryset=Location.objects.none(),
        error_messages={
            "required": _("Choose where you need the role."),
            "invalid_choice": _("Choose a location of your company."),
        },
    )
    program = forms.ChoiceField(
        label=_("Program"),
        required=False,
        error_messages={"invalid_choice": _("Choose one of these programs.")},
    )
    reason = CleanTextField(
        label=_("Why you need it"),
        help_text=_("Your admins read this. Leave out account and tax numbers."),
        required=False,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args, company, **options):
        super().__init__(*args, **options)
        # Listed programs only: who asks may not hear of the others yet.
        self._programs = {
            str(one.pk): one for one in IncentiveProgram.objects.known_to()
        }
        first = [("", _("Choose where"))]
        last = [(self.WHOLE_COMPANY, _("The whole company"))]
        self.offer(
            "location",
            Location.objects.active().of_company(company),
            looks_in=PLACE_WORDS,
            around=(first, last),
        )
        self.fields["program"].choices = [
            (self.ALL_PROGRAMS, _("All programs")),
            *((pk, one.name) for pk, one in self._programs.items()),
        ]

    @property
    def role_options(self):
        """Each role to choose, with what it lets its holder do."""
        texts = (ROLE_TEXTS[role] for role in REQUESTABLE_ROLES)
        return zip(self["role"], texts, strict=True)

    @property
    def answers(self) -> dict:
        """The answers as the services ask for them."""
        location = self.cleaned_data["location"]
        return {
            "role": Role(self.cleaned_data["role"]),
            "location": None if location == self.WHOLE_COMPANY else location,
            "program": self._programs.get(self.cleaned_data["program"]),
            "reason": self.cleaned_data["reason"],
        }


class DeclineForm(forms.Form):
    """Why somebody does not get what they asked for."""

    reason = CleanTextField(
        label=_("Why not"),
        help_text=_("The person reads this."),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": _("Say why. The person reads it.")},
    )
