"""What is typed on the People pages: filters, and whom to give which role where."""

from django import forms
from django.contrib.auth.password_validation import (
    password_validators_help_text_html,
)
from django.db.models import Q, QuerySet
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _

from accounts.models import (
    AuditKind,
    IncentiveProgram,
    Language,
    Location,
    PartnerAccount,
    User,
)
from accounts.roles import COMPANY_WIDE_ROLES, INCENTIVE_ROLES, Role
from accounts.text import CleanCharField, EmailField

# What each role lets its holder do, in the order in which roles are offered.
ROLE_TEXTS = {
    Role.INCENTIVES_ADMIN: _("Enrolls, and sees and changes bank and tax profiles."),
    Role.INCENTIVES_USER: _(
        "Sees programs and enrollments. Changes nothing, sees no bank or tax details."
    ),
    Role.GLOBAL_ADMIN: _(
        "Adds people, gives and ends every role. For the whole company."
    ),
    Role.ACCOUNT_ADMIN: _(
        "Adds people, gives and ends incentive roles. For the whole company."
    ),
    Role.USER_ADMIN: _(
        "Adds people and sees their roles, gives none. For the whole company."
    ),
    Role.MPN_ADMIN: _("Sees people and their roles. For the whole company."),
}
# Boxes to tick in one list; more are found by searching.
MOST_BOXES = 20
# What locations are found by.
PLACE_WORDS = ("name", "country", "partner_id")


def without_fields(form: forms.BaseForm) -> forms.BaseForm:
    """Say what is wrong with a form at no field: its page does not show them any more.

    What it is about went on meanwhile, so that nothing can be filled in there.
    """
    wrong = [error for errors in form.errors.as_data().values() for error in errors]
    if wrong:
        form.errors.clear()
        form.add_error(None, wrong)
    return form


class PeopleField(forms.ModelMultipleChoiceField):
    """People of a company by name and address; guests are marked (R14)."""

    widget = forms.CheckboxSelectMultiple
    company = None

    def label_from_instance(self, person) -> str:
        label = f"{person.full_name} ({person.email})"
        if self.company is None or self.company.welcomes(person.email):
            return label
        return _("%(person)s, guest") % {"person": label}


def location_label(location: Location) -> str:
    """Name a location so that two of the same name can be told apart."""
    return _place_label(location.name, location.country, location.partner_id)


def _place_label(name: str, country: str, partner_id: str) -> str:
    return f"{name} · {country} · {partner_id}"


def few_locations(locations: QuerySet[Location]) -> list[tuple[int, str]] | None:
    """Return locations to choose from, or None if there are too many for a list."""
    columns = locations.values_list("pk", "name", "country", "partner_id")
    first = list(columns[: MOST_BOXES + 1])
    if len(first) > MOST_BOXES:
        return None
    return [(pk, _place_label(*words)) for pk, *words in first]


class LocationsField(forms.ModelMultipleChoiceField):
    """Locations to tick, told apart by country and PartnerID."""

    widget = forms.CheckboxSelectMultiple

    def label_from_instance(self, location) -> str:
        return location_label(location)


class LocationField(forms.ModelChoiceField):
    """One location, told apart by country and PartnerID."""

    def label_from_instance(self, location) -> str:
        return location_label(location)


def find_field(label) -> forms.CharField:
    """What a list too long to show is searched for; a button beside it searches."""
    return forms.CharField(
        label=label, required=False, max_length=120, widget=forms.SearchInput
    )


