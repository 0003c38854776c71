"""Who may use which address: the expectation the permission matrix is held against.

`yes` may use it, `no` may know of it but not do it (403); everybody else who is signed
in is told there is no such page (404). Lists have no object: there `no` is everybody
without the right. An address without a row fails, and so does a row without an address.
"""

from dataclasses import dataclass

PARTNERS = ("lars", "greta", "alice", "ida", "uma", "revoked", "sam")
OPERATORS = ("oscar", "mina", "reader", "iris", "aino")
EVERYBODY = (*PARTNERS, *OPERATORS)


@dataclass(frozen=True)
class Row:
    """What one address answers on the cast's own location."""

    yes: tuple[str, ...]
    no: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("GET",)
    # Which object of the world the address names, if any.
    on: str = ""
    # "company" objects have no location: the other location is no other case.
    is_company_wide: bool = False


def _list(*yes: str, methods=("GET",)) -> Row:
    others = tuple(person for person in PARTNERS if person not in yes)
    return Row(yes, others, methods)


def _post(on: str, *yes: str, no: tuple[str, ...], **options) -> Row:
    return Row(yes, no, ("POST",), on, **options)


def _ops(*yes: str, methods=("GET",), on: str = "") -> Row:
    others = tuple(person for person in OPERATORS if person not in yes)
    return Row(yes, others, methods, on)


ADMINS = ("greta", "alice")
EDITING = {"no": ("uma", *ADMINS)}
BANK = {"no": ADMINS, "is_company_wide": True}

