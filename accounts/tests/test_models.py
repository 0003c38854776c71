"""What the database guarantees of people, companies and roles, and what rows answer."""

from datetime import date, timedelta

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import (
    AuditAction,
    AuditChain,
    AuditEvent,
    Coverage,
    DirectoryGroup,
    DirectoryGroupMember,
    DirectoryPerson,
    GroupMapping,
    InvitationState,
    Location,
    MailStatus,
    Membership,
    MutedMail,
    OutgoingEmail,
    PartnerAccount,
    ProvisioningToken,
    RecoveryState,
    RequestState,
    ResetState,
    RoleAssignment,
    SharedText,
    TenantRoleMapping,
    User,
)
from accounts.roles import COMPANY_WIDE_ROLES, Permission, Role
from accounts.tests.factories import (
    AccessRequestFactory,
    ColleagueInvitationFactory,
    CompanyTenantFactory,
    FactorResetFactory,
    IncentiveProgramFactory,
    LocationFactory,
    MembershipFactory,
    PartnerAccountFactory,
    RecoveryRequestFactory,
    RoleAssignmentFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db


def change(row, **fields):
    """Write past every rule of Python."""
    type(row)._default_manager.filter(pk=row.pk).update(**fields)


def email(**fields) -> OutgoingEmail:
    return OutgoingEmail.objects.create(
        **(
            {
                "dedupe_key": "one",
                "name": "invitation_sent",
                "to_address": "lars@partner.example",
                "language": "en",
                "subject": "Invitation",
                "body_text": "text",
                "body_html": "<p>text</p>",
                "next_attempt_at": timezone.now(),
            }
            | fields
        )
    )


def write(step):
    """Take a step as a transaction of its own, with the checks at its end."""
    with transaction.atomic():
        step()
        connection.check_constraints()


def role_outside_the_company():
    assignment = RoleAssignmentFactory(location=None)
    change(assignment, location=LocationFactory())


def role_twice():
    held = RoleAssignmentFactory()
    RoleAssignmentFactory(user=held.user, partner_account=held.partner_account)


def event_at_a_taken_place():
    event = {"chain": "x", "action": AuditAction.COMPANY_ADDED}
    AuditEvent.objects.create(**event)
    AuditChain.objects.update(seq=0)
    AuditEvent.objects.create(**event)


def member_twice():
    member = MembershipFactory()
    MembershipFactory(user=member.user, partner_account=member.partner_account)


def invited_twice():
    first = ColleagueInvitationFactory()
    ColleagueInvitationFactory(partner_account=first.partner_account, email=first.email)


def twice(model, **values):
    """Make two rows of one company that differ only as said."""
    company = PartnerAccountFactory()
    for number in range(2):
        model.objects.create(
            partner_account=company,
            **{name: pair[number] for name, pair in values.items()},
        )


def group_member_twice():
    group = DirectoryGroup.objects.create(
        partner_account=PartnerAccountFactory(), display_name="Sales"
    )
    user = UserFactory()
    for _time in range(2):
        DirectoryGroupMember.objects.create(group=group, user=user)


def mapping(**fields):
    defaults = {"group_name": "Sales", "role": Role.INCENTIVES_ADMIN}
    if "partner_account" not in fields:
        defaults["partner_account"] = PartnerAccountFactory()
    return GroupMapping.objects.create(**(defaults | fields))


def token(**fields):
    return ProvisioningToken.objects.create(
        **(
            {
                "partner_account": PartnerAccountFactory(),
                "name": "Entra ID",
                "token_sha256": "0" * 64,
            }
            | fields
        )
    )


def app_role(**fields):
    defaults = {"app_role": "Sales", "role": Role.INCENTIVES_ADMIN}
    if "tenant" not in fields:
        defaults["tenant"] = CompanyTenantFactory()
    account = fields.get("tenant", defaults.get("tenant")).partner_account
    return TenantRoleMapping.objects.create(
        **(defaults | {"partner_account": account} | fields)
    )


def app_role_twice():
    one = app_role()
    app_role(tenant=one.tenant)


def role_of_a_tenant_given_by_hand():
    one = CompanyTenantFactory()
    change(RoleAssignmentFactory(partner_account=one.partner_account), tenant=one)


def unsealed_secret():
    one = CompanyTenantFactory()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_companytenant SET client_secret = 'plain' WHERE id = %s",
            [one.pk],
        )


