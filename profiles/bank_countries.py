"""Where banks are: each country's name, its currency, and what an IBAN looks like there.

One row is one country that money can be paid to. No example means no IBAN: such a
country has fields of its own in countries.py.
"""

from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class BankCountry(NamedTuple):
    """A row of the table."""

    name: Promise
    currency: str
    iban: str


# fmt: off
BANK_COUNTRIES = {
    "AD": BankCountry(_("Andorra"), "EUR", "AD12 0001 2030 2003 5910 0100"),
    "AE": BankCountry(_("United Arab Emirates"), "AED", "AE07 0331 2345 6789 0123 456"),
    "AL": BankCountry(_("Albania"), "ALL", "AL47 2121 1009 0000 0002 3569 8741"),
    "AT": BankCountry(_("Austria"), "EUR", "AT61 1904 3002 3457 3201"),
    "AZ": BankCountry(_("Azerbaijan"), "AZN", "AZ21 NABZ 0000 0000 1370 1000 1944"),
    "BA": BankCountry(_("Bosnia & Herzegovina"), "BAM", "BA39 1290 0794 0102 8494"),
    "BE": BankCountry(_("Belgium"), "EUR", "BE68 5390 0754 7034"),
    "BG": BankCountry(_("Bulgaria"), "EUR", "BG80 BNBG 9661 1020 3456 78"),
    "BH": BankCountry(_("Bahrain"), "BHD", "BH67 BMAG 0000 1299 1234 56"),
    "BI": BankCountry(_("Burundi"), "BIF", "BI42 1000 0100 0100 0033 2045 181"),
    "BR": BankCountry(_("Brazil"), "BRL", "BR18 0036 0305 0000 1000 9795 493C 1"),
    "BY": BankCountry(_("Belarus"), "BYN", "BY13 NBRB 3600 9000 0000 2Z00 AB00"),
    "CH": BankCountry(_("Switzerland"), "CHF", "CH93 0076 2011 6238 5295 7"),
    "CR": BankCountry(_("Costa Rica"), "CRC", "CR05 0152 0200 1026 2840 66"),
    "CY": BankCountry(_("Cyprus"), "EUR", "CY17 0020 0128 0000 0012 0052 7600"),
    "CZ": BankCountry(_("Czechia"), "CZK", "CZ65 0800 0000 1920 0014 5399"),
    "DE": BankCountry(_("Germany"), "EUR", "DE89 3704 0044 0532 0130 00"),
    "DJ": BankCountry(_("Djibouti"), "DJF", "DJ21 0001 0000 0001 5400 0100 186"),
    "DK": BankCountry(_("Denmark"), "DKK", "DK50 0040 0440 1162 43"),
    "DO": BankCountry(_("Dominican Republic"), "DOP", "DO28 BAGR 0000 0001 2124 5361 1324"),
    "EE": BankCountry(_("Estonia"), "EUR", "EE38 2200 2210 2014 5685"),
    "EG": BankCountry(_("Egypt"), "EGP", "EG38 0019 0005 0000 0000 2631 8000 2"),
    "ES": BankCountry(_("Spain"), "EUR", "ES91 2100 0418 4502 0005 1332"),
    "FI": BankCountry(_("Finland"), "EUR", "FI21 1234 5600 0007 85"),
    "FK": BankCountry(_("Falkland Islands"), "FKP", "FK88 SC12 3456 7890 12"),
    "FO": BankCountry(_("Faroe Islands"), "DKK", "FO62 6460 0001 6316 34"),
    "FR": BankCountry(_("France"), "EUR", "FR14 2004 1010 0505 0001 3M02 606"),
    "GB": BankCountry(_("United Kingdom"), "GBP", ""),
    "GE": BankCountry(_("Georgia"), "GEL", "GE29 NB00 0000 0101 9049 17"),
    "GI": BankCountry(_("Gibraltar"), "GIP", "GI75 NWBK 0000 0000 7099 453"),
    "GL": BankCountry(_("Greenland"), "DKK", "GL89 6471 0001 0002 06"),
    "GR": BankCountry(_("Greece"), "EUR", "GR16 0110 1250 0000 0001 2300 695"),
    "GT": BankCountry(_("Guatemala"), "GTQ", "GT82 TRAJ 0102 0000 0012 1002 9690"),
    "HN": BankCountry(_("Honduras"), "HNL", "HN88 CABF 0000 0000 0002 5000 5469"),
    "HR": BankCountry(_("Croatia"), "EUR", "HR12 1001 0051 8630 0016 0"),
    "HU": BankCountry(_("Hungary"), "HUF", "HU42 1177 3016 1111 1018 0000 0000"),
    "IE": BankCountry(_("Ireland"), "EUR", "IE29 AIBK 9311 5212 3456 78"),
    "IL": BankCountry(_("Israel"), "ILS", "IL62 0108 0000 0009 9999 999"),
    "IQ": BankCountry(_("Iraq"), "IQD", "IQ98 NBIQ 8501 2345 6789 012"),
    "IS": BankCountry(_("Iceland"), "ISK", "IS14 0159 2600 7654 5510 7303 39"),
    "IT": BankCountry(_("Italy"), "EUR", "IT60 X054 2811 1010 0000 0123 456"),
    "JO": BankCountry(_("Jordan"), "JOD", "JO94 CBJO 0010 0000 0000 0131 0003 02"),
    "KW": BankCountry(_("Kuwait"), "KWD", "KW81 CBKU 0000 0000 0000 1234 5601 01"),
    "KZ": BankCountry(_("Kazakhstan"), "KZT", "KZ86 125K ZT50 0410 0100"),
    "LB": BankCountry(_("Lebanon"), "LBP", "LB62 0999 0000 0001 0019 0122 9114"),
    "LC": BankCountry(_("St. Lucia"), "XCD", "LC55 HEMM 0001 0001 0012 0012 0002 3015"),
    "LI": BankCountry(_("Liechtenstein"), "CHF", "LI21 0881 0000 2324 013A A"),
    "LT": BankCountry(_("Lithuania"), "EUR", "LT12 1000 0111 0100 1000"),
    "LU": BankCountry(_("Luxembourg"), "EUR", "LU28 0019 4006 4475 0000"),
    "LV": BankCountry(_("Latvia"), "EUR", "LV80 BANK 0000 4351 9500 1"),
    "LY": BankCountry(_("Libya"), "LYD", "LY83 0020 4800 0020 1001 2036 1"),
    "MC": BankCountry(_("Monaco"), "EUR", "MC58 1122 2000 0101 2345 6789 030"),
    "MD": BankCountry(_("Moldova"), "MDL", "MD24 AG00 0225 1000 1310 4168"),
    "ME": BankCountry(_("Montenegro"), "EUR", "ME25 5050 0001 2345 6789 51"),
    "MK": BankCountry(_("North Macedonia"), "MKD", "MK07 2501 2000 0058 984"),
    "MN": BankCountry(_("Mongolia"), "MNT", "MN12 1234 1234 5678 9123"),
    "MR": BankCountry(_("Mauritania"), "MRU", "MR13 0002 0001 0100 0012 3456 753"),
    "MT": BankCountry(_("Malta"), "EUR", "MT84 MALT 0110 0001 2345 MTLC AST0 01S"),
    "MU": BankCountry(_("Mauritius"), "MUR", "MU17 BOMM 0101 1010 3030 0200 000M UR"),
    "NI": BankCountry(_("Nicaragua"), "NIO", "NI45 BAPR 0000 0013 0000 0355 8124"),
    "NL": BankCountry(_("Netherlands"), "EUR", "NL91 ABNA 0417 1643 00"),
    "NO": BankCountry(_("Norway"), "NOK", "NO93 8601 1117 947"),
    "OM": BankCountry(_("Oman"), "OMR", "OM81 0180 0000 0129 9123 456"),
    "PK": BankCountry(_("Pakistan"), "PKR", "PK36 SCBL 0000 0011 2345 6702"),
    "PL": BankCountry(_("Poland"), "PLN", "PL61 1090 1014 0000 0712 1981 2874"),
    "PS": BankCountry(_("Palestinian Territories"), "ILS", "PS92 PALS 0000 0000 0400 1234 5670 2"),
    "PT": BankCountry(_("Portugal"), "EUR", "PT50 0002 0123 1234 5678 9015 4"),
    "QA": BankCountry(_("Qatar"), "QAR", "QA58 DOHB 0000 1234 5678 90AB CDEF G"),
    "RO": BankCountry(_("Romania"), "RON", "RO49 AAAA 1B31 0075 9384 0000"),
    "RS": BankCountry(_("Serbia"), "RSD", "RS35 2600 0560 1001 6113 79"),
    "RU": BankCountry(_("Russia"), "RUB", "RU02 0445 2560 0407 0281 0412 3456 7890 1"),
    "SA": BankCountry(_("Saudi Arabia"), "SAR", "SA03 8000 0000 6080 1016 7519"),
    "SC": BankCountry(_("Seychelles"), "SCR", "SC18 SSCB 1101 0000 0000 0000 1497 USD"),
    "SD": BankCountry(_("Sudan"), "SDG", "SD21 2901 0501 2340 01"),
    "SE": BankCountry(_("Sweden"), "SEK", "SE35 5000 0000 0549 1000 0003"),
    "SI": BankCountry(_("Slovenia"), "EUR", "SI56 2633 0001 2039 086"),
    "SK": BankCountry(_("Slovakia"), "EUR", "SK31 1200 0000 1987 4263 7541"),
    "SM": BankCountry(_("San Marino"), "EUR", "SM86 U032 2509 8000 0000 0270 100"),
    "SO": BankCountry(_("Somalia"), "SOS", "SO21 1000 0010 0100 0100 141"),
    "ST": BankCountry(_("São Tomé & Príncipe"), "STN", "ST23 0001 0001 0051 8453 1014 6"),
    "SV": BankCountry(_("El Salvador"), "USD", "SV62 CENR 0000 0000 0000 0070 0025"),
    "TL": BankCountry(_("Timor-Leste"), "USD", "TL38 0080 0123 4567 8910 157"),
    "TN": BankCountry(_("Tunisia"), "TND", "TN59 1000 6035 1835 9847 8831"),
    "TR": BankCountry(_("Türkiye"), "TRY", "TR33 0006 1005 1978 6457 8413 26"),
    "UA": BankCountry(_("Ukraine"), "UAH", "UA21 3223 1300 0002 6007 2335 6600 1"),
    "US": BankCountry(_("United States"), "USD", ""),
    "VA": BankCountry(_("Vatican City"), "EUR", "VA59 0011 2300 0012 3456 78"),
    "VG": BankCountry(_("British Virgin Islands"), "USD", "VG96 VPVG 0000 0123 4567 8901"),
    "XK": BankCountry(_("Kosovo"), "EUR", "XK05 1212 0123 4567 8906"),
    "YE": BankCountry(_("Yemen"), "YER", "YE15 CBYE 0001 0188 6123 4567 8912 34"),
}
# fmt: on
