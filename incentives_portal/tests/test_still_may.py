"""A role that ends while somebody's change waits for the company's lock: too late.

The page asked and let them begin; the service asks again under the lock, which every
end of a role takes too (security.md T3, T5). Each service that a partner's people use
is tried with the role ended, and again with the question off: then it does not ask.
"""

import ast
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, RoleAssignment
from accounts.services import lock_companies
from enrollment import services as enrollments
from enrollment.models import Enrollment, EnrollmentEvent
from enrollment.tests.factories import EnrollmentFactory, ProgramTermsFactory
from enrollment.tests.service_modules import STEPS, replace_in_steps, steps_with
from profiles import services as profiles
from profiles.tests.factories import (
    BANK_DETAILS,
    TAX_DETAILS,
    BankProfileFactory,
    BankVersionFactory,
    DefaultBankProfileFactory,
    ReviewQuestionFactory,
    TaxProfileFactory,
)
from profiles.tests.service_modules import PATHS as PROFILE_SERVICES
from profiles.tests.service_modules import modules_with

pytestmark = pytest.mark.django_db

BANK = {"country": "SE", "details": BANK_DETAILS}
TAX = {"country": "SE", "details": TAX_DETAILS}
OTHER = {**BANK_DETAILS, "iban": "SE4550000000058398257466"}
# What each service of a partner is about, and what it is asked.
DOORS = {
    "create_bank_profile": ("company", {"name": "New", **BANK}),
    "revise_bank_profile": ("bank", {"country": "SE", "details": OTHER}),
    "create_tax_profile": ("goteborg", {"name": "New", **TAX}),
    "revise_tax_profile": (
        "tax",
        {"country": "SE", "details": {**TAX_DETAILS, "org_number": "5560360793"}},
    ),
    "complete_tax_profile": ("tax", {"details": {"vat": "SE556016068001"}}),
    "archive_profile": ("unused_bank", {}),
    "set_default_bank_profile": ("places", {"currency": "SEK"}),
    "remove_default_bank_profile": ("default", {}),
    "show_bank_number": ("bank", {"reason": "To check it by phone."}),
    "stop_change": ("change", {}),
    "withdraw_change": ("change", {}),
    "answer_question": ("question", {"answer": "It is ours since May."}),
    "replace_profile": ("bank", {}),
    "start_open_enrollment": ("goteborg", {}),
    "start_open_enrollments": ("places", {}),
    "accept_enrollment": ("invited", {}),
    "decline_enrollment": ("invited", {}),
    "reconsider_enrollment": ("declined", {}),
    "choose_bank_profile": ("accepted", {}),
    "choose_tax_profile": ("accepted", {}),
    "choose_currency": ("accepted", {"currency": "SEK"}),
    "ask_for_details": ("accepted", {}),
    "submit_enrollment": ("accepted", {}),
    "recall_enrollment": ("submitted", {}),
}
# What only operators, the clock and other services do in the same modules.
NOT_PARTNERS = {
    "add_reason",
    "approve_version",
    "ask_partner",
    "awaited_approval",
    "bring_changes_into_force",
    "bring_into_force",
    "change_reason",
    "check_approving",
    "check_stopped_change",
    "claim_versions",
    "confirm_payout",
    "cooling_off",
    "copied_documents",
    "escalate_version",
    "follow_changed_terms",
    "follow_questions",
    "has_first_approval",
    "lapse_invitations",
    "needs_second_operator",
    "note_expired_tax_profiles",
    "put_away_at_closed_location",
    "reason_seen",
    "terms_to_follow",
    "reassess_enrollments",
    "refuse_bad_name",
    "refuse_link",
    "refuse_too_new",
    "release_change",
    "release_versions",
    "retire_reason",
    "return_version",
    "revive_reason",
    "signature_of",
    "standing_stop",
    "takes_place_from",
    "unsent_bank_version",
    "unsent_tax_version",
    "why_two_operators",
}


