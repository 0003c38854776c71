"""Adding people, companies and places; giving and ending roles; every refusal."""

import threading
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.models import (
    AuditAction,
    AuditEvent,
    Location,
    MailStatus,
    Membership,
    OutgoingEmail,
    PartnerAccount,
    RoleAssignment,
    RoleSource,
    User,
)
from accounts.roles import INCENTIVE_ROLES, Role
from accounts.services import (
    add_location,
    add_person,
    assign_role,
    assign_roles,
    check_roles,
    choose_language,
    create_partner_account,
    resend_email,
    revoke_role,
    roles,
)
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    MembershipFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from accounts.tests.threads import at_once, meet


def events(action: AuditAction) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=action).order_by("pk"))


def live_roles(user) -> set[tuple]:
    return {
        (one.role, one.location, one.program)
        for one in RoleAssignment.objects.live().filter(user=user)
    }


@shared
def root(db):
    """An operator who may do everything: sets companies up."""
    return UserFactory(full_name="Rut Root", is_staff=True, is_superuser=True)


@shared
def second_global_admin(nordvik):
    return RoleAssignmentFactory(role=Role.GLOBAL_ADMIN, partner_account=nordvik).user


class TestCompanies:
    details = {
        "partner_id": "5099001",
        "name": "Fjord AS",
        "legal_name": "Fjord AS",
        "country": "NO",
        "email_domains": ["Fjord.example"],
    }

    def test_a_company_is_added_and_remembered(self, root):
        account = create_partner_account(**self.details, by=root)

        assert account.email_domains == ["fjord.example"]
        (event,) = events(AuditAction.COMPANY_ADDED)
        assert (event.actor, event.partner_account) == (root, account)

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"partner_id": "12AB"}, "partner_id"),
            ({"country": "Norway"}, "country"),
            ({"name": ""}, "name"),
        ],
    )
    def test_a_malformed_company_is_refused(self, root, wrong, field):
        with pytest.raises(ValidationError) as refusal:
            create_partner_account(**(self.details | wrong), by=root)

        assert field in refusal.value.message_dict
        assert not PartnerAccount.objects.exists()

    def test_a_partner_id_belongs_to_one_company_or_location(self, root, goteborg):
        # R17
        taken = [goteborg.partner_id, goteborg.partner_account.partner_id]

        for partner_id in taken:
            with pytest.raises(ValidationError, match="taken by another"):
                create_partner_account(
                    **(self.details | {"partner_id": partner_id}), by=root
                )
            with pytest.raises(ValidationError, match="taken by another"):
                add_location(
                    goteborg.partner_account,
                    partner_id=partner_id,
                    name="Again",
                    country="SE",
                    by=root,
                )

    def test_a_location_is_added_with_the_companys_legal_name(self, root, nordvik):
        location = add_location(
            nordvik, partner_id="6120199", name="Umeå", country="SE", by=root
        )

        assert location.legal_name == nordvik.legal_name
        (event,) = events(AuditAction.LOCATION_ADDED)
        assert event.after["partner_id"] == "6120199"

    def test_a_malformed_location_is_refused(self, root, nordvik):
        with pytest.raises(ValidationError):
            add_location(nordvik, partner_id="6120199", name="", country="SE", by=root)

        assert not Location.objects.exists()


