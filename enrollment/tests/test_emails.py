"""What the mails say, to whom, in which words; and what they never say."""

import datetime
import html
import re
from urllib.parse import urlsplit

import pytest
from django.conf import settings as configured
from django.template.loader import get_template
from django.urls import resolve, reverse
from django.utils import timezone, translation

from accounts import outbox
from accounts.companies import without_company
from accounts.models import OutgoingEmail
from accounts.roles import Role
from accounts.tests.canaries import WATCH
from accounts.tests.factories import (
    LocationFactory,
    PartnerAccountFactory,
    RoleAssignmentFactory,
)
from accounts.tests.shared_rows import shared
from enrollment import emails, reminder_emails, services, standing_emails
from enrollment.eligibility import GAPS
from enrollment.models import (
    DisputeOutcome,
    EnrollmentBatch,
    ExtensionRequest,
    Invitation,
    RequirementDispute,
)
from enrollment.tests.factories import (
    AgreementFactory,
    EnrollmentFactory,
    InvitationFactory,
    ProgramTermsFactory,
)
from profiles.services import return_version
from profiles.tests.factories import (
    IBAN,
    TAX_DETAILS,
    BankProfileFactory,
    BankVersionFactory,
    TaxProfileFactory,
    TaxVersionFactory,
    as_if_sent,
)

NAMES = (
    "invitation",
    "nobody_can_enroll",
    "enrollment_submitted",
    "enrollments_submitted",
    "enrollment_completed",
    "needs_attention",
    "terms_changed",
    "profile_approved",
    "profile_returned",
    "reminder",
    "eligibility_lost",
    "eligibility_regained",
    "enrollment_lapsed",
    "program_discontinued",
    "handed_over",
    "extension_answered",
    "dispute_answered",
    "calendar_address",
    "location_closed",
)


@pytest.fixture(autouse=True)
def place(settings):
    settings.PUBLIC_BASE_URL = "https://portal.example"
    return settings


def mail_to(user, name: str = "") -> OutgoingEmail:
    """The one mail (of a name) this person was sent."""
    rows = OutgoingEmail.objects.addressed_to(user)
    return rows.get(name=name) if name else rows.get()


def flat(text: str) -> str:
    """Plain text without its line breaks."""
    return " ".join(text.split())


def words(email: OutgoingEmail) -> str:
    """What the HTML says, without its tags."""
    body = re.sub(r"<style>.*?</style>", "", email.body_html, flags=re.DOTALL)
    return flat(html.unescape(re.sub(r"<[^>]+>", " ", body)))


def links(email: OutgoingEmail) -> set[str]:
    """Every address in both bodies but the support's."""
    found = set(re.findall(r"https?://[^\s\"'<>()]+", email.body_text))
    found |= set(re.findall(r'href="([^"]+)"', email.body_html))
    return {link for link in found if not link.startswith("mailto:")}


def button(email: OutgoingEmail) -> tuple[str, str]:
    """The words and the address of the button."""
    (found,) = re.findall(
        r'class="button".*?<a href="([^"]+)"[^>]*>(.*?)</a>', email.body_html, re.DOTALL
    )
    return html.unescape(found[1]), found[0]


def returned_version(profile, **facts):
    return BankVersionFactory(
        profile=profile,
        was_returned=True,
        returned=[
            {
                "field": "account_holder",
                "code": "BANK_NAME_MISMATCH",
                "note": "Write Nordvik IT AB, as the register has it.",
            }
        ],
        **facts,
    )


@pytest.fixture
def maria(maria, nordvik):
    """She may see and send the company's profiles."""
    RoleAssignmentFactory(user=maria, partner_account=nordvik)
    return maria


@shared
def ida_at_malmo(ida, malmo):
    """Ida is Incentives admin of Malmö too."""
    account = malmo.partner_account
    RoleAssignmentFactory(user=ida, partner_account=account, location=malmo)
    return ida


def standing_mails(person, enrollments) -> None:
    """Of one enrollment and of several: a reminder, and where they went."""
    with translation.override(person.language):
        for some in (enrollments[:1], enrollments):
            outbox.queue_many(
                [
                    reminder_emails.reminder(person, some, at=timezone.now()),
                    standing_emails.eligibility_lost(person, some),
                    standing_emails.eligibility_regained(person, some),
                    standing_emails.enrollment_lapsed(person, some),
                ]
            )
        outbox.queue_many([standing_emails.program_discontinued(person, some[:1])])


