"""A tax profile step by step, its documents, and that no byte of them gets anywhere."""

import datetime
import io
import logging
import re
import subprocess

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from django.utils import timezone
from pypdf import PdfReader

from accounts.models import AuditEvent, OutgoingEmail
from accounts.tests.canaries import WATCH, Watch, everything_in_redis
from accounts.tests.cases import tried
from accounts.tests.factories import LocationFactory
from accounts.tests.mails import make_email
from accounts.tests.shared_rows import shared
from profiles import drafting
from profiles.countries import tax_forms
from profiles.models import TaxDocument, TaxProfile, TaxProfileDraft
from profiles.papers import MOST_BYTES
from profiles.services import approve_version, return_version, revise_tax_profile
from profiles.tasks import discard_forgotten_drafts
from profiles.tests.factories import (
    TAX_DETAILS,
    TaxDocumentFactory,
    TaxProfileDraftFactory,
    TaxProfileFactory,
    a_pdf,
)
from profiles.tests.known_numbers import DOCUMENT
from profiles.tests.test_views import address, page, words

pytestmark = pytest.mark.django_db

CANARY = DOCUMENT
NUMBER = "5560360793"
DAY = datetime.timedelta(days=1)
A_BLINK = datetime.timedelta(microseconds=1)
COMPANY = {
    "name": "Nordvik tax",
    "country": "SE",
    "legal_name": "Nordvik IT AB",
    "street": "Storgatan 1",
    "postcode": "111 22",
    "city": "Stockholm",
}
LOCAL = {"payer": "other", "registered": "no"}
AMERICAN = {"payer": "us"}
W8 = {"entity_type": "corporation", "fatca_status": "active_nffe", "treaty": "no"}


@pytest.fixture
def web(client_of, ida):
    return client_of(ida)


@shared
def tax(goteborg, ida):
    return TaxProfileFactory(location=goteborg, name="Nordvik tax", created_by=ida)


def begin(web, location, **query) -> TaxProfileDraft:
    web.post(address("new_tax", **query), {"location": location.pk, "country": "SE"})
    return TaxProfileDraft.objects.unsent().get(profile=None)


def save(web, draft, step: str, values: dict):
    return web.post(address(f"tax_{step}", draft), values)


def upload(web, draft, *, kind="form_w8ben_e", on=None, content=None, name="w8.pdf"):
    file = SimpleUploadedFile(
        name, a_pdf(CANARY) if content is None else content, "application/pdf"
    )
    day = (on or timezone.localdate()).isoformat()
    return save(web, draft, "documents", {"kind": kind, "dated_on": day, "file": file})


def filled(web, location, *, setup=LOCAL, status=None) -> TaxProfileDraft:
    """A draft that stands at its documents."""
    draft = begin(web, location)
    for step, values in (
        ("company", COMPANY),
        ("setup", setup),
        ("status", {"org_number": NUMBER, **(status or {})}),
    ):
        assert save(web, draft, step, values).status_code == 302, step
    draft.refresh_from_db()
    return draft


def send(web, draft):
    save(web, draft, "documents", {"go_on": "1"})
    return save(web, draft, "check", {"is_authorized": "on"})


# --- The way --------------------------------------------------------------------------


def test_five_pages_make_a_tax_profile(web, goteborg, malmo, ida):
    start = web.get(address("new_tax", location=goteborg.pk))
    assert f'<option value="{goteborg.pk}" selected>' in page(start)
    assert "Malmö" not in page(start)
    draft = begin(web, goteborg)

    # Each page leads to the next; what is behind the first undone step leads there.
    for name in ("setup", "status", "documents", "check"):
        early = web.get(address(f"tax_{name}", draft))
        assert early["Location"] == address("tax_company", draft)
    assert save(web, draft, "company", COMPANY)["Location"] == address(
        "tax_setup", draft
    )
    assert save(web, draft, "setup", AMERICAN)["Location"] == address(
        "tax_status", draft
    )
    status = words(web.get(address("tax_status", draft)))
    assert "What applies: Form W-8BEN-E." in status
    assert "Reason: The company is registered in Sweden and paid by" in status
    assert "for the next step: signed Form W-8BEN-E" in status
    assert "Type of entity" in status
    save(web, draft, "status", {"org_number": NUMBER, **W8})

    # What was typed is there when the browser goes back; a number is not shown whole.
    assert 'value="Storgatan 1"' in page(web.get(address("tax_company", draft)))
    back = page(web.get(address("tax_status", draft)))
    assert NUMBER not in re.sub(r"[\s-]", "", back)
    assert "0793" in back

    refused = save(web, draft, "documents", {"go_on": "1"})
    assert refused.status_code == 422
    assert "Add this document: Signed Form W-8BEN-E." in words(refused)
    assert upload(web, draft, on=datetime.date(2026, 2, 3)).status_code == 302
    save(web, draft, "documents", {"go_on": "1"})
    check = page(web.get(address("tax_check", draft)))
    assert NUMBER not in re.sub(r"[\s-]", "", check)
    unsure = save(web, draft, "check", {})
    assert "Confirm that you may send this." in words(unsure)
    sent = save(web, draft, "check", {"is_authorized": "on"})

    profile = TaxProfile.objects.get()
    version = profile.versions.get()
    assert sent["Location"] == address("tax", profile)
    assert (version.form, version.expires_on) == (
        "w8ben_e",
        datetime.date(2029, 12, 31),
    )
    assert version.details["org_number"] == NUMBER
    assert version.setup == AMERICAN | W8
    assert "form_w8ben_e" in version.provided
    assert version.documents.get().content == a_pdf(CANARY)
    # Sent once: going back leads to what it became.
    for again in (
        web.get(address("tax_company", draft)),
        save(web, draft, "check", {"is_authorized": "on"}),
        web.get(address("tax_draft", draft)),
    ):
        assert again["Location"] == address("tax", profile)
    assert profile.versions.count() == 1
    draft.refresh_from_db()
    assert dict(draft.details) == {}


