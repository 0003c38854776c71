"""Where each enrollment of the demo stands, on whatever day it is loaded."""

from enrollment.models import Enrollment

ENROLLED = {
    "AZ-MIG": "Göteborg Hamburg",
    "BA-PRE": "Leeds Stockholm",
    "CSP-DB": "Leeds Stockholm",
    "CSP-IP": "Boise Stockholm",
    "CSP-IR": "Leeds",
    "DEV-RES": "Amsterdam Edinburgh Leeds Norfolk",
    "HOST": "Norfolk",
    "MW-ADV": "Amsterdam Edinburgh Göteborg Norfolk Stockholm",
    "SEC-ENG": "Hamburg Leeds",
}
OTHERWISE = {
    "AZ-MIG Cardiff": "validating",
    "AZ-MIG Stockholm": "validating",
    "BA-PRE Cardiff": "invited",
    "BA-PRE Edinburgh": "declined",
    "CSP-DB Curitiba": "invited",
    "CSP-DB Göteborg": "invited",
    "CSP-DB Hamburg": "validating",
    "CSP-DB Leipzig": "invited",
    "CSP-DB München": "invited",
    "CSP-IP Göteborg": "invited",
    "CSP-IP Osaka": "invited",
    "CSP-IR Boise": "expired",
    "CSP-IR Pune": "invited",
    "CSP-IR Stockholm": "action_required",
    "DEV-RES Groningen": "invited",
    "DEV-RES Hamburg": "validating",
    "DEV-RES Halifax": "invited",
    "DEV-RES Utrecht": "action_required",
    "HOST Cardiff": "expired",
    "LEARN Brisbane": "invited",
    "LEGACY-OS Tulsa": "discontinued",
    "MW-ADV Nagpur": "invited",
    "MW-ADV Québec": "action_required",
    "SEC-ENG Malmö": "invited",
    "SEC-ENG Recife": "invited",
}
# Whom the campaigns that began invited.
INVITED = {
    "CSP-IR": "Jönköping Kalmar Karlstad Linköping",
    "LEARN": "Norrköping Sundsvall Umeå Västerås",
    "MW-ADV": (
        "Borås Eskilstuna Gävle Halmstad Helsingborg Jönköping Kalmar Karlstad "
        "Linköping Norrköping Sundsvall Umeå Västerås Örebro"
    ),
    "SEC-ENG": "Borås Eskilstuna Gävle Halmstad Helsingborg",
}
STATES = OTHERWISE | {
    f"{program} {location}": status
    for status, places in (("enrolled", ENROLLED), ("invited", INVITED))
    for program, locations in places.items()
    for location in locations.split()
}


def states():
    """Return where they stand in the database."""
    return {
        f"{code} {name}": status
        for code, name, status in Enrollment.objects.values_list(
            "terms__program__code", "location__name", "status"
        )
    }