class TestPeople:
    def test_a_person_is_added_without_password(self, greta, nordvik):
        person = add_person(
            nordvik, email=" NEW@Partner.example ", full_name="New Person", by=greta
        )

        assert person.email == "new@partner.example"
        assert not person.has_usable_password()
        assert person.memberships.get().added_by == greta
        (event,) = events(AuditAction.PERSON_ADDED)
        assert event.actor == greta

    def test_somebody_known_joins_and_stays_as_they_are(self, sam, greta, nordvik):
        joined = add_person(
            nordvik,
            email=sam.email,
            full_name="Other Name",
            joins_existing=True,
            by=greta,
        )

        assert joined == sam
        assert User.objects.get(pk=sam.pk).full_name == "Sam Stranger"
        assert sam.memberships.count() == 2

    def test_somebody_of_another_company_joins_only_when_it_is_meant(
        self, sam, greta, nordvik
    ):
        with pytest.raises(ValidationError, match="another company"):
            add_person(nordvik, email=sam.email, full_name="Sam Stranger", by=greta)

        assert not nordvik.memberships.filter(user=sam).exists()
        assert events(AuditAction.PERSON_ADDED) == []

    def test_somebody_whose_other_membership_ended_joins(self, sam, greta, nordvik):
        sam.memberships.update(ended_at=timezone.now())

        add_person(nordvik, email=sam.email, full_name="Sam Stranger", by=greta)

        assert nordvik.memberships.filter(user=sam, ended_at=None).exists()

    def test_adding_twice_adds_once(self, greta, nordvik, lars):
        for _time in range(2):
            add_person(nordvik, email=lars.email, full_name="Lars Ek", by=greta)

        assert lars.memberships.count() == 1
        assert events(AuditAction.PERSON_ADDED) == []

    def test_an_operator_joins_no_company(self, greta, nordvik, oscar):
        with pytest.raises(ValidationError, match="belongs to an operator"):
            add_person(nordvik, email=oscar.email, full_name="Oscar", by=greta)

        assert not Membership.objects.filter(user=oscar).exists()

    @pytest.mark.parametrize(
        "wrong", [{"email": "no address"}, {"full_name": ""}, {"language": "xx"}]
    )
    def test_a_malformed_person_is_refused(self, greta, nordvik, wrong):
        details = {"email": "new@partner.example", "full_name": "New"} | wrong

        with pytest.raises(ValidationError):
            add_person(nordvik, **details, by=greta)

    def test_a_language_is_remembered(self, lars):
        choose_language(lars, language="sv")

        assert User.objects.get(pk=lars.pk).language == "sv"

    def test_an_unknown_language_is_refused(self, lars):
        with pytest.raises(ValidationError):
            choose_language(lars, language="xx")