def answers(enrollment, *, to, by) -> None:
    """More time is granted and refused, a disputed requirement is answered."""
    now = timezone.now()
    asked = {"text": "The bank is slow.", "asked_at": now, "asked_by": to}
    answered = {"answer": "We looked.", "answered_at": now, "answered_by": by}
    for until in (enrollment.enroll_by, None):
        request = ExtensionRequest(
            enrollment=enrollment,
            enroll_by=enrollment.enroll_by,
            until=until,
            **asked,
            **answered,
        )
        emails.extension_answered(request, enrollment)
    for outcome in DisputeOutcome.values:
        dispute = RequirementDispute.objects.create(
            location=enrollment.location,
            terms=enrollment.terms,
            outcome=outcome,
            **asked,
            **answered,
        )
        emails.dispute_answered(dispute)


def hand_over(enrollment, other, *, to, by) -> None:
    """To who may enroll there, who may not yet, and who can take the role."""
    handed = InvitationFactory(
        enrollment=enrollment, user=by, handed_to=to, handed_at=timezone.now()
    )
    for facts in (
        {"handed": [handed], "lacking": [], "takes_it": False},
        {"handed": [], "lacking": [enrollment], "takes_it": False},
        {"handed": [], "lacking": [other], "takes_it": True},
    ):
        emails.handed_over(to=to, note="You know it best.", asked=[], by=by, **facts)


@pytest.fixture
def one_of_each(nordvik, goteborg, malmo, terms, ida, greta, oscar, settings):
    """One mail of each kind, and several of those that have variants."""
    services.invite_locations(terms, by=None)
    bank = BankProfileFactory(partner_account=nordvik, name="SEK main")
    tax = TaxProfileFactory(location=goteborg, name="Sverige")
    payout = {
        "payout__bank_profile": bank,
        "payout__tax_profile": tax,
        "payout__currency": "SEK",
    }
    submitted = EnrollmentFactory(
        location=goteborg, submitted=True, submitted_by=ida, **payout
    )
    emails.enrollment_submitted(submitted)
    again = EnrollmentFactory(location=goteborg, submitted=True, submitted_by=ida)
    emails.enrollments_submitted(
        ida,
        [submitted, again],
        batch=EnrollmentBatch.objects.create(
            partner_account=nordvik,
            by=ida,
            created_at=timezone.now(),
            sent_at=timezone.now(),
        ),
    )
    emails.enrollment_completed(EnrollmentFactory(location=goteborg, complete=True))
    other = BankProfileFactory(partner_account=nordvik, version=False)
    version = returned_version(other, submitted_by=ida)
    emails.enrollment_needs_attention(
        submitted, gaps=[GAPS["bank_returned"]], version=version
    )
    emails.enrollment_needs_attention(
        EnrollmentFactory(location=goteborg, complete=True),
        gaps=[GAPS["tax_expired"], GAPS["currency_missing"]],
        version=None,
    )
    emails.terms_changed(terms, {submitted: [GAPS["currency_refused"]]})
    emails.profile_decided(version)
    role = RoleAssignmentFactory(user=ida, partner_account=nordvik, location=malmo)
    emails.profile_decided(
        BankProfileFactory(partner_account=nordvik, created_by=ida).versions.get()
    )
    tax_version = TaxVersionFactory(
        profile=TaxProfileFactory(location=malmo, version=False), submitted_by=ida
    )
    emails.profile_decided(tax_version)
    emails.profile_decided(
        TaxVersionFactory(
            profile=TaxProfileFactory(location=malmo, version=False),
            submitted_by=ida,
            was_returned=True,
        )
    )
    begun = EnrollmentFactory(location=malmo, accepted=True)
    standing_mails(ida, [begun, again])
    answers(begun, to=ida, by=oscar)
    hand_over(again, begun, to=greta, by=ida)
    services.make_calendar_feed(ida, by=ida)
    malmo.closing_reason, malmo.closed_at = "Moved to Göteborg.", timezone.now()
    emails.location_closed(
        malmo,
        enrollments=[begun],
        roles=[role],
        readers={ida: {begun.pk}},
    )
    return list(OutgoingEmail.objects.all())


# --- The invitation ---------------------------------------------------------------------


