"""Colleagues invited by e-mail: what is offered, to whom, and what comes of it."""

import threading
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone, translation

from accounts import outbox, services
from accounts.emails import undeliverable
from accounts.link_tokens import fingerprint_of, token_for
from accounts.models import (
    AuditAction,
    AuditEvent,
    ColleagueInvitation,
    InvitationState,
    MailStatus,
    Membership,
    OfferedPlace,
    OutgoingEmail,
    RoleAssignment,
    User,
)
from accounts.roles import COMPANY_WIDE_ROLES, GRANTS, INCENTIVE_ROLES, Role
from accounts.services import colleagues
from accounts.tests.cases import tried
from accounts.tests.factories import (
    ColleagueInvitationFactory,
    IncentiveProgramFactory,
    LocationFactory,
    MembershipFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from accounts.tests.threads import at_once, meet

pytestmark = pytest.mark.django_db

ADDRESS = "nils@partner.example"
PASSWORD = "nine tall ships at sea"


def invite(account, by, **offer) -> ColleagueInvitation:
    """Offer Nils a role, for the whole company if nothing else is said."""
    return services.invite_colleague(
        account,
        **{
            "email": ADDRESS,
            "full_name": "Nils Holm",
            "language": "en",
            "role": Role.INCENTIVES_ADMIN,
            "by": by,
        }
        | offer,
    )


def join(invitation, **answers) -> User:
    """Let somebody new accept, as the page does."""
    return services.join_by_invitation(
        invitation,
        **{
            "email": invitation.email,
            "full_name": "Nils Holm",
            "password": PASSWORD,
            "language": "sv",
        }
        | answers,
    )


def later(invitation, **by):
    """Let time pass for an invitation and its mails."""
    gone = timedelta(**by)
    ColleagueInvitation.objects.filter(pk=invitation.pk).update(
        created_at=invitation.created_at - gone, expires_at=invitation.expires_at - gone
    )
    for email in OutgoingEmail.objects.filter(secret_of=invitation.pk):
        OutgoingEmail.objects.filter(pk=email.pk).update(
            created_at=email.created_at - gone
        )
    invitation.refresh_from_db()


def link_in(email: OutgoingEmail) -> str:
    """The token of the link that a mail holds when it leaves."""
    (address,) = {
        word
        for word in outbox.as_message(email).body.split()
        if "/i/" in word and word.startswith("http")
    }
    return address.rstrip("/").rpartition("/")[2]


def mails_of(invitation):
    return OutgoingEmail.objects.filter(secret_of=invitation.pk).order_by("created_at")


def held_by(user) -> set:
    return set(
        RoleAssignment.objects.live()
        .filter(user=user)
        .values_list("role", "location__name", "program__name", "ends_on")
    )


@shared
def nils(db):
    """Somebody with an account and no company."""
    return UserFactory(full_name="Nils Holm", email=ADDRESS)


class TestInviting:
    def test_an_invitation_offers_a_role_and_grants_nothing(
        self, nordvik, greta, goteborg, malmo, program
    ):
        invitation = invite(
            nordvik, greta, locations=[goteborg, malmo], programs=[program]
        )

        assert {(one.location, one.program) for one in invitation.places.all()} == {
            (goteborg, program),
            (malmo, program),
        }
        assert invitation.is_open(timezone.now())
        assert invitation.expires_at - invitation.created_at == timedelta(days=7)
        assert not User.objects.filter(email=ADDRESS).exists()
        event = AuditEvent.objects.get(action=AuditAction.COLLEAGUE_INVITED)
        assert (event.actor, event.object_id) == (greta, str(invitation.pk))

    def test_the_address_is_kept_in_its_one_spelling(self, nordvik, greta):
        assert invite(nordvik, greta, email=" Nils@Partner.EXAMPLE ").email == ADDRESS

    def test_a_newer_offer_replaces_an_open_one(self, nordvik, greta, alice):
        first = invite(nordvik, greta)
        second = invite(nordvik, alice, role=Role.INCENTIVES_USER)

        first.refresh_from_db()
        assert first.state == InvitationState.REPLACED
        assert second.is_open(timezone.now())
        assert first.token_sha256 != second.token_sha256
        with pytest.raises(ValidationError, match="replaced by a newer"):
            join(first)

    def test_the_same_offer_made_twice_at_once_is_one(self, nordvik, greta, goteborg):
        first = invite(nordvik, greta, locations=[goteborg])
        again = invite(nordvik, greta, locations=[goteborg])

        assert again == first
        assert OutgoingEmail.objects.filter(to_address=ADDRESS).count() == 1
        assert ColleagueInvitation.objects.count() == 1

    def test_the_same_offer_made_later_is_a_new_one(self, nordvik, greta):
        first = invite(nordvik, greta)
        later(first, minutes=10)

        second = invite(nordvik, greta)

        first.refresh_from_db()
        assert first.state == InvitationState.REPLACED
        assert second.expires_at > first.expires_at

    def test_another_place_is_another_offer(self, nordvik, greta, goteborg, malmo):
        first = invite(nordvik, greta, locations=[goteborg])

        assert invite(nordvik, greta, locations=[goteborg, malmo]) != first

    def test_nobody_offers_what_they_cannot_give(self, nordvik, cast):
        # R5, R13; T3
        for name in ("greta", "alice", "ida", "uma", "lars", "sam"):
            for role in sorted(Role):
                with tried(name, role):
                    giver = getattr(cast, name)
                    held = RoleAssignment.objects.live().filter(
                        user=giver, partner_account=nordvik
                    )
                    may = any(role in GRANTS[Role(one.role)].gives for one in held)

                    if may:
                        assert invite(nordvik, giver, role=role)
                        continue
                    with pytest.raises(ValidationError) as refusal:
                        invite(nordvik, giver, role=role)
                    assert refusal.value.code == "not_granting"
                    assert not ColleagueInvitation.objects.exists()

    def test_who_gives_no_role_invites_without_one(self, nordvik, greta, nils):
        # C1: to add people, yes; a role, no.
        ursula = RoleAssignmentFactory(
            role=Role.USER_ADMIN, partner_account=nordvik
        ).user

        invitation = invite(nordvik, ursula, role="", email=nils.email)
        services.accept_invitation(invitation, by=nils)

        assert nils.memberships.current().get().partner_account == nordvik
        assert held_by(nils) == set()
        told = OutgoingEmail.objects.get(name="colleague_joined")
        assert told.to_user == ursula
        assert "without a role for now" in " ".join(told.body_text.split())
        for role in Role:
            with pytest.raises(ValidationError):
                invite(nordvik, ursula, role=role, email="other@partner.example")

    @pytest.mark.parametrize("name", ["ida", "uma", "lars", "sam"])
    def test_nobody_else_invites_without_a_role(self, nordvik, cast, name):
        with pytest.raises(ValidationError) as refusal:
            invite(nordvik, getattr(cast, name), role="")

        assert refusal.value.code == "not_editing_people"

    def test_an_invitation_without_a_role_needs_its_inviter_too(self, nordvik, nils):
        held = RoleAssignmentFactory(role=Role.USER_ADMIN, partner_account=nordvik)
        invitation = invite(nordvik, held.user, role="", email=nils.email)
        RoleAssignment.objects.filter(pk=held.pk).delete()

        with pytest.raises(ValidationError, match="can no longer be given"):
            services.accept_invitation(invitation, by=nils)

        assert not nils.memberships.exists()

    @pytest.mark.parametrize("role", sorted(INCENTIVE_ROLES))
    def test_guests_are_not_offered_incentive_roles(self, nordvik, greta, role):
        # R14
        with pytest.raises(ValidationError, match="Guests"):
            invite(nordvik, greta, role=role, email="nils@elsewhere.example")

        assert not OutgoingEmail.objects.exists()

    def test_places_of_another_company_are_refused(self, nordvik, greta):
        with pytest.raises(ValidationError, match="your company"):
            invite(nordvik, greta, locations=[LocationFactory()])

    @pytest.mark.parametrize("role", sorted(COMPANY_WIDE_ROLES))
    def test_roles_of_the_company_are_offered_for_all_of_it(
        self, nordvik, greta, goteborg, role
    ):
        with pytest.raises(ValidationError, match="whole company"):
            invite(nordvik, greta, role=role, locations=[goteborg])

    def test_a_last_day_that_is_past_is_refused(self, nordvik, greta):
        with pytest.raises(ValidationError, match="past"):
            invite(nordvik, greta, ends_on=timezone.localdate() - timedelta(days=1))

    def test_who_belongs_to_the_company_is_not_invited(self, nordvik, greta, lars):
        with pytest.raises(ValidationError, match="belongs to your company"):
            invite(nordvik, greta, email=lars.email)

    def test_who_belongs_elsewhere_is_invited_without_a_word_about_it(
        self, nordvik, greta, nils
    ):
        MembershipFactory(user=nils)

        assert invite(nordvik, greta).is_open(timezone.now())

    @pytest.mark.parametrize("address", ["nils", "nils@", "a b@partner.example", ""])
    def test_what_is_no_address_is_refused(self, nordvik, greta, address):
        with pytest.raises(ValidationError):
            invite(nordvik, greta, email=address)

    def test_a_mailbox_gets_ten_of_these_mails_a_day(self, nordvik, greta):
        # T19: from all companies together.
        other = PartnerAccountFactory()
        admin = RoleAssignmentFactory(
            role=Role.GLOBAL_ADMIN, partner_account=other
        ).user
        for number in range(10):
            company, by = [(nordvik, greta), (other, admin)][number % 2]
            invite(company, by, full_name=f"Nils {number}")

        with pytest.raises(ValidationError, match="too many"):
            invite(nordvik, greta, full_name="Nils Eleven")
        assert mails_of_address() == 10
        assert ColleagueInvitation.objects.get(
            partner_account=nordvik, state=InvitationState.OPEN
        )

    def test_the_limit_is_over_the_next_day(self, nordvik, greta):
        for number in range(10):
            invite(nordvik, greta, full_name=f"Nils {number}")
        OutgoingEmail.objects.update(created_at=timezone.now() - timedelta(hours=25))

        assert invite(nordvik, greta, full_name="Nils Eleven")


def mails_of_address() -> int:
    return OutgoingEmail.objects.filter(to_address=ADDRESS).count()


class TestMail:
    def test_it_says_who_invites_to_what_and_until_when(
        self, nordvik, alice, goteborg, program
    ):
        invitation = invite(nordvik, alice, locations=[goteborg], programs=[program])
        email = mails_of(invitation).get()

        message = outbox.as_message(email)

        assert message.subject == "Alice Berg invites you to join Nordvik IT AB"
        assert message.to == [ADDRESS]
        for body in (message.body, message.alternatives[0][0]):
            words = " ".join(body.split())
            assert "Hello Nils" in words or body is not message.body
            assert "Incentives admin" in words
            assert "Göteborg, only Cloud Solution Provider" in words
            assert "works once" in words
            assert token_for(invitation.pk) in words

    def test_the_link_is_in_the_mail_only(self, nordvik, greta):
        # security.md §6.4: nothing stored makes the link.
        invitation = invite(nordvik, greta)
        email = mails_of(invitation).get()
        token = link_in(email)

        assert fingerprint_of(token) == invitation.token_sha256
        rows = [invitation, email, *AuditEvent.objects.all()]
        for row in rows:
            for field in row._meta.fields:
                assert token not in str(getattr(row, field.attname))

    def test_it_is_in_the_language_that_was_chosen(self, nordvik, greta):
        email = mails_of(invite(nordvik, greta, language="sv")).get()

        assert email.language == "sv"
        assert "bjuder in dig" in outbox.as_message(email).subject

    def test_somebody_with_an_account_reads_it_in_their_own_language(
        self, nordvik, greta, nils
    ):
        nils.language = "sv"
        nils.save()

        email = mails_of(invite(nordvik, greta)).get()

        assert (email.to_user, email.language) == (nils, "sv")

    def test_a_closed_invitation_is_mailed_no_more(self, nordvik, greta):
        invitation = invite(nordvik, greta)
        services.revoke_invitation(invitation, by=greta)

        with pytest.raises(ValueError, match="not open"):
            outbox.as_message(mails_of(invitation).get())

    def test_the_link_works_after_the_key_has_changed(self, nordvik, greta, settings):
        invitation = invite(nordvik, greta)
        email = mails_of(invitation).get()
        token = link_in(email)

        settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
        settings.SECRET_KEY = "another-key-that-is-long-enough-" * 2
        assert link_in(email) == token

        settings.SECRET_KEY_FALLBACKS = []
        with pytest.raises(ValueError, match="no known key"):
            outbox.as_message(email)

    def test_names_add_no_line_to_it(self, nordvik, greta):
        greta.full_name = "Greta\r\nBcc: all@evil.example"
        greta.save()

        message = outbox.as_message(mails_of(invite(nordvik, greta)).get()).message()

        assert message["Bcc"] is None

    def test_one_that_was_given_up_is_known_as_undeliverable(self, nordvik, greta):
        # fault 16
        invitation = invite(nordvik, greta)
        assert not undeliverable([invitation.pk])

        mails_of(invitation).update(status=MailStatus.FAILED)
        assert undeliverable([invitation.pk]) == {invitation.pk}

        later(invitation, hours=1)
        services.resend_invitation(invitation, by=greta)
        assert not undeliverable([invitation.pk])


class TestResending:
    def test_the_same_link_is_mailed_again_and_works_no_longer(self, nordvik, greta):
        invitation = invite(nordvik, greta)
        later(invitation, days=3)
        until = invitation.expires_at

        services.resend_invitation(invitation, by=greta)

        first, second = mails_of(invitation)
        assert link_in(first) == link_in(second)
        invitation.refresh_from_db()
        assert invitation.expires_at == until
        assert AuditEvent.objects.filter(action=AuditAction.INVITATION_RESENT).exists()

    def test_asking_twice_at_once_sends_one(self, nordvik, greta):
        invitation = invite(nordvik, greta)
        later(invitation, hours=1)

        for _time in range(3):
            services.resend_invitation(invitation, by=greta)

        assert mails_of(invitation).count() == 2

    def test_it_stops_at_ten_a_day(self, nordvik, greta):
        # T19
        invitation = invite(nordvik, greta)
        for _time in range(9):
            later(invitation, minutes=10)
            services.resend_invitation(invitation, by=greta)
        later(invitation, minutes=10)

        with pytest.raises(ValidationError, match="too many"):
            services.resend_invitation(invitation, by=greta)
        assert mails_of(invitation).count() == 10

    def test_an_account_admin_sends_no_offer_above_their_own(
        self, nordvik, greta, alice
    ):
        invitation = invite(nordvik, greta, role=Role.GLOBAL_ADMIN)
        later(invitation, hours=1)

        with pytest.raises(ValidationError) as refusal:
            services.resend_invitation(invitation, by=alice)
        assert refusal.value.code == "not_granting"

    def test_what_can_no_longer_be_given_is_not_sent(self, nordvik, greta, alice):
        invitation = invite(nordvik, alice)
        later(invitation, hours=1)
        alice.role_assignments.update(revoked_at=timezone.now())

        with pytest.raises(ValidationError, match="Alice Berg"):
            services.resend_invitation(invitation, by=greta)

    @pytest.mark.parametrize("state", sorted(set(InvitationState) - {"open"}))
    def test_a_closed_one_is_not_sent(self, nordvik, greta, nils, state):
        invitation = closed(nordvik, greta, nils, state=state)

        with pytest.raises(ValidationError) as refusal:
            services.resend_invitation(invitation, by=greta)
        assert refusal.value.code == state
        assert not mails_of(invitation).exists()


def closed(company, by, accepted_by, *, state) -> ColleagueInvitation:
    """An invitation that came to one of its ends."""
    return ColleagueInvitationFactory(
        partner_account=company,
        email=ADDRESS,
        created_by=by,
        state=state,
        closed_at=timezone.now(),
        closed_by=accepted_by if state == InvitationState.ACCEPTED else None,
    )


class TestRevoking:
    def test_the_link_ends_at_once(self, nordvik, greta, alice, nils):
        invitation = invite(nordvik, greta)

        services.revoke_invitation(invitation, by=alice)

        with pytest.raises(ValidationError, match="withdrawn"):
            services.accept_invitation(invitation, by=nils)
        event = AuditEvent.objects.get(action=AuditAction.INVITATION_REVOKED)
        assert event.actor == alice

    def test_twice_is_once(self, nordvik, greta):
        invitation = invite(nordvik, greta)

        for _time in range(2):
            services.revoke_invitation(invitation, by=greta)

        actions = AuditEvent.objects.filter(action=AuditAction.INVITATION_REVOKED)
        assert actions.count() == 1

    def test_an_account_admin_ends_no_offer_above_their_own(
        self, nordvik, greta, alice
    ):
        invitation = invite(nordvik, greta, role=Role.GLOBAL_ADMIN)

        with pytest.raises(ValidationError):
            services.revoke_invitation(invitation, by=alice)

    def test_what_was_accepted_is_not_withdrawn(self, nordvik, greta, nils):
        invitation = invite(nordvik, greta)
        services.accept_invitation(invitation, by=nils)

        with pytest.raises(ValidationError, match="accepted already"):
            services.revoke_invitation(invitation, by=greta)

    def test_what_can_no_longer_be_given_can_still_be_withdrawn(
        self, nordvik, greta, goteborg
    ):
        invitation = invite(nordvik, greta, locations=[goteborg])
        goteborg.closed_at = timezone.now()
        goteborg.save()

        services.revoke_invitation(invitation, by=greta)

        invitation.refresh_from_db()
        assert invitation.state == InvitationState.REVOKED


class TestAccepting:
    def test_who_has_the_address_joins_with_the_role(
        self, nordvik, alice, nils, goteborg, malmo, program
    ):
        day = timezone.localdate() + timedelta(days=30)
        invitation = invite(
            nordvik,
            alice,
            locations=[goteborg, malmo],
            programs=[program],
            ends_on=day,
        )

        services.accept_invitation(invitation, by=nils)

        assert held_by(nils) == {
            (Role.INCENTIVES_ADMIN, place, program.name, day)
            for place in ("Göteborg", "Malmö")
        }
        invitation.refresh_from_db()
        assert (invitation.state, invitation.closed_by) == ("accepted", nils)
        assert nils.memberships.get().added_by == alice
        role = RoleAssignment.objects.filter(user=nils).first()
        assert role.granted_by == alice
        event = AuditEvent.objects.get(action=AuditAction.INVITATION_ACCEPTED)
        assert event.actor == nils

    def test_the_inviter_is_told(self, nordvik, alice, nils):
        invitation = invite(nordvik, alice)

        services.accept_invitation(invitation, by=nils)

        email = OutgoingEmail.objects.get(name="colleague_joined")
        assert email.to_user == alice
        assert email.subject == "Nils Holm has joined Nordvik IT AB"
        assert "Incentives admin" in email.body_text

    def test_twice_is_once(self, nordvik, greta, nils):
        invitation = invite(nordvik, greta)

        for _time in range(2):
            services.accept_invitation(invitation, by=nils)

        assert RoleAssignment.objects.filter(user=nils).count() == 1
        assert Membership.objects.filter(user=nils).count() == 1
        assert OutgoingEmail.objects.filter(name="colleague_joined").count() == 1

    def test_accepting_again_gives_back_nothing_that_was_ended(
        self, nordvik, greta, nils
    ):
        invitation = invite(nordvik, greta)
        services.accept_invitation(invitation, by=nils)
        services.revoke_role(nils.role_assignments.get(), by=greta)

        services.accept_invitation(invitation, by=nils)

        assert not held_by(nils)

    @pytest.mark.parametrize("name", ["lars", "sam", "greta", "oscar"])
    def test_nobody_else_accepts(self, nordvik, cast, name):
        # T4: forwarded, read by a proxy, opened by a scanner.
        invitation = invite(nordvik, cast.greta)

        with pytest.raises(ValidationError) as refusal:
            services.accept_invitation(invitation, by=getattr(cast, name))
        assert refusal.value.code == "wrong_person"
        invitation.refresh_from_db()
        assert invitation.is_open(timezone.now())

    def test_an_operator_joins_no_company(self, nordvik, greta):
        operator = UserFactory(email=ADDRESS, operator=True)
        invitation = invite(nordvik, greta)

        with pytest.raises(ValidationError):
            services.accept_invitation(invitation, by=operator)

    @pytest.mark.parametrize("state", sorted(set(InvitationState) - {"open"}))
    def test_a_closed_one_gives_nothing(self, nordvik, greta, nils, state):
        invitation = closed(nordvik, greta, UserFactory(), state=state)

        with pytest.raises(ValidationError) as refusal:
            services.accept_invitation(invitation, by=nils)
        assert refusal.value.code == state
        assert not held_by(nils)
        assert not nils.memberships.exists()

    def test_it_ends_to_the_moment(self, nordvik, greta, nils):
        invitation = invite(nordvik, greta)
        at = invitation.expires_at

        assert invitation.is_open(at - timedelta(microseconds=1))
        assert not invitation.is_open(at)
        later(invitation, days=7)
        with pytest.raises(ValidationError, match="expired"):
            services.accept_invitation(invitation, by=nils)

    @pytest.mark.parametrize(
        "loss",
        [
            lambda alice: alice.role_assignments.update(revoked_at=timezone.now()),
            lambda alice: alice.role_assignments.update(ends_on="2020-01-01"),
            lambda alice: alice.role_assignments.update(role=Role.USER_ADMIN),
            lambda alice: alice.memberships.update(ended_at=timezone.now()),
            lambda alice: User.objects.filter(pk=alice.pk).update(is_active=False),
        ],
        ids=["role ended", "last day past", "lesser role", "left", "inactive"],
    )
    def test_the_inviter_must_still_hold_the_right(self, nordvik, alice, nils, loss):
        # security.md §6.4; T5
        invitation = invite(nordvik, alice)
        loss(alice)

        with pytest.raises(ValidationError, match="Ask Alice Berg or another admin"):
            services.accept_invitation(invitation, by=nils)
        assert not nils.memberships.exists()
        invitation.refresh_from_db()
        assert invitation.state == InvitationState.OPEN

    def test_places_that_were_closed_meanwhile_are_not_given(
        self, nordvik, greta, nils, goteborg
    ):
        invitation = invite(nordvik, greta, locations=[goteborg])
        goteborg.closed_at = timezone.now()
        goteborg.save()

        with pytest.raises(ValidationError, match="can no longer be given"):
            services.accept_invitation(invitation, by=nils)

    def test_a_place_that_got_lost_does_not_make_it_the_whole_company(
        self, nordvik, greta, nils, goteborg
    ):
        invitation = invite(nordvik, greta, locations=[goteborg])
        OfferedPlace.objects.all().delete()

        with pytest.raises(ValidationError):
            services.accept_invitation(invitation, by=nils)
        assert not held_by(nils)

    def test_a_company_that_changed_its_addresses_makes_guests(
        self, nordvik, greta, nils
    ):
        # R14 at the moment of acceptance
        invitation = invite(nordvik, greta)
        nordvik.email_domains = ["nordvik.example"]
        nordvik.save()

        with pytest.raises(ValidationError):
            services.accept_invitation(invitation, by=nils)

    def test_who_belongs_to_another_company_belongs_to_both(self, nordvik, greta, nils):
        other = MembershipFactory(user=nils).partner_account

        services.accept_invitation(invite(nordvik, greta), by=nils)

        companies = {one.partner_account for one in nils.memberships.all()}
        assert companies == {nordvik, other}


class TestJoining:
    def test_somebody_new_gets_an_account_and_the_role(self, nordvik, greta, goteborg):
        invitation = invite(nordvik, greta, locations=[goteborg])

        user = join(invitation, full_name="Nils H. Holm")

        user.refresh_from_db()
        assert (user.email, user.full_name, user.language) == (
            ADDRESS,
            "Nils H. Holm",
            "sv",
        )
        assert user.check_password(PASSWORD)
        assert held_by(user) == {(Role.INCENTIVES_ADMIN, "Göteborg", None, None)}
        assert not user.is_staff
        assert not user.is_superuser

    def test_the_link_alone_is_not_enough(self, nordvik, greta):
        invitation = invite(nordvik, greta)

        with pytest.raises(ValidationError, match="not the address"):
            join(invitation, email="mallory@partner.example")
        assert not User.objects.filter(full_name="Nils Holm").exists()

    def test_who_has_an_account_signs_in(self, nordvik, greta, nils):
        # Nobody's password is set by a link.
        invitation = invite(nordvik, greta)

        with pytest.raises(ValidationError, match="has an account already"):
            join(invitation)
        nils.refresh_from_db()
        assert not nils.check_password(PASSWORD)
        assert not nils.memberships.exists()

    @pytest.mark.parametrize("password", ["short", "password", "nils holm nils"])
    def test_a_weak_password_is_refused(self, nordvik, greta, password):
        with pytest.raises(ValidationError) as refusal:
            join(invite(nordvik, greta), password=password)

        assert "password" in refusal.value.message_dict
        assert not User.objects.filter(email=ADDRESS).exists()

    def test_the_second_time_it_has_been_accepted(self, nordvik, greta):
        invitation = invite(nordvik, greta)
        user = join(invitation)

        with pytest.raises(ValidationError, match="accepted already"):
            join(invitation, password="another tall ship at sea")
        user.refresh_from_db()
        assert user.check_password(PASSWORD)

    def test_nothing_is_left_when_the_offer_cannot_be_given(self, nordvik, alice):
        invitation = invite(nordvik, alice)
        alice.role_assignments.update(revoked_at=timezone.now())

        with pytest.raises(ValidationError):
            join(invitation)
        assert not User.objects.filter(email=ADDRESS).exists()


class TestExpiring:
    def test_the_clock_closes_what_is_over_and_nothing_else(self, nordvik, greta):
        over = ColleagueInvitationFactory(
            partner_account=nordvik,
            created_by=greta,
            expires_at=timezone.now() - timedelta(seconds=1),
            created_at=timezone.now() - timedelta(days=7),
        )
        waiting = invite(nordvik, greta)

        assert services.expire_invitations(at=timezone.now()) == 1
        assert services.expire_invitations(at=timezone.now()) == 0

        over.refresh_from_db()
        waiting.refresh_from_db()
        assert over.state == InvitationState.EXPIRED
        assert waiting.state == InvitationState.OPEN
        event = AuditEvent.objects.get(action=AuditAction.INVITATION_EXPIRED)
        assert event.actor is None

    def test_an_overdue_one_makes_room_before_the_clock_comes(self, nordvik, greta):
        first = invite(nordvik, greta)
        later(first, days=8)

        assert invite(nordvik, greta).is_open(timezone.now())


def is_done(outcome) -> bool:
    return not isinstance(outcome, Exception)


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    """What happens in the same moment."""

    def test_two_admins_inviting_leave_one_open(self, nordvik, greta, alice):
        def by(admin):
            return lambda: invite(nordvik, admin)

        outcomes = at_once(by(greta), by(alice))

        assert all(map(is_done, outcomes)), outcomes
        states = ColleagueInvitation.objects.values_list("state", flat=True)
        assert sorted(states) == ["open", "replaced"]

    def test_without_the_lock_both_would_be_tried(
        self, nordvik, greta, alice, monkeypatch
    ):
        # The control: only the constraint is left, and one of them is an error.
        monkeypatch.setattr(colleagues, "lock_companies", lambda *keys: None)
        meet(monkeypatch, colleagues, "fingerprint_of", threading.Barrier(2))

        outcomes = at_once(
            lambda: invite(nordvik, greta), lambda: invite(nordvik, alice)
        )

        assert sorted(map(is_done, outcomes)) == [False, True]

    def test_a_double_click_accepts_once(self, nordvik, greta, nils):
        invitation = invite(nordvik, greta)

        def accept():
            return services.accept_invitation(
                ColleagueInvitation.objects.get(pk=invitation.pk), by=nils
            )

        outcomes = at_once(*[accept] * 4)

        assert all(map(is_done, outcomes)), outcomes
        assert RoleAssignment.objects.filter(user=nils).count() == 1
        assert OutgoingEmail.objects.filter(name="colleague_joined").count() == 1

    def test_somebody_new_joins_once(self, nordvik, greta):
        invitation = invite(nordvik, greta)

        outcomes = at_once(*[lambda: join(invitation)] * 3)

        assert sum(map(is_done, outcomes)) == 1
        assert User.objects.filter(email=ADDRESS).count() == 1

    def test_two_companies_at_once_make_one_account(self, nordvik, greta):
        other = RoleAssignmentFactory(role=Role.GLOBAL_ADMIN)
        here = invite(nordvik, greta)
        there = invite(other.partner_account, other.user)

        outcomes = at_once(lambda: join(here), lambda: join(there))

        assert sum(map(is_done, outcomes)) == 1
        (refusal,) = [one for one in outcomes if not is_done(one)]
        assert "has an account already" in str(refusal)

    def test_accepting_or_withdrawing_one_of_them_wins(self, nordvik, greta, nils):
        for _round in range(4):
            Membership.objects.filter(user=nils).delete()
            RoleAssignment.objects.filter(user=nils).delete()
            invitation = invite(nordvik, greta, full_name=f"Nils {_round}")

            outcomes = at_once(
                lambda: services.accept_invitation(invitation, by=nils),  # noqa: B023
                lambda: services.revoke_invitation(invitation, by=greta),  # noqa: B023
            )

            assert sum(map(is_done, outcomes)) == 1
            invitation.refresh_from_db()
            is_member = Membership.objects.filter(user=nils).exists()
            assert is_member == (invitation.state == InvitationState.ACCEPTED)

    def test_ending_the_inviters_role_or_accepting_come_one_after_the_other(
        self, nordvik, greta, alice, nils
    ):
        invitation = invite(nordvik, alice)
        role = alice.role_assignments.get()

        at_once(
            lambda: services.accept_invitation(invitation, by=nils),
            lambda: services.revoke_role(role, by=greta),
        )

        role.refresh_from_db()
        assert role.revoked_at is not None
        for given in RoleAssignment.objects.filter(user=nils):
            assert given.granted_at < role.revoked_at


def test_words_follow_the_reader_of_a_refusal(nordvik, greta, nils):
    invitation = closed(nordvik, greta, nils, state=InvitationState.REVOKED)

    with translation.override("sv"), pytest.raises(ValidationError) as refusal:
        services.accept_invitation(invitation, by=nils)

    assert "withdrawn" not in str(refusal.value)


def test_programs_are_named_where_they_limit(nordvik, greta, goteborg):
    program = IncentiveProgramFactory(name="Azure Migration")
    invitation = invite(nordvik, greta, locations=[goteborg], programs=[program])

    assert invitation.places.get().where == "Göteborg, only Azure Migration"