class TestAssigning:
    @pytest.mark.parametrize("name", ["greta", "alice"])
    @pytest.mark.parametrize("role", sorted(INCENTIVE_ROLES))
    def test_global_and_account_admins_give_incentive_roles(
        self, cast, nordvik, goteborg, name, role
    ):
        # R3
        giver = getattr(cast, name)

        given = assign_role(
            cast.lars, role=role, account=nordvik, location=goteborg, by=giver
        )

        assert live_roles(cast.lars) == {(role, goteborg, None)}
        (event,) = events(AuditAction.ROLE_ASSIGNED)
        assert (event.actor, event.object_id) == (giver, str(given.pk))
        assert event.after == {
            "person": cast.lars.pk,
            "role": role,
            "location": goteborg.pk,
            "program": None,
            "ends_on": None,
            "source": "manual",
        }

    def test_an_admin_may_give_the_role_to_themselves(self, alice, nordvik, goteborg):
        # R4
        assign_role(
            alice,
            role=Role.INCENTIVES_ADMIN,
            account=nordvik,
            location=goteborg,
            by=alice,
        )

        assert (Role.INCENTIVES_ADMIN, goteborg, None) in live_roles(alice)

    @pytest.mark.parametrize("role", Role)
    def test_a_global_admin_gives_every_role(self, greta, lars, nordvik, role):
        assign_role(lars, role=role, account=nordvik, by=greta)

        assert live_roles(lars) == {(role, None, None)}

    @pytest.mark.parametrize("role", sorted(set(Role) - INCENTIVE_ROLES))
    def test_an_account_admin_gives_no_company_role(self, alice, lars, nordvik, role):
        # T3
        with pytest.raises(ValidationError) as refusal:
            assign_role(lars, role=role, account=nordvik, by=alice)

        assert refusal.value.code == "not_granting"
        assert live_roles(lars) == set()

    @pytest.mark.parametrize(
        "giver", [Role.USER_ADMIN, Role.MPN_ADMIN, *sorted(INCENTIVE_ROLES)]
    )
    @pytest.mark.parametrize("role", Role)
    def test_other_roles_give_nothing(self, lars, nordvik, giver, role):
        # R5, R13, C1, C2
        by = RoleAssignmentFactory(role=giver, partner_account=nordvik).user

        for holder in (lars, by):
            with pytest.raises(ValidationError) as refusal:
                assign_role(holder, role=role, account=nordvik, by=by)
            assert refusal.value.code == "not_granting"

    def test_somebody_without_a_role_gives_nothing(self, lars, nordvik):
        with pytest.raises(ValidationError):
            assign_role(lars, role=Role.INCENTIVES_USER, account=nordvik, by=lars)

    @pytest.mark.parametrize("role", Role)
    def test_another_companys_global_admin_gives_nothing_here(
        self, lars, nordvik, role
    ):
        stranger = RoleAssignmentFactory(role=Role.GLOBAL_ADMIN).user

        with pytest.raises(ValidationError):
            assign_role(lars, role=role, account=nordvik, by=stranger)

    @pytest.mark.parametrize(
        "fields",
        [
            {"revoked_at": timezone.now()},
            {"ends_on": timezone.localdate() - timedelta(days=1)},
            {"user__is_active": False},
        ],
        ids=["ended", "past its last day", "cannot sign in"],
    )
    def test_a_role_that_no_longer_holds_gives_nothing(self, lars, nordvik, fields):
        by = RoleAssignmentFactory(
            role=Role.GLOBAL_ADMIN, partner_account=nordvik, **fields
        ).user

        with pytest.raises(ValidationError):
            assign_role(lars, role=Role.INCENTIVES_USER, account=nordvik, by=by)

    def test_the_program_owner_gives_only_the_global_admin(self, root, lars, nordvik):
        assign_role(lars, role=Role.GLOBAL_ADMIN, account=nordvik, by=root)

        assert live_roles(lars) == {(Role.GLOBAL_ADMIN, None, None)}
        assert events(AuditAction.ROLE_ASSIGNED)[0].actor == root
        for role in set(Role) - {Role.GLOBAL_ADMIN}:
            with pytest.raises(ValidationError):
                assign_role(lars, role=role, account=nordvik, by=root)

    def test_other_operators_give_nothing(self, oscar, mina, lars, nordvik):
        for operator in (oscar, mina):
            with pytest.raises(ValidationError):
                assign_role(lars, role=Role.GLOBAL_ADMIN, account=nordvik, by=operator)

    def test_a_partners_person_with_a_superusers_mark_gives_nothing(
        self, lars, nordvik
    ):
        lars.is_superuser = True
        lars.save()

        with pytest.raises(ValidationError):
            assign_role(lars, role=Role.GLOBAL_ADMIN, account=nordvik, by=lars)

    @pytest.mark.parametrize("role", sorted(INCENTIVE_ROLES))
    def test_a_guest_holds_no_incentive_role(self, greta, nordvik, role):
        # R14
        guest = UserFactory(email="guest@elsewhere.example")
        MembershipFactory(user=guest, partner_account=nordvik)

        with pytest.raises(ValidationError, match="Guests cannot hold"):
            assign_role(guest, role=role, account=nordvik, by=greta)

        assert live_roles(guest) == set()

    def test_a_stranger_holds_no_role_here(self, greta, sam, nordvik):
        with pytest.raises(ValidationError, match="a person of your company"):
            assign_role(sam, role=Role.INCENTIVES_USER, account=nordvik, by=greta)

    def test_somebody_who_left_holds_no_new_role(self, greta, lars, nordvik):
        lars.memberships.update(ended_at=timezone.now())

        with pytest.raises(ValidationError, match="a person of your company"):
            assign_role(lars, role=Role.INCENTIVES_USER, account=nordvik, by=greta)

    def test_a_foreign_location_is_refused(self, greta, lars, nordvik):
        with pytest.raises(ValidationError, match="a location of your company"):
            assign_role(
                lars,
                role=Role.INCENTIVES_ADMIN,
                account=nordvik,
                location=LocationFactory(),
                by=greta,
            )

    def test_a_closed_location_is_refused(self, greta, lars, nordvik):
        closed = LocationFactory(partner_account=nordvik, closed_at=timezone.now())

        with pytest.raises(ValidationError, match="closed"):
            assign_role(
                lars,
                role=Role.INCENTIVES_ADMIN,
                account=nordvik,
                location=closed,
                by=greta,
            )

    def test_a_program_needs_a_location(self, greta, lars, nordvik, program):
        with pytest.raises(ValidationError, match="programs are chosen at a location"):
            assign_role(
                lars,
                role=Role.INCENTIVES_ADMIN,
                account=nordvik,
                program=program,
                by=greta,
            )

    def test_a_company_role_has_no_location(self, greta, lars, nordvik, goteborg):
        with pytest.raises(ValidationError, match="for the whole company"):
            assign_role(
                lars,
                role=Role.ACCOUNT_ADMIN,
                account=nordvik,
                location=goteborg,
                by=greta,
            )

    def test_a_last_day_is_not_in_the_past(self, greta, lars, nordvik):
        today = timezone.localdate()

        with pytest.raises(ValidationError, match="in the past"):
            assign_role(
                lars,
                role=Role.INCENTIVES_USER,
                account=nordvik,
                ends_on=today - timedelta(days=1),
                by=greta,
            )
        assign_role(
            lars, role=Role.INCENTIVES_USER, account=nordvik, ends_on=today, by=greta
        )
        assert live_roles(lars) == {(Role.INCENTIVES_USER, None, None)}

    def test_giving_what_is_held_changes_nothing(self, greta, ida, goteborg):
        held = ida.role_assignments.get()

        given = assign_role(
            ida,
            role=Role.INCENTIVES_ADMIN,
            account=goteborg.partner_account,
            location=goteborg,
            by=greta,
        )

        assert given == held
        assert events(AuditAction.ROLE_ASSIGNED) == []

    def test_another_last_day_replaces_the_role(self, greta, ida, goteborg):
        held = ida.role_assignments.get()
        last_day = timezone.localdate() + timedelta(days=9)

        given = assign_role(
            ida,
            role=Role.INCENTIVES_ADMIN,
            account=goteborg.partner_account,
            location=goteborg,
            ends_on=last_day,
            by=greta,
        )

        held.refresh_from_db()
        assert held.revoked_by == greta
        assert (given.ends_on, given.revoked_at) == (last_day, None)
        assert live_roles(ida) == {(Role.INCENTIVES_ADMIN, goteborg, None)}

    def test_a_role_past_its_last_day_can_be_given_again(self, greta, lars, nordvik):
        RoleAssignmentFactory(
            user=lars,
            partner_account=nordvik,
            ends_on=timezone.localdate() - timedelta(days=1),
        )

        assign_role(lars, role=Role.INCENTIVES_ADMIN, account=nordvik, by=greta)

        assert live_roles(lars) == {(Role.INCENTIVES_ADMIN, None, None)}

    @pytest.mark.parametrize("source", [RoleSource.ENTRA, RoleSource.SCIM])
    def test_a_role_of_a_directory_is_marked_as_its_own(self, lars, nordvik, source):
        given = assign_role(
            lars, role=Role.INCENTIVES_USER, account=nordvik, source=source, by=None
        )

        given.refresh_from_db()
        assert given.source == source
        (event,) = events(AuditAction.ROLE_ASSIGNED)
        assert event.after["source"] == source

    def test_a_directory_leaves_alone_what_people_gave(self, ida, goteborg):
        held = ida.role_assignments.get()
        held.ends_on = timezone.localdate() + timedelta(days=9)
        held.save()

        given = assign_role(
            ida,
            role=Role.INCENTIVES_ADMIN,
            account=goteborg.partner_account,
            location=goteborg,
            source=RoleSource.SCIM,
            by=None,
        )

        assert (given, given.source) == (held, RoleSource.MANUAL)
        assert events(AuditAction.ROLE_ASSIGNED) == []

    def test_a_directory_gives_again_what_ran_out(self, lars, nordvik):
        RoleAssignmentFactory(
            user=lars,
            partner_account=nordvik,
            ends_on=timezone.localdate() - timedelta(days=1),
        )

        given = assign_role(
            lars,
            role=Role.INCENTIVES_ADMIN,
            account=nordvik,
            source=RoleSource.SCIM,
            by=None,
        )

        assert given.source == RoleSource.SCIM
        assert live_roles(lars) == {(Role.INCENTIVES_ADMIN, None, None)}

    def test_an_unknown_role_is_refused(self, greta, lars, nordvik):
        with pytest.raises(ValueError, match="king"):
            assign_role(lars, role="king", account=nordvik, by=greta)


