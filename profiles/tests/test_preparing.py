"""Details that somebody without the role fills in: for whom, until when, and no more."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from accounts import outbox
from accounts.link_tokens import PREPARED_PART, token_for
from accounts.models import AuditEvent, OutgoingEmail, RoleAssignment, User
from accounts.roles import Role
from accounts.tests.factories import RoleAssignmentFactory
from accounts.tests.shared_rows import shared
from profiles import bank_drafting, preparing
from profiles.models import (
    BankProfile,
    BankProfileDraft,
    BankProfileVersion,
    PreparedPart,
    TaxProfile,
    TaxProfileDraft,
)
from profiles.tests.factories import (
    BANK_DETAILS,
    TAX_DETAILS,
    PreparedPartFactory,
)

PASSWORD = "correct horse battery staple"
FIA = "fia@finance.example"


@shared
def asked(goteborg, ida):
    """Ida asked Fia, who has no account, for the bank details of Göteborg."""
    return preparing.ask_colleague(
        goteborg,
        section="bank",
        email=FIA,
        full_name="Fia Finance",
        language="en",
        note="You have the statement.",
        by=ida,
    )


def page_of(part) -> str:
    return reverse("profiles:part", kwargs={"pk": part.pk})


def link_of(part) -> str:
    token = token_for(part.pk, purpose=PREPARED_PART)
    return reverse("profiles:part_link", kwargs={"token": token})


def words(response) -> str:
    text = strip_tags(response.content.decode().replace("<", " <"))
    return " ".join(text.replace("\u2068", "").replace("\u2069", "").split())


def test_somebody_new_fills_in_one_section_and_an_admin_sends_it(
    client_of, asked, ida, goteborg, nordvik
):
    kept = OutgoingEmail.objects.get(name="part_asked")
    assert link_of(asked) not in kept.body_text + kept.body_html
    assert link_of(asked) in outbox._with_secret(kept).body_text
    # Scanners open links: nothing comes of it, and nothing is shown.
    web = Client()
    neutral = web.get(link_of(asked), follow=True)
    assert neutral.redirect_chain[0][0] == reverse("profiles:part_by_link")
    assert "Göteborg" not in words(neutral)
    assert "Nordvik" not in words(neutral)
    person = {"full_name": "Fia Finance", "password": PASSWORD}
    wrong = web.post(
        reverse("profiles:part_join"), person | {"email": "eve@evil.example"}
    )
    assert wrong.status_code == 422
    web.post(reverse("profiles:part_join"), person | {"email": FIA})
    fia = User.objects.get(email=FIA)
    assert not fia.memberships.exists()

    mine = client_of(fia)
    home = words(mine.get("/"))
    assert "Fill in: Bank details, Göteborg" in home
    page = words(mine.get(page_of(asked)))
    assert "You have the statement." in page
    assert "Ida Lund asks you for it" in page
    sent = {"bank_country": "SE", **BANK_DETAILS, "note": "Checked today."}
    assert mine.post(page_of(asked), sent | {"iban": "SE12"}).status_code == 422
    mine.post(page_of(asked), sent)
    # Handed in, nobody sees it but who may send it; nothing is a profile by it.
    assert mine.get(page_of(asked)).status_code == 404
    assert not BankProfile.objects.exists()
    home = mine.get("/")
    assert home.context["handed_in"] == [asked]
    for said in (
        "Bank details, Göteborg",
        "Nordvik IT AB · handed in",
        "asked for by Ida Lund",
        "Nothing else is asked of you.",
    ):
        assert said in words(home)
    assert "You belong to no company" not in words(home)
    with time_machine.travel(timezone.now() + preparing.WAITS, tick=False):
        assert "You belong to no company" in words(client_of(fia).get("/"))
    # With a company of their own they read it, too, beside what is said of that one.
    RoleAssignmentFactory(user=fia, role=Role.INCENTIVES_USER)
    home = client_of(fia).get("/")
    assert home.context["handed_in"] == [asked]
    assert "asked for by Ida Lund" in words(home)
    assert "Nothing needs you right now." in words(home)
    assert "Nothing else is asked of you." not in words(home)
    told = OutgoingEmail.objects.get(name="part_filled")
    assert (told.to_user, "Checked today." in told.body_text) == (ida, True)

    admin = client_of(ida)
    check = reverse("profiles:check_part", kwargs={"pk": asked.pk})
    shown = admin.get(check).content.decode()
    assert "Fia Finance" in shown
    assert BANK_DETAILS["iban"][-4:] in shown
    assert BANK_DETAILS["iban"] not in shown.replace(" ", "")
    answer = admin.post(check, {"name": "Nordvik main"})
    assert answer.url == reverse("profiles:check_bank")
    draft = BankProfileDraft.objects.get()
    assert (draft.created_by, draft.name) == (ida, "Nordvik main")
    assert dict(PreparedPart.objects.get().details) == {}
    # It goes the usual way: who sent it is the admin, and it waits for validation.
    bank_drafting.send_bank_draft(draft, by=ida)
    version = BankProfileVersion.objects.get()
    assert (version.submitted_by, version.status) == (ida, "pending")
    actions = AuditEvent.objects.filter(action__startswith="part_").order_by("pk")
    assert [one.action for one in actions] == ["part_asked", "part_filled", "part_used"]
    assert BANK_DETAILS["iban"] not in str([*actions.values()])


def test_tax_details_become_a_draft_with_the_numbers_filled_in(asked, ida, goteborg):
    part = preparing.begin_part(goteborg, section="tax", by=ida)
    preparing.fill_part(part, country="SE", details=TAX_DETAILS, by=ida)

    preparing.use_part(part, name="Nordvik SE", by=ida)

    draft = TaxProfileDraft.objects.get()
    assert draft.done == ["company"]
    assert draft.details["org_number"]
    assert not TaxProfile.objects.exists()


def test_the_link_opens_for_the_bound_address_alone_and_not_for_ever(
    client_of, asked, sam, uma, ida, time_machine
):
    for person in (sam, uma, ida):
        web = client_of(person)
        answer = web.get(link_of(asked), follow=True)
        assert "Göteborg" not in words(answer)
        assert web.get(page_of(asked)).status_code == 404
        with pytest.raises(ValidationError, match="somebody else"):
            preparing.fill_part(asked, country="SE", details=BANK_DETAILS, by=person)
    fia = User.objects.create_user(FIA, PASSWORD, full_name="Fia Finance")
    mine = client_of(fia)
    assert mine.get(link_of(asked), follow=True).redirect_chain[-1][0] == page_of(asked)

    PreparedPart.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert mine.get(page_of(asked)).status_code == 404
    over = words(mine.get(link_of(asked), follow=True))
    assert "This link is over" in over
    # Nothing is to be filled in or signed in to: one is led on.
    assert "Go to Home" in over
    assert "What you are asked for" not in over
    with pytest.raises(ValidationError, match="over"):
        preparing.fill_part(asked, country="SE", details=BANK_DETAILS, by=fia)
    # The control: in time it would have been taken.
    PreparedPart.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    preparing.fill_part(asked, country="SE", details=BANK_DETAILS, by=fia)


def test_a_newer_request_ends_the_older_and_an_admin_ends_any(
    client_of, asked, ida, goteborg
):
    again = preparing.ask_colleague(
        goteborg, section="bank", email=FIA, full_name="Fia", language="sv", by=ida
    )
    fia = User.objects.create_user(FIA, PASSWORD, full_name="Fia Finance")
    mine = client_of(fia)
    assert [mine.get(page_of(one)).status_code for one in (asked, again)] == [404, 200]

    client_of(ida).post(reverse("profiles:end_part", kwargs={"pk": again.pk}))

    assert mine.get(page_of(again)).status_code == 404


def test_whoever_lost_the_role_asks_nobody_and_goes_on_with_nothing(
    client_of, asked, ida, goteborg
):
    filled = PreparedPartFactory(location=goteborg, filled=True)
    RoleAssignment.objects.filter(user=ida).update(revoked_at=timezone.now())

    for attempt in (
        lambda: preparing.use_part(filled, name="X", by=ida),
        lambda: preparing.end_part(asked, by=ida),
        lambda: preparing.ask_colleague(
            goteborg,
            section="bank",
            email="a@b.example",
            full_name="A",
            language="en",
            by=ida,
        ),
    ):
        with pytest.raises(ValidationError):
            attempt()
    assert not BankProfileDraft.objects.exists()


def test_a_part_ends_with_the_role_of_whoever_asked_or_began(asked, ida, uma, goteborg):
    fia = User.objects.create_user(FIA, PASSWORD, full_name="Fia Finance")
    begun = preparing.begin_part(goteborg, section="bank", by=uma)
    RoleAssignment.objects.filter(user__in=[ida, uma]).update(revoked_at=timezone.now())

    for part, by in ((asked, fia), (begun, uma)):
        with pytest.raises(ValidationError, match="may not do so any more"):
            preparing.fill_part(part, country="SE", details=BANK_DETAILS, by=by)
    # The control: with the roles it is taken.
    RoleAssignment.objects.filter(user__in=[ida, uma]).update(revoked_at=None)
    for part, by in ((asked, fia), (begun, uma)):
        preparing.fill_part(part, country="SE", details=BANK_DETAILS, by=by)


def test_an_own_draft_is_not_written_over_and_a_part_is_used_once(
    ida, goteborg, nordvik
):
    one, two = PreparedPartFactory.create_batch(2, location=goteborg, filled=True)
    preparing.use_part(one, name="First", by=ida)
    with pytest.raises(ValidationError, match="Send or discard it first"):
        preparing.use_part(two, name="Second", by=ida)
    with pytest.raises(ValidationError, match="already"):
        preparing.use_part(one, name="Third", by=ida)

    assert BankProfileDraft.objects.get().name == "First"


def test_what_nobody_goes_on_with_is_deleted(goteborg):
    part = PreparedPartFactory(location=goteborg, filled=True)
    assert preparing.expire_parts(at=timezone.now()) == 0

    assert preparing.expire_parts(at=timezone.now() + timedelta(days=31)) == 1

    part.refresh_from_db()
    assert (part.state, dict(part.details)) == ("expired", {})


def test_nobody_is_flooded_and_no_link_goes_along(ida, goteborg):
    ask = {"section": "bank", "full_name": "A", "language": "en", "by": ida}
    with pytest.raises(ValidationError):
        preparing.ask_colleague(
            goteborg, email="a@b.example", note="See https://evil.example/", **ask
        )
    with pytest.raises(ValidationError):
        preparing.ask_colleague(goteborg, email=ida.email, **ask)
    for number in range(preparing.MOST_A_DAY):
        preparing.ask_colleague(goteborg, email=f"a{number}@b.example", **ask)
    with pytest.raises(ValidationError, match="a lot of people"):
        preparing.ask_colleague(goteborg, email="more@b.example", **ask)


def test_the_page_that_asks_takes_what_was_typed_and_shows_what_waits(
    client_of, ida, goteborg
):
    web = client_of(ida)
    page = reverse("profiles:ask_part", kwargs={"pk": goteborg.pk})
    typed = {"section": "tax", "full_name": "Fia", "email": "no", "language": "sv"}
    assert web.post(page, typed).status_code == 422
    said = web.post(page, typed | {"email": FIA}, follow=True)

    assert f"{FIA} gets a link." in words(said)
    assert "Tax details · Fia" in words(said)
    assert "Put aside, the link is over and what was filled in is deleted." in words(
        said
    )
    mail = OutgoingEmail.objects.get(name="part_asked")
    assert (mail.language, mail.to_address) == ("sv", FIA)
    assert re.search(r"skatteuppgifter", mail.subject)


def test_leaving_leads_to_where_its_reader_came_from(client_of, ida, goteborg):
    web = client_of(ida)
    page = reverse("profiles:ask_part", kwargs={"pk": goteborg.pk})
    here, location = "/enroll/somewhere/", goteborg.get_absolute_url()
    typed = {"section": "tax", "full_name": "Fia", "email": FIA, "language": "sv"}

    for way, to in (
        ("", location),
        (f"?next={here}", here),
        ("?next=//elsewhere.example/", location),
    ):
        for answer in (web.get(page + way), web.post(page + way, typed, follow=True)):
            assert f'<a href="{to}">Leave</a>' in answer.content.decode()


BROKEN = {
    "email_is_lower_case": {"email": "Fia@finance.example"},
    "keeps_a_fingerprint": {"token_sha256": "open"},
    "state_has_its_moments": {"state": "filled"},
    "one_open_for_each": {"email": "twice@finance.example"},
    "token_once": {"token_sha256": "a" * 64},
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_database_keeps_what_a_part_is(name, goteborg, ida):
    facts = dict(BROKEN[name])
    if name == "token_once":
        facts["asked_by"] = ida
    with pytest.raises(IntegrityError, match=f"preparedpart_{name}"):
        PreparedPartFactory.create_batch(2, location=goteborg, **facts)


def test_what_was_filled_in_lies_sealed(goteborg):
    part = PreparedPartFactory(location=goteborg, filled=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT details FROM profiles_preparedpart")
        assert BANK_DETAILS["iban"] not in str(cursor.fetchall())
        with pytest.raises(IntegrityError, match="details_are_sealed"):
            cursor.execute("UPDATE profiles_preparedpart SET details = 'plain'")
    assert part.details["iban"] == BANK_DETAILS["iban"]