TABLE: dict[str, Row] = {
    # Everybody's own pages.
    "home": Row(PARTNERS),
    "enrollment:old_overview": Row(PARTNERS),
    "enrollment:notifications": Row(PARTNERS),
    "enrollment:notification": Row(("ida",), on="mail", is_company_wide=True),
    # Operators have an account of their own too.
    "own:account": Row(EVERYBODY),
    "own:language": Row(EVERYBODY),
    "own:mail": Row(PARTNERS, methods=("GET", "POST")),
    "enrollment:calendar": Row(PARTNERS),
    "enrollment:new_calendar": Row(PARTNERS, methods=("POST",)),
    "enrollment:end_calendar": Row(PARTNERS, methods=("POST",)),
    "own:second_factor": Row(EVERYBODY),
    "own:sign_in_again": Row(EVERYBODY),
    "own:end_session": Row(EVERYBODY, methods=("POST",)),
    "own:end_sessions": Row(EVERYBODY, methods=("POST",)),
    # Signing in through one's company; operators belong to none.
    "company:connect": Row(PARTNERS, methods=("POST",)),
    "company:disconnect": Row(PARTNERS, methods=("POST",)),
    "company:prove": Row(PARTNERS, methods=("POST",)),
    # Incentives.
    "enrollment:overview": _list("ida", "uma", "sam"),
    "enrollment:export_overview": _list("ida", "uma", "sam"),
    "enrollment:past": _list("ida", "uma", "sam"),
    "enrollment:program": Row(("ida", "uma"), ADMINS, on="place"),
    "enrollment:guide": Row(("ida", "uma"), ADMINS, on="place"),
    "enrollment:why": Row(("ida", "greta"), ("uma", "alice"), on="place"),
    "enrollment:dispute": Row(
        ("ida", "greta"), ("uma", "alice"), ("GET", "POST"), on="place"
    ),
    "enrollment:ask_extension": Row(
        ("ida",), EDITING["no"], ("GET", "POST"), "enrollment"
    ),
    "enrollment:start": _post("open_place", "ida", **EDITING),
    "enrollment:get_started": Row(("ida",), on="invitation"),
    "enrollment:hand_over": Row(("ida",), methods=("GET", "POST"), on="invitation"),
    "enrollment:open_invitation": _post("invitation", "ida", no=()),
    "enrollment:begin_batch": _list("ida", "sam", methods=("POST",)),
    "enrollment:batch": Row(("ida",), on="batch", is_company_wide=True),
    "enrollment:submit_batch": _post("batch", "ida", no=(), is_company_wide=True),
    "enrollment:export_batch": Row(("ida",), on="batch", is_company_wide=True),
    "enrollment:detail": Row(("ida", "uma"), ADMINS, on="enrollment"),
    "enrollment:accept": _post("enrollment", "ida", **EDITING),
    "enrollment:decline": _post("enrollment", "ida", **EDITING),
    "enrollment:reconsider": _post("enrollment", "ida", **EDITING),
    "enrollment:choose_bank": Row(
        ("ida",), EDITING["no"], ("GET", "POST"), "enrollment"
    ),
    "enrollment:choose_tax": _post("enrollment", "ida", **EDITING),
    "enrollment:choose_currency": _post("enrollment", "ida", **EDITING),
    "enrollment:continue": _post("enrollment", "ida", **EDITING),
    "enrollment:profiles": Row(("ida",), EDITING["no"], on="enrollment"),
    "enrollment:prepare": _post("enrollment", "ida", "uma", no=ADMINS),
    "enrollment:submit": _post("enrollment", "ida", **EDITING),
    "enrollment:terms": Row(("ida", "uma"), ADMINS, on="enrollment"),
    "enrollment:recall": _post("enrollment", "ida", **EDITING),
    "enrollment:receipt": Row(("ida",), EDITING["no"], on="enrollment"),
    # Locations.
    "enrollment:locations": _list("ida", "uma", "sam", *ADMINS),
    "enrollment:location": Row(("ida", "uma", *ADMINS), on="location"),
    "enrollment:add_location": _list(*ADMINS, methods=("GET", "POST")),
    "enrollment:ask_closing": Row(
        ADMINS, ("ida", "uma"), ("GET", "POST"), on="location"
    ),
    "enrollment:keep_location": _post("location", *ADMINS, no=("ida", "uma")),
    # Profiles: nothing of them for Incentives users (R12).
    "profiles:list": _list("ida", "sam"),
    "profiles:tax_list": _list("ida", "sam"),
    "profiles:needs": _list("ida", "sam"),
    "profiles:new_bank": _list("ida", "sam", methods=("GET", "POST")),
    "profiles:bank_account": _list("ida", "sam", methods=("GET", "POST")),
    "profiles:bank_beneficiary": _list("ida", "sam", methods=("GET", "POST")),
    "profiles:check_bank": _list("ida", "sam", methods=("GET", "POST")),
    "profiles:discard_bank": _list("ida", "sam", methods=("POST",)),
    "profiles:bank": Row(("ida",), on="bank_profile", **BANK),
    "profiles:change_bank": Row(
        ("ida",), methods=("GET", "POST"), on="bank_profile", **BANK
    ),
    "profiles:change_bank_account": Row(
        ("ida",), methods=("GET", "POST"), on="bank_profile", **BANK
    ),
    "profiles:change_bank_beneficiary": Row(
        ("ida",), methods=("GET", "POST"), on="bank_profile", **BANK
    ),
    "profiles:check_bank_change": Row(
        ("ida",), methods=("GET", "POST"), on="bank_profile", **BANK
    ),
    "profiles:discard_bank_change": _post(
        "bank_profile", "ida", no=ADMINS, is_company_wide=True
    ),
    "profiles:show_bank_number": Row(
        ("ida",), methods=("GET", "POST"), on="bank_profile", **BANK
    ),
    "profiles:archive_bank": Row(
        ("ida",), methods=("GET", "POST"), on="bank_profile", **BANK
    ),
    "enrollment:replace_bank": Row(
        ("ida",), methods=("GET", "POST"), on="bank_profile", **BANK
    ),
    "enrollment:replace_tax": Row(("ida",), ADMINS, ("GET", "POST"), "tax_profile"),
    "profiles:compare_bank": Row(("ida",), on="bank_profile", **BANK),
    "profiles:compare_tax": Row(("ida",), ADMINS, on="tax_profile"),
    "profiles:stop_change": Row(
        ("ida", *ADMINS), (), ("GET", "POST"), "bank_profile", is_company_wide=True
    ),
    "profiles:answer_bank": _post(
        "bank_profile", "ida", no=ADMINS, is_company_wide=True
    ),
    "profiles:answer_tax": _post("tax_profile", "ida", no=ADMINS),
    "profiles:withdraw_bank": _post(
        "bank_profile", "ida", no=ADMINS, is_company_wide=True
    ),
    "profiles:new_tax": _list("ida", "sam", methods=("GET", "POST")),
    "profiles:tax": Row(("ida",), ADMINS, on="tax_profile"),
    "profiles:change_tax": Row(("ida",), ADMINS, ("GET", "POST"), "tax_profile"),
    "profiles:tax_draft": Row(("ida",), on="tax_draft"),
    "profiles:tax_company": Row(("ida",), (), ("GET", "POST"), "tax_draft"),
    "profiles:tax_setup": Row(("ida",), (), ("GET", "POST"), "tax_draft"),
    "profiles:tax_status": Row(("ida",), (), ("GET", "POST"), "tax_draft"),
    "profiles:tax_documents": Row(("ida",), (), ("GET", "POST"), "tax_draft"),
    "profiles:tax_check": Row(("ida",), (), ("GET", "POST"), "tax_draft"),
    "profiles:discard_tax_draft": _post("tax_draft", "ida", no=()),
    "profiles:tax_document": Row(("ida",), on="tax_document"),
    "profiles:remove_tax_document": _post("tax_document", "ida", no=()),
    "profiles:archive_tax": Row(("ida",), ADMINS, ("GET", "POST"), "tax_profile"),
    "profiles:ask_part": Row(("ida",), ("uma", *ADMINS), ("GET", "POST"), "location"),
    "profiles:part": Row(
        ("ida",), methods=("GET", "POST"), on="own_part", is_company_wide=True
    ),
    "profiles:check_part": Row(("ida",), (), ("GET", "POST"), "part"),
    "profiles:end_part": _post("part", "ida", no=()),
    "profiles:defaults": _list("ida", "sam", methods=("GET", "POST")),
    "profiles:remove_default": _post("default", "ida", no=ADMINS),
    # People.
    "accounts:people": _list(*ADMINS),
    "accounts:gaps": _list(*ADMINS),
    "accounts:assign": _list(*ADMINS, methods=("GET", "POST")),
    "accounts:preview": _list(*ADMINS, methods=("GET", "POST")),
    "accounts:revoke": Row(
        ADMINS, methods=("GET", "POST"), on="role", is_company_wide=True
    ),
    "accounts:person": Row(ADMINS, on="member", is_company_wide=True),
    "accounts:deactivate": Row(
        ADMINS, methods=("GET", "POST"), on="member", is_company_wide=True
    ),
    "accounts:invite": _list(*ADMINS, methods=("GET", "POST")),
    "accounts:preview_invitation": _list(*ADMINS, methods=("GET", "POST")),
    "accounts:invitations": _list(*ADMINS),
    "accounts:resend_invitation": _post(
        "colleague", *ADMINS, no=(), is_company_wide=True
    ),
    "accounts:revoke_invitation": _post(
        "colleague", *ADMINS, no=(), is_company_wide=True
    ),
    # Everybody asks for themselves.
    "accounts:request_access": Row(PARTNERS, methods=("GET", "POST")),
    "accounts:requests": _list(*ADMINS),
    "accounts:grant_access": _post(
        "access_request", *ADMINS, no=(), is_company_wide=True
    ),
    "accounts:decline_access": Row(
        ADMINS, methods=("GET", "POST"), on="access_request", is_company_wide=True
    ),
    "accounts:recovery": Row(PARTNERS, methods=("GET", "POST")),
    "accounts:stop_recovery": _post("recovery", *ADMINS, no=(), is_company_wide=True),
    "accounts:lost_factor": Row(ADMINS, on="factor_reset", is_company_wide=True),
    "accounts:vouch": _post("factor_reset", *ADMINS, no=(), is_company_wide=True),
    "accounts:decline_reset": _post(
        "factor_reset", *ADMINS, no=(), is_company_wide=True
    ),
    # The link of a colleague's invitation: who it is for is the service's question.
    "joining:accept": Row(PARTNERS, methods=("POST",)),
    "accounts:provisioning": _list("greta"),
    "accounts:create_token": _list("greta", methods=("POST",)),
    "accounts:map_group": _list("greta", methods=("POST",)),
    "accounts:revoke_token": Row(
        ("greta",), methods=("POST",), on="token", is_company_wide=True
    ),
    "accounts:replace_token": Row(
        ("greta",), methods=("POST",), on="token", is_company_wide=True
    ),
    "accounts:unmap_group": Row(
        ("greta",), methods=("POST",), on="mapping", is_company_wide=True
    ),
    # Activity: everybody's own part at least.
    "activity:list": Row(PARTNERS),
    "activity:export": Row(PARTNERS),
    # Operators.
    "ops:today": _ops(*OPERATORS),
    "ops:invitations": _ops("oscar", "mina", "reader", "aino"),
    "ops:plan_campaign": _ops("mina", methods=("POST",), on="terms"),
    "ops:campaigns": _ops("oscar", "mina", "reader", "aino"),
    "ops:campaign": _ops("oscar", "mina", "reader", "aino", on="campaign"),
    "ops:left_out": _ops("oscar", "mina", "reader", "aino", on="campaign"),
    "ops:preview_campaign": _ops("oscar", "mina", "reader", "aino", on="campaign"),
    "ops:preview_campaign_html": _ops("oscar", "mina", "reader", "aino", on="campaign"),
    "ops:campaign_log": _ops("oscar", "mina", "reader", "aino", on="campaign"),
    "ops:change_campaign": _ops("mina", methods=("POST",), on="campaign"),
    "ops:test_campaign": _ops("mina", methods=("POST",), on="campaign"),
    "ops:send_campaign": _ops("mina", methods=("POST",), on="campaign"),
    "ops:stop_campaign": _ops("mina", methods=("POST",), on="campaign"),
    "ops:pause_campaign": _ops("mina", methods=("POST",), on="campaign"),
    "ops:resume_campaign": _ops("mina", methods=("POST",), on="campaign"),
    "ops:discard_campaign": _ops("mina", methods=("POST",), on="campaign"),
    "ops:resend_campaign": _ops("mina", methods=("POST",), on="campaign"),
    "ops:invite_anew": _ops("mina", methods=("POST",), on="enrollment"),
    # Programs: every operator with the records of programs looks, managers write.
    **{
        f"ops:{name}": _ops("oscar", "mina", "reader", "aino", on=on)
        for name, on in (
            ("programs", ""),
            ("program", "program"),
            ("terms", "terms"),
            ("terms_version", "terms_version"),
            ("terms_draft", "terms_draft"),
            ("preview_draft", "terms_draft"),
            ("guide", "guide"),
            ("criteria", ""),
            ("calendars", ""),
        )
    },
    **{
        f"ops:{name}": _ops("mina", methods=("GET", "POST"), on=on)
        for name, on in (
            ("add_program", ""),
            ("change_program", "program"),
            ("discontinue_program", "program"),
            ("begin_draft", "program"),
            ("add_guide", "program"),
            ("draft_who", "terms_draft"),
            ("draft_requirements", "terms_draft"),
            ("draft_earnings", "terms_draft"),
            ("draft_payment", "terms_draft"),
            ("draft_dates", "terms_draft"),
            ("draft_agreement", "terms_draft"),
            ("draft_sender", "terms_draft"),
            ("publish_draft", "terms_draft"),
            ("add_criterion", ""),
            ("change_criterion", "criterion"),
            ("add_calendar", ""),
            ("change_calendar", "calendar"),
        )
    },
    "ops:stranded_enrollments": _ops("mina", on="terms_draft"),
    "ops:remove_guide": _ops("mina", methods=("POST",), on="guide"),
    "ops:discard_draft": _ops("mina", methods=("POST",), on="terms_draft"),
    "ops:add_year": _ops("mina", methods=("POST",), on="calendar"),
    "ops:validation": _ops("oscar", "mina", "reader", "aino"),
    "ops:next": _ops("oscar", "aino"),
    "ops:enrollment": _ops("oscar", "mina", "reader", "aino", on="enrollment"),
    "ops:confirm": _ops("oscar", "aino", methods=("POST",), on="enrollment"),
    "ops:second_approvals": _ops("oscar", "aino"),
    "ops:bank_version": _ops("oscar", "aino", on="bank_version"),
    "ops:approve_bank": _ops("oscar", "aino", methods=("POST",), on="bank_version"),
    "ops:return_bank": _ops("oscar", "aino", methods=("POST",), on="bank_version"),
    **{
        f"ops:{verb}_bank": _ops("oscar", "aino", methods=("POST",), on="bank_version")
        for verb in ("claim", "release", "ask", "escalate")
    },
    **{
        f"ops:{verb}_tax": _ops("oscar", methods=("POST",), on="tax_version")
        for verb in ("claim", "release", "ask", "escalate")
    },
    "ops:reasons": _ops("oscar", "mina"),
    "ops:add_reason": _ops("oscar", "mina", methods=("GET", "POST")),
    "ops:change_reason": _ops("oscar", "mina", methods=("GET", "POST"), on="reason"),
    "ops:retire_reason": _ops("oscar", "mina", methods=("POST",), on="reason"),
    "ops:revive_reason": _ops("oscar", "mina", methods=("POST",), on="reason"),
    "ops:escalations": _ops("oscar", "aino"),
    "ops:answer_escalation": _ops("oscar", "aino", methods=("POST",), on="escalation"),
    "ops:claim": _ops("oscar", "aino", methods=("POST",), on="enrollment"),
    "ops:release": _ops("oscar", "aino", methods=("POST",), on="enrollment"),
    "ops:compare_bank": _ops("oscar", "aino", on="bank_profile"),
    "ops:compare_tax": _ops("oscar", on="tax_profile"),
    "ops:stopped_changes": _ops("oscar", "aino"),
    "ops:check_change": _ops("oscar", "aino", methods=("POST",), on="bank_version"),
    "ops:release_change": _ops("oscar", "aino", methods=("POST",), on="bank_version"),
    "ops:tax_version": _ops("oscar", on="tax_version"),
    "ops:open_tax_document": _ops("oscar", methods=("POST",), on="tax_document"),
    "ops:approve_tax": _ops("oscar", methods=("POST",), on="tax_version"),
    "ops:return_tax": _ops("oscar", methods=("POST",), on="tax_version"),
    "ops:audit": _ops("oscar", "mina", "reader", "aino"),
    "ops:export_audit": _ops("oscar", "mina", "reader", "aino"),
    "ops:locations": _ops("oscar", "mina", "reader", "aino"),
    "ops:close_location": _ops("mina", methods=("GET", "POST"), on="location"),
    "ops:decline_closing": _ops("mina", methods=("GET", "POST"), on="location"),
    # The year end: who prepares it does not approve it.
    "ops:imports": _ops("mina", "reader", "oscar", "aino"),
    "ops:disputes": _ops("mina", "reader", "oscar", "aino"),
    "ops:extensions": _ops("mina", "reader", "oscar", "aino"),
    "ops:answer_extension": _ops("mina", methods=("POST",), on="extension"),
    "ops:answer_dispute": _ops("mina", methods=("POST",), on="dispute"),
    "ops:upload_import": _ops("mina", methods=("POST",)),
    "ops:import_template": _ops("mina", "reader", "oscar", "aino"),
    "ops:value_import": _ops("mina", "reader", "oscar", "aino", on="value_import"),
    "ops:import_columns": _ops("mina", methods=("GET", "POST"), on="value_import"),
    "ops:apply_import": _ops("mina", methods=("POST",), on="value_import"),
    "ops:release_import": _ops("mina", "aino", methods=("POST",), on="value_import"),
    "ops:cancel_import": _ops("mina", methods=("POST",), on="value_import"),
    "ops:retry_import": _ops("mina", methods=("POST",), on="value_import"),
    "ops:undo_import": _ops("mina", methods=("POST",), on="value_import"),
    "ops:import_problems": _ops("mina", "reader", "oscar", "aino", on="value_import"),
    "ops:import_effects": _ops("mina", "reader", "oscar", "aino", on="value_import"),
    "ops:import_values": _ops("mina", "reader", "oscar", "aino", on="value_import"),
    "ops:renewals": _ops("mina", "aino"),
    "ops:rehearse_renewals": _ops("mina", methods=("POST",), on="year"),
    "ops:renewal": _ops("mina", "aino", on="plan"),
    "ops:renewal_rows": _ops("mina", "aino", on="plan"),
    "ops:export_renewal": _ops("mina", "aino", on="plan"),
    "ops:propose_renewal": _ops("mina", methods=("POST",), on="plan"),
    "ops:approve_renewal": _ops("aino", methods=("POST",), on="plan"),
    "ops:withdraw_renewal": _ops("mina", methods=("POST",), on="plan"),
    "ops:pause_renewal": _ops("mina", methods=("POST",), on="plan"),
    "ops:resume_renewal": _ops("mina", methods=("POST",), on="plan"),
    "ops:set_aside": _ops("mina", "aino", on="plan"),
    "ops:decide_set_aside": _ops("mina", "aino", methods=("POST",), on="plan"),
    "ops:ask_to_undo_renewal": _ops("mina", methods=("POST",), on="plan"),
    "ops:drop_undoing_renewal": _ops("mina", methods=("POST",), on="plan"),
    "ops:approve_undoing_renewal": _ops("aino", methods=("POST",), on="plan"),
    "ops:renewal_report": _ops("mina", "aino", on="plan"),
    "ops:mail": _ops("oscar", "mina", "reader", "aino"),
    "ops:try_address": _ops("mina", methods=("POST",), on="bad_address"),
    "ops:resend": _ops("mina", methods=("POST",), on="mail"),
    # Which directory speaks for a company: of one group, which does nothing else.
    "ops:recoveries": _ops("iris"),
    "ops:recovery": _ops("iris", on="recovery"),
    "ops:review_recovery": _ops("iris", methods=("POST",), on="recovery"),
    "ops:appoint": _ops("iris", methods=("POST",), on="recovery"),
    "ops:decline_recovery": _ops("iris", methods=("GET", "POST"), on="recovery"),
    "ops:lost_factor": _ops("iris", on="factor_reset"),
    "ops:vouch": _ops("iris", methods=("POST",), on="factor_reset"),
    "ops:reset_factors": _ops("iris", methods=("POST",), on="factor_reset"),
    "ops:decline_reset": _ops("iris", methods=("POST",), on="factor_reset"),
    "ops:sign_ins": _ops("iris"),
    "ops:register_sign_in": _ops("iris", methods=("GET", "POST")),
    "ops:sign_in": _ops("iris", on="tenant"),
    "ops:change_sign_in": _ops("iris", methods=("GET", "POST"), on="tenant"),
    "ops:stop_sign_in": _ops("iris", methods=("POST",), on="tenant"),
    "ops:start_sign_in": _ops("iris", methods=("POST",), on="tenant"),
    "ops:map_app_role": _ops("iris", methods=("POST",), on="tenant"),
    "ops:approve_app_role": _ops("iris", methods=("POST",), on="app_role"),
    "ops:unmap_app_role": _ops("iris", methods=("POST",), on="app_role"),
}

