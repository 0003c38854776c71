"""The program owner's own people: groups, what each may do, which records there are.

Pure data plus set-up. Operators hold no RoleAssignment; Django's groups and permissions
speak for them. Superusers are for emergencies, and for setting companies up.
"""

from django.contrib.auth.models import Group
from django.contrib.auth.models import Permission as DjangoPermission

READER = "Reader"
PROGRAM_MANAGER = "Program manager"
VALIDATOR = "Validator"
APPROVER = "Approver"
# Apart from the others: whoever decides which directory speaks for a company decides
# who its people are.
IDENTITY_MANAGER = "Identity manager"

_READ = (
    "accounts.view_partneraccount",
    "accounts.view_location",
    "accounts.view_incentiveprogram",
    "accounts.view_roleassignment",
    "accounts.view_user",
    "accounts.view_auditevent",
    "accounts.view_outgoingemail",
    "enrollment.view_enrollment",
    "enrollment.view_programterms",
    "enrollment.view_fiscalyear",
    "enrollment.view_criterion",
    "enrollment.view_measuredvalue",
    "enrollment.view_valueimport",
    "enrollment.view_agreement",
)
_MANAGE_PROGRAMS = (
    *(
        f"{app}.{verb}_{model}"
        for app, model in (
            ("accounts", "incentiveprogram"),
            ("enrollment", "fiscalcalendar"),
            ("enrollment", "fiscalyear"),
            ("enrollment", "programterms"),
            ("enrollment", "earningtype"),
            ("enrollment", "criterion"),
            ("enrollment", "requirement"),
            ("enrollment", "agreement"),
        )
        for verb in ("add", "change", "view")
    ),
    "enrollment.send_invitations",
    "enrollment.import_values",
    "enrollment.release_values",
    "accounts.close_location",
    "enrollment.prepare_renewals",
    "enrollment.view_renewalplan",
    "accounts.resend_outgoingemail",
    "profiles.change_returnreason",
)

OPERATOR_GROUPS: dict[str, tuple[str, ...]] = {
    READER: _READ,
    PROGRAM_MANAGER: (*_READ, *_MANAGE_PROGRAMS),
    VALIDATOR: (
        *_READ,
        "profiles.review_profiles",
        "profiles.validate_profiles",
        "profiles.change_returnreason",
    ),
    # The second operator: for bank accounts (domain.md §10.7) and for the year end.
    APPROVER: (
        *_READ,
        "profiles.review_profiles",
        "profiles.approve_bank_accounts",
        "enrollment.release_values",
        "enrollment.view_renewalplan",
        "enrollment.approve_renewals",
    ),
    IDENTITY_MANAGER: (
        *(f"accounts.{verb}_companytenant" for verb in ("add", "change", "view")),
        "accounts.view_recoveryrequest",
        "accounts.decide_recovery",
        "accounts.view_factorreset",
        "accounts.decide_factorreset",
    ),
}


# Every record of the admin site, and why it is there. The site takes no other; all of
# them are looked at only, but for what the reason says (security.md T17).
RECORDS: dict[str, str] = {
    "accounts.auditevent": "the trail; no numbers in it, no secrets",
    "accounts.incentiveprogram": "reference data: program managers add and change it",
    "accounts.location": "superusers add; Global admins see those of their company",
    "accounts.outgoingemail": "where a mail is on its way; without its bodies",
    "accounts.partneraccount": "superusers add",
    "accounts.roleassignment": "Global admins give and end the roles of their company, "
    "superusers the role Global admin",
    "accounts.user": "superusers add; Global admins see those of their company",
    "enrollment.agreement": "program managers record and terminate agreements",
    "enrollment.criterion": "reference data: program managers add and change it",
    "enrollment.enrollment": "with its history; it moves by what people do on pages",
    "enrollment.fiscalcalendar": "reference data: program managers add and change it",
    "enrollment.fiscalyear": "reference data: program managers add and change it",
    "enrollment.measuredvalue": "what was measured; it comes in files",
    "enrollment.programterms": "what is in force; written in the program editor",
    "enrollment.valueimport": "files that were read: each has a page of its own",
    "profiles.bankprofile": "for superusers only, without what is sealed",
    "profiles.defaultbankprofile": "for superusers only; names and currencies",
    "profiles.taxprofile": "for superusers only, without what is sealed",
}


def groups_with(permission: str) -> list[str]:
    """Return the groups whose operators hold a Django permission."""
    return [name for name, held in OPERATOR_GROUPS.items() if permission in held]


def ensure_operator_groups(**_signal) -> None:
    """Make the groups carry exactly the permissions above, as far as they exist."""
    known = {
        f"{app}.{codename}": pk
        for pk, app, codename in DjangoPermission.objects.values_list(
            "pk", "content_type__app_label", "codename"
        ).order_by("pk")
    }
    for name, wanted in OPERATOR_GROUPS.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set([known[code] for code in wanted if code in known])
