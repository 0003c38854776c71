"""Whether a program pays to an account: by its country, and by the currency.

The one rule before something is chosen or sent; the database view PayoutStanding gives
the same answer afterwards.
"""

from collections.abc import Collection
from typing import Protocol

from django.utils.translation import gettext as _

from profiles.countries import country_name


class Account(Protocol):
    """What is asked of a bank version."""

    country: str
    local_currency: str
    takes_only_local: bool


class Terms(Protocol):
    """What is asked of a program's terms, which lie above this app."""

    bank_countries: Collection[str]
    bank_countries_refused: Collection[str]
    currencies: Collection[str]
    pays_local_currency: bool


def why_not_paid(account: Account, *, terms: Terms, currency: str = "") -> str:
    """Say why a program cannot pay to an account; "" if it can.

    `currency` is the one chosen already, if any.
    """
    is_listed = not terms.bank_countries or account.country in terms.bank_countries
    if not is_listed or account.country in terms.bank_countries_refused:
        return _("This program cannot pay to banks in %(country)s.") % {
            "country": country_name(account.country)
        }
    local = account.local_currency
    is_local_paid = terms.pays_local_currency or local in terms.currencies
    if account.takes_only_local and not is_local_paid:
        return _(
            "This account takes %(currency)s only, which this program does not pay."
        ) % {"currency": local}
    if currency and account.takes_only_local and currency != local:
        return _(
            "It is paid in %(currency)s, and this account takes %(local)s only: choose "
            "%(local)s for it."
        ) % {"currency": currency, "local": local}
    is_paid = currency in terms.currencies or (
        terms.pays_local_currency and currency == local
    )
    if currency and not is_paid:
        return _(
            "It is paid in %(currency)s, which this program pays to banks in other "
            "countries only: choose another currency for it."
        ) % {"currency": currency}
    return ""
