"""What postcodes look like: one row is one country; elsewhere any letters and digits."""

from django.utils.translation import gettext_lazy as _

from profiles.validators import Shape

POSTCODES = {
    "AU": Shape(
        _("Enter the four digits of the postcode, like %(example)s"),
        pattern="[0-9]{4}",
        example="4000",
    ),
    "BR": Shape(
        _("Enter the eight digits of the CEP, like %(example)s"),
        pattern="([0-9]{5})([0-9]{3})",
        separator="-",
        example="80010-000",
    ),
    "CA": Shape(
        _("Enter the whole postcode, like %(example)s"),
        pattern="([A-Z][0-9][A-Z])([0-9][A-Z][0-9])",
        separator=" ",
        example="G1R 4P5",
    ),
    "DE": Shape(
        _("Enter the five digits of the postcode, like %(example)s"),
        pattern="[0-9]{5}",
        example="20095",
    ),
    "GB": Shape(
        _("Enter the whole postcode, like %(example)s"),
        pattern="([A-Z]{1,2}[0-9][A-Z0-9]?)([0-9][A-Z]{2})",
        separator=" ",
        example="LS1 4AP",
    ),
    "IN": Shape(
        _("Enter the six digits of the PIN code, like %(example)s"),
        pattern="[0-9]{6}",
        example="411001",
    ),
    "JP": Shape(
        _("Enter the seven digits of the postcode, like %(example)s"),
        pattern="([0-9]{3})([0-9]{4})",
        separator="-",
        example="530-0001",
    ),
    "NL": Shape(
        _("Enter the whole postcode, like %(example)s"),
        library="nl.postcode",
        example="1011 AB",
    ),
    "SE": Shape(
        _("Enter the five digits of the postcode, like %(example)s"),
        library="se.postnummer",
        example="411 14",
    ),
    "US": Shape(
        _("Enter the ZIP code of five or nine digits, like %(example)s"),
        pattern="([0-9]{5})([0-9]{4})?",
        separator="-",
        example="23510",
    ),
}
