"""Handing an invitation over: to whom it may go, and that nothing waits for nobody."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from accounts.models import AccessRequest, AuditEvent, OutgoingEmail, RoleAssignment
from accounts.roles import Role
from accounts.services import decline_access, grant_access
from accounts.tests.factories import RoleAssignmentFactory, UserFactory
from accounts.tests.shared_rows import shared
from enrollment import services
from enrollment.models import Enrollment, Invitation, Reminder
from enrollment.tests.factories import EnrollmentFactory, InvitationFactory


@shared
def invitation(invited, ida):
    return InvitationFactory(enrollment=invited, user=ida)


@shared
def petra(nordvik):
    """Another Incentives admin of the whole company."""
    return RoleAssignmentFactory(
        user=UserFactory(full_name="Petra Ek", email="petra@partner.example"),
        partner_account=nordvik,
        role=Role.INCENTIVES_ADMIN,
    ).user


def page_of(invitation) -> str:
    return reverse("enrollment:hand_over", kwargs={"pk": invitation.pk})


def words(response) -> str:
    text = strip_tags(response.content.decode().replace("<", " <"))
    return " ".join(text.replace("\u2068", "").replace("\u2069", "").split())


def test_whoever_has_the_role_takes_over_and_only_they_are_reminded(
    client_of, invitation, ida, petra, uma
):
    web = client_of(ida)
    page = page_of(invitation)
    assert page in web.get(invitation.enrollment.get_absolute_url()).content.decode()
    asked = words(web.get(page))
    assert "Petra Ek" in asked
    assert "Uma" in asked
    assert "(needs the role first)" in asked
    assert "Choose a colleague." in words(web.post(page, {}))

    said = web.post(page, {"to": petra.pk, "note": "I am away."}, follow=True)

    assert "Petra Ek has the invitation of Göteborg now." in words(said)
    mail = OutgoingEmail.objects.get(name="handed_over")
    assert (mail.to_user, "I am away." in mail.body_text) == (petra, True)
    program = invitation.enrollment.terms.program.name
    assert "You are invited to enroll Göteborg" in words(client_of(petra).get("/"))
    assert "You are invited to enroll Göteborg" not in words(web.get("/"))
    assert program in mail.subject
    assert AuditEvent.objects.filter(action="invitation_handed_over").count() == 1
    # Again is once.
    services.hand_over([invitation], to=petra, by=ida)
    assert OutgoingEmail.objects.filter(name="handed_over").count() == 1

    Enrollment.objects.update(enroll_by=timezone.localdate() + timedelta(days=7))
    assert reminded() == {petra.pk}
    # The control: with nobody to act for them, they are reminded again.
    Reminder.objects.all().delete()
    OutgoingEmail.objects.filter(name="reminder").delete()
    RoleAssignment.objects.filter(user=petra).delete()
    assert reminded() == {ida.pk}


def reminded() -> set[int]:
    """Whom the clock reminds now."""
    while services.remind_next_people(at=timezone.now()) is not None:
        pass
    sent = OutgoingEmail.objects.filter(name="reminder")
    return set(sent.values_list("to_user", flat=True))


def test_for_a_colleague_without_the_role_it_is_asked_and_stays_until_then(
    client_of, invitation, ida, uma, greta, alice
):
    web = client_of(ida)
    said = web.post(page_of(invitation), {"to": uma.pk}, follow=True)

    assert "needs the role Incentives admin first" in words(said)
    assert "You are invited to enroll Göteborg" in words(said)
    request = AccessRequest.objects.get()
    assert (request.user, request.asked_by) == (uma, ida)
    assert request.location == invitation.enrollment.location
    assert request.program == invitation.enrollment.terms.program
    told = OutgoingEmail.objects.filter(name="access_requested")
    assert {one.to_user for one in told} == {greta, alice}
    assert all(f"{ida.full_name} asks for {uma.full_name}" in m.subject for m in told)
    assert "who is to take something over" in words(
        client_of(greta).get(reverse("accounts:requests"))
    )
    # Uma may not act before, and may after.
    enrollment = invitation.enrollment
    assert not _may(uma, enrollment)
    grant_access(request, by=greta)
    assert _may(uma, enrollment)


def _may(person, enrollment) -> bool:
    rows = Enrollment.objects.where_user_may(person, "enrollment_edit")
    return rows.filter(pk=enrollment.pk).exists()


def test_a_no_goes_to_whoever_asked(invitation, ida, uma, greta):
    services.hand_over([invitation], to=uma, by=ida)
    decline_access(AccessRequest.objects.get(), reason="Uma is leaving.", by=greta)

    mail = OutgoingEmail.objects.get(name="access_declined")
    assert mail.to_user == ida
    said = " ".join(mail.body_text.split())
    assert f"what you asked for {uma.full_name}" in said


def test_whoever_can_take_the_role_is_told_so_and_asks_nobody(invitation, ida, greta):
    result = services.hand_over([invitation], to=greta, by=ida)

    assert result.takes_it == [invitation.enrollment]
    assert not AccessRequest.objects.exists()
    mail = OutgoingEmail.objects.get(name="handed_over")
    said = " ".join(mail.body_text.split())
    assert "can give it to yourself under People" in said


def test_nothing_goes_to_oneself_to_strangers_or_once_it_is_over(
    client_of, invitation, ida, sam, petra
):
    web = client_of(ida)
    for address in (sam.email, "nobody@partner.example"):
        answer = web.post(page_of(invitation), {"to": "other", "email": address})
        # The same words, whether there is such an account elsewhere or not.
        assert "Nobody of your company has this address." in words(answer)
    with pytest.raises(ValidationError):
        services.hand_over([invitation], to=ida, by=ida)
    # Another admin's invitation is theirs alone.
    assert client_of(petra).get(page_of(invitation)).status_code == 404
    with pytest.raises(ValidationError):
        services.hand_over([invitation], to=petra, by=petra)
    Enrollment.objects.update(enroll_by=timezone.localdate() - timedelta(days=1))
    with pytest.raises(ValidationError, match="nothing to hand over"):
        services.hand_over([invitation], to=petra, by=ida)
    assert not OutgoingEmail.objects.filter(name="handed_over").exists()


def test_who_may_add_people_is_led_to_invite_a_stranger_with_what_was_typed(
    client_of, invitation, ida, nordvik
):
    typed = {"to": "other", "email": "new@partner.example", "note": "I am away."}
    answer = client_of(ida).post(page_of(invitation), typed)
    assert answer.status_code == 422
    assert not answer.context["invite_url"], "only an admin adds people"
    RoleAssignmentFactory(user=ida, partner_account=nordvik, role=Role.GLOBAL_ADMIN)
    web = client_of(ida)

    answer = web.post(page_of(invitation), typed)

    assert "I am away." in answer.content.decode()
    page = web.get(answer.context["invite_url"], follow=True)
    form = page.context["form"]
    enrollment = invitation.enrollment
    assert form["email"].value() == "new@partner.example"
    assert form["role"].value() == Role.INCENTIVES_ADMIN
    assert form["location"].value() == [str(enrollment.location_id)]
    assert form["program"].value() == [str(enrollment.terms.program_id)]


def test_a_role_that_ended_hands_over_nothing(invitation, ida, petra):
    RoleAssignment.objects.filter(user=ida).update(revoked_at=timezone.now())

    with pytest.raises(ValidationError):
        services.hand_over([invitation], to=petra, by=ida)
    assert not Invitation.objects.filter(user=petra).exists()


def test_what_one_mail_invited_is_handed_over_in_part(
    client_of, invitation, ida, petra, malmo, greta
):
    RoleAssignment.objects.filter(user=ida).update(location=None, program=None)
    other = InvitationFactory(
        enrollment=EnrollmentFactory(location=malmo, terms=invitation.enrollment.terms),
        user=ida,
    )
    services.hand_over([other], to=petra, by=ida)
    mail = OutgoingEmail.objects.get(name="handed_over")
    Invitation.objects.filter(user=ida).update(
        email=mail, handed_to=None, handed_at=None
    )
    Invitation.objects.filter(user=petra).delete()

    page = page_of(invitation)
    assert "What to hand over" in words(client_of(ida).get(page))
    client_of(ida).post(page, {"to": petra.pk, "invitations": [other.pk]})

    assert [one.enrollment for one in Invitation.objects.filter(user=petra)] == [
        other.enrollment
    ]


def test_each_hand_over_is_told_and_says_what_is_new(
    nordvik, goteborg, malmo, terms, ida, petra
):
    RoleAssignmentFactory(user=ida, partner_account=nordvik, location=malmo)
    here, there = (
        InvitationFactory(
            enrollment=EnrollmentFactory(location=place, terms=terms), user=ida
        )
        for place in (goteborg, malmo)
    )

    services.hand_over([here], to=petra, by=ida)
    services.hand_over([here, there], to=petra, by=ida)
    # Given back, and handed over once more.
    services.hand_over(
        petra.invitations.filter(enrollment=here.enrollment), to=ida, by=petra
    )
    services.hand_over([here], to=petra, by=ida)

    told = OutgoingEmail.objects.filter(name="handed_over", to_user=petra)
    said = sorted(
        [name for name in ("Göteborg", "Malmö") if name in mail.body_text]
        for mail in told
    )
    assert said == [["Göteborg"], ["Göteborg"], ["Malmö"]]