class TestAssigningManyPlaces:
    def test_every_location_gets_every_program(
        self, greta, lars, nordvik, goteborg, malmo
    ):
        programs = [IncentiveProgramFactory(), IncentiveProgramFactory()]

        assign_roles(
            lars,
            role=Role.INCENTIVES_ADMIN,
            account=nordvik,
            locations=[goteborg, malmo],
            programs=programs,
            by=greta,
        )

        assert live_roles(lars) == {
            (Role.INCENTIVES_ADMIN, location, program)
            for location in (goteborg, malmo)
            for program in programs
        }
        assert len(events(AuditAction.ROLE_ASSIGNED)) == 4

    def test_one_refusal_gives_nothing_at_all(self, greta, lars, nordvik, goteborg):
        with pytest.raises(ValidationError):
            assign_roles(
                lars,
                role=Role.INCENTIVES_ADMIN,
                account=nordvik,
                locations=[goteborg, LocationFactory()],
                by=greta,
            )

        assert live_roles(lars) == set()
        assert events(AuditAction.ROLE_ASSIGNED) == []

    def test_what_is_held_already_is_among_what_is_returned(
        self, greta, ida, nordvik, goteborg, malmo
    ):
        given = assign_roles(
            ida,
            role=Role.INCENTIVES_ADMIN,
            account=nordvik,
            locations=[goteborg, malmo],
            by=greta,
        )

        assert {one.location for one in given} == {goteborg, malmo}
        assert len(events(AuditAction.ROLE_ASSIGNED)) == 1

    def test_checking_refuses_the_same_and_gives_nothing(
        self, greta, lars, nordvik, goteborg
    ):
        asked = {
            "role": Role.INCENTIVES_ADMIN,
            "account": nordvik,
            "locations": [goteborg],
        }

        assert check_roles(lars, **asked, by=greta) == [(goteborg, None)]
        with pytest.raises(ValidationError):
            check_roles(lars, **asked, by=lars)
        assert live_roles(lars) == set()