def test_it_is_gone_on_with_another_day(web, goteborg):
    draft = begin(web, goteborg)
    save(web, draft, "company", COMPANY)

    assert "Go on with Nordvik tax, Göteborg" in words(web.get(address("tax_list")))
    assert web.get(address("tax_draft", draft))["Location"] == address(
        "tax_setup", draft
    )
    assert begin(web, goteborg) == draft
    web.post(address("discard_tax_draft", draft))
    assert not TaxProfileDraft.objects.exists()


def test_what_nobody_goes_on_with_is_thrown_away_and_what_was_sent_is_not(
    web, goteborg, time_machine
):
    forgotten = filled(web, goteborg, setup=AMERICAN, status=W8)
    upload(web, forgotten)
    begun = TaxProfileDraft.objects.get().updated_at

    for at, is_there in ((begun + 90 * DAY, True), (begun + 90 * DAY + A_BLINK, False)):
        time_machine.move_to(at, tick=False)
        discard_forgotten_drafts()
        assert TaxProfileDraft.objects.exists() is is_there
        assert TaxDocument.objects.exists() is is_there


def test_another_country_asks_its_own_fields(web, goteborg):
    draft = begin(web, goteborg)
    save(web, draft, "company", COMPANY)

    changed = save(web, draft, "company", {**COMPANY, "country": "US"})

    form = page(web.get(changed["Location"]))
    assert 'name="state"' in form
    assert 'value="Nordvik IT AB"' in form
    draft.refresh_from_db()
    assert (draft.country, draft.setup, draft.done) == ("US", {}, [])


def test_another_answer_asks_anew_and_drops_what_belonged_to_the_other_form(
    web, goteborg
):
    draft = filled(web, goteborg, setup=AMERICAN, status=W8)
    upload(web, draft)

    save(web, draft, "setup", LOCAL)

    draft.refresh_from_db()
    assert draft.setup == LOCAL
    assert draft.done == ["company", "setup"]
    assert not draft.documents.exists()


def test_what_is_wrong_is_said_at_its_field_and_nothing_typed_is_lost(web, goteborg):
    draft = begin(web, goteborg)
    wrong = save(
        web, draft, "company", COMPANY | {"street": "P.O. Box 1", "name": "n" * 90}
    )
    assert wrong.status_code == 422
    assert 'href="#id_street"' in page(wrong)
    assert 'href="#id_name"' in page(wrong)
    assert 'value="P.O. Box 1"' in page(wrong)

    save(web, draft, "company", COMPANY)
    unanswered = save(web, draft, "setup", {"payer": "other"})
    assert 'href="#id_registered' in page(unanswered)
    save(web, draft, "setup", {"payer": "other", "registered": "yes"})
    number = save(web, draft, "status", {"org_number": NUMBER})
    assert "Enter VAT number" in words(number)
    TaxProfileFactory(location=goteborg, name="nordvik TAX")
    taken = save(web, draft, "company", COMPANY)
    assert 'href="#id_name"' in page(taken)


def test_other_locations_are_out_of_reach(web, goteborg, malmo):
    # R8
    for place in (malmo.pk, LocationFactory().pk, "0", "x", "9" * 30, ""):
        response = web.post(address("new_tax"), {"location": place, "country": "SE"})
        assert response.status_code == 422
    assert not TaxProfileDraft.objects.exists()


