"""Before a decision: claims, questions to the partner, escalation, and the promise."""

import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from accounts.companies import in_company
from accounts.models import AuditEvent, OutgoingEmail
from accounts.tests.cases import tried
from accounts.tests.factories import UserFactory
from accounts.tests.shared_rows import shared
from enrollment import queues
from enrollment.models import Enrollment
from enrollment.tests.factories import EnrollmentFactory
from profiles import ops, services
from profiles.models import BankProfileVersion, ReviewQuestion
from profiles.services import VALIDATE
from profiles.tests.factories import (
    BANK_DETAILS,
    BankProfileFactory,
    BankVersionFactory,
    ReviewQuestionFactory,
    TaxProfileFactory,
    as_if_sent,
)

HOUR = timedelta(hours=1)
QUEUE = reverse("ops:validation")
IBAN = "SE4550000000058398257466"
DETAILS = BANK_DETAILS | {"iban": IBAN}
TEXT = "Which of your branches is this account for?"
EVIDENCE = "Called Maria on the number we have had since 2024; she wants it."
ANSWER = "It is for the branch in Göteborg."


def words(response) -> str:
    text = re.sub(r"</?bdi>", "", response.content.decode().partition("<main")[2])
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


@shared
def aino(db):
    aino = UserFactory(full_name="Aino Approver", operator=True)
    aino.groups.set(Group.objects.filter(name="Approver"))
    return aino


@shared
def enrollment(goteborg, terms, maria, ida):
    """Sent by Ida; the company is not paid at the bank account yet: it takes two."""
    company = goteborg.partner_account
    BankProfileFactory(partner_account=company, created_by=maria)
    return EnrollmentFactory(
        location=goteborg,
        terms=terms,
        submitted=True,
        submitted_by=ida,
        payout__bank_profile=BankProfileFactory(
            partner_account=company,
            name="Nordvik SEK main",
            created_by=maria,
            version__pending=True,
            version__details=DETAILS,
        ),
        payout__tax_profile=TaxProfileFactory(location=goteborg, created_by=maria),
        payout__currency="SEK",
    )


@shared
def version(enrollment):
    return BankProfileVersion.objects.pending().get()


def address(name: str, row) -> str:
    return reverse(f"ops:{name}", kwargs={"pk": row.pk})


def rows(client, **filters) -> list[queues.Waiting]:
    return client.get(QUEUE, filters).context["rows"]


# --- Claims -----------------------------------------------------------------------------


def test_a_claim_is_seen_kept_apart_taken_over_and_released(
    client_of, oscar, lucia, enrollment, version
):
    web, other = client_of(oscar), client_of(lucia)

    web.post(address("claim", enrollment))

    (row,) = rows(web)
    assert (row.claimed_by, row.is_own_claim) == (["Oscar Sand"], True)
    assert "Claimed by Oscar Sand" in words(
        other.get(address("enrollment", enrollment))
    )
    assert "Claimed by you" in words(web.get(address("bank_version", version)))
    found = {
        claim: (len(rows(web, claim=claim)), len(rows(other, claim=claim)))
        for claim in ("mine", "free", "others")
    }
    assert found == {"mine": (1, 0), "free": (0, 0), "others": (0, 1)}
    now = timezone.now()
    assert queues.next_waiting(now, by=lucia) is None
    assert queues.next_waiting(now, by=oscar).key == enrollment.pk

    # Somebody else says so before they go on in their place.
    refused = other.post(address("claim_bank", version), follow=True)
    assert "Oscar Sand is at this." in words(refused)
    nothing = other.post(address("release_bank", version), follow=True)
    assert "There is nothing to do." in words(nothing)
    version.refresh_from_db()
    assert version.claimed_by == oscar
    other.post(address("claim_bank", version), {"take_over": "on"})
    version.refresh_from_db()
    assert version.claimed_by == lucia
    told = AuditEvent.objects.filter(object_id=str(version.pk), actor=lucia).get()
    assert (told.action, told.before) == ("review_claimed", {"by": oscar.pk})
    # What operators do among themselves is no business of the company's.
    assert told.partner_account is None

    other.post(address("release", enrollment))
    version.refresh_from_db()
    assert version.claimed_by is None


