"""Currencies partners are paid in, and which of them a country's banks take."""

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from profiles.bank_countries import BANK_COUNTRIES

# What most banks outside the United States take besides their own currency.
WIDELY_TAKEN = ("EUR", "USD")

# Banks of these countries take their own currency only (domain.md §3.7; companies in
# Brazil and India hold no other at home).
ONLY_LOCAL = frozenset({"BR", "IN", "US"})

CURRENCIES = {
    "AED": _("United Arab Emirates Dirham"),
    "AFN": _("Afghan Afghani"),
    "ALL": _("Albanian Lek"),
    "AMD": _("Armenian Dram"),
    "AOA": _("Angolan Kwanza"),
    "ARS": _("Argentine Peso"),
    "AUD": _("Australian Dollar"),
    "AWG": _("Aruban Florin"),
    "AZN": _("Azerbaijani Manat"),
    "BAM": _("Bosnia-Herzegovina Convertible Mark"),
    "BBD": _("Barbadian Dollar"),
    "BDT": _("Bangladeshi Taka"),
    "BHD": _("Bahraini Dinar"),
    "BIF": _("Burundian Franc"),
    "BMD": _("Bermudan Dollar"),
    "BND": _("Brunei Dollar"),
    "BOB": _("Bolivian Boliviano"),
    "BRL": _("Brazilian Real"),
    "BSD": _("Bahamian Dollar"),
    "BTN": _("Bhutanese Ngultrum"),
    "BWP": _("Botswanan Pula"),
    "BYN": _("Belarusian Ruble"),
    "BZD": _("Belize Dollar"),
    "CAD": _("Canadian Dollar"),
    "CDF": _("Congolese Franc"),
    "CHF": _("Swiss Franc"),
    "CLP": _("Chilean Peso"),
    "CNY": _("Chinese Yuan"),
    "COP": _("Colombian Peso"),
    "CRC": _("Costa Rican Colón"),
    "CVE": _("Cape Verdean Escudo"),
    "CZK": _("Czech Koruna"),
    "DJF": _("Djiboutian Franc"),
    "DKK": _("Danish Krone"),
    "DOP": _("Dominican Peso"),
    "DZD": _("Algerian Dinar"),
    "EGP": _("Egyptian Pound"),
    "ERN": _("Eritrean Nakfa"),
    "ETB": _("Ethiopian Birr"),
    "EUR": _("Euro"),
    "FJD": _("Fijian Dollar"),
    "FKP": _("Falkland Islands Pound"),
    "GBP": _("British Pound"),
    "GEL": _("Georgian Lari"),
    "GHS": _("Ghanaian Cedi"),
    "GIP": _("Gibraltar Pound"),
    "GMD": _("Gambian Dalasi"),
    "GNF": _("Guinean Franc"),
    "GTQ": _("Guatemalan Quetzal"),
    "GYD": _("Guyanaese Dollar"),
    "HKD": _("Hong Kong Dollar"),
    "HNL": _("Honduran Lempira"),
    "HTG": _("Haitian Gourde"),
    "HUF": _("Hungarian Forint"),
    "IDR": _("Indonesian Rupiah"),
    "ILS": _("Israeli New Shekel"),
    "INR": _("Indian Rupee"),
    "IQD": _("Iraqi Dinar"),
    "ISK": _("Icelandic Króna"),
    "JMD": _("Jamaican Dollar"),
    "JOD": _("Jordanian Dinar"),
    "JPY": _("Japanese Yen"),
    "KES": _("Kenyan Shilling"),
    "KGS": _("Kyrgystani Som"),
    "KHR": _("Cambodian Riel"),
    "KMF": _("Comorian Franc"),
    "KRW": _("South Korean Won"),
    "KWD": _("Kuwaiti Dinar"),
    "KYD": _("Cayman Islands Dollar"),
    "KZT": _("Kazakhstani Tenge"),
    "LAK": _("Laotian Kip"),
    "LBP": _("Lebanese Pound"),
    "LKR": _("Sri Lankan Rupee"),
    "LRD": _("Liberian Dollar"),
    "LSL": _("Lesotho Loti"),
    "LYD": _("Libyan Dinar"),
    "MAD": _("Moroccan Dirham"),
    "MDL": _("Moldovan Leu"),
    "MGA": _("Malagasy Ariary"),
    "MKD": _("Macedonian Denar"),
    "MMK": _("Myanmar Kyat"),
    "MNT": _("Mongolian Tugrik"),
    "MOP": _("Macanese Pataca"),
    "MRU": _("Mauritanian Ouguiya"),
    "MUR": _("Mauritian Rupee"),
    "MVR": _("Maldivian Rufiyaa"),
    "MWK": _("Malawian Kwacha"),
    "MXN": _("Mexican Peso"),
    "MYR": _("Malaysian Ringgit"),
    "MZN": _("Mozambican Metical"),
    "NAD": _("Namibian Dollar"),
    "NGN": _("Nigerian Naira"),
    "NIO": _("Nicaraguan Córdoba"),
    "NOK": _("Norwegian Krone"),
    "NPR": _("Nepalese Rupee"),
    "NZD": _("New Zealand Dollar"),
    "OMR": _("Omani Rial"),
    "PEN": _("Peruvian Sol"),
    "PGK": _("Papua New Guinean Kina"),
    "PHP": _("Philippine Peso"),
    "PKR": _("Pakistani Rupee"),
    "PLN": _("Polish Zloty"),
    "PYG": _("Paraguayan Guarani"),
    "QAR": _("Qatari Riyal"),
    "RON": _("Romanian Leu"),
    "RSD": _("Serbian Dinar"),
    "RUB": _("Russian Ruble"),
    "RWF": _("Rwandan Franc"),
    "SAR": _("Saudi Riyal"),
    "SBD": _("Solomon Islands Dollar"),
    "SCR": _("Seychellois Rupee"),
    "SDG": _("Sudanese Pound"),
    "SEK": _("Swedish Krona"),
    "SGD": _("Singapore Dollar"),
    "SHP": _("St. Helena Pound"),
    "SLE": _("Sierra Leonean Leone"),
    "SOS": _("Somali Shilling"),
    "SRD": _("Surinamese Dollar"),
    "SSP": _("South Sudanese Pound"),
    "STN": _("São Tomé & Príncipe Dobra"),
    "SZL": _("Swazi Lilangeni"),
    "THB": _("Thai Baht"),
    "TJS": _("Tajikistani Somoni"),
    "TMT": _("Turkmenistani Manat"),
    "TND": _("Tunisian Dinar"),
    "TOP": _("Tongan Pa'anga"),
    "TRY": _("Turkish Lira"),
    "TTD": _("Trinidad & Tobago Dollar"),
    "TWD": _("New Taiwan Dollar"),
    "TZS": _("Tanzanian Shilling"),
    "UAH": _("Ukrainian Hryvnia"),
    "UGX": _("Ugandan Shilling"),
    "USD": _("US Dollar"),
    "UYU": _("Uruguayan Peso"),
    "UZS": _("Uzbekistani Som"),
    "VES": _("Venezuelan Bolívar"),
    "VND": _("Vietnamese Dong"),
    "VUV": _("Vanuatu Vatu"),
    "WST": _("Samoan Tala"),
    "XAF": _("Central African CFA Franc"),
    "XCD": _("East Caribbean Dollar"),
    "XCG": _("Caribbean Guilder"),
    "XOF": _("West African CFA Franc"),
    "YER": _("Yemeni Rial"),
    "ZAR": _("South African Rand"),
    "ZMW": _("Zambian Kwacha"),
    "ZWG": _("Zimbabwean Gold"),
}


def local_currency(country: str) -> str:
    """Return the currency of a country's banks."""
    return BANK_COUNTRIES[country].currency


def takes_only_local(country: str) -> bool:
    """Say whether a country's banks refuse every other currency."""
    return country in ONLY_LOCAL


def mismatch(currency: str, *, local: str) -> str:
    """Say what follows when a bank is paid in another currency than its own; or ""."""
    if not currency or not local or currency == local:
        return ""
    return gettext(
        "Banks of this country keep accounts in %(local)s. If this account is one of "
        "them, the bank converts %(currency)s at its own rate and may charge for it, or "
        "sends the payment back."
    ) % {"currency": currency, "local": local}


def default_currencies(country: str) -> tuple[str, ...]:
    """Return what to offer first for a bank: its own currency, then the usual ones."""
    local = local_currency(country)
    if takes_only_local(country):
        return (local,)
    return (local, *(code for code in WIDELY_TAKEN if code != local))