@pytest.fixture
def invitation(goteborg, terms, ida):
    """Ida's invitation to enroll Göteborg, where everything is missing."""
    services.invite_locations(terms, by=None)
    return mail_to(ida)


def test_the_invitation_has_its_subject_sender_and_button(invitation, ida):
    # R19
    message = outbox.as_message(invitation).message()
    assert message["Subject"] == "Partner Incentive Enrollment Invitation"
    assert message["From"].startswith("Microsoft Partner Center <")
    key = Invitation.objects.get(user=ida).pk
    assert button(invitation) == (
        "Get Started",
        f"https://portal.example/c/5012001/i/{key}/",
    )
    address = f"https://portal.example/c/5012001/i/{key}/"
    assert f"Get Started: {address} " in " ".join(invitation.body_text.split())


def test_both_forms_of_the_invitation_greet_its_reader(invitation):
    assert invitation.body_text.startswith("Hello Ida,\n")
    assert "Hello Ida, Nordvik IT AB is eligible" in words(invitation)


def test_get_started_leads_to_an_invitation_of_its_reader(invitation, ida):
    path = without_company(invitation.about_url)
    assert resolve(path).view_name == "enrollment:get_started"
    assert resolve(path).kwargs["pk"] == Invitation.objects.get(user=ida).pk


def test_an_operators_own_subject_is_used_as_it_is(settings, goteborg, terms, ida):
    settings.INVITATION_SUBJECT = "Come & enroll"
    ida.language = "sv"
    ida.save()
    services.invite_locations(terms, by=None)
    assert mail_to(ida).subject == "Come & enroll"


def test_the_default_subject_is_said_in_the_readers_language(goteborg, terms, ida):
    # R70; the sentence itself is the catalog's.
    assert configured.INVITATION_SUBJECT == "Partner Incentive Enrollment Invitation"
    ida.language = "sv"
    ida.save()
    services.invite_locations(terms, by=None)
    email = mail_to(ida)
    assert email.subject == "Inbjudan till registrering i partnerincitament"
    assert button(email)[0] == "Kom igång"
    assert '<html lang="sv"' in email.body_html
    assert "oftast inom 2 dagar" in " ".join(email.body_text.split())


def test_the_invitation_says_what_is_ready_and_what_to_do(
    nordvik, goteborg, malmo, terms, default_bank, tax_profile, ida
):
    RoleAssignmentFactory(
        user=ida, role=Role.INCENTIVES_ADMIN, partner_account=nordvik, location=malmo
    )
    services.invite_locations(terms, by=None)

    email = mail_to(ida)
    for said in (flat(email.body_text), words(email)):
        assert "Nordvik IT AB is eligible for an incentive program." in said
        assert (
            "Göteborg (PartnerID 6120102) "
            "Ready: role, bank, tax and currency are in place." in said
        )
        assert (
            "Malmö (PartnerID 6120103) "
            "To do: A bank profile is missing. A tax profile is missing." in said
        )
        assert "You get this because you are Incentives admin for Göteborg" in said
    assert "Enroll 2 locations in Cloud Solution Provider – Direct Bill" in words(email)


def test_a_person_of_two_companies_reads_of_both(nordvik, goteborg, terms, ida):
    other = PartnerAccountFactory(name="Nordvik Drift AB")
    AgreementFactory(partner_account=other)
    LocationFactory(partner_account=other, name="Umeå")
    RoleAssignmentFactory(user=ida, role=Role.INCENTIVES_ADMIN, partner_account=other)
    services.invite_locations(terms, by=None)

    text = flat(mail_to(ida).body_text)
    assert "Nordvik Drift AB and Nordvik IT AB are eligible" in text


def test_many_locations_are_listed_once_and_counted_below(nordvik, terms, uma):
    RoleAssignmentFactory(user=uma, role=Role.INCENTIVES_ADMIN, partner_account=nordvik)
    for number in range(7):
        LocationFactory(partner_account=nordvik, name=f"Plats {number}.")
    services.invite_locations(terms, by=None)

    text = flat(mail_to(uma).body_text)
    assert text.count("Plats 3.") == 1
    assert "you are Incentives admin for 7 locations of Nordvik IT AB" in text