def asked_twice():
    first = AccessRequestFactory()
    AccessRequestFactory(user=first.user, partner_account=first.partner_account)


def asked_outside_the_company():
    change(AccessRequestFactory(), location=LocationFactory())


def recovered(**fields):
    """Somebody was appointed in every respect as it should be, but for `fields`."""
    now = timezone.now()
    as_it_should_be = {
        "state": RecoveryState.GRANTED,
        "asked_at": now - timedelta(days=4),
        "evidence": "Register.",
        "reviewed_by": UserFactory(),
        "answered_by": UserFactory(),
        "answered_at": now,
    }
    RecoveryRequestFactory(**(as_it_should_be | fields))


def appointed_by_one_operator():
    operator = UserFactory()
    recovered(reviewed_by=operator, answered_by=operator)


def recovery_asked_twice():
    first = RecoveryRequestFactory()
    RecoveryRequestFactory(partner_account=first.partner_account)


def reset(**fields):
    """Second factors were reset in every respect as it should be, but for `fields`."""
    now = timezone.now()
    as_it_should_be = {
        "state": ResetState.GRANTED,
        "asked_at": now - timedelta(days=2),
        "evidence": "Met her.",
        "vouched_by": UserFactory(),
        "answered_by": UserFactory(),
        "answered_at": now,
    }
    FactorResetFactory(**(as_it_should_be | fields))


def reset_by_one_person():
    operator = UserFactory()
    reset(vouched_by=operator, answered_by=operator)


def reset_by_the_person():
    person = UserFactory()
    reset(user=person, answered_by=person)


def reset_asked_twice():
    FactorResetFactory(user=FactorResetFactory().user)


def changed_text():
    """What was sent to many says something else, for each of them."""
    kept = SharedText.of("Hello \ue0001\ue001", "<p>Hello \ue0001\ue001</p>")
    kept.save()
    SharedText.objects.filter(pk=kept.pk).update(text="Goodbye \ue0001\ue001")