def test_a_claim_ends_with_time_and_with_any_decision(oscar, lucia, aino, version):
    now = timezone.now()
    services.claim_versions([version], by=oscar, at=now - 2 * HOUR)
    # Forgotten: nobody has to ask.
    services.claim_versions([version], by=lucia, at=now)
    version.refresh_from_db()
    assert version.claimed_by == lucia

    # It is a word and no lock: whoever decides, decides; the second finds it free.
    signed = services.approve_version(version, by=oscar)
    assert signed.seconded_by == oscar
    assert (signed.claimed_by, signed.claimed_at) == (None, None)
    services.claim_versions([version], by=aino)
    done = services.approve_version(version, by=aino)
    assert done.is_approved
    assert done.claimed_by is None


# --- Questions to the partner -----------------------------------------------------------


def test_a_question_goes_to_the_partner_and_its_answer_back_to_the_queue(
    client_of, oscar, lucia, ida, uma, enrollment, version
):
    Enrollment.objects.update(status_since=timezone.now() - 50 * HOUR)
    web, partner = client_of(oscar), client_of(ida)
    assert rows(web)[0].is_overdue

    sent = {"question-field": "account_holder", "question-text": TEXT}
    web.post(address("ask_bank", version), sent)

    # Whoever may answer is told, by mail and where it is asked.
    mail = OutgoingEmail.objects.get(name="question_asked")
    assert mail.to_user == ida
    page = reverse("profiles:bank", kwargs={"pk": version.profile_id})
    assert f"{page}#question" in mail.body_text
    assert TEXT in " ".join(mail.body_text.split())
    shown = partner.get(page)
    assert 'id="question"' in shown.content.decode()
    assert f"Account holder, exactly as the bank has it: {TEXT}" in words(shown)
    # No two words of the page disagree about whose turn it is.
    assert "Open question" in words(shown)
    assert "Waiting for validation" not in words(shown)
    assert "Pending validation" not in words(shown)
    own = words(partner.get(enrollment.get_absolute_url()))
    assert "Your turn · waits for your answer" in own
    assert "Answer the question about Nordvik SEK main" in own
    assert "waits for your answer" in words(partner.get(reverse("home")))
    # The veil of R42 says nothing of it.
    assert "your answer" not in words(client_of(uma).get(enrollment.get_absolute_url()))
    # Whose turn it is, says the queue, and nobody is sent there. It stays as late as it
    # was: a question does not hide that.
    (row,) = rows(web, turn="asked")
    assert (row.is_asked, row.is_overdue) == (True, True)
    assert row.age == "50 hours"
    assert rows(web, turn="ours") == []
    assert len(rows(web, overdue="on")) == 1
    assert queues.next_waiting(timezone.now(), by=lucia) is None
    assert Enrollment.objects.overdue(timezone.now()).exists()
    assert not BankProfileVersion.objects.overdue(timezone.now()).exists()

    # Three hours later.
    past = timezone.now() - 3 * HOUR
    ReviewQuestion.objects.update(asked_at=past)
    key = ReviewQuestion.objects.get().pk
    assert f'name="question" value="{key}"' in shown.content.decode()
    typed = {"answer": ANSWER, "question": key}
    # At the address of one company of several.
    there = in_company(version.profile.account, f"{page}answer/")
    answered = partner.post(there, typed, follow=True)

    assert ANSWER in words(answered)
    mail = OutgoingEmail.objects.get(name="question_answered")
    assert mail.to_user == oscar
    text = " ".join(mail.body_text.split())
    assert f"Answer, in the partner's own words: {ANSWER}" in text
    # Operators are led to their own pages.
    url = settings.PUBLIC_BASE_URL + address("bank_version", version)
    assert f"{url}#questions" in mail.body_text
    review = words(web.get(address("bank_version", version)))
    assert f"Version 1: the partner&#x27;s answer: {ANSWER}" in review
    (row,) = rows(web, turn="answered")
    assert row.is_answered
    # The promise runs on from where it stood.
    version.refresh_from_db()
    stood = version.due_at - version.submitted_at - 48 * HOUR
    assert abs(stood - 3 * HOUR) < timedelta(minutes=1)
    assert queues.next_waiting(timezone.now(), by=lucia).key == enrollment.pk
    told = AuditEvent.objects.filter(action__startswith="question_")
    assert {event.partner_account for event in told} == {version.profile.account}