@pytest.mark.parametrize(
    ("earnings_start", "clock"),
    [
        (
            "validated",
            (
                "Enroll by 28 November 2026 and earn from 1 November 2026; validated "
                "after 30 November 2026, November is lost. Validation takes up to 2 days."
            ),
        ),
        (
            "submitted",
            (
                "Enroll by 30 November 2026 and earn from 1 November 2026; later, "
                "November is lost."
            ),
        ),
    ],
)
def test_the_invitation_says_what_a_late_answer_costs(
    time_machine, program, nordvik, goteborg, ida, earnings_start, clock
):
    time_machine.move_to(datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC))
    AgreementFactory(partner_account=nordvik)
    terms = ProgramTermsFactory(program=program, earnings_start=earnings_start)
    services.invite_locations(terms, by=None)

    sentences = f"{clock} The last day to enroll is 30 June 2027."
    assert sentences in flat(mail_to(ida).body_text)
    assert sentences in words(mail_to(ida))


def test_dates_are_written_in_the_readers_language(
    time_machine, program, nordvik, goteborg, ida
):
    time_machine.move_to(datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC))
    AgreementFactory(partner_account=nordvik)
    ida.language = "sv"
    ida.save()
    services.invite_locations(ProgramTermsFactory(program=program), by=None)
    said = flat(mail_to(ida).body_text)
    assert "30 juni 2027" in said
    assert "1 november 2026" in said
    assert "November" not in said


# --- Nobody can enroll --------------------------------------------------------------------


def test_who_can_appoint_is_told_of_locations_nobody_can_enroll(
    nordvik, goteborg, malmo, terms, greta, alice, uma, lars
):
    services.invite_locations(terms, by=None)

    told = OutgoingEmail.objects.filter(name="nobody_can_enroll")
    assert {email.to_user for email in told} == {greta, alice}
    email = mail_to(greta)
    assert email.subject == "2 locations have no Incentives admin"
    assert button(email) == (
        "Assign someone",
        "https://portal.example/c/5012001/people/gaps/",
    )
    for said in (flat(email.body_text), words(email)):
        assert "Göteborg (PartnerID 6120102)" in said
        assert "Malmö (PartnerID 6120103)" in said
        assert "Global admin or Account admin of Nordvik IT AB" in said


def test_one_location_without_admin_is_one_location(goteborg, terms, greta):
    services.invite_locations(terms, by=None)
    assert mail_to(greta).subject == "1 location has no Incentives admin"


def test_very_many_locations_do_not_make_a_very_long_mail(nordvik, terms, greta):
    locations = LocationFactory.create_batch(51, partner_account=nordvik)
    emails.nobody_can_enroll(
        nordvik, locations=locations, terms=terms, at=timezone.now()
    )

    text = mail_to(greta).body_text
    assert text.count("PartnerID") == 50
    assert "The page below lists all of them." in text


# --- Submitted, complete, returned -------------------------------------------------------


def test_the_receipt_says_what_was_submitted(
    goteborg, bank_profile, tax_profile, ida, malmo
):
    enrollment = EnrollmentFactory(
        location=goteborg,
        submitted=True,
        submitted_by=ida,
        payout__bank_profile=bank_profile,
        payout__tax_profile=tax_profile,
        payout__currency="SEK",
    )
    emails.enrollment_submitted(enrollment)

    email = mail_to(ida)
    program = enrollment.terms.program.name
    assert email.subject == f"Submitted: {program}, Göteborg"
    assert button(email) == (
        "View",
        f"https://portal.example/c/5012001{enrollment.get_absolute_url()}",
    )
    for said in (flat(email.body_text), words(email)):
        assert f"Reference: {enrollment.reference}" in said
        assert "Location: Göteborg (PartnerID 6120102), Nordvik IT AB" in said
        assert "Rebate: bank transfer, Nordvik SEK main (••0003), SEK" in said
        assert "(••0669)" in said
        assert "Ida Lund submitted the enrollment of Göteborg" in said
    assert "Now it is the program owner's turn." in words(email)


def test_a_credit_note_has_no_bank_in_its_receipt(goteborg, tax_profile, ida):
    enrollment = EnrollmentFactory(
        location=goteborg,
        submitted=True,
        submitted_by=ida,
        payout__method="credit_note",
        payout__tax_profile=tax_profile,
    )
    emails.enrollment_submitted(enrollment)
    assert "Rebate: credit note\n" in mail_to(ida).body_text