# Each constraint of accounts, and one way of breaking it.
VIOLATIONS = {
    "accounts_accessrequest_answered_by_somebody": lambda: AccessRequestFactory(
        state=RequestState.GRANTED, answered_at=timezone.now()
    ),
    "accounts_accessrequest_asked_by_is_somebody_else": lambda: AccessRequestFactory(
        user=(one := UserFactory()), asked_by=one
    ),
    "accounts_accessrequest_company_roles_are_company_wide": lambda: (
        AccessRequestFactory(
            role=Role.ACCOUNT_ADMIN,
            location=(place := LocationFactory()),
            partner_account=place.partner_account,
        )
    ),
    "accounts_accessrequest_declined_with_a_reason": lambda: AccessRequestFactory(
        state=RequestState.DECLINED,
        answered_at=timezone.now(),
        answered_by=UserFactory(),
    ),
    "accounts_accessrequest_location_of_company": asked_outside_the_company,
    "accounts_accessrequest_one_waiting_per_scope": asked_twice,
    "accounts_accessrequest_program_needs_location": lambda: AccessRequestFactory(
        program=IncentiveProgramFactory()
    ),
    "accounts_accessrequest_role_can_be_asked_for": lambda: AccessRequestFactory(
        role=Role.GLOBAL_ADMIN
    ),
    "accounts_auditevent_action_is_known": lambda: AuditEvent.objects.create(
        chain="x", action="forgotten"
    ),
    "accounts_auditevent_one_chain": event_at_a_taken_place,
    "accounts_colleagueinvitation_accepted_in_time_by_somebody": lambda: (
        ColleagueInvitationFactory(
            state=InvitationState.ACCEPTED, closed_at=timezone.now()
        )
    ),
    "accounts_colleagueinvitation_closed_has_its_moment": lambda: (
        ColleagueInvitationFactory(state=InvitationState.REVOKED)
    ),
    "accounts_colleagueinvitation_email_is_lower_case": lambda: (
        ColleagueInvitationFactory(email="Lars@partner.example")
    ),
    "accounts_colleagueinvitation_keeps_a_fingerprint": lambda: (
        ColleagueInvitationFactory(token_sha256="a token")
    ),
    "accounts_colleagueinvitation_language_is_known": lambda: (
        ColleagueInvitationFactory(language="xx")
    ),
    "accounts_colleagueinvitation_one_open_per_address": invited_twice,
    "accounts_colleagueinvitation_role_is_known": lambda: ColleagueInvitationFactory(
        role="king"
    ),
    "accounts_colleagueinvitation_state_is_known": lambda: ColleagueInvitationFactory(
        state="lost", closed_at=timezone.now()
    ),
    "accounts_incentiveprogram_code_is_plain": lambda: IncentiveProgramFactory(
        code="csp db"
    ),
    "accounts_location_closed_is_answered": lambda: LocationFactory(
        closed_at=timezone.now(),
        closing_asked_at=timezone.now(),
        closing_asked_by=UserFactory(),
        closing_reason="Moved.",
    ),
    "accounts_location_closing_is_asked_by_somebody": lambda: LocationFactory(
        closing_asked_at=timezone.now(), closing_reason="Moved."
    ),
    "accounts_location_closing_is_asked_with_a_reason": lambda: LocationFactory(
        closing_asked_at=timezone.now(), closing_asked_by=UserFactory()
    ),
    "accounts_location_country_is_two_letters": lambda: LocationFactory(country="s1"),
    "accounts_location_partner_id_is_digits": lambda: LocationFactory(partner_id="61A"),
    "accounts_membership_once_per_company": member_twice,
    "accounts_offeredplace_once_per_place": lambda: ColleagueInvitationFactory(
        places=[(None, None)] * 2
    ),
    "accounts_offeredplace_program_needs_location": lambda: ColleagueInvitationFactory(
        places=[(None, IncentiveProgramFactory())]
    ),
    "accounts_outgoingemail_says_one_thing": lambda: email(own_words="Ida"),
    "accounts_sharedtext_is_never_changed": changed_text,
    "accounts_outgoingemail_told_once": lambda: [email() for _ in "12"],
    "accounts_outgoingemail_sent_has_its_moment": lambda: email(status=MailStatus.SENT),
    "accounts_outgoingemail_status_is_known": lambda: email(status="lost"),
    "accounts_outgoingemail_subject_is_one_line": lambda: email(
        subject="Invitation\nBcc: everybody@evil.example"
    ),
    "accounts_partneraccount_country_is_two_letters": lambda: PartnerAccountFactory(
        country="se"
    ),
    "accounts_partneraccount_partner_id_is_digits": lambda: PartnerAccountFactory(
        partner_id="1234"
    ),
    "accounts_factorreset_answered_by_somebody": lambda: reset(vouched_by=None),
    "accounts_factorreset_declined_with_a_reason": lambda: reset(
        state=ResetState.DECLINED
    ),
    "accounts_factorreset_keeps_a_fingerprint": lambda: FactorResetFactory(
        token_sha256="token"
    ),
    "accounts_factorreset_never_by_the_person": reset_by_the_person,
    "accounts_factorreset_one_open_per_person": reset_asked_twice,
    "accounts_factorreset_renewed_after_a_reset": lambda: FactorResetFactory(
        renewed_at=timezone.now()
    ),
    "accounts_factorreset_time_to_stop": lambda: reset(
        asked_at=timezone.now() - timedelta(hours=23)
    ),
    "accounts_factorreset_two_people": reset_by_one_person,
    "accounts_factorreset_vouched_with_evidence": lambda: reset(evidence=""),
    "accounts_recoveryrequest_answered_by_somebody": lambda: recovered(
        reviewed_by=None
    ),
    "accounts_recoveryrequest_checked_with_evidence": lambda: recovered(evidence=""),
    "accounts_recoveryrequest_declined_with_a_reason": lambda: recovered(
        state=RecoveryState.DECLINED
    ),
    "accounts_recoveryrequest_one_open_per_company": recovery_asked_twice,
    "accounts_recoveryrequest_time_to_object": lambda: recovered(
        asked_at=timezone.now() - timedelta(days=2)
    ),
    "accounts_recoveryrequest_two_operators": appointed_by_one_operator,
    "accounts_roleassignment_company_roles_are_company_wide": lambda: change(
        RoleAssignmentFactory(
            location=(place := LocationFactory()),
            partner_account=place.partner_account,
        ),
        role=Role.ACCOUNT_ADMIN,
    ),
    "accounts_roleassignment_once_per_scope": role_twice,
    "accounts_roleassignment_program_needs_location": lambda: change(
        RoleAssignmentFactory(), program=IncentiveProgramFactory()
    ),
    "accounts_roleassignment_revoked_by_needs_revoked_at": lambda: change(
        RoleAssignmentFactory(), revoked_by=UserFactory()
    ),
    "accounts_roleassignment_role_is_known": lambda: change(
        RoleAssignmentFactory(), role="king"
    ),
    "accounts_roleassignment_source_is_known": lambda: change(
        RoleAssignmentFactory(), source="rumor"
    ),
    "accounts_user_email_is_lower_case": lambda: UserFactory(
        email="Lars@partner.example"
    ),
    "accounts_user_language_is_known": lambda: UserFactory(language="xx"),
    # Of the migration.
    "accounts_roleassignment_location_of_company": role_outside_the_company,
}
VIOLATIONS |= {
    "accounts_directorygroup_display_name_once": lambda: twice(
        DirectoryGroup, display_name=("Sales", "SALES")
    ),
    "accounts_directorygroup_external_id_once": lambda: twice(
        DirectoryGroup, display_name=("One", "Two"), external_id=("x", "x")
    ),
    "accounts_directorygroupmember_once": group_member_twice,
    "accounts_directoryperson_once_per_company": lambda: twice(
        DirectoryPerson, user=(user := UserFactory(), user), user_name=("a", "b")
    ),
    "accounts_directoryperson_user_name_once": lambda: twice(
        DirectoryPerson,
        user=(UserFactory(), UserFactory()),
        user_name=("ida@partner.example", "IDA@partner.example"),
    ),
    "accounts_directoryperson_external_id_once": lambda: twice(
        DirectoryPerson,
        user=(UserFactory(), UserFactory()),
        user_name=("a", "b"),
        external_id=("x", "x"),
    ),
    "accounts_groupmapping_role_is_known": lambda: mapping(role="king"),
    "accounts_groupmapping_program_needs_location": lambda: mapping(
        program=IncentiveProgramFactory()
    ),
    "accounts_groupmapping_company_roles_are_company_wide": lambda: mapping(
        role=Role.ACCOUNT_ADMIN,
        location=(place := LocationFactory()),
        partner_account=place.partner_account,
    ),
    "accounts_groupmapping_once": lambda: twice(
        GroupMapping, group_name=("Sales", "sales"), role=(Role.USER_ADMIN,) * 2
    ),
    "accounts_provisioningtoken_name_once": lambda: twice(
        ProvisioningToken, name=("Entra", "ENTRA"), token_sha256=("0" * 64, "1" * 64)
    ),
    "accounts_provisioningtoken_holds_a_hash": lambda: token(token_sha256="scim_abc"),
    "accounts_provisioningtoken_revoked_by_needs_revoked_at": lambda: token(
        revoked_by=UserFactory()
    ),
    # Of the migration.
    "accounts_groupmapping_location_of_company": lambda: mapping(
        location=LocationFactory()
    ),
}
VIOLATIONS |= {
    "accounts_companytenant_client_secret_is_sealed": unsealed_secret,
    "accounts_companytenant_has_issuer": lambda: CompanyTenantFactory(issuer=""),
    "accounts_roleassignment_only_entra_has_a_tenant": role_of_a_tenant_given_by_hand,
    "accounts_tenantrolemapping_role_is_known": lambda: app_role(role="king"),
    "accounts_tenantrolemapping_program_needs_location": lambda: app_role(
        program=IncentiveProgramFactory()
    ),
    "accounts_tenantrolemapping_company_roles_are_company_wide": lambda: app_role(
        role=Role.ACCOUNT_ADMIN,
        tenant=(one := CompanyTenantFactory()),
        location=LocationFactory(partner_account=one.partner_account),
    ),
    "accounts_tenantrolemapping_once": app_role_twice,
    # Of the migration.
    "accounts_tenantrolemapping_location_of_company": lambda: app_role(
        location=LocationFactory()
    ),
}