# --- Changes ---------------------------------------------------------------------------


def test_a_change_starts_from_what_is_there_and_keeps_its_numbers(
    web, goteborg, ida, oscar, tax
):
    version = tax.versions.get()
    TaxDocumentFactory(version=version, content=a_pdf(CANARY))
    web.post(address("change_tax", tax))
    draft = TaxProfileDraft.objects.get(profile=tax)

    assert draft.documents.get().content == a_pdf(CANARY)
    company = page(web.get(address("tax_company", draft)))
    assert 'name="name"' not in company
    save(web, draft, "company", COMPANY | {"street": "Nygatan 2"})
    save(web, draft, "setup", LOCAL)
    kept = page(web.get(address("tax_status", draft)))
    assert "0669" in kept
    assert "559999-0669" not in kept.replace("Example: 559999-0669", "")
    save(web, draft, "status", {"org_number": ""})
    send(web, draft)

    newest = tax.versions.get(number=2)
    assert newest.details["org_number"] == TAX_DETAILS["org_number"]
    assert newest.details["street"] == "Nygatan 2"
    # Each version keeps its own.
    assert version.documents.get().pk != newest.documents.get().pk
    assert newest.documents.get().content == a_pdf(CANARY)


def test_a_returned_document_is_sent_anew_and_a_returned_number_typed_anew(
    web, goteborg, ida, oscar
):
    draft = filled(web, goteborg, setup=AMERICAN, status=W8)
    upload(web, draft)
    send(web, draft)
    profile = TaxProfile.objects.get()
    return_version(
        profile.versions.get(),
        returned=[
            {"field": "org_number", "code": "TAX_ID_NOT_FOUND", "note": ""},
            {"field": "document", "code": "DOC_UNREADABLE", "note": ""},
        ],
        by=oscar,
    )
    about = words(web.get(address("change_tax", profile)))
    assert "A page of the document cannot be read." in about

    begun = web.post(address("change_tax", profile))
    draft = TaxProfileDraft.objects.get(profile=profile, sent_as=None)
    assert begun["Location"] == address("tax_status", draft)
    assert not draft.documents.exists()
    for step, values in (("company", COMPANY), ("setup", AMERICAN)):
        save(web, draft, step, values)
    assert save(web, draft, "status", {"org_number": "", **W8}).status_code == 422
    save(web, draft, "status", {"org_number": "559999-0669", **W8})
    upload(web, draft)
    send(web, draft)

    assert profile.versions.get(number=2).details["org_number"] == "5599990669"


def test_a_program_asks_for_a_certificate_and_gets_it(web, goteborg, tax):
    # R55
    url = address("change_tax", tax, need="residence_certificate", next="/enroll/")
    begun = web.post(url)
    assert begun["Location"].endswith("?next=%2Fenroll%2F")
    draft = TaxProfileDraft.objects.get()
    save(web, draft, "company", COMPANY)
    save(web, draft, "setup", LOCAL)
    save(web, draft, "status", {})
    refused = save(web, draft, "documents", {"go_on": "1"})
    assert "Add this document: Certificate of tax residence." in words(refused)

    issued = timezone.localdate() - 3 * DAY
    upload(web, draft, kind="residence_certificate", on=issued)
    send(web, draft)

    version = tax.versions.get(number=2)
    assert "residence_certificate" in version.provided
    assert version.expires_on == issued.replace(year=issued.year + 1) - DAY


# --- Documents ---------------------------------------------------------------------------


@pytest.fixture
def at_documents(web, goteborg):
    return filled(web, goteborg, setup=AMERICAN, status=W8)


def test_a_file_that_is_none_is_refused_at_its_field(web, at_documents):
    for facts, field, said in (
        ({"content": b""}, "file", "This file is empty."),
        ({"content": b"<html></html>"}, "file", "no PDF, PNG or JPEG file"),
        ({"content": b"%PDF-1.7" + b"x" * MOST_BYTES}, "file", "larger than 5 MB"),
        ({"on": timezone.localdate() + DAY}, "dated_on", "still to come"),
        ({"on": datetime.date(2019, 1, 1)}, "dated_on", "too old"),
        ({"kind": "form_w9"}, "kind", "Choose what kind of document"),
    ):
        response = upload(web, at_documents, **facts)

        assert response.status_code == 422, facts
        assert f'href="#id_{field}"' in page(response)
        assert said in words(response)
        # Whatever else was typed is still there.
        assert 'value="20' in page(response)
    nothing = save(
        web, at_documents, "documents", {"kind": "form_w8ben_e", "dated_on": ""}
    )
    assert "Choose a file." in words(nothing)
    assert not TaxDocument.objects.exists()