class TestEnding:
    def test_a_role_ends_at_once_and_is_remembered(self, greta, ida, goteborg):
        ended = revoke_role(ida.role_assignments.get(), by=greta)

        assert ended.revoked_by == greta
        assert live_roles(ida) == set()
        (event,) = events(AuditAction.ROLE_REVOKED)
        assert event.before["location"] == goteborg.pk

    def test_ending_twice_changes_nothing(self, greta, alice, ida):
        stale = ida.role_assignments.get()
        first = revoke_role(stale, by=greta)

        second = revoke_role(stale, by=alice)

        assert second.revoked_by == greta
        assert second.revoked_at == first.revoked_at
        assert len(events(AuditAction.ROLE_REVOKED)) == 1

    @pytest.mark.parametrize("name", ["ida", "uma", "lars", "sam", "oscar"])
    def test_who_cannot_give_a_role_cannot_end_it(self, cast, name):
        # R5
        with pytest.raises(ValidationError) as refusal:
            revoke_role(cast.ida.role_assignments.get(), by=getattr(cast, name))

        assert refusal.value.code == "not_granting"

    @pytest.mark.parametrize("role", sorted(set(Role) - INCENTIVE_ROLES))
    def test_an_account_admin_ends_no_company_role(self, alice, greta, nordvik, role):
        assignment = RoleAssignmentFactory(role=role, partner_account=nordvik)

        with pytest.raises(ValidationError):
            revoke_role(assignment, by=alice)

    def test_the_last_global_admin_stays(self, greta, nordvik):
        # rule 75
        with pytest.raises(ValidationError) as refusal:
            revoke_role(greta.role_assignments.get(), by=greta)

        assert refusal.value.code == "last_global_admin"
        assert live_roles(greta)

    def test_one_of_two_global_admins_may_go(self, greta, second_global_admin):
        revoke_role(greta.role_assignments.get(), by=greta)

        assert live_roles(greta) == set()

    @pytest.mark.parametrize(
        "fields",
        [
            {"revoked_at": timezone.now()},
            {"ends_on": timezone.localdate() - timedelta(days=1)},
            {"ends_on": timezone.localdate() + timedelta(days=30)},
            {"user__is_active": False},
        ],
        ids=["ended", "past its last day", "ends soon", "cannot sign in"],
    )
    def test_a_global_admin_who_does_not_stay_does_not_count(
        self, greta, nordvik, fields
    ):
        RoleAssignmentFactory(role=Role.GLOBAL_ADMIN, partner_account=nordvik, **fields)

        with pytest.raises(ValidationError):
            revoke_role(greta.role_assignments.get(), by=greta)

    def test_a_global_admin_of_another_company_does_not_count(self, greta):
        RoleAssignmentFactory(role=Role.GLOBAL_ADMIN)

        with pytest.raises(ValidationError):
            revoke_role(greta.role_assignments.get(), by=greta)

    def test_the_last_global_admin_gets_no_last_day(self, greta, nordvik):
        # Otherwise the day would do what nobody may.
        with pytest.raises(ValidationError) as refusal:
            assign_role(
                greta,
                role=Role.GLOBAL_ADMIN,
                account=nordvik,
                ends_on=timezone.localdate(),
                by=greta,
            )

        assert refusal.value.code == "last_global_admin"


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    """T3: the second waits for the first, then reads again what is left."""

    def test_two_admins_who_end_each_other_leave_one(self, greta, second_global_admin):
        outcomes = at_once(*self.each_other(greta, second_global_admin))

        assert sorted(map(outcome_of, outcomes)) == ["ended", "not_granting"]
        assert RoleAssignment.objects.live().filter(role=Role.GLOBAL_ADMIN).count() == 1

    def test_without_the_lock_nobody_would_be_left(
        self, greta, second_global_admin, monkeypatch
    ):
        """The control of the test above."""
        monkeypatch.setattr(roles, "lock_companies", lambda *keys: None)
        meet(monkeypatch, roles, "end_assignments", threading.Barrier(2))

        outcomes = at_once(*self.each_other(greta, second_global_admin))

        assert list(map(outcome_of, outcomes)) == ["ended", "ended"]
        assert not RoleAssignment.objects.live().filter(role=Role.GLOBAL_ADMIN)

    def test_two_admins_who_leave_at_once_leave_one(self, greta, second_global_admin):
        outcomes = at_once(
            *(
                lambda one=one: revoke_role(one.role_assignments.get(), by=one)
                for one in (greta, second_global_admin)
            )
        )

        assert sorted(map(outcome_of, outcomes)) == ["ended", "last_global_admin"]

    def test_who_loses_the_role_while_giving_gives_nothing(
        self, greta, alice, lars, nordvik, goteborg
    ):
        role = alice.role_assignments.get()
        with transaction.atomic():
            revoke_role(role, by=greta)
            giving = threading.Thread(
                target=lambda: outcomes.extend(
                    at_once(
                        lambda: assign_role(
                            lars,
                            role=Role.INCENTIVES_ADMIN,
                            account=nordvik,
                            location=goteborg,
                            by=alice,
                        )
                    )
                )
            )
            outcomes: list = []
            giving.start()
            giving.join(timeout=1)
            assert giving.is_alive()
        giving.join(timeout=30)

        assert list(map(outcome_of, outcomes)) == ["not_granting"]
        assert live_roles(lars) == set()

    @staticmethod
    def each_other(one, other):
        return (
            lambda: revoke_role(other.role_assignments.get(), by=one),
            lambda: revoke_role(one.role_assignments.get(), by=other),
        )