def muted(**facts):
    return MutedMail.objects.create(
        **{"user": UserFactory(), "topic": "reminders"} | facts
    )


def muted_twice():
    user = UserFactory()
    muted(user=user)
    muted(user=user)


VIOLATIONS |= {
    "accounts_mutedmail_once": muted_twice,
    "accounts_mutedmail_topic_is_known": lambda: muted(topic="everything"),
    "accounts_mutedmail_only_reminders_by_program": lambda: muted(
        topic="renewals", program=IncentiveProgramFactory()
    ),
}
# A primary key and another column: only the target of composite keys.
NEVER_BROKEN = {"accounts_location_with_its_company"}


class TestGuarantees:
    @pytest.mark.parametrize("name", sorted(VIOLATIONS))
    def test_the_database_refuses(self, name):
        with pytest.raises(IntegrityError) as refusal:
            write(VIOLATIONS[name])

        assert name in str(refusal.value)

    def test_every_constraint_is_broken_once(self):
        named = {
            constraint.name
            for model in apps.get_app_config("accounts").get_models()
            for constraint in model._meta.constraints
        }

        assert named - NEVER_BROKEN <= set(VIOLATIONS)
        assert named >= NEVER_BROKEN

    @pytest.mark.parametrize(
        "fields",
        [
            {"status": MailStatus.SENT, "sent_at": None},
            {"status": MailStatus.QUEUED, "sent_at": timezone.now()},
            {"subject": "Invitation\rBcc: x"},
            {"shared_text": SharedText.of("Hello", "<p>Hello</p>")},
        ],
        ids=[
            "sent at no moment",
            "a moment before it was sent",
            "carriage return",
            "bodies beside a shared text",
        ],
    )
    def test_a_mail_contradicting_itself_is_refused(self, fields):
        if shared := fields.get("shared_text"):
            shared.save(force_insert=True)
        with pytest.raises(IntegrityError, match="check"), transaction.atomic():
            email(**fields)

    @pytest.mark.parametrize(
        "fields",
        [
            {"state": InvitationState.OPEN, "closed_at": timezone.now()},
            {"state": InvitationState.OPEN, "closed_by": "somebody"},
            {"state": InvitationState.ACCEPTED, "closed_by": "somebody"},
            {
                "state": InvitationState.ACCEPTED,
                "closed_by": "somebody",
                "closed_at": timezone.now() + timedelta(days=8),
            },
        ],
        ids=["closed and open", "open with an end", "at no moment", "too late"],
    )
    def test_an_invitation_contradicting_itself_is_refused(self, fields):
        if "closed_by" in fields:
            fields = fields | {"closed_by": UserFactory()}

        with pytest.raises(IntegrityError), transaction.atomic():
            ColleagueInvitationFactory(**fields)

    @pytest.mark.parametrize("role", sorted(COMPANY_WIDE_ROLES))
    def test_no_company_role_has_a_location(self, goteborg, role):
        with pytest.raises(IntegrityError), transaction.atomic():
            RoleAssignmentFactory(
                role=role, partner_account=goteborg.partner_account, location=goteborg
            )

    def test_a_role_is_held_once_per_scope(self, lars, goteborg, malmo, program):
        # Empty places are equal to each other here.
        held = {"user": lars, "partner_account": goteborg.partner_account}
        scopes = [
            {},
            {"location": goteborg},
            {"location": malmo},
            {"location": goteborg, "program": program},
        ]
        for scope in scopes:
            RoleAssignmentFactory(**held, **scope)

        for scope in scopes:
            with pytest.raises(IntegrityError), transaction.atomic():
                RoleAssignmentFactory(**held, **scope)

    def test_a_role_that_ended_may_be_held_again(self, lars, nordvik):
        for _time in range(2):
            RoleAssignmentFactory(
                user=lars, partner_account=nordvik, revoked_at=timezone.now()
            )

        RoleAssignmentFactory(user=lars, partner_account=nordvik)

    def test_a_person_may_join_again_after_leaving(self, nordvik):
        member = MembershipFactory(partner_account=nordvik, ended_at=timezone.now())

        MembershipFactory(user=member.user, partner_account=nordvik)

    @pytest.mark.parametrize(
        "make",
        [
            lambda taken: PartnerAccountFactory(partner_id=taken),
            lambda taken: LocationFactory(partner_id=taken),
            lambda taken: change(PartnerAccountFactory(), partner_id=taken),
            lambda taken: change(LocationFactory(), partner_id=taken),
        ],
        ids=["new company", "new location", "changed company", "changed location"],
    )
    def test_a_partner_id_names_one_company_or_location(self, goteborg, make):
        # R17
        for taken in (goteborg.partner_id, goteborg.partner_account.partner_id):
            with pytest.raises(IntegrityError), transaction.atomic():
                make(taken)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (PartnerAccountFactory, LocationFactory),
            (LocationFactory, PartnerAccountFactory),
        ],
        ids=["company first", "location first"],
    )
    def test_the_trigger_says_which_rule_it_is(self, first, second):
        first(partner_id="7000001")

        with (
            pytest.raises(IntegrityError, match="taken by a company or location"),
            transaction.atomic(),
        ):
            second(partner_id="7000001")

    def test_a_location_keeps_its_own_partner_id(self, goteborg):
        change(goteborg, partner_id=goteborg.partner_id)

        goteborg.refresh_from_db()
        assert goteborg.partner_id == "6120102"

    @pytest.mark.parametrize(
        ("make", "name"),
        [
            (lambda: [UserFactory(email="one@partner.example") for _ in "12"], "email"),
            (lambda: [IncentiveProgramFactory(code="ONE") for _ in "12"], "code"),
            (lambda: [LocationFactory(partner_id="61234") for _ in "12"], "partner_id"),
        ],
        ids=["address", "program", "location"],
    )
    def test_names_are_taken_once(self, make, name):
        with pytest.raises(IntegrityError, match=name), transaction.atomic():
            make()

    @pytest.mark.parametrize(
        "row",
        [
            lambda: RoleAssignmentFactory().user,
            lambda: RoleAssignmentFactory().partner_account,
            lambda: MembershipFactory().user,
            lambda: LocationFactory().partner_account,
        ],
        ids=["holder", "company of a role", "member", "company of a location"],
    )
    def test_nothing_with_history_is_deleted(self, row):
        kept = row()

        with pytest.raises(IntegrityError):
            write(kept.delete)