def test_a_name_that_is_none_is_refused(at_documents, ida):
    for name in (
        "../../etc/passwd",
        "a\\b.pdf",
        "a\nb.pdf",
        "a\u202efdp.exe",
        "",
        "x" * 200,
    ):
        with tried(name):
            with pytest.raises(ValidationError) as refusal:
                drafting.add_tax_document(
                    at_documents,
                    kind="form_w8ben_e",
                    dated_on=timezone.localdate(),
                    name=name,
                    content=a_pdf("x"),
                    by=ida,
                )

            assert list(refusal.value.error_dict) == ["file"]


def test_a_request_larger_than_any_form_is_refused_before_it_is_read(web, at_documents):
    class Unread(io.BytesIO):
        def read(self, *args):
            raise AssertionError("it was read")

    response = web.generic(
        "POST",
        address("tax_documents", at_documents),
        b"",
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(settings.LARGEST_BODY + 1),
        **{"wsgi.input": Unread()},
    )

    assert response.status_code == 413
    assert "This is too large" in page(response)


def test_a_document_leaves_as_a_file_that_nothing_runs_of(web, at_documents, ida):
    upload(web, at_documents, name="<script>.pdf")
    document = TaxDocument.objects.get()

    response = web.get(address("tax_document", document))

    assert response.content == a_pdf(CANARY)
    assert response["Content-Type"] == "application/pdf"
    assert re.fullmatch(
        r'attachment; filename="form_w8ben_e-[\d-]+\.pdf"',
        response["Content-Disposition"],
    )
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["Cache-Control"] == "no-store"
    shown = page(web.get(address("tax_documents", at_documents)))
    assert "<script>.pdf" not in shown
    for form in re.findall(r'<form method="post".*?</form>', shown, re.DOTALL):
        assert re.search(r'name="csrfmiddlewaretoken" value="\w+"', form)
    web.post(address("remove_tax_document", document))
    assert not TaxDocument.objects.exists()


def test_a_form_that_ends_soon_is_not_sent_again_unnoticed(
    web, at_documents, monkeypatch
):
    # R54: renewing means a new signature, not the old form once more.
    monkeypatch.setattr(tax_forms, "RENEWABLE", 366 * DAY)
    today = timezone.localdate()
    upload(web, at_documents, on=datetime.date(today.year - 3, 6, 1))
    only = f"good until 31 December {today.year} only."

    shown = web.get(address("tax_documents", at_documents))
    assert f"Signed Form W-8BEN-E: the one that is here is {only}" in words(shown)
    assert '<option value="form_w8ben_e" selected>' in page(shown)
    save(web, at_documents, "documents", {"go_on": "1"})
    assert f"Signed Form W-8BEN-E: {only}" in words(
        web.get(address("tax_check", at_documents))
    )

    # The control: signed today it is good for three years.
    monkeypatch.setattr(tax_forms, "RENEWABLE", 120 * DAY)
    upload(web, at_documents)
    renewed = words(web.get(address("tax_documents", at_documents)))
    assert "Every document that is needed is here." in renewed
    check = words(web.get(address("tax_check", at_documents)))
    assert f"Signed Form W-8BEN-E: good until 31 December {today.year + 3}." in check


def test_every_opening_by_an_operator_is_kept(client_of, web, at_documents, oscar):
    upload(web, at_documents)
    operator, opened = (
        client_of(oscar),
        AuditEvent.objects.filter(action="document_opened"),
    )
    url = reverse("ops:open_tax_document", args=[TaxDocument.objects.get().pk])
    # What was not sent is the partner's alone.
    assert operator.post(url).status_code == 404
    send(web, at_documents)
    version = TaxProfile.objects.get().versions.get()
    shown = words(operator.get(reverse("ops:tax_version", args=[version.pk])))
    assert "Open: Signed Form W-8BEN-E" in shown
    assert "Signed Form W-8BEN-E: good until 31 December" in shown
    assert operator.get(url).status_code == 302
    assert not opened.exists()

    response = operator.post(url)

    assert response.content == a_pdf(CANARY)
    assert response["Content-Disposition"].startswith("attachment")
    event = opened.get()
    assert event.actor == oscar
    assert event.after["kind"] == "form_w8ben_e"


