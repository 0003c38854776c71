"""How many questions a page asks the database: few, and as many for many rows."""

from django.db import connection
from django.urls import reverse
from django.utils import timezone

from accounts.models import OutgoingEmail
from accounts.tests.factories import LocationFactory
from accounts.tests.shared_rows import shared
from enrollment.tests.factories import (
    EarningTypeFactory,
    EnrollmentFactory,
    InvitationFactory,
    ProgramTermsFactory,
)
from profiles.tests.factories import (
    BankProfileFactory,
    DefaultBankProfileFactory,
    TaxProfileFactory,
)

MOST = 15
FEW, MANY = 3, 12


def fill(nordvik, goteborg, ida, maria, *, count: int) -> None:
    """Put so many of everything that pages list into the company."""
    for number in range(count):
        InvitationFactory(enrollment=EnrollmentFactory(location=goteborg), user=ida)
        InvitationFactory(
            enrollment=EnrollmentFactory(location=goteborg),
            user=ida,
            opened_at=timezone.now(),
        )
        bank = BankProfileFactory(partner_account=nordvik, created_by=maria)
        tax = TaxProfileFactory(location=goteborg, created_by=maria)
        paid = {"payout__bank_profile": bank, "payout__tax_profile": tax}
        EnrollmentFactory(location=goteborg, submitted=True, **paid)
        EnrollmentFactory(location=goteborg, complete=True, **paid)
        EnrollmentFactory(
            location=goteborg, status="action_required", accepted=True, **paid
        )
        LocationFactory(partner_account=nordvik)
        OutgoingEmail.objects.create(
            dedupe_key=f"mail {goteborg.pk} {number} {OutgoingEmail.objects.count()}",
            name="invitation",
            to_user=ida,
            to_address=ida.email,
            language="en",
            subject="Hello",
            body_text="Hello",
            body_html="<p>Hello</p>",
            next_attempt_at=timezone.now(),
        )
    with connection.cursor() as cursor:
        # The server plans by what it last counted; in time it counts by itself.
        cursor.execute("ANALYZE")


@shared
def pages(invited, accepted_elsewhere):
    """The partner pages that are looked at most, by name."""
    editing = {"pk": accepted_elsewhere.pk}
    return {
        "Home": reverse("home"),
        "Overview by program": reverse("enrollment:overview"),
        "Overview by location": reverse("enrollment:overview") + "?view=location",
        "invited": invited.get_absolute_url(),
        "ready": accepted_elsewhere.get_absolute_url(),
        "bank": reverse("enrollment:choose_bank", kwargs=editing),
        "profiles": reverse("enrollment:profiles", kwargs=editing),
        "messages": reverse("enrollment:notifications"),
        "mails": reverse("enrollment:notifications") + "?tab=mail",
        "opened": reverse("enrollment:notifications") + "?tab=opened",
    }


@shared
def accepted_elsewhere(goteborg, ida, nordvik, maria):
    """Accepted, with a default bank and two ways to earn."""
    bank = BankProfileFactory(partner_account=nordvik, created_by=maria)
    DefaultBankProfileFactory(location=goteborg, bank_profile=bank)
    terms = ProgramTermsFactory()
    EarningTypeFactory(terms=terms, kind="co_op", share=20)
    return EnrollmentFactory(
        location=goteborg, terms=terms, accepted=True, accepted_by=ida
    )


def test_pages_ask_few_questions_and_no_more_for_many_rows(
    client_of,
    nordvik,
    goteborg,
    ida,
    greta,
    maria,
    pages,
    django_assert_max_num_queries,
):
    admin, client = client_of(greta), client_of(ida)
    looked_at = [(client, name, path) for name, path in pages.items()]
    looked_at.append((admin, "Home of a Global admin", pages["Home"]))
    asked = {}
    for count in (FEW, MANY - FEW):
        fill(nordvik, goteborg, ida, maria, count=count)
        for one, name, path in looked_at:
            one.get(path)
            with django_assert_max_num_queries(MOST, info=name) as questions:
                assert one.get(path).status_code == 200, name
            asked.setdefault(name, []).append(len(questions))

    assert all(few == many for few, many in asked.values()), asked


def test_submitted_and_complete_enrollments_ask_few_questions(
    client_of, nordvik, goteborg, ida, maria, django_assert_max_num_queries
):
    fill(nordvik, goteborg, ida, maria, count=FEW)
    client = client_of(ida)

    for one in goteborg.enrollments.all():
        with django_assert_max_num_queries(MOST, info=one.status):
            assert client.get(one.get_absolute_url()).status_code == 200


def test_submitting_asks_few_questions(
    client_of, accepted, default_bank, tax_profile, ida, django_assert_max_num_queries
):
    client = client_of(ida)
    path = reverse("enrollment:submit", kwargs={"pk": accepted.pk})

    with django_assert_max_num_queries(21):
        assert client.post(path).status_code == 302