class TestCompanies:
    def test_addresses_of_the_companys_domains_are_no_guests(self, nordvik):
        # R14
        assert nordvik.welcomes("ida@partner.example")
        assert nordvik.welcomes("IDA@PARTNER.EXAMPLE")
        assert not nordvik.welcomes("ida@sub.partner.example")
        assert not nordvik.welcomes("ida@partner.example.evil.example")
        assert not nordvik.welcomes("partner.example@evil.example")

    def test_a_company_without_domains_has_guests_only(self):
        assert not PartnerAccount(email_domains=[]).welcomes("a@b.example")

    def test_a_company_waits_while_migration_is_asked_and_missing(self):
        # R72
        moment = timezone.now()

        assert PartnerAccount(must_migrate=True).awaits_migration
        assert not PartnerAccount(
            must_migrate=True, migrated_at=moment
        ).awaits_migration
        assert not PartnerAccount(must_migrate=False).awaits_migration

    def test_a_location_is_found_by_its_partner_id(self, goteborg):
        assert Location.objects.get_by_partner_id("6120102") == goteborg

    def test_a_global_partner_id_asks_for_a_location(self, goteborg):
        # R17
        with pytest.raises(ValidationError, match="global PartnerID") as refusal:
            Location.objects.get_by_partner_id("5012001")

        assert refusal.value.code == "global_partner_id"

    def test_an_unknown_partner_id_is_said_to_be_unknown(self):
        with pytest.raises(ValidationError) as refusal:
            Location.objects.get_by_partner_id("9999999")

        assert refusal.value.code == "unknown_partner_id"

    def test_members_left_out_are_those_who_left_or_cannot_sign_in(
        self, nordvik, lars, sam
    ):
        MembershipFactory(partner_account=nordvik, ended_at=timezone.now())
        MembershipFactory(partner_account=nordvik, user__is_active=False)

        assert set(User.objects.members_of(nordvik)) == {lars}
        assert set(Membership.objects.current().of_company(nordvik)) == {
            lars.memberships.get()
        }

    def test_companies_of_a_person_are_those_not_left(self, nordvik, lars):
        left = MembershipFactory(user=lars, ended_at=timezone.now()).partner_account

        companies = PartnerAccount.objects.with_member(lars)

        assert set(companies) == {nordvik}
        assert left not in companies


