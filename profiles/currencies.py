"""Currencies partners are paid in, and which of them a country's banks take."""

from django.utils.translation import gettext_lazy as _

from profiles.bank_countries import BANK_COUNTRIES

# What most banks outside the United States take besides their own currency.
WIDELY_TAKEN = ("EUR", "USD")

# Banks of these countries take their own currency only (domain.md §3.7).
ONLY_LOCAL = frozenset({"US"})

CURRENCIES = {
    "AED": _("United Arab Emirates Dirham"),
    "ALL": _("Albanian Lek"),
    "AUD": _("Australian Dollar"),
    "AZN": _("Azerbaijani Manat"),
    "BAM": _("Bosnia-Herzegovina Convertible Mark"),
    "BHD": _("Bahraini Dinar"),
    "BIF": _("Burundian Franc"),
    "BRL": _("Brazilian Real"),
    "BYN": _("Belarusian Ruble"),
    "CAD": _("Canadian Dollar"),
    "CHF": _("Swiss Franc"),
    "CNY": _("Chinese Yuan"),
    "CRC": _("Costa Rican Colón"),
    "CZK": _("Czech Koruna"),
    "DJF": _("Djiboutian Franc"),
    "DKK": _("Danish Krone"),
    "DOP": _("Dominican Peso"),
    "EGP": _("Egyptian Pound"),
    "EUR": _("Euro"),
    "FKP": _("Falkland Islands Pound"),
    "GBP": _("British Pound"),
    "GEL": _("Georgian Lari"),
    "GIP": _("Gibraltar Pound"),
    "GTQ": _("Guatemalan Quetzal"),
    "HKD": _("Hong Kong Dollar"),
    "HNL": _("Honduran Lempira"),
    "HUF": _("Hungarian Forint"),
    "ILS": _("Israeli New Shekel"),
    "INR": _("Indian Rupee"),
    "IQD": _("Iraqi Dinar"),
    "ISK": _("Icelandic Króna"),
    "JOD": _("Jordanian Dinar"),
    "JPY": _("Japanese Yen"),
    "KRW": _("South Korean Won"),
    "KWD": _("Kuwaiti Dinar"),
    "KZT": _("Kazakhstani Tenge"),
    "LBP": _("Lebanese Pound"),
    "LYD": _("Libyan Dinar"),
    "MDL": _("Moldovan Leu"),
    "MKD": _("Macedonian Denar"),
    "MNT": _("Mongolian Tugrik"),
    "MRU": _("Mauritanian Ouguiya"),
    "MUR": _("Mauritian Rupee"),
    "MXN": _("Mexican Peso"),
    "NIO": _("Nicaraguan Córdoba"),
    "NOK": _("Norwegian Krone"),
    "NZD": _("New Zealand Dollar"),
    "OMR": _("Omani Rial"),
    "PKR": _("Pakistani Rupee"),
    "PLN": _("Polish Zloty"),
    "QAR": _("Qatari Riyal"),
    "RON": _("Romanian Leu"),
    "RSD": _("Serbian Dinar"),
    "RUB": _("Russian Ruble"),
    "SAR": _("Saudi Riyal"),
    "SCR": _("Seychellois Rupee"),
    "SDG": _("Sudanese Pound"),
    "SEK": _("Swedish Krona"),
    "SGD": _("Singapore Dollar"),
    "SOS": _("Somali Shilling"),
    "STN": _("São Tomé & Príncipe Dobra"),
    "THB": _("Thai Baht"),
    "TND": _("Tunisian Dinar"),
    "TRY": _("Turkish Lira"),
    "UAH": _("Ukrainian Hryvnia"),
    "USD": _("US Dollar"),
    "XCD": _("East Caribbean Dollar"),
    "YER": _("Yemeni Rial"),
    "ZAR": _("South African Rand"),
}


def local_currency(country: str) -> str:
    """Return the currency of a country's banks."""
    return BANK_COUNTRIES[country].currency


def takes_only_local(country: str) -> bool:
    """Say whether a country's banks refuse every other currency."""
    return country in ONLY_LOCAL


def default_currencies(country: str) -> tuple[str, ...]:
    """Return what to offer first for a bank: its own currency, then the usual ones."""
    local = local_currency(country)
    if takes_only_local(country):
        return (local,)
    return (local, *(code for code in WIDELY_TAKEN if code != local))
