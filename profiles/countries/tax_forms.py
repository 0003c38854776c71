"""Which tax form applies to a company, why, and which documents go with it.

The one place of these rules: questions, answers and documents are data, asked from the
top; the first rule that fits applies. Sources: domain.md §3.5, experience.md §7.3. W-8:
valid to the last day of the third calendar year after the one it was signed in.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from profiles.countries.fields import CountrySchema, FieldSpec

US = "US"
YES_OR_NO = (("yes", _("Yes")), ("no", _("No")))


# --- What is asked ------------------------------------------------------------------

OWNER_ABROAD = FieldSpec(
    key="owner_abroad",
    label=_("Does the company count as one owner abroad for US tax?"),
    hint=_(
        "So it is with an LLC that has one owner, in another country, and did not choose "
        "to be taxed as a corporation."
    ),
    checker=str,
    section="setup",
    choices=YES_OR_NO,
)
PAYER = FieldSpec(
    key="payer",
    label=_("Who pays this location?"),
    hint=_("It stands in the program guide, and on payment advice."),
    checker=str,
    section="setup",
    choices=(
        ("us", _("The program owner's company in the United States")),
        ("other", _("The program owner's company in another country")),
    ),
)
REGISTERED = FieldSpec(
    key="registered",
    label=_("Is the company registered for VAT, GST or a tax like it?"),
    hint=_("A company below its country's threshold may not be. Say No then."),
    checker=str,
    section="setup",
    only_if=("payer", "other"),
    choices=YES_OR_NO,
)
ENTITY_TYPE = FieldSpec(
    key="entity_type",
    label=_("Type of entity"),
    hint=_("Line 4 of Form W-8BEN-E."),
    checker=str,
    section="status",
    choices=(
        ("corporation", _("Corporation")),
        ("partnership", _("Partnership")),
        ("disregarded", _("Disregarded entity")),
        ("government", _("Government or international organization")),
        ("exempt", _("Tax-exempt organization")),
    ),
)
FATCA_STATUS = FieldSpec(
    key="fatca_status",
    label=_("FATCA status"),
    hint=_("Line 5 of Form W-8BEN-E. A company that trades is an active NFFE."),
    checker=str,
    section="status",
    choices=(
        ("active_nffe", _("Active NFFE")),
        ("passive_nffe", _("Passive NFFE")),
        ("listed_nffe", _("Publicly traded NFFE, or its affiliate")),
        ("exempt", _("Exempt beneficial owner")),
        ("financial", _("Financial institution")),
    ),
)
TREATY = FieldSpec(
    key="treaty",
    label=_("Does the company claim a lower rate under a tax treaty?"),
    hint=_("Part III of Form W-8BEN-E."),
    checker=str,
    section="status",
    choices=YES_OR_NO,
)


def setup_schema(country: str) -> CountrySchema:
    """Return the questions whose answers decide on the form."""
    fields = (OWNER_ABROAD,) if country == US else (PAYER, REGISTERED)
    return CountrySchema(country=country, fields=fields)


def status_schema(form: str, *, country: str) -> CountrySchema:
    """Return what a form asks beside the country's own numbers."""
    fields = {"w8ben_e": (ENTITY_TYPE, FATCA_STATUS, TREATY)}.get(form, ())
    return CountrySchema(country=country, fields=fields)


def answers_schema(country: str) -> CountrySchema:
    """Return everything that may be answered beside the country's own fields."""
    more = status_schema("w8ben_e", country=country).fields
    return CountrySchema(country=country, fields=(*setup_schema(country).fields, *more))


# --- Documents -------------------------------------------------------------------------


def third_year_end(signed_on: date) -> date:
    """Return the last day of the third calendar year after that of the signature."""
    return date(signed_on.year + 3, 12, 31)


def a_year_after(issued_on: date) -> date:
    """Return the last day of the year that begins on a day."""
    try:
        return issued_on.replace(year=issued_on.year + 1) - timedelta(days=1)
    except ValueError:
        return date(issued_on.year + 1, 2, 28)


# So long before the last day people are told, and a form may be renewed.
RENEWABLE = timedelta(days=120)


@dataclass(frozen=True, kw_only=True)
class DocumentKind:
    """A kind of document: what it is called, how old it may be, how long it is good."""

    key: str
    label: Promise
    hint: Promise
    date_label: Promise
    max_age_days: int | None = None
    lasts: Callable[[date], date] | None = None

    def __str__(self) -> str:
        return str(self.label)

    def last_day(self, dated_on: date) -> date | None:
        """Return the last day it is good for; None where it does not expire."""
        return self.lasts(dated_on) if self.lasts else None

    def is_ending(self, dated_on: date, *, on: date) -> bool:
        """Whether it is time to have a new one: its last day is near, or over."""
        last_day = self.last_day(dated_on)
        return last_day is not None and last_day - on <= RENEWABLE

    def is_too_old(self, dated_on: date, *, on: date) -> bool:
        """Whether it may not be sent any more: too old, or expired."""
        last_day = self.last_day(dated_on)
        too_old = self.max_age_days is not None and (
            dated_on < on - timedelta(days=self.max_age_days)
        )
        return too_old or (last_day is not None and last_day < on)