class TestCoverage:
    def of(self, location, **options) -> Coverage:
        account = location.partner_account
        row = Location.objects.with_coverage(account, **options).get(pk=location.pk)
        return Coverage(row.coverage)

    def test_it_grows_with_people(self, nordvik, goteborg, program):
        assert self.of(goteborg) == Coverage.NOBODY

        RoleAssignmentFactory(
            partner_account=nordvik, location=goteborg, program=program
        )
        assert self.of(goteborg) == Coverage.SOME_PROGRAMS

        RoleAssignmentFactory(partner_account=nordvik, location=goteborg)
        assert self.of(goteborg) == Coverage.ONE_PERSON

        RoleAssignmentFactory(partner_account=nordvik)
        assert self.of(goteborg) == Coverage.COVERED

    def test_one_role_can_be_left_out_of_the_count(self, nordvik, goteborg):
        only = RoleAssignmentFactory(partner_account=nordvik)

        assert self.of(goteborg, besides=[only]) == Coverage.NOBODY

    @pytest.mark.parametrize("role", sorted(set(Role) - {Role.INCENTIVES_ADMIN}))
    def test_other_roles_cover_nothing(self, nordvik, goteborg, role):
        RoleAssignmentFactory(partner_account=nordvik, role=role)

        assert self.of(goteborg) == Coverage.NOBODY

    def test_other_places_and_companies_cover_nothing(self, nordvik, goteborg, malmo):
        RoleAssignmentFactory(partner_account=nordvik, location=malmo)
        RoleAssignmentFactory()

        assert self.of(goteborg) == Coverage.NOBODY