def outcome_of(outcome) -> str:
    if isinstance(outcome, ValidationError):
        return outcome.code
    assert isinstance(outcome, RoleAssignment), outcome
    return "ended"


class TestMailSentAgain:
    def email(self, lars, **fields) -> OutgoingEmail:
        return OutgoingEmail.objects.create(
            **(
                {
                    "dedupe_key": "invitation:1",
                    "name": "invitation_sent",
                    "to_user": lars,
                    "to_address": lars.email,
                    "language": "en",
                    "subject": "Invitation",
                    "body_text": "text",
                    "body_html": "<p>text</p>",
                    "status": MailStatus.FAILED,
                    "attempts": 5,
                    "next_attempt_at": timezone.now(),
                }
                | fields
            )
        )

    def test_a_mail_given_up_goes_back_in_line(self, mina, lars):
        email = resend_email(self.email(lars), by=mina)

        assert (email.status, email.attempts) == (MailStatus.QUEUED, 0)
        (event,) = events(AuditAction.MAIL_RESENT)
        assert event.actor == mina

    @pytest.mark.parametrize(
        "fields",
        [
            {"status": MailStatus.QUEUED},
            {"status": MailStatus.SENDING},
            {"status": MailStatus.UNKNOWN},
            {"status": MailStatus.SENT, "sent_at": timezone.now()},
        ],
        ids=lambda fields: fields["status"],
    )
    def test_a_mail_on_its_way_stays_as_it_is(self, mina, lars, fields):
        email = resend_email(self.email(lars, **fields), by=mina)

        assert (email.status, email.attempts) == (fields["status"], 5)
        assert events(AuditAction.MAIL_RESENT) == []

    def test_sending_again_twice_queues_once(self, mina, lars):
        email = self.email(lars)

        for _time in range(2):
            resend_email(email, by=mina)

        assert len(events(AuditAction.MAIL_RESENT)) == 1