class OfferingMixin:
    """A form with choices from a list that may be thousands long.

    What is chosen and what is found is offered, so that no list gets too long. Any row
    can be chosen; only those shown are few. The search goes away where all of them fit.
    Without JavaScript: the button of the search shows the form again, all of it kept.
    """

    def offer(
        self, name: str, rows: QuerySet, *, looks_in: tuple[str, ...], around=((), ())
    ) -> None:
        """Offer rows in a field; `around` are choices before and after them."""
        field, find = self.fields[name], f"find_{name}"
        field.queryset = rows
        before, after = around
        total = rows.count()
        if total <= MOST_BOXES:
            del self.fields[find]
            shown = list(rows)
        else:
            shown = self._found(name, find, rows, looks_in)
            chosen_first = _(
                "%(shown)d of %(total)d are shown, the ticked ones first. Find others "
                "with the search above."
            )
            if not isinstance(field, forms.ModelMultipleChoiceField):
                chosen_first = _(
                    "%(shown)d of %(total)d are shown, the chosen one first. Find "
                    "others with the search above."
                )
            self[name].help_text = chosen_first % {
                "shown": len(shown),
                "total": total,
            }
        labels = ((row.pk, field.label_from_instance(row)) for row in shown)
        field.widget.choices = [*before, *labels, *after]

    def _found(self, name, find, rows, looks_in) -> list:
        # As typed: the form is not checked yet, and may never be.
        words = str(self[find].value() or "").split()
        chosen = self[name].value() or ()
        chosen = chosen if isinstance(chosen, list | tuple) else [chosen]
        chosen = [key for key in chosen if str(key).isdecimal()]
        found = rows.exclude(pk__in=chosen)
        for word in words:
            hit = Q()
            for column in looks_in:
                hit |= Q(**{f"{column}__icontains": word})
            found = found.filter(hit)
        return [*rows.filter(pk__in=chosen), *found[:MOST_BOXES]]

    def unchecked(self, **options):
        """Return the form as it was typed, without a word on what is missing yet."""
        return type(self)(initial=self.data.dict(), **options)

    @property
    def is_searching(self) -> bool:
        """Whether the button of a search was pressed, not the one that sends."""
        return self.is_bound and "find" in self.data


class PeopleFilterForm(forms.Form):
    """Whom the list of people shows; lives in the address."""

    q = forms.CharField(
        label=_("Name or address"),
        required=False,
        max_length=120,
        widget=forms.SearchInput,
    )
    role = forms.ChoiceField(
        label=_("Role"),
        required=False,
        choices=[("", _("All roles")), *Role.choices],
    )
    location = forms.ModelChoiceField(
        label=_("Location"),
        required=False,
        queryset=Location.objects.none(),
        empty_label=_("All locations"),
    )
    # Instead of the list of locations where that would be too long.
    place = forms.CharField(
        label=_("Location or PartnerID"),
        required=False,
        max_length=120,
        widget=forms.SearchInput,
    )
    program = forms.ModelChoiceField(
        label=_("Program"),
        required=False,
        queryset=IncentiveProgram.objects.none(),
        empty_label=_("All programs"),
    )

    def __init__(self, *args, company, **options):
        super().__init__(*args, **options)
        locations = Location.objects.of_company(company)
        location = self.fields["location"]
        location.queryset = locations
        choices = few_locations(locations)
        if choices is None:
            location.widget = forms.HiddenInput()
        else:
            location.choices = [("", location.empty_label), *choices]
            del self.fields["place"]
        program = self.fields["program"]
        program.queryset = IncentiveProgram.objects.known_to(company)
        program.choices = [
            ("", program.empty_label),
            *program.queryset.values_list("pk", "name"),
        ]


class PlacesFilterForm(forms.Form):
    """Which locations to list."""

    q = forms.CharField(
        label=_("Location or PartnerID"),
        required=False,
        max_length=120,
        widget=forms.SearchInput,
    )


