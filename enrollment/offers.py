"""What a program offers and asks in a year, in words: for whoever thinks of enrolling."""

from datetime import date

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.templatetags.portal import listed, listed_within
from enrollment.changes import Use, changes_between
from enrollment.models import ProgramAtLocation, ProgramTerms, RequirementCheck
from enrollment.models.overview import CheckState
from enrollment.models.terms import EarningsStart
from profiles.countries import country_name
from profiles.states import PayoutMethod


def offer_of(place: ProgramAtLocation, *, on: date) -> dict:
    """Return what the page of a program says of its year, seen from one location.

    Two years are read: what this one says otherwise is told beside last year's guide.
    """
    years = list(
        ProgramTerms.objects.filter(
            program=place.program_id,
            fiscal_year__starts_on__lte=place.terms.fiscal_year.starts_on,
        )
        .select_related("fiscal_year__calendar", "program")
        .prefetch_related("earning_types", "requirements__criterion")
        .order_by("-fiscal_year__starts_on")[:2]
    )
    terms = next(one for one in years if one.pk == place.terms_id)
    before = next((one for one in years if one is not terms), None)
    checks = list(
        RequirementCheck.objects.filter(location=place.location_id, terms=terms).as_of(
            on
        )
    )
    return {
        "terms": terms,
        "year": terms.fiscal_year,
        "before": before,
        "last_day": terms.enroll_by or terms.fiscal_year.ends_on,
        "summary": _summary(terms),
        "pays": list(terms.earning_types.all()),
        "methods": listed_within(PayoutMethod(one).label for one in terms.methods),
        "currencies": _currencies(terms),
        "countries": _places(terms.countries),
        "earns_by": EarningsStart(terms.earnings_start).label,
        "met": sum(check.state == CheckState.MET for check in checks),
        "asked": len(checks),
        "changes": (
            changes_between(before, terms, use=Use(country=place.location.country))
            if before
            else []
        ),
    }


def _summary(terms: ProgramTerms) -> str:
    program = terms.program
    swedish = get_language() == "sv" and program.summary_sv
    return swedish or program.summary_en


def _currencies(terms: ProgramTerms) -> str:
    codes = listed(terms.currencies)
    if not terms.pays_local_currency:
        return codes
    if not codes:
        return _("The currency of your bank's country")
    return _("%(codes)s, or the currency of your bank's country") % {"codes": codes}


def _places(countries: list[str]) -> str:
    if not countries:
        return _("All countries")
    return listed(sorted(str(country_name(code)) for code in countries))