def test_the_completed_enrollment_says_from_when_it_earns(goteborg, ida):
    enrollment = EnrollmentFactory(
        location=goteborg, complete=True, earns_from=datetime.date(2026, 11, 1)
    )
    emails.enrollment_completed(enrollment)

    email = mail_to(ida)
    program = enrollment.terms.program.name
    assert email.subject == f"Göteborg is enrolled in {program}"
    for said in (flat(email.body_text), words(email)):
        assert "earns from 1 November 2026" in said
        assert "The enrollment then continues by itself if" in said
    assert "Nothing to do" in words(email)


def test_a_return_is_told_with_its_whole_reason(goteborg, bank_profile, ida):
    enrollment = EnrollmentFactory(
        location=goteborg, submitted=True, submitted_by=ida, status="action_required"
    )
    version = returned_version(bank_profile, number=2)
    emails.enrollment_needs_attention(
        enrollment, gaps=[GAPS["bank_returned"]], version=version
    )

    email = mail_to(ida)
    assert email.subject == "Action needed: bank profile, Göteborg"
    assert button(email) == (
        "Fix it",
        "https://portal.example/c/5012001"
        + reverse("enrollment:profiles", kwargs={"pk": enrollment.pk}),
    )
    change = reverse("profiles:change_bank", kwargs={"pk": bank_profile.pk})
    field = f"https://portal.example/c/5012001{change}#id_account_holder"
    assert field in links(email)
    assert field in email.body_text
    for said in (flat(email.body_text), words(email)):
        assert "could not approve the bank profile “Nordvik SEK main” (••0003)" in said
        assert "Fix it at the field: Account holder" in said
        assert "Problem: The name does not match the legal entity." in said
        assert "Do this: Use the exact registered name, as the bank has it." in said
        # Another company's name would mislead.
        assert "Example:" not in said
        assert (
            "The reviewer writes: Write Nordvik IT AB, as the register has it." in said
        )
        assert "Only this has to be fixed" in said
        assert "was returned to you" not in said


def test_everything_that_is_wrong_is_told_at_once(goteborg, bank_profile, ida):
    enrollment = EnrollmentFactory(location=goteborg, submitted=True)
    emails.enrollment_needs_attention(
        enrollment,
        gaps=[GAPS["bank_returned"], GAPS["tax_expired"]],
        version=returned_version(bank_profile, number=2),
    )
    said = flat(mail_to(ida).body_text)
    assert "The name does not match the legal entity." in said
    assert "The tax profile has expired." in said
    assert "Only this has to be fixed" not in said


@shared
def paid_alike(nordvik, goteborg, malmo, bank_profile, program, terms):
    """Two complete enrollments of Göteborg and Malmö with the same bank profile."""
    return [
        EnrollmentFactory(
            location=location,
            terms=terms,
            complete=True,
            payout__bank_profile=bank_profile,
            payout__tax_profile=TaxProfileFactory(location=location),
            payout__currency="SEK",
        )
        for location in (malmo, goteborg)
    ]


def test_a_return_that_holds_up_several_enrollments_is_told_once(
    paid_alike, nordvik, malmo, bank_profile, ida, uma, oscar, client_of
):
    # R41
    RoleAssignmentFactory(
        user=ida, role=Role.INCENTIVES_ADMIN, partner_account=nordvik, location=malmo
    )
    RoleAssignmentFactory(
        user=uma, role=Role.INCENTIVES_ADMIN, partner_account=nordvik, location=malmo
    )
    return_version(
        bank_profile.versions.get(),
        returned=[
            {"field": "account_holder", "code": "BANK_NAME_MISMATCH", "note": ""}
        ],
        by=oscar,
    )

    email = mail_to(ida, "needs_attention")
    assert email.subject == "Action needed: bank profile “Nordvik SEK main”"
    assert button(email) == (
        "Fix it",
        f"https://portal.example/c/5012001{bank_profile.get_absolute_url()}",
    )
    assert client_of(ida).get(email.about_url, follow=True).status_code == 200
    program = paid_alike[0].terms.program.name
    for said in (flat(email.body_text), words(email)):
        assert "the bank profile “Nordvik SEK main” (••0003). 2 enrollments" in said
        assert "2 enrollments that use it are waiting for you:" in said
        goteborg = said.index(f"{program}, Göteborg (PartnerID 6120102)")
        assert goteborg < said.index(f"{program}, Malmö (PartnerID 6120103)")
        assert said.count("Problem: The name does not match the legal entity.") == 1
        assert "Only this has to be fixed" in said
        assert "was returned to you" not in said
        assert "Incentives admin for Göteborg and Malmö." in said
    # Who has one of them reads of that one, as ever.
    one = mail_to(uma, "needs_attention")
    assert one.subject == "Action needed: bank profile, Malmö"
    assert "Göteborg" not in one.body_text