class RoleForm(OfferingMixin, forms.Form):
    """Which role, where and until when.

    The width of the role is chosen in words, never by leaving something unticked:
    nobody gives the whole company by forgetting a tick.
    """

    EVERYWHERE, SOME, ALL = "company", "some", "all"
    # The field that takes what a service says about whoever is to hold the role.
    holder = ""

    role = forms.ChoiceField(
        label=_("Role"),
        widget=forms.RadioSelect,
        error_messages={
            "required": _("Choose a role."),
            "invalid_choice": _("Choose one of these roles."),
        },
    )
    width = forms.ChoiceField(
        label=_("Locations"),
        widget=forms.RadioSelect,
        choices=[
            (SOME, _("Only the locations ticked below")),
            (EVERYWHERE, _("The whole company, with locations added later")),
        ],
        initial=SOME,
        error_messages={"required": _("Choose where the role holds.")},
    )
    find_location = find_field(_("Find locations by name, country or PartnerID"))
    location = LocationsField(
        label=_("Which locations"),
        required=False,
        queryset=Location.objects.none(),
        error_messages={
            "invalid_choice": _("Choose a location of your company."),
            "invalid_pk_value": _("Choose a location of your company."),
        },
    )
    depth = forms.ChoiceField(
        label=_("Programs"),
        widget=forms.RadioSelect,
        choices=[
            (ALL, _("All programs, with those added later")),
            (SOME, _("Only the programs ticked below")),
        ],
        initial=ALL,
        error_messages={"required": _("Choose for which programs the role holds.")},
    )
    program = forms.ModelMultipleChoiceField(
        label=_("Which programs"),
        required=False,
        queryset=IncentiveProgram.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "invalid_choice": _("Choose one of these programs."),
            "invalid_pk_value": _("Choose one of these programs."),
        },
    )
    ends_on = forms.DateField(
        label=_("Last day"),
        required=False,
        help_text=_("For cover during a holiday, say. Empty: no end."),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"invalid": _("Enter a day, like 2026-11-30.")},
    )

    def __init__(self, *args, company, given=INCENTIVE_ROLES, **options):
        super().__init__(*args, **options)
        self.fields["role"].choices = [
            (role.value, role.label) for role in ROLE_TEXTS if role in given
        ]
        locations = Location.objects.active().of_company(company)
        self.offer("location", locations, looks_in=PLACE_WORDS)
        program = self.fields["program"]
        program.queryset = IncentiveProgram.objects.known_to(company)
        # Asked for once, however often they are looked at.
        program.choices = list(program.queryset.values_list("pk", "name"))

    def clean(self):
        answers = super().clean()
        if answers.get("role") in COMPANY_WIDE_ROLES and not answers.get("location"):
            # Such a role has one width; what is chosen for others says nothing of it.
            answers |= {"width": self.EVERYWHERE, "depth": self.ALL}
        width, depth = answers.get("width"), answers.get("depth")
        if "location" in answers:
            self._check_locations(width, depth)
        if "program" in answers:
            self._check_programs(depth)
        return answers

    def _check_locations(self, width, depth):
        ticked = bool(self.cleaned_data["location"])
        if width == self.SOME and not ticked:
            self.add_error("location", _("Tick at least one location."))
        elif width == self.EVERYWHERE and ticked:
            self.add_error(
                "location",
                _(
                    "You chose the whole company and ticked locations. Take the ticks "
                    "away, or choose only the locations ticked."
                ),
            )
        elif width == self.EVERYWHERE and depth == self.SOME:
            self.add_error(
                "location",
                _(
                    "A role for some programs is given at locations. Choose only the "
                    "locations ticked, and tick them."
                ),
            )

    def _check_programs(self, depth):
        ticked = bool(self.cleaned_data["program"])
        if depth == self.SOME and not ticked:
            self.add_error("program", _("Tick at least one program."))
        elif depth == self.ALL and ticked:
            self.add_error(
                "program",
                _(
                    "You chose all programs and ticked some. Take the ticks away, or "
                    "choose only the programs ticked."
                ),
            )

    @property
    def role_options(self):
        """Each role to choose, with what it lets its holder do."""
        return [
            (option, ROLE_TEXTS[Role(option.data["value"])]) for option in self["role"]
        ]

    @property
    def answers(self) -> dict:
        """The answers as the services ask for them."""
        return {
            "role": Role(self.cleaned_data["role"]),
            "locations": list(self.cleaned_data["location"]),
            "programs": list(self.cleaned_data["program"]),
            "ends_on": self.cleaned_data["ends_on"],
        }

    def add_refusal(self, error) -> None:
        """Put what a service refused at the field it is about."""
        names = {"user": self.holder}
        by_field = error.error_dict if hasattr(error, "error_dict") else {None: error}
        for name, errors in by_field.items():
            name = names.get(name, name)
            self.add_error(name if name in self.fields else None, errors)