def test_where_it_is_the_partners_turn_a_row_stands_last_and_next_goes_on_behind(
    client_of, oscar, enrollment, version, goteborg, maria
):
    # Two that wait for the program owner are younger than what the partner was asked.
    younger = [
        BankProfileFactory(
            partner_account=goteborg.partner_account,
            name=name,
            created_by=maria,
            version__pending=True,
            version__submitted_at=timezone.now() - hours * HOUR,
        ).versions.get()
        for name, hours in (("Second", 2), ("Third", 1))
    ]
    Enrollment.objects.update(status_since=timezone.now() - 3 * HOUR)
    web = client_of(oscar)
    before = [row.key for row in rows(web)]
    assert before == [enrollment.pk, *(one.pk for one in younger)]

    services.ask_partner(version, field="account_holder", text=TEXT, by=oscar)

    assert [row.key for row in rows(web)] == [*before[1:], enrollment.pk]
    # Nothing is decided: the way on skips what one has seen, and ends where it began.
    way = [web.get(reverse("ops:next")).url]
    for one in younger:
        way.append(web.get(reverse("ops:next"), {"after": one.pk}).url)
    pages = [address("bank_version", one) for one in younger]
    assert way == [pages[0], pages[1], pages[0]]
    # A version of an enrollment has its place; what is not there begins at the top.
    for after in (version.pk, enrollment.pk, "nonsense"):
        assert web.get(reverse("ops:next"), {"after": after}).url == pages[0]
    version.refresh_from_db()
    assert version.is_asked

    # Approved, and on to the next, until nothing is left.
    came_to = []
    for page, one in zip(pages, younger, strict=True):
        sent = {"seen": services.signature_of(one), "and_next": "on"}
        done = web.post(f"{page}approve/", sent, follow=True)
        came_to.append(done.request["PATH_INFO"])
    assert came_to == [pages[1], QUEUE]
    assert "Nothing else is waiting for you." in words(done)
    assert BankProfileVersion.objects.filter(decided_by=oscar).count() == 2


def test_a_decision_ends_the_wait_for_an_answer(oscar, aino, ida, version):
    question = services.ask_partner(version, text=TEXT, by=oscar)
    enrollment = Enrollment.objects.get()
    assert enrollment.is_asked

    services.approve_version(version, by=oscar)
    services.approve_version(version, by=aino)

    enrollment.refresh_from_db()
    assert not enrollment.is_asked
    with pytest.raises(ValidationError) as refused:
        services.answer_question(question, answer=ANSWER, by=ida)
    assert refused.value.code == "answered"


def test_a_question_that_helps_nobody_is_refused_and_kept(client_of, oscar, version):
    for values, why in (
        ({"question-text": " "}, "Write what you want to know."),
        ({"question-text": "Why?"}, "Write at least 10 characters."),
        ({"question-text": f"Is {IBAN} yours?"}, "Leave out the number"),
        # Nor any other number.
        (
            {"question-text": "Is DE89 3704 0044 0532 0130 00 it?"},
            "Leave out the number",
        ),
        ({"question-text": TEXT, "question-field": "shoe"}, "not one of the"),
    ):
        with tried(values, why):
            response = client_of(oscar).post(address("ask_bank", version), values)

            assert response.status_code == 422
            assert why in words(response)
            assert values["question-text"].strip() in words(response)
            assert not ReviewQuestion.objects.exists()


def test_who_may_not_ask_or_answer_is_refused(
    oscar, lucia, aino, ida, uma, mina, version
):
    def code(service, *args, **options) -> str:
        with pytest.raises(ValidationError) as refused:
            service(*args, **options)
        return refused.value.code

    ainos = BankVersionFactory(pending=True, submitted_by=aino)
    advised = services.escalate_version(ainos, text=TEXT, by=lucia)
    assert code(services.answer_question, advised, answer=ANSWER, by=aino) == (
        "four_eyes"
    )
    own = BankVersionFactory(pending=True, submitted_by=oscar)
    assert code(services.ask_partner, own, text=TEXT, by=oscar) == "four_eyes"
    assert code(services.claim_versions, [own], by=oscar) == "four_eyes"
    assert code(services.claim_versions, [version], by=mina) == "not_deciding"
    assert code(services.escalate_version, version, text=TEXT, by=ida) == "not_operator"
    question = services.ask_partner(version, text=TEXT, by=oscar)
    assert code(services.ask_partner, version, text=TEXT, by=lucia) == "asked"
    assert code(services.answer_question, question, answer=ANSWER, by=uma) == (
        "role_ended"
    )
    services.answer_question(question, answer=ANSWER, by=ida)
    assert code(services.answer_question, question, answer=ANSWER, by=ida) == "answered"
    escalated = services.escalate_version(version, text=TEXT, by=oscar)
    assert code(services.answer_question, escalated, answer=ANSWER, by=oscar) == (
        "four_eyes"
    )
    assert not oscar.has_perm("profiles.approve_bank_accounts")
    another = UserFactory(operator=True)
    another.groups.set(Group.objects.filter(name="Validator"))
    assert code(services.answer_question, escalated, answer=ANSWER, by=another) == (
        "not_deciding"
    )
    returned = [{"field": "iban", "code": "IBAN_CHECK_FAILED", "note": ""}]
    services.return_version(version, returned=returned, by=lucia)
    assert code(services.ask_partner, version, text=TEXT, by=lucia) == "decided"