@pytest.fixture
def things(nordvik, goteborg, ida):
    """Makes what a service is about, when it is asked for."""

    def paid():
        return {
            "payout__bank_profile": BankProfileFactory(
                partner_account=nordvik, created_by=ida
            ),
            "payout__tax_profile": TaxProfileFactory(location=goteborg, created_by=ida),
            "payout__currency": "SEK",
        }

    made = {
        "company": lambda: nordvik,
        "goteborg": lambda: goteborg,
        "places": lambda: [goteborg],
        "bank": lambda: BankProfileFactory(partner_account=nordvik, created_by=ida),
        "tax": lambda: TaxProfileFactory(location=goteborg, created_by=ida),
        "change": lambda: BankVersionFactory(
            profile=made["bank"](),
            number=2,
            pending=True,
            usable_from=timezone.now() + timedelta(hours=72),
        ),
        "question": lambda: ReviewQuestionFactory(
            bank_version=made["change"](), to="partner"
        ),
        "default": lambda: DefaultBankProfileFactory(
            location=goteborg, bank_profile=made["bank"]()
        ),
        "invited": lambda: EnrollmentFactory(location=goteborg, **paid()),
        "accepted": lambda: EnrollmentFactory(
            location=goteborg, accepted=True, **paid()
        ),
        "declined": lambda: EnrollmentFactory(location=goteborg, status="declined"),
        "submitted": lambda: EnrollmentFactory(
            location=goteborg, submitted=True, submitted_by=ida, **paid()
        ),
    }
    made["unused_bank"] = made["bank"]
    return made


def asked(name: str, things, *, by):
    """Return the service of a name as a call without arguments."""
    thing, options = DOORS[name]
    subject = things[thing]()
    options = dict(options)
    if name in ("set_default_bank_profile", "choose_bank_profile"):
        options["bank_profile"] = things["bank"]()
    elif name == "replace_profile":
        options["replacement"] = things["bank"]()
    elif name == "choose_tax_profile":
        options["tax_profile"] = things["tax"]()
    elif name.startswith("start_open_enrollment"):
        options["terms"] = ProgramTermsFactory(open_to_all=True)
    service = getattr(profiles, name, None) or getattr(enrollments, name)
    return lambda: service(subject, by=by, **options)


def end_roles(*_keys) -> None:
    RoleAssignment.objects.update(revoked_at=timezone.now())


def ask_nothing(monkeypatch) -> None:
    for module in (*modules_with("check_still_may"), *steps_with("check_still_may")):
        monkeypatch.setattr(module, "check_still_may", lambda *_rows, **_options: None)


def history() -> tuple[int, int]:
    return AuditEvent.objects.count(), EnrollmentEvent.objects.count()


@pytest.mark.parametrize("name", DOORS)
def test_who_lost_the_role_changes_nothing(things, ida, monkeypatch, name):
    service = asked(name, things, by=ida)
    end_roles()
    before = history()

    with pytest.raises(ValidationError) as refused:
        service()

    assert refused.value.code == "role_ended"
    assert history() == before
    # The control: without the question the service does it.
    ask_nothing(monkeypatch)
    service()


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_role_that_ends_between_the_page_and_the_lock_is_too_late(
    things, ida, client_of, monkeypatch, is_asked
):
    enrollment = things["accepted"]()

    def lock_after_the_other(*keys):
        """Wait as long as it takes another admin to end the role."""
        end_roles()
        lock_companies(*keys)

    replace_in_steps(monkeypatch, "lock_companies", lock_after_the_other)
    if not is_asked:
        ask_nothing(monkeypatch)

    response = client_of(ida).post(
        reverse("enrollment:submit", kwargs={"pk": enrollment.pk})
    )

    is_sent = Enrollment.objects.get(pk=enrollment.pk).is_validating
    assert is_sent is not is_asked
    if is_asked:
        assert response.status_code == 422
        assert "has ended, so nothing was changed." in response.content.decode()
        denied = AuditEvent.objects.get(action="access_denied")
        assert denied.after["wanted"] == "enrollment_edit"
        assert denied.object_id == str(enrollment.pk)


def test_every_service_that_a_partner_uses_is_tried_here():
    """A new one has to ask, and to be tried above."""
    found = set()
    steps = [Path(module.__file__) for module in STEPS]
    known = {*profiles.__all__, *enrollments.__all__}
    for path in (*PROFILE_SERVICES, *steps):
        tree = ast.parse(path.read_text())
        found |= {
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and node.name in known
        }

    assert found - NOT_PARTNERS == set(DOORS)
    assert found >= NOT_PARTNERS