def test_what_each_of_several_lacks_besides_is_told_beside_it(
    paid_alike, nordvik, malmo, bank_profile, ida
):
    RoleAssignmentFactory(
        user=ida, role=Role.INCENTIVES_ADMIN, partner_account=nordvik, location=malmo
    )
    at_malmo, at_goteborg = paid_alike
    emails.profile_needs_attention(
        returned_version(bank_profile, number=2),
        paid_alike,
        {
            at_malmo.pk: [GAPS["bank_returned"], GAPS["tax_expired"]],
            at_goteborg.pk: [GAPS["bank_returned"]],
        },
    )
    for said in (flat(mail_to(ida).body_text), words(mail_to(ida))):
        assert "(PartnerID 6120103): The tax profile has expired." in said
        assert said.count("The tax profile has expired.") == 1
        assert "Only this has to be fixed" not in said


def test_an_expiry_is_told_once_for_all_enrollments_of_a_location(
    goteborg, malmo, bank_profile, ida
):
    # R54
    tax = TaxProfileFactory(location=goteborg, name="Sverige")
    for terms in (ProgramTermsFactory(), ProgramTermsFactory()):
        EnrollmentFactory(
            location=goteborg,
            terms=terms,
            complete=True,
            payout__bank_profile=bank_profile,
            payout__tax_profile=tax,
            payout__currency="SEK",
        )
    as_if_sent(
        tax.versions.all(),
        expires_on=timezone.localdate() - datetime.timedelta(days=2),
    )

    assert services.note_expired_tax_profiles(at=timezone.now()) == 2

    email = mail_to(ida, "needs_attention")
    assert email.subject == "Action needed: tax profile “Sverige”"
    for said in (flat(email.body_text), words(email)):
        assert "2 enrollments that use the tax profile “Sverige” (••0669)" in said
        assert "(PartnerID 6120102): The tax profile has expired." in said


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("bank_archived", "bank profile"),
        ("tax_expired", "tax profile"),
        ("currency_refused", "currency"),
    ],
)
def test_the_subject_names_what_needs_attention(goteborg, ida, code, what):
    enrollment = EnrollmentFactory(location=goteborg, complete=True)
    emails.enrollment_needs_attention(enrollment, gaps=[GAPS[code]], version=None)
    email = mail_to(ida)
    assert email.subject == f"Action needed: {what}, Göteborg"
    assert str(GAPS[code].sentence) in flat(email.body_text)
    assert str(GAPS[code].sentence) in words(email)


def test_the_example_of_other_reasons_is_kept(nordvik, maria):
    profile = BankProfileFactory(partner_account=nordvik, version=False)
    reason = {"field": "street", "code": "ADDRESS_PO_BOX", "note": ""}
    emails.profile_decided(
        BankVersionFactory(
            profile=profile, was_returned=True, submitted_by=maria, returned=[reason]
        )
    )
    assert "Example: Exempelgatan 1" in flat(mail_to(maria).body_text)


def test_a_decision_on_an_unused_profile_goes_to_who_sent_it(
    nordvik, malmo, ida_at_malmo, maria
):
    ida = ida_at_malmo
    bank = BankProfileFactory(partner_account=nordvik, created_by=maria)
    emails.profile_decided(bank.versions.get())
    tax = TaxProfileFactory(location=malmo, version=False)
    emails.profile_decided(TaxVersionFactory(profile=tax, submitted_by=ida))

    approved = mail_to(maria)
    assert approved.subject == "Your bank profile ••0003 is approved"
    assert (
        button(approved)[1]
        == f"https://portal.example/c/5012001{bank.get_absolute_url()}"
    )
    assert mail_to(ida).subject == "Your tax profile ••0669 is approved"
    assert "The enrollments of Malmö can use it now." in flat(mail_to(ida).body_text)


def test_a_decision_goes_to_colleagues_where_who_sent_it_has_no_role_any_more(
    nordvik, ida, maria
):
    bank = BankProfileFactory(partner_account=nordvik, created_by=maria)
    maria.role_assignments.all().delete()

    emails.profile_decided(bank.versions.get())

    assert f"because {maria.full_name}, who sent" in flat(mail_to(ida).body_text)
    assert not OutgoingEmail.objects.addressed_to(maria).exists()