def test_what_was_asked_in_time_does_not_become_overdue_by_the_partners_time(
    client_of, oscar, ida, enrollment, version
):
    """A question at the tenth hour; the promise of an enrollment is its own."""
    now = timezone.now()
    Enrollment.objects.update(status_since=now - 60 * HOUR)
    as_if_sent(
        BankProfileVersion.objects.filter(pk=version.pk), submitted_at=now - 99 * HOUR
    )
    version.refresh_from_db()
    asked_at = now - 50 * HOUR
    question = services.ask_partner(version, text=TEXT, by=oscar, at=asked_at)

    enrollment.refresh_from_db()
    assert (enrollment.asked_at, enrollment.is_overdue(now)) == (asked_at, False)
    assert not Enrollment.objects.overdue(now).exists()
    assert rows(client_of(oscar), overdue="on") == []
    services.answer_question(question, answer=ANSWER, by=ida, at=now - 2 * HOUR)
    # 48 of its 60 hours were the partner's, however long the version waited before.
    enrollment.refresh_from_db()
    assert enrollment.due_at == now - 60 * HOUR + (48 + 48) * HOUR
    assert not enrollment.is_overdue(now)


def test_a_question_about_a_change_waits_while_the_change_is_stopped(
    client_of, oscar, lucia, ida, greta, goteborg, terms, maria
):
    company = goteborg.partner_account
    profile = BankProfileFactory(partner_account=company, created_by=maria)
    enrollment = EnrollmentFactory(
        location=goteborg,
        terms=terms,
        submitted=True,
        submitted_by=ida,
        payout__bank_profile=profile,
        payout__tax_profile=TaxProfileFactory(location=goteborg, created_by=maria),
        payout__currency="SEK",
    )
    services.revise_bank_profile(profile, country="SE", details=DETAILS, by=ida)
    change = profile.versions.get(number=2)
    services.ask_partner(change, text=TEXT, by=oscar)
    page = client_of(ida).get(profile.get_absolute_url())
    assert "Send the answer" in words(page)

    services.stop_change(change, by=greta)

    enrollment.refresh_from_db()
    assert enrollment.asked_at is None
    assert not ReviewQuestion.objects.open().exists()
    page = client_of(ida).get(profile.get_absolute_url())
    assert "Send the answer" not in words(page)
    change.refresh_from_db()
    services.check_stopped_change(change, evidence=EVIDENCE, by=oscar)
    services.release_change(change, by=lucia)
    enrollment.refresh_from_db()
    change.refresh_from_db()
    assert change.is_asked
    assert enrollment.is_asked
    question = ReviewQuestion.objects.open().get()
    services.answer_question(question, answer=ANSWER, by=ida)
    enrollment.refresh_from_db()
    assert enrollment.asked_at is None


def test_an_answer_goes_to_the_question_that_was_read(
    client_of, oscar, lucia, ida, version
):
    first = services.ask_partner(version, text=TEXT, by=oscar)
    url = reverse("profiles:answer_bank", kwargs={"pk": version.profile_id})
    services.answer_question(first, answer=ANSWER, by=ida)
    version.refresh_from_db()
    second = services.ask_partner(version, text="And whose is it?", by=lucia)

    for key in (first.pk, ""):
        response = client_of(ida).post(url, {"answer": "Not to that.", "question": key})
        assert response.status_code == 422
        assert "The question that you read was answered" in words(response)
        assert "Not to that." in words(response)
    second.refresh_from_db()
    assert not second.is_answered
    client_of(ida).post(url, {"answer": "It is Nordvik's.", "question": second.pk})
    second.refresh_from_db()
    assert second.is_answered