class AssignRoleForm(RoleForm):
    """Whom of the company to give which role, where and until when."""

    holder = "person"
    field_order = ("find_person", "person")

    find_person = find_field(_("Find people by name or address"))
    person = PeopleField(
        label=_("People"),
        queryset=User.objects.none(),
        error_messages={
            "required": _("Choose a person."),
            "invalid_choice": _("Choose a person of your company."),
            "invalid_pk_value": _("Choose a person of your company."),
        },
    )

    def __init__(self, *args, company, **options):
        super().__init__(*args, company=company, **options)
        self.fields["person"].company = company
        people = User.objects.members_of(company)
        self.offer("person", people, looks_in=("full_name", "email"))


class InviteForm(RoleForm):
    """Whom to invite by e-mail, to which role, where and until when.

    Who may add people and give no role (C1) is asked for no role.
    """

    NO_ROLE = "none"
    holder = "email"
    field_order = ("full_name", "email", "language")

    full_name = CleanCharField(
        label=_("Full name"),
        max_length=120,
        error_messages={"required": _("Enter the person's name.")},
    )
    email = EmailField(
        label=_("E-mail address"),
        help_text=_(
            "The invitation works for this address only. Incentive roles need an "
            "address of your company."
        ),
        error_messages={"required": _("Enter the person's e-mail address.")},
    )
    language = forms.ChoiceField(
        label=_("Language of the mail"),
        choices=Language.choices,
        error_messages={"required": _("Choose the language of the mail.")},
    )

    def __init__(self, *args, given=INCENTIVE_ROLES, **options):
        super().__init__(*args, given=given, **options)
        self.fields["role"].choices += [(self.NO_ROLE, _("No role yet"))]
        if not given:
            for name in ("width", "find_location", "location", "depth", "program"):
                self.fields.pop(name, None)
            del self.fields["ends_on"]
            self.fields["role"].widget = forms.HiddenInput()

    def clean(self):
        if self.cleaned_data.get("role") != self.NO_ROLE:
            return super().clean()
        # Nothing is offered that could hold anywhere.
        for name in ("width", "location", "depth", "program", "ends_on"):
            self.errors.pop(name, None)
        return self.cleaned_data

    @property
    def role_options(self):
        """Each role to choose, with what it lets its holder do; then none of them."""
        texts = ROLE_TEXTS | {
            self.NO_ROLE: _("Belongs to the company, and can ask for a role.")
        }
        return [(option, texts[option.data["value"]]) for option in self["role"]]

    @property
    def answers(self) -> dict:
        """The answers as the services ask for them."""
        person = {
            name: self.cleaned_data[name] for name in ("full_name", "email", "language")
        }
        if self.cleaned_data["role"] == self.NO_ROLE:
            return person | {"role": ""}
        return super().answers | person


class JoinForm(forms.Form):
    """What somebody new answers to accept an invitation."""

    email = EmailField(
        label=_("E-mail address"),
        help_text=_("The one that the mail with the link was sent to."),
        widget=forms.EmailInput(attrs={"autocomplete": "username"}),
        error_messages={"required": _("Enter your e-mail address.")},
    )
    full_name = CleanCharField(
        label=_("Full name"),
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
        error_messages={"required": _("Enter your name.")},
    )
    password = forms.CharField(
        label=_("New password"),
        strip=False,
        max_length=200,
        help_text=lazy(password_validators_help_text_html, str)(),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        error_messages={"required": _("Choose a password.")},
    )

    def add_refusal(self, error) -> None:
        """Put what a service refused at the field it is about."""
        by_field = error.error_dict if hasattr(error, "error_dict") else {None: error}
        for name, errors in by_field.items():
            self.add_error(name if name in self.fields else None, errors)


class RefusableForm(forms.Form):
    """A form that shows what a service refused."""

    def add_refusal(self, error) -> None:
        """Put what a service refused at the field it is about, else above the form."""
        by_field = error.error_dict if hasattr(error, "error_dict") else {None: error}
        for name, errors in by_field.items():
            self.add_error(name if name in self.fields else None, errors)


