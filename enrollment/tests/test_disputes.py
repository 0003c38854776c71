"""Disputing a requirement: asked on a page, answered by an operator, read by whom asked."""

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.html import strip_tags

from accounts.models import AuditEvent, OutgoingEmail
from accounts.services import revoke_role
from accounts.tests.factories import RoleAssignmentFactory
from accounts.tests.shared_rows import shared
from enrollment import services
from enrollment.models import ProgramAtLocation, RequirementDispute
from enrollment.tests.factories import (
    CriterionFactory,
    MeasuredValueFactory,
    RequirementFactory,
)


@shared
def place(goteborg, terms):
    """Göteborg has 21 340 of 25 000; it is not known whether it may bill directly."""
    revenue = CriterionFactory(code="revenue")
    RequirementFactory(terms=terms, criterion=revenue)
    RequirementFactory(
        terms=terms,
        criterion=CriterionFactory(code="direct-bill", kind="yes_no"),
        at_least=1,
        position=1,
    )
    MeasuredValueFactory(location=goteborg, criterion=revenue, value=21340)
    return ProgramAtLocation.objects.get(location=goteborg, terms=terms)


@shared
def revenue(place):
    return place.terms.requirements.get(criterion__code="revenue")


def words(response) -> str:
    text = strip_tags(response.content.decode().replace("<", " <"))
    return " ".join(text.replace("\u2068", "").replace("\u2069", "").split())


def asked(place, requirement, by):
    return services.dispute_requirement(
        place, requirement=requirement, text="We sold 26 000.", by=by
    )


def test_a_dispute_goes_to_the_operators_and_its_answer_comes_back(
    client_of, place, revenue, ida, mina
):
    web, operator = client_of(ida), client_of(mina)
    why = reverse("enrollment:why", kwargs={"pk": place.pk})
    said = words(web.get(why))
    assert "1 of 3 requirements met." in said
    assert "Missing: Revenue in twelve months, 21,340 of 25,000 USD." in said
    address = reverse("enrollment:dispute", kwargs={"pk": place.pk})
    address += f"?requirement={revenue.pk}"
    assert web.post(address, {"text": " "}).status_code == 422
    web.post(address, {"text": "We sold 26 000."})
    assert "Disputed on" in words(web.get(why))

    said = words(operator.get(reverse("ops:disputes")))
    assert "We sold 26 000." in said
    assert "Known now 21,340 USD" in said
    assert "Disputed requirements" in words(operator.get(reverse("ops:today")))
    one = RequirementDispute.objects.get()
    answer = reverse("ops:answer_dispute", kwargs={"pk": one.pk})
    assert operator.post(answer, {"answer": "Yes."}).status_code == 422
    operator.post(answer, {"outcome": "corrected", "answer": "You are right."})

    assert "Corrected" in words(web.get(why))
    assert "You are right." in words(web.get(why))
    mail = OutgoingEmail.objects.get(to_user=ida)
    assert mail.subject == "Answered: Revenue in twelve months, Göteborg"
    assert "You are right." in mail.body_text
    assert "We sold 26 000." in mail.body_html
    assert [
        (event.action, event.actor, event.reason)
        for event in AuditEvent.objects.filter(object_id=str(one.pk)).order_by("pk")
    ] == [
        ("requirement_disputed", ida, "We sold 26 000."),
        ("dispute_answered", mina, "You are right."),
    ]


def test_a_requirement_is_disputed_once_at_a_time(place, revenue, ida, mina):
    one = asked(place, revenue, ida)
    with pytest.raises(ValidationError, match="disputes this already"):
        asked(place, revenue, ida)

    services.answer_dispute(one, outcome="kept", answer="It is so.", by=mina)

    with pytest.raises(ValidationError, match="answered this already"):
        services.answer_dispute(one, outcome="kept", answer="It is so.", by=mina)
    assert asked(place, revenue, ida).is_open


def test_what_is_met_is_not_disputed(place, ida):
    # The agreement is signed.
    with pytest.raises(ValidationError, match="nothing to dispute"):
        asked(place, None, ida)


def test_who_may_not_see_requirements_any_more_disputes_none(place, revenue, ida):
    ida.role_assignments.all().delete()

    with pytest.raises(ValidationError):
        asked(place, revenue, ida)


def test_the_answer_goes_to_colleagues_where_whoever_asked_has_no_role_any_more(
    place, revenue, nordvik, ida, mina, greta
):
    one = asked(place, revenue, ida)
    petra = RoleAssignmentFactory(partner_account=nordvik, location=place.location).user
    for held in ida.role_assignments.all():
        revoke_role(held, by=greta)
    OutgoingEmail.objects.all().delete()

    services.answer_dispute(one, outcome="kept", answer="It is so.", by=mina)

    mail = OutgoingEmail.objects.get()
    said = " ".join(mail.body_text.split())
    assert mail.to_user == petra
    assert f"{ida.full_name} wrote: We sold 26 000." in said
    assert f"{ida.full_name}, who disputed the requirement" in said
    assert "You wrote" not in mail.body_html