def test_a_profile_without_a_number_is_called_by_its_name(nordvik, maria):
    profile = BankProfileFactory(
        partner_account=nordvik, name="EUR & USD", created_by=maria, version__last4=""
    )
    emails.profile_decided(profile.versions.get())
    assert mail_to(maria).subject == "Your bank profile EUR & USD is approved"
    assert "“EUR & USD”." in mail_to(maria).body_text


def test_a_returned_unused_profile_says_why(nordvik, maria):
    profile = BankProfileFactory(partner_account=nordvik, version=False)
    emails.profile_decided(returned_version(profile, submitted_by=maria))
    email = mail_to(maria)
    assert email.subject == "Action needed: your bank profile ••0003"
    assert "Do this: Use the exact registered name" in flat(email.body_text)
    assert button(email)[0] == "Fix it"


def test_the_same_step_is_told_once(goteborg, ida):
    enrollment = EnrollmentFactory(location=goteborg, complete=True)
    emails.enrollment_completed(enrollment)
    emails.enrollment_completed(enrollment)
    assert OutgoingEmail.objects.count() == 1


# --- What holds for every mail ------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_mail_has_a_subject_a_text_and_html(name):
    for part in ("subject.txt", "body.txt", "body.html"):
        assert get_template(f"emails/{name}.{part}")


def test_every_kind_of_mail_is_looked_at_here(one_of_each):
    assert {email.name for email in one_of_each} == set(NAMES)


def test_every_mail_says_who_really_sends_it_and_why_it_came(one_of_each, place):
    for email in one_of_each:
        for said in (flat(email.body_text), words(email)):
            assert "Sent by Specimen Program Office, 1 Example Street, Demo Town" in (
                said
            )
            assert "Help: support@partners.example" in said
            assert "You get this because" in said
            assert f"Hello {email.to_user.get_short_name()}," in said
        # Its edge has a color in the dark, too.
        (tone,) = re.findall(r'class="edge-(\w+)"', email.body_html)
        assert f".edge-{tone} {{" in email.body_html


def test_every_mail_leads_to_the_other_language(one_of_each):
    # experience.md §6.3
    said = re.compile(r"På svenska: \S+/account/language/\?to=sv$", re.MULTILINE)
    for email in one_of_each:
        assert said.search(email.body_text), email.name
        assert re.search(r'<a href="[^"]+\?to=sv" lang="sv"', email.body_html)


@pytest.fixture
def swedish_readers(ida, greta):
    for person in (ida, greta):
        person.language = "sv"
        person.save()


def test_who_reads_swedish_reads_every_mail_in_it(swedish_readers, one_of_each):
    # R70
    english = re.compile(
        r"\b(the|you|your|is|are|and|was|of|with|by|location|enrollment|day)\b"
    )
    # A program's name, and what people wrote themselves.
    own = re.compile(
        r"Cloud Solution Provider – Direct Bill|Microsoft Partner Center|"
        r"Specimen Program Office, 1 Example Street, Demo Town|https?://\S+|"
        r"Write Nordvik IT AB, as the register has it\.|You know it best\.|"
        r"The bank is slow\.|We looked\.|Moved to Göteborg\.|Program \d+"
    )
    for email in one_of_each:
        assert '<html lang="sv"' in email.body_html
        assert f"Hej {email.to_user.get_short_name()}!" in email.body_text
        assert len(email.subject) <= 70, email.subject
        for said in (email.subject, flat(email.body_text), words(email)):
            left = own.sub("", said)
            assert english.findall(left) == [], (email.name, left)


def test_every_link_leads_to_this_portal(one_of_each):
    # T9
    for email in one_of_each:
        assert links(email)
        for link in links(email):
            assert link.startswith("https://portal.example/"), link
            assert resolve(without_company(urlsplit(link).path))


def test_a_poisoned_request_does_not_reach_the_links(
    client_of, accepted, default_bank, tax_profile, ida
):
    # T9
    answer = client_of(ida).post(
        reverse("enrollment:submit", kwargs={"pk": accepted.pk}),
        headers={
            "host": "testserver",
            "x-forwarded-host": "evil.example",
            "forwarded": "host=evil.example",
            "x-forwarded-proto": "http",
        },
    )
    assert answer.status_code == 302
    assert links(mail_to(ida)) == {
        f"https://portal.example/c/5012001{accepted.get_absolute_url()}",
        "https://portal.example/account/language/?to=sv",
    }