class TokenForm(RefusableForm):
    """What a directory's token is called and how long it works."""

    name = CleanCharField(
        label=_("Name"),
        max_length=80,
        help_text=_("What uses it, like Entra ID. The audit trail says this name."),
        error_messages={"required": _("Enter a name.")},
    )
    expires_on = forms.DateField(
        label=_("Last day"),
        required=False,
        help_text=_("Empty: until it is revoked."),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"invalid": _("Enter a day, like 2026-11-30.")},
    )


class GroupMappingForm(OfferingMixin, RefusableForm):
    """Which role the members of a group hold, and where."""

    group_name = CleanCharField(
        label=_("Group"),
        max_length=256,
        help_text=_("Its name in Entra ID, or its object id."),
        error_messages={"required": _("Enter the name of a group.")},
    )
    role = forms.ChoiceField(
        label=_("Role"),
        choices=[("", _("Choose a role")), *Role.choices],
        error_messages={
            "required": _("Choose a role."),
            "invalid_choice": _("Choose one of these roles."),
        },
    )
    find_location = find_field(_("Find locations by name, country or PartnerID"))
    location = LocationField(
        label=_("Location"),
        required=False,
        queryset=Location.objects.none(),
        empty_label=_("The whole company"),
        error_messages={"invalid_choice": _("Choose a location of your company.")},
    )
    program = forms.ModelChoiceField(
        label=_("Program"),
        required=False,
        queryset=IncentiveProgram.objects.none(),
        empty_label=_("All programs"),
        error_messages={"invalid_choice": _("Choose one of these programs.")},
    )

    def __init__(self, *args, company, **options):
        super().__init__(*args, **options)
        locations = Location.objects.active().of_company(company)
        empty = ("", self.fields["location"].empty_label)
        self.offer("location", locations, looks_in=PLACE_WORDS, around=([empty], []))
        self.fields["program"].queryset = IncentiveProgram.objects.known_to(company)


class TrailFilterForm(forms.Form):
    """Which events are listed; lives in the address."""

    person = forms.CharField(
        label=_("Person"),
        required=False,
        max_length=120,
        widget=forms.SearchInput,
    )
    kind = forms.ChoiceField(
        label=_("Kind"),
        required=False,
        choices=[("", _("All kinds")), *AuditKind.choices],
    )
    since = forms.DateField(
        label=_("From day"),
        required=False,
        widget=forms.DateInput({"type": "date"}),
        error_messages={"invalid": _("Enter a day, like 2026-11-30.")},
    )
    until = forms.DateField(
        label=_("To day"),
        required=False,
        widget=forms.DateInput({"type": "date"}),
        error_messages={"invalid": _("Enter a day, like 2026-11-30.")},
    )

    def clean(self):
        cleaned = super().clean()
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since > until:
            self.add_error("until", _("Choose a day after the first one."))
        return cleaned

    @property
    def is_narrowed(self) -> bool:
        """Whether anything is asked for."""
        return self.is_bound and any(map(self.data.get, self.fields))


class ActivityFilterForm(TrailFilterForm):
    """Which of a company's events; without its people and places for one's own part."""

    location = forms.ModelChoiceField(
        label=_("Location"),
        required=False,
        queryset=Location.objects.none(),
        empty_label=_("All locations"),
    )
    field_order = ("person", "location", "kind", "since", "until")

    def __init__(self, *args, company, is_own_part, **options):
        super().__init__(*args, **options)
        if is_own_part:
            del self.fields["person"], self.fields["location"]
            return
        location = self.fields["location"]
        location.queryset = Location.objects.of_company(company)
        choices = few_locations(location.queryset)
        if choices is not None:
            location.choices = [("", location.empty_label), *choices]
            return
        # As the operators' filter has it, who have no list either.
        self.fields["location"] = forms.CharField(
            label=_("Location or its PartnerID"),
            required=False,
            max_length=120,
            widget=forms.SearchInput,
        )


class AuditFilterForm(TrailFilterForm):
    """Which of all events, for operators: companies and places as they are known."""

    company = forms.CharField(
        label=_("Company or its PartnerID"),
        required=False,
        max_length=120,
        widget=forms.SearchInput,
    )
    location = forms.CharField(
        label=_("Location or its PartnerID"),
        required=False,
        max_length=120,
        widget=forms.SearchInput,
    )
    field_order = ("company", "person", "location", "kind", "since", "until")


