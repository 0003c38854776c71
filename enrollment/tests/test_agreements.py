"""Agreements: signed, given a last day, terminated; each by a service and the admin."""

import datetime

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts.models import AuditEvent
from enrollment import services
from enrollment.eligibility import eligible_locations
from enrollment.models import Agreement
from enrollment.tests.factories import AgreementFactory, ProgramTermsFactory

DAY = datetime.timedelta(days=1)
SIGNED = datetime.date(2026, 7, 1)
ADD = reverse("admin:enrollment_agreement_add")


def change_url(agreement) -> str:
    return reverse("admin:enrollment_agreement_change", args=[agreement.pk])


def recorded() -> list[tuple[str, dict, dict]]:
    events = AuditEvent.objects.order_by("pk").filter(action__startswith="agreement")
    return list(events.values_list("action", "before", "after"))


# --- Recording -----------------------------------------------------------------------


def test_a_signed_agreement_is_recorded_with_who_did(nordvik, mina):
    agreement = services.record_agreement(nordvik, starts_on=SIGNED, by=mina)

    event = AuditEvent.objects.get()
    assert agreement.partner_account == nordvik
    assert (event.actor, event.partner_account) == (mina, nordvik)
    assert recorded() == [
        (
            "agreement_recorded",
            {},
            {"starts_on": "2026-07-01", "ends_on": None, "terminated_on": None},
        )
    ]


def test_recorded_again_for_the_same_day_it_gets_the_last_day_given(nordvik, mina):
    services.record_agreement(nordvik, starts_on=SIGNED, by=mina)

    services.record_agreement(
        nordvik, starts_on=SIGNED, ends_on=datetime.date(2027, 6, 30), by=mina
    )

    assert Agreement.objects.get().ends_on == datetime.date(2027, 6, 30)
    assert [before.get("ends_on", "new") for _action, before, _after in recorded()] == [
        "new",
        None,
    ]


def test_recording_what_is_recorded_changes_nothing(nordvik, mina):
    services.record_agreement(nordvik, starts_on=SIGNED, by=mina)

    services.record_agreement(nordvik, starts_on=SIGNED, by=mina)

    assert Agreement.objects.count() == len(recorded()) == 1


def test_an_agreement_does_not_end_before_it_begins(nordvik, mina):
    with pytest.raises(ValidationError, match="The last day is before the first"):
        services.record_agreement(
            nordvik, starts_on=SIGNED, ends_on=SIGNED - DAY, by=mina
        )


# --- Ending --------------------------------------------------------------------------


def test_a_terminated_agreement_is_active_until_that_day_only(nordvik, mina):
    agreement = AgreementFactory(partner_account=nordvik, starts_on=SIGNED)

    services.end_agreement(agreement, on=SIGNED + 10 * DAY, by=mina)

    active = [
        Agreement.objects.active(SIGNED + days * DAY).exists() for days in (9, 10)
    ]
    assert active == [True, False]
    assert recorded()[0][0] == "agreement_ended"
    assert recorded()[0][2]["terminated_on"] == "2026-07-11"


def test_without_an_agreement_a_location_is_not_eligible(nordvik, goteborg, mina):
    agreement = AgreementFactory(partner_account=nordvik)
    terms = ProgramTermsFactory()
    today = terms.today()
    assert goteborg in eligible_locations(terms, on=today)

    services.end_agreement(agreement, on=today, by=mina)

    assert goteborg in eligible_locations(terms, on=today - DAY)
    assert goteborg not in eligible_locations(terms, on=today)


def test_an_agreement_that_ends_later_moves_nothing_before(invited, nordvik, mina):
    agreement = nordvik.agreements.get()

    services.end_agreement(agreement, on=invited.terms.today() + DAY, by=mina)

    invited.refresh_from_db()
    assert invited.is_invited


def test_ending_it_on_the_same_day_again_changes_nothing(nordvik, mina):
    agreement = AgreementFactory(partner_account=nordvik, starts_on=SIGNED)
    services.end_agreement(agreement, on=SIGNED, by=mina)

    services.end_agreement(agreement, on=SIGNED, by=mina)

    assert len(recorded()) == 1