def test_no_mail_holds_more_of_a_number_than_its_end(one_of_each):
    # R59, T14
    secrets = [
        IBAN,
        IBAN[-10:],
        TAX_DETAILS["org_number"],
        TAX_DETAILS["org_number"][2:],
    ]
    for email in one_of_each:
        everything = f"{email.subject}\n{email.body_text}\n{email.body_html}"
        bare = re.sub(r"[\s-]", "", everything)
        for secret in secrets:
            assert secret not in bare


def test_numbers_that_people_typed_into_names_and_notes_are_cut(nordvik, maria):
    note = "SE35 5000 0000 0549 1000 0003 of 2026-11-20, org 559999-0669"
    # Past the services, which refuse both.
    with WATCH.letting_out():
        profile = BankProfileFactory(
            partner_account=nordvik, name=f"Main {IBAN}", version=False
        )
        version = BankVersionFactory(
            profile=profile,
            was_returned=True,
            submitted_by=maria,
            returned=[{"field": "iban", "code": "IBAN_CHECK_FAILED", "note": note}],
        )
    emails.profile_decided(version)
    email = mail_to(maria)
    for said in (flat(email.body_text), words(email)):
        assert "“Main ••0003”" in said
        assert "The reviewer writes: ••0003 of 2026-11-20, org ••0669" in said
        # The catalog's example is a whole number.
        assert "Example:" not in said
        assert "5000 0000" not in said


def test_names_are_as_they_are_in_text_and_escaped_in_html(
    nordvik, goteborg, program, ida, terms
):
    nordvik.name = "Smith & Sons <b>AB</b>"
    nordvik.save()
    goteborg.name = "Göteborg \"City\" & 'Hamn'"
    goteborg.save()
    program.name = "<script>alert(1)</script>"
    program.save()
    services.invite_locations(terms, by=None)

    email = mail_to(ida)
    text = flat(email.body_text)
    assert "Smith & Sons <b>AB</b> is eligible" in text
    assert "Göteborg \"City\" & 'Hamn' (PartnerID 6120102)" in text
    assert "&amp;" not in text
    assert "Smith &amp; Sons &lt;b&gt;AB&lt;/b&gt;" in email.body_html
    assert "<script>" not in email.body_html
    assert "&amp;amp;" not in email.body_html


def test_a_name_cannot_turn_or_add_lines_of_the_text(nordvik, goteborg, ida, terms):
    nordvik.name = "Nordvik\u202e\nGet Started: https://evil.example/\u2028x"
    nordvik.save()
    services.invite_locations(terms, by=None)
    email = mail_to(ida)
    assert "\u202e" not in email.body_text + email.body_html
    starts = [line.strip() for line in email.body_text.splitlines()]
    assert sum(line.startswith("Get Started:") for line in starts) == 1


def test_a_name_from_right_to_left_is_closed_off(nordvik, goteborg, ida, terms):
    nordvik.name = "شركة (شمال)"
    nordvik.save()
    services.invite_locations(terms, by=None)
    assert "\u2068شركة (شمال)\u2069 is eligible" in flat(mail_to(ida).body_text)


def test_somebody_without_a_name_is_greeted_too(goteborg, ida):
    ida.full_name = ""
    ida.save()
    emails.enrollment_completed(EnrollmentFactory(location=goteborg, complete=True))
    assert mail_to(ida).body_text.startswith("Hello,\n")


def test_plain_text_is_narrow_and_without_gaps(one_of_each):
    for email in one_of_each:
        lines = email.body_text.splitlines()
        assert "\n\n\n" not in email.body_text
        assert [line for line in lines if line != line.rstrip()] == []
        assert [
            line for line in lines if len(line) > 76 and "https://" not in line
        ] == []
        assert "{" not in email.body_text


def test_subjects_are_short(one_of_each):
    for email in one_of_each:
        assert len(email.subject) <= 70, email.subject


def test_a_mail_follows_nobody_and_fetches_nothing(one_of_each):
    for email in one_of_each:
        assert "<img" not in email.body_html
        assert "<script" not in email.body_html
        assert " src=" not in email.body_html
        assert "url(" not in email.body_html