class SignInSetUpForm(RefusableForm):
    """How a company's directory is asked; the secret is never shown again."""

    client_id = CleanCharField(
        label=_("Application (client) ID"),
        max_length=190,
        error_messages={"required": _("Enter the client ID.")},
    )
    client_secret = forms.CharField(
        label=_("Client secret"),
        max_length=500,
        help_text=_("The secret's value, not its ID. It is kept sealed."),
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        error_messages={"required": _("Enter the client secret.")},
    )
    domains = CleanCharField(
        label=_("E-mail domains"),
        max_length=2000,
        help_text=_(
            "Separated by commas, each one of the company's own. People with these "
            "addresses are led to this directory."
        ),
        error_messages={"required": _("Enter at least one domain.")},
    )
    mfa_context = CleanCharField(
        label=_("Authentication context for a second factor"),
        required=False,
        max_length=3,
        help_text=_(
            "Such as c1, when a Conditional Access policy of the tenant asks for "
            "multifactor authentication in this context. Empty: people show a second "
            "factor here, unless the sign-in says “mfa” of itself."
        ),
    )
    issuer = CleanCharField(
        label=_("Issuer"),
        required=False,
        max_length=300,
        help_text=_("Empty: this tenant in Microsoft's public cloud."),
    )

    def clean_domains(self) -> list[str]:
        domains = (part.strip() for part in self.cleaned_data["domains"].split(","))
        return sorted(filter(None, domains))


class RegisterSignInForm(SignInSetUpForm):
    """Whose directory it is, and how it is asked."""

    field_order = ("company", "tenant_id")

    company = CleanCharField(
        label=_("Global PartnerID of the company"),
        max_length=10,
        error_messages={"required": _("Enter the company's global PartnerID.")},
    )
    tenant_id = forms.UUIDField(
        label=_("Directory (tenant) ID"),
        error_messages={
            "required": _("Enter the tenant ID."),
            "invalid": _(
                "A tenant ID looks like 11111111-2222-3333-4444-555555555555."
            ),
        },
    )

    def clean_company(self) -> PartnerAccount:
        partner_id = self.cleaned_data["company"]
        company = PartnerAccount.objects.filter(partner_id=partner_id).first()
        if company is None:
            raise forms.ValidationError(
                _("No company has this global PartnerID: %(partner_id)s."),
                params={"partner_id": partner_id},
            )
        return company


class ChangeSignInForm(SignInSetUpForm):
    """How it is asked from now on."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        secret = self.fields["client_secret"]
        secret.required = False
        secret.label = _("New client secret")
        secret.help_text = _("Empty: the one that is kept stays.")


class AppRoleForm(OfferingMixin, RefusableForm):
    """Which role whoever has an app role holds, and where."""

    app_role = CleanCharField(
        label=_("App role"),
        max_length=120,
        help_text=_("The value of the app role in Entra, such as Incentives.Admin."),
        error_messages={"required": _("Enter the value of the app role.")},
    )
    role = forms.ChoiceField(
        label=_("Role"),
        choices=[("", _("Choose a role")), *Role.choices],
        error_messages={
            "required": _("Choose a role."),
            "invalid_choice": _("Choose one of these roles."),
        },
    )
    find_location = find_field(_("Find locations by name, country or PartnerID"))
    location = LocationField(
        label=_("Location"),
        required=False,
        queryset=Location.objects.none(),
        empty_label=_("The whole company"),
        error_messages={"invalid_choice": _("Choose a location of the company.")},
    )
    program = forms.ModelChoiceField(
        label=_("Program"),
        required=False,
        queryset=IncentiveProgram.objects.none(),
        empty_label=_("All programs"),
        error_messages={"invalid_choice": _("Choose one of these programs.")},
    )

    def __init__(self, *args, company, **options):
        super().__init__(*args, **options)
        locations = Location.objects.active().of_company(company)
        empty = ("", self.fields["location"].empty_label)
        self.offer("location", locations, looks_in=PLACE_WORDS, around=([empty], []))
        self.fields["program"].queryset = IncentiveProgram.objects.known_to(company)