def test_what_was_terminated_stays_as_it_is(nordvik, mina):
    agreement = AgreementFactory(partner_account=nordvik, starts_on=SIGNED)
    services.end_agreement(agreement, on=SIGNED, by=mina)

    with pytest.raises(ValidationError, match="terminated on 2026-07-01 and stays"):
        services.end_agreement(agreement, on=SIGNED + DAY, by=mina)
    with pytest.raises(ValidationError, match="terminated on 2026-07-01 and stays"):
        services.record_agreement(
            nordvik, starts_on=SIGNED, ends_on=SIGNED + DAY, by=mina
        )


def test_an_agreement_cannot_end_before_it_was_signed(nordvik, mina):
    agreement = AgreementFactory(partner_account=nordvik, starts_on=SIGNED)

    with pytest.raises(ValidationError, match="cannot end before it was signed"):
        services.end_agreement(agreement, on=SIGNED - DAY, by=mina)


# --- In the admin --------------------------------------------------------------------


def test_a_program_manager_records_an_agreement(client_of, mina, nordvik):
    answer = client_of(mina).post(
        ADD, {"partner_account": nordvik.pk, "starts_on": "2026-07-01", "ends_on": ""}
    )

    assert answer.status_code == 302
    assert Agreement.objects.get().starts_on == SIGNED
    assert AuditEvent.objects.get().actor == mina


def test_a_program_manager_finds_the_company_by_typing(client_of, mina, nordvik):
    answer = client_of(mina).get(
        reverse("admin:autocomplete"),
        {
            "term": "nord",
            "app_label": "enrollment",
            "model_name": "agreement",
            "field_name": "partner_account",
        },
    )

    assert [row["id"] for row in answer.json()["results"]] == [str(nordvik.pk)]


def test_a_program_manager_terminates_it(client_of, mina, nordvik):
    agreement = AgreementFactory(partner_account=nordvik, starts_on=SIGNED)
    client = client_of(mina)

    client.post(change_url(agreement), {"ends_on": "", "terminated_on": "2026-08-01"})

    assert Agreement.objects.get().terminated_on == datetime.date(2026, 8, 1)
    assert [action for action, _before, _after in recorded()] == ["agreement_ended"]
    # Now there is nothing left to type.
    page = client.get(change_url(agreement)).content.decode()
    assert 'name="terminated_on"' not in page


def test_whose_agreement_it_is_does_not_change(client_of, mina, nordvik, sam):
    agreement = AgreementFactory(partner_account=nordvik, starts_on=SIGNED)
    other = sam.memberships.get().partner_account

    client_of(mina).post(
        change_url(agreement),
        {
            "partner_account": other.pk,
            "starts_on": "2020-01-01",
            "ends_on": "2027-06-30",
            "terminated_on": "",
        },
    )

    changed = Agreement.objects.get()
    assert (changed.partner_account, changed.starts_on) == (nordvik, SIGNED)
    assert changed.ends_on == datetime.date(2027, 6, 30)


def test_a_wrong_day_is_refused_with_the_reason(client_of, mina, nordvik):
    agreement = AgreementFactory(partner_account=nordvik, starts_on=SIGNED)

    answer = client_of(mina).post(
        change_url(agreement),
        {"ends_on": "", "terminated_on": "2020-01-01"},
        follow=True,
    )

    assert "It cannot end before it was signed." in answer.content.decode()
    assert Agreement.objects.get().terminated_on is None


def test_its_history_is_the_audit_trail(client_of, mina, nordvik):
    agreement = services.record_agreement(nordvik, starts_on=SIGNED, by=mina)

    page = client_of(mina).get(
        reverse("admin:enrollment_agreement_history", args=[agreement.pk])
    )

    assert "Agreement recorded" in page.content.decode()


@pytest.mark.parametrize("name", ["oscar", "greta", "ida"])
def test_nobody_else_records_agreements(client_of, cast, name, nordvik):
    answer = client_of(getattr(cast, name)).post(
        ADD, {"partner_account": nordvik.pk, "starts_on": "2026-07-01"}
    )

    assert answer.status_code in (403, 404)
    assert not Agreement.objects.exists()