SIGNED_ON = _("Signed on")
ISSUED_ON = _("Issued on")
DOCUMENTS = {
    kind.key: kind
    for kind in (
        DocumentKind(
            key="form_w9",
            label=_("Signed Form W-9"),
            hint=_("Every page, with the signature and its date."),
            date_label=SIGNED_ON,
        ),
        DocumentKind(
            key="form_w8ben_e",
            label=_("Signed Form W-8BEN-E"),
            hint=_("Every page that applies, with the signature and its date."),
            date_label=SIGNED_ON,
            lasts=third_year_end,
        ),
        DocumentKind(
            key="residence_certificate",
            label=_("Certificate of tax residence"),
            hint=_("From the tax authority of the company's country, for this year."),
            date_label=ISSUED_ON,
            max_age_days=365,
            lasts=a_year_after,
        ),
        DocumentKind(
            key="registration",
            label=_("Registration certificate"),
            hint=_(
                "Of the company, or of its VAT or GST number, not older than a year."
            ),
            date_label=ISSUED_ON,
            max_age_days=365,
        ),
    )
}


# --- Rules --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Which form applies where a company's answers are these."""

    form: str
    is_american: bool
    answers: Mapping[str, str]
    reason: Promise
    documents: tuple[str, ...] = ()
    asks_tax_number: bool = False

    def fits(self, country: str, answers: Mapping[str, str]) -> bool:
        return (country == US) is self.is_american and all(
            answers.get(key) == value for key, value in self.answers.items()
        )


RULES = (
    Rule(
        form="w8ben_e",
        is_american=True,
        answers={"owner_abroad": "yes"},
        reason=_(
            "The company is registered in the United States, but counts as its owner in "
            "another country: the owner's form is needed, with the company on its line 3."
        ),
        documents=("form_w8ben_e",),
    ),
    Rule(
        form="w9",
        is_american=True,
        answers={"owner_abroad": "no"},
        reason=_("The company is registered in the United States."),
        documents=("form_w9",),
    ),
    Rule(
        form="w8ben_e",
        is_american=False,
        answers={"payer": "us"},
        reason=_(
            "The company is registered in %(country)s and paid by the program owner's "
            "company in the United States."
        ),
        documents=("form_w8ben_e",),
    ),
    Rule(
        form="local",
        is_american=False,
        answers={"payer": "other", "registered": "yes"},
        reason=_(
            "The company is registered for VAT, GST or a tax like it in %(country)s, and "
            "not paid from the United States."
        ),
        asks_tax_number=True,
    ),
    Rule(
        form="unregistered",
        is_american=False,
        answers={"payer": "other", "registered": "no"},
        reason=_(
            "The company is not registered for VAT, GST or a tax like it in %(country)s: "
            "its company number is enough."
        ),
    ),
)
FORMS = {
    "w9": _("Form W-9"),
    "w8ben_e": _("Form W-8BEN-E"),
    "local": _("VAT or GST registration"),
    "unregistered": _("Company registration"),
}
# The field of a country's own in which its VAT or GST number stands; first that is asked.
TAX_NUMBER_FIELDS = ("vat", "gst", "gstin", "invoice_number")


@dataclass(frozen=True, kw_only=True)
class NeededForm:
    """The form that applies, why, and the documents that go with it."""

    form: str
    reason: Promise
    country: str
    # Documents that have to be sent, and those that may be.
    documents: tuple[DocumentKind, ...]
    optional: tuple[DocumentKind, ...]
    asks_tax_number: bool

    @property
    def label(self) -> Promise:
        return FORMS[self.form]

    @property
    def sentence(self) -> str:
        """Why it applies, in the language that is active."""
        return str(self.reason) % {"country": self.country}

    def required_fields(self, schema: CountrySchema) -> tuple[str, ...]:
        """Name the country's fields that this form does not leave optional."""
        if not self.asks_tax_number:
            return ()
        found = [key for key in TAX_NUMBER_FIELDS if schema.field(key) is not None]
        return tuple(found[:1])


def needed_form(
    country: str,
    answers: Mapping[str, str],
    *,
    country_name: str = "",
    needs: Collection[str] = (),
) -> NeededForm | None:
    """Return the form that applies; None until the questions are answered.

    `needs` are what a program asks beyond it: keys of fields and of documents.
    """
    rule = next((rule for rule in RULES if rule.fits(country, answers)), None)
    if rule is None:
        return None
    required = [*rule.documents, *(key for key in needs if key in DOCUMENTS)]
    required = list(dict.fromkeys(required))
    optional = [
        key for key in ("registration", "residence_certificate") if key not in required
    ]
    return NeededForm(
        form=rule.form,
        reason=rule.reason,
        country=country_name,
        documents=tuple(DOCUMENTS[key] for key in required),
        optional=tuple(DOCUMENTS[key] for key in optional),
        asks_tax_number=rule.asks_tax_number,
    )


def expires_on(documents: Collection[tuple[str, date]]) -> date | None:
    """Return the first last day of dated documents, by kind; None if none expires."""
    days = [DOCUMENTS[kind].last_day(dated_on) for kind, dated_on in documents]
    return min((day for day in days if day is not None), default=None)