@pytest.mark.parametrize(
    "link", ["http://evil.example", "HTTPS://evil.example", "www.evil.example", "a://b"]
)
def test_no_link_is_asked_answered_or_returned(oscar, ida, version, link):
    def refused(service, *args, **options) -> str:
        with pytest.raises(ValidationError) as found:
            service(*args, **options)
        return str(found.value)

    text = f"Please look at {link} for this."
    question = services.ask_partner(version, text=TEXT, by=oscar)
    other = BankVersionFactory(pending=True)
    note = [{"field": "iban", "code": "OTHER", "note": text}]
    for told in (
        refused(services.ask_partner, other, text=text, by=oscar),
        refused(services.escalate_version, other, text=text, by=oscar),
        refused(services.answer_question, question, answer=text, by=ida),
        refused(services.return_version, other, returned=note, by=oscar),
    ):
        assert "Leave out the link" in told


# --- Escalation ---------------------------------------------------------------------------


def test_what_is_escalated_is_answered_by_an_approver(
    client_of, oscar, aino, ida, enrollment, version
):
    web, approver = client_of(oscar), client_of(aino)

    web.post(address("escalate_bank", version), {"escalation-text": TEXT})

    mails = OutgoingEmail.objects.filter(name="review_escalated")
    assert aino in {mail.to_user for mail in mails}
    assert oscar not in {mail.to_user for mail in mails}
    (row,) = rows(web, turn="escalated")
    assert row.is_escalated
    # The promise runs on, the partner knows nothing of it.
    assert not row.is_asked
    assert queues.next_waiting(timezone.now(), by=oscar) is None
    page = reverse("profiles:bank", kwargs={"pk": version.profile_id})
    assert TEXT not in words(client_of(ida).get(page))
    escalations = reverse("ops:escalations")
    shown = words(web.get(escalations))
    assert "Operators in the group Approver answer this." in shown
    assert "The partner was promised an answer by" in shown
    question = ReviewQuestion.objects.get()
    url = reverse("ops:answer_escalation", kwargs={"pk": question.pk})

    refused = approver.post(url, {"answer": ""})
    assert refused.status_code == 422
    assert "Write your answer." in words(refused)
    approver.post(url, {"answer": "Known to us; approve it."})

    question.refresh_from_db()
    assert question.answered_by == aino
    assert OutgoingEmail.objects.get(name="question_answered").to_user == oscar
    assert "Known to us; approve it." in words(
        web.get(address("bank_version", version))
    )
    assert rows(web, turn="escalated") == []
    assert (
        "own words" not in OutgoingEmail.objects.get(name="question_answered").body_text
    )
    assert "Nothing is escalated." in words(approver.get(escalations))


def test_what_was_typed_is_shown_again_on_whichever_page_it_was(
    client_of, aino, monkeypatch
):
    monkeypatch.setattr(ops, "ROWS_PER_PAGE", 1)
    _first, second = ReviewQuestionFactory(), ReviewQuestionFactory()
    url = reverse("ops:answer_escalation", kwargs={"pk": second.pk})

    response = client_of(aino).post(url, {"answer": "Short."})

    assert response.status_code == 422
    assert "Short." in words(response)


# --- What to look at twice ------------------------------------------------------------------


def test_the_queue_keeps_what_to_look_at_twice(client_of, oscar, enrollment, version):
    web = client_of(oscar)
    assert oscar.has_perm(VALIDATE)
    assert rows(web, risk="elsewhere") == rows(web, risk="change") == []

    BankProfileFactory(version__details=DETAILS)  # at another company
    tax = TaxProfileFactory(version__pending=True)

    (row,) = rows(web, risk="elsewhere", part="bank")
    assert row.key == enrollment.pk
    assert row.risks == [queues.RISKS["elsewhere"]]
    found = rows(web, risk="elsewhere", part="tax")
    assert {row.key for row in found} == {enrollment.pk, tax.versions.get().pk}
    services.revise_bank_profile(
        BankProfileFactory(partner_account=version.profile.account),
        country="SE",
        details=DETAILS,
        by=enrollment.submitted_by,
    )
    (row,) = rows(web, risk="change")
    assert row.risks == [queues.RISKS["change"], queues.RISKS["elsewhere"]]