def test_what_was_sent_stays_with_its_version(web, at_documents, ida):
    upload(web, at_documents)
    send(web, at_documents)
    document = TaxDocument.objects.get()
    refused = [
        "DELETE FROM profiles_taxdocument",
        "UPDATE profiles_taxdocument SET version_id = NULL",
        "UPDATE profiles_taxdocument SET dated_on = '2020-01-01'",
        f"UPDATE profiles_taxdocument SET content = 'v1:k1:{'x' * 60}'",
        f"UPDATE profiles_taxdocument SET content = '{CANARY}'",
        f"UPDATE profiles_taxdocument SET location_id = {LocationFactory().pk}",
    ]
    for statement in refused:
        with (
            pytest.raises(DatabaseError),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
    with pytest.raises(ValidationError):
        drafting.remove_tax_document(document, by=ida)
    document.refresh_from_db()
    assert document.content == a_pdf(CANARY)


# --- The canary ---------------------------------------------------------------------------


def traces(caplog, pages: list[str]) -> dict[str, str | bytes]:
    """Everything the portal leaves behind."""
    dump = subprocess.run(
        ["pg_dump", "--data-only", _database_url()], capture_output=True, check=True
    ).stdout
    mails = OutgoingEmail.objects.all()
    events = AuditEvent.objects.values_list("before", "after", "reason")
    return {
        "dump": dump,
        "logs": caplog.text,
        "mails": "".join(
            f"{one.subject}{one.body_text}{one.body_html}" for one in mails
        ),
        "audit": str(list(events)),
        "redis": everything_in_redis(settings.REDIS_URL),
        "pages": "".join(pages),
    }


def _database_url() -> str:
    facts = connection.settings_dict
    login = facts["USER"] + (f":{facts['PASSWORD']}" if facts["PASSWORD"] else "")
    return f"postgres://{login}@{facts['HOST']}:{facts['PORT']}/{facts['NAME']}"


def found_in(everything: dict[str, str | bytes]) -> set[str]:
    watch = Watch()
    watch.know([CANARY, NUMBER])
    inside = PdfReader(io.BytesIO(a_pdf(CANARY))).metadata.title
    assert inside == CANARY
    return {place for place, text in everything.items() if watch.found_in(text)}


@pytest.mark.django_db(transaction=True)
def test_no_byte_of_a_document_or_number_gets_anywhere(
    client_of, goteborg, ida, oscar, caplog
):
    caplog.set_level(logging.DEBUG)
    web, operator = client_of(ida), client_of(oscar)
    draft = filled(web, goteborg, setup=AMERICAN, status=W8)
    # The name says something too.
    upload(web, draft, name=f"{CANARY}.pdf")
    send(web, draft)
    profile = TaxProfile.objects.get()
    version = profile.versions.get()
    approve_version(version, by=oscar)
    revise_tax_profile(
        profile,
        country="SE",
        details={**version.details, "street": "Nygatan 2"},
        by=ida,
    )
    url = reverse("ops:open_tax_document", args=[version.documents.get().pk])
    operator.post(url)
    pages = [
        page(web.get(address("tax_list"))),
        page(operator.get(reverse("ops:validation"))),
        page(operator.get(reverse("ops:audit"))),
    ]

    everything = traces(caplog, pages)

    assert len(everything["dump"]) > 10_000
    assert found_in(everything) == set()
    # The control: a leak in each place would be found.
    for place in everything:
        assert found_in({**everything, place: f"... {CANARY} ..."}) == {place}
    with WATCH.letting_out():
        logging.getLogger("control").warning("the document says %s", CANARY)
        make_email(subject=CANARY)
    assert found_in(traces(caplog, [])) == {"dump", "logs", "mails"}


def test_an_american_company_owned_abroad_sends_the_form_of_its_owner(ida, goteborg):
    """No field of Form W-9 stands in the way of Form W-8BEN-E (experience.md §7.3)."""
    draft = TaxProfileDraftFactory(
        location=goteborg,
        country="US",
        setup={"owner_abroad": "yes"},
        details={
            "legal_name": "Owner AB",
            "street": "Main Street 1",
            "city": "Norfolk",
            "state": "VA",
            "postcode": "23510",
        },
        done=["company", "setup"],
        created_by=ida,
    )
    status = {
        "ein": "12-3456789",
        "entity_type": "corporation",
        "fatca_status": "active_nffe",
        "treaty": "no",
    }
    asked = {spec.key for spec in drafting.step_of(draft, "status").specs}
    assert asked == set(status)

    draft = drafting.fill_tax_status(draft, details=status, by=ida)
    TaxDocumentFactory(version=None, draft=draft, kind="form_w8ben_e")
    draft = drafting.finish_tax_documents(draft, by=ida)
    version = drafting.send_tax_draft(draft, by=ida).versions.get()

    assert version.form == "w8ben_e"
    assert version.expires_on is not None