class TestRoles:
    def test_a_role_is_over_when_ended_or_past_its_last_day(self):
        today = date(2026, 11, 21)

        assert not RoleAssignment().is_over(today)
        assert not RoleAssignment(ends_on=today).is_over(today)
        assert RoleAssignment(ends_on=today - timedelta(days=1)).is_over(today)
        assert RoleAssignment(revoked_at=timezone.now()).is_over(today)

    def test_a_role_knows_what_it_permits(self):
        admin = RoleAssignment(role=Role.INCENTIVES_ADMIN)

        assert Permission.ENROLLMENT_EDIT in admin.permissions
        assert Permission.ROLE_ASSIGN not in admin.permissions

    def test_saying_a_row_asks_nothing_more(
        self, nordvik, goteborg, ida, django_assert_num_queries
    ):
        rows = [
            RoleAssignment.objects.get(),
            Membership.objects.get(),
            Location.objects.get(),
            AuditEvent.objects.create(chain="x", action=AuditAction.COMPANY_ADDED),
            AuditChain.objects.get(),
            email(),
            AccessRequestFactory(),
            (invitation := ColleagueInvitationFactory()),
            invitation.places.get(),
        ]

        with django_assert_num_queries(0):
            assert all(map(str, rows))


class TestPeople:
    def test_one_address_is_one_person(self):
        created = User.objects.create_user(" New@Partner.example ", "a password")

        assert created.email == "new@partner.example"
        assert created.check_password("a password")
        assert User.objects.get_by_natural_key("NEW@partner.example") == created

    def test_a_superuser_is_an_operator(self):
        root = User.objects.create_superuser("root@owner.example", "a password")

        assert (root.is_staff, root.is_superuser) == (True, True)

    @pytest.mark.parametrize(
        ("name", "initials", "short"),
        [
            ("Greta Voss", "GV", "Greta"),
            ("Anna Maria von Bergen", "AB", "Anna"),
            ("Cher", "C", "Cher"),
            ("", "", ""),
        ],
    )
    def test_names_are_shortened(self, name, initials, short):
        person = User(full_name=name, email="x@partner.example")

        assert person.initials == initials
        assert person.get_short_name() == short

    def test_a_person_is_called_by_the_name(self):
        assert str(User(email="x@partner.example", full_name="Greta")) == "Greta"

    def test_somebody_without_a_name_is_called_by_the_address(self):
        assert str(User(email="x@partner.example")) == "x@partner.example"