# Anybody may use these; test_house.py reads why from the views themselves.
PUBLIC = {
    "healthz",
    "set_language",
    "unsubscribe",
    "joining:link",
    "joining:invitation",
    "joining:join",
    "lost:ask",
    "lost:link",
    "lost:stop",
    "enrollment:calendar_file",
    "profiles:part_link",
    "profiles:part_by_link",
    "profiles:part_join",
    "profiles:stop_link",
    "profiles:stop_by_link",
    "company:sign_in",
    "company:go",
    "company:callback",
}
PUBLIC_PREFIXES = ("demo:",)
# A company's directory gets in with its token, whoever is signed in where it runs; what
# may be done, and whether the address names a row of one company. Tested in
# test_token_permissions.py.
TOKEN_PREFIX = "scim:"
TOKEN: dict[str, tuple[tuple[str, ...], str]] = {
    "scim:config": (("GET",), ""),
    "scim:schemas": (("GET",), ""),
    "scim:schema": (("GET",), ""),
    "scim:resource_types": (("GET",), ""),
    "scim:resource_type": (("GET",), ""),
    "scim:search": (("POST",), ""),
    "scim:search_users": (("POST",), ""),
    "scim:search_groups": (("POST",), ""),
    "scim:users": (("GET", "POST"), ""),
    "scim:user": (("GET", "PUT", "PATCH", "DELETE"), "person"),
    "scim:groups": (("GET", "POST"), ""),
    "scim:group": (("GET", "PUT", "PATCH", "DELETE"), "group"),
    "scim:elsewhere": (("GET", "POST", "PUT", "PATCH", "DELETE"), ""),
}
# Libraries' own addresses, tested beside the code that sets them up.
LIBRARIES = ("account_", "mfa_", "admin:")
# Of these the admin site shows Global admins the rows of their own company (domain.md
# §10.6); nobody else of a company learns that there is such a site.
PARTNERS_RECORDS = ("accounts.user", "accounts.location", "accounts.roleassignment")
