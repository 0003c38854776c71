"""The reasons a profile is returned for: rows that operators keep."""

import re

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import translation

from accounts.models import AuditEvent
from accounts.tests.markup import faults_of
from profiles import services
from profiles.first_reasons import FIRST
from profiles.models import ReturnReason
from profiles.reasons import explained, known_fields, reasons_for
from profiles.services import catalog
from profiles.tests.factories import BankVersionFactory, TaxProfileFactory

pytestmark = pytest.mark.django_db

WORDS = {
    "parts": ["tax"],
    "field_keys": ["document"],
    "title_en": "The document is not signed",
    "title_sv": "Dokumentet är inte undertecknat",
    "text_en": "Nobody signed the document.",
    "text_sv": "Ingen har undertecknat dokumentet.",
    "remedy_en": "Have it signed by who may sign for the company.",
    "remedy_sv": "Låt firmatecknaren underteckna det.",
    "example": "Anna Exempel, CEO",
}


def words(response) -> str:
    text = re.sub(r"</?bdi>", "", response.content.decode().partition("<main")[2])
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def reason(code: str) -> ReturnReason:
    return ReturnReason.objects.get(code=code)


def test_two_reasons_at_one_field_have_one_place_that_links_lead_to(
    client_of, ida, nordvik
):
    returned = [
        {"code": code, "field": field, "note": "Look again."}
        for code, field in (
            ("OTHER", "account_holder"),
            ("BANK_NAME_MISMATCH", "account_holder"),
            ("OTHER", "country"),
        )
    ]
    version = BankVersionFactory(
        profile__partner_account=nordvik,
        was_returned=True,
        returned=returned,
    )
    change = reverse("profiles:change_bank", kwargs={"pk": version.profile_id})

    page = client_of(ida).get(change).content.decode()

    assert page.count('class="reason"') == 3
    assert page.count('id="id_account_holder"') == 1
    assert faults_of(page) == []
    # The control.
    doubled = page.replace("<main", '<p id="id_country"></p><a href="#gone">a</a><main')
    assert faults_of(doubled) == ["'id_country' twice", "nothing is 'gone'"]


def test_the_catalog_begins_with_one_meaning_per_code_in_both_languages():
    assert {row["code"] for row in FIRST} == {
        row.code for row in ReturnReason.objects.all()
    }
    for row in ReturnReason.objects.all():
        for name in ("title", "text", "remedy"):
            told = []
            for language in ("en", "sv"):
                with translation.override(language):
                    told.append(getattr(row, name))
            assert told[0] != told[1]
            assert all(told)
        assert row.text_en.endswith(".")
        assert row.remedy_en.endswith(".")
        asked = {key for part in row.parts for key in known_fields(part)}
        assert set(row.field_keys) & asked or not row.field_keys
    assert [row.code for row in ReturnReason.objects.filter(needs_note=True)] == [
        "OTHER"
    ]


def test_bank_and_tax_profiles_have_their_own_reasons():
    bank = {row.code for row in reasons_for("bank")}
    tax = {row.code for row in reasons_for("tax")}

    assert "IBAN_CHECK_FAILED" in bank - tax
    assert "TAX_ID_NOT_FOUND" in tax - bank
    assert {"ADDRESS_PO_BOX", "OTHER", "DOC_UNREADABLE"} <= bank & tax
    assert reason("IBAN_CHECK_FAILED").fits("iban")
    assert not reason("IBAN_CHECK_FAILED").fits("street")
    assert reason("OTHER").fits("anything")


def test_a_stored_reason_is_explained_at_its_field(django_assert_num_queries):
    returned = [
        {"field": "iban", "code": "IBAN_CHECK_FAILED", "note": ""},
        {"field": "org_number", "code": "OTHER", "note": "Send the new certificate."},
        {"field": "currency", "code": "GONE_FROM_THE_CATALOG"},
    ]

    with django_assert_num_queries(1):
        first, second, third = explained(returned, country="SE")

    assert (first.label, first.reason.code) == ("IBAN", "IBAN_CHECK_FAILED")
    assert (second.label, second.note) == (
        "Organisation number",
        "Send the new certificate.",
    )
    assert (third.label, third.reason.code, third.note) == ("Currency", "OTHER", "")


def test_an_operator_adds_a_reason_and_a_partner_reads_it_in_their_language(
    client_of, oscar, ida, goteborg
):
    web = client_of(oscar)
    url = reverse("ops:add_reason")
    values = {"code": "doc_not_signed", **WORDS}

    # First as the partner will read it; nothing is saved by looking.
    shown = words(web.post(url, values | {"preview": "on"}))
    assert "What the partner will read" in shown
    for name in ("title_en", "text_sv", "remedy_sv"):
        assert WORDS[name] in shown
    assert not ReturnReason.objects.filter(code="DOC_NOT_SIGNED").exists()
    # The way to the other language stays, and the catalog is a part of Validation.
    page = web.post(url, values | {"preview": "on"})
    assert "Svenska" in page.content.decode()
    assert [way.label for way in page.context["nav"] if way.is_active] == ["Validation"]

    assert web.post(url, values | {"save": "on"}).url == reverse("ops:reasons")

    version = TaxProfileFactory(
        location=goteborg, name="Nordvik tax", created_by=ida, version__pending=True
    ).versions.get()
    page = reverse("ops:tax_version", kwargs={"pk": version.pk})
    assert "document:DOC_NOT_SIGNED" in web.get(page).content.decode()
    returned = [{"field": "document", "code": "DOC_NOT_SIGNED", "note": ""}]
    services.return_version(version, returned=returned, by=oscar)
    partner = client_of(ida)
    own = partner.get(version.profile.get_absolute_url())
    assert WORDS["remedy_en"] in words(own)
    assert "Example: Anna Exempel, CEO" in words(own)
    partner.cookies["django_language"] = "sv"
    ida.language = "sv"
    ida.save()
    assert WORDS["remedy_sv"] in words(partner.get(version.profile.get_absolute_url()))

    # Said better, it is read so at what was returned before; the code stays.
    added = reason("DOC_NOT_SIGNED")
    change = reverse("ops:change_reason", kwargs={"pk": added.pk})
    better = WORDS | {"remedy_sv": "Be firmatecknaren skriva under.", "code": "X_Y_Z"}
    better["seen"] = web.get(change).context["seen"]
    web.post(change, better | {"save": "on"})
    added.refresh_from_db()
    assert (added.code, added.remedy_sv) == ("DOC_NOT_SIGNED", better["remedy_sv"])
    assert better["remedy_sv"] in words(partner.get(version.profile.get_absolute_url()))

    # Retired, nobody chooses it; what was returned for it says so still.
    web.post(reverse("ops:retire_reason", kwargs={"pk": added.pk}))
    assert "DOC_NOT_SIGNED" not in {row.code for row in reasons_for("tax")}
    assert better["remedy_sv"] in words(partner.get(version.profile.get_absolute_url()))
    other = TaxProfileFactory(location=goteborg, version__pending=True).versions.get()
    with pytest.raises(ValidationError, match="reason"):
        services.return_version(other, returned=returned, by=oscar)
    web.post(reverse("ops:revive_reason", kwargs={"pk": added.pk}))
    assert "DOC_NOT_SIGNED" in {row.code for row in reasons_for("tax")}
    told = AuditEvent.objects.filter(object_type="profiles.returnreason")
    assert [event.action for event in told.order_by("pk")] == [
        "reason_added",
        "reason_changed",
        "reason_retired",
        "reason_revived",
    ]
    assert told.get(action="reason_changed").before == {"remedy_sv": WORDS["remedy_sv"]}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"code": "IBAN_CHECK_FAILED"}, "This code has a meaning already."),
        ({"code": "no-dashes"}, "Use 3 to 40 capital letters"),
        ({"text_sv": " "}, "Say it in both languages."),
        ({"parts": []}, "Choose bank, tax or both."),
        ({"field_keys": ["iban"]}, "Choose fields of what the reason is for."),
        ({"remedy_sv": "Se https://evil.example"}, "Leave out the link"),
        ({"example": "WWW.evil.example"}, "Leave out the link"),
    ],
)
def test_a_reason_that_is_not_whole_is_refused(client_of, mina, wrong, why):
    count = ReturnReason.objects.count()

    response = client_of(mina).post(
        reverse("ops:add_reason"), {"code": "DOC_NOT_SIGNED", **WORDS} | wrong
    )

    assert response.status_code == 422
    assert why in words(response)
    assert WORDS["title_sv"] in response.content.decode()
    assert ReturnReason.objects.count() == count


def test_who_did_not_see_what_it_says_now_is_told_and_keeps_what_they_typed(
    client_of, oscar, mina
):
    changed = reason("DOC_TOO_OLD")
    url = reverse("ops:change_reason", kwargs={"pk": changed.pk})
    web = client_of(oscar)
    typed = WORDS | {"field_keys": [], "seen": web.get(url).context["seen"]}
    theirs = {name: getattr(changed, name) for name in (*WORDS,)}
    theirs |= {"title_en": "Too old by now"}
    services.change_reason(changed, by=mina, **theirs)

    for _unseen in ("seen before", "preview"):
        response = web.post(url, typed | {"save": "on"})
        assert response.status_code == 422
        text = words(response)
        assert f"{mina.full_name} changed this reason since you looked." in text
        assert "What it says now" in text
        assert "Too old by now" in text
        assert WORDS["title_sv"] in response.content.decode()
    typed["seen"] = response.context["seen"]
    assert web.post(url, typed | {"save": "on"}).status_code == 302
    changed.refresh_from_db()
    assert changed.title_en == WORDS["title_en"]


def test_two_who_add_a_code_at_once_are_told_as_one_after_another(mina, monkeypatch):
    answers = iter([False, True])
    monkeypatch.setattr(catalog, "_is_taken", lambda code: next(answers))

    with pytest.raises(ValidationError, match="has a meaning already"):
        services.add_reason(code="DOC_TOO_OLD", by=mina, **WORDS)
    assert ReturnReason.objects.filter(code="DOC_TOO_OLD").count() == 1


def test_what_the_portal_gives_itself_stays(mina):
    for code in ("OTHER", "LOCATION_CLOSED"):
        with pytest.raises(ValidationError, match="The portal needs this reason"):
            services.retire_reason(reason(code), by=mina)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"code": "NEW_CODE"}, "keeps its code"),
        ({"parts": []}, "is_for_a_part"),
        ({"parts": ["shoe"]}, "is_for_a_part"),
        ({"remedy_sv": ""}, "says_everything_twice"),
    ],
)
def test_the_database_keeps_reasons_whole(values, name):
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        ReturnReason.objects.filter(code="DOC_TOO_OLD").update(**values)


def test_the_database_deletes_no_reason_and_takes_plain_codes_alone():
    with pytest.raises(IntegrityError, match="never deleted"), transaction.atomic():
        ReturnReason.objects.filter(code="DOC_TOO_OLD").delete()
    with pytest.raises(IntegrityError, match="code_is_plain"), transaction.atomic():
        ReturnReason.objects.create(**WORDS, code="no-dashes")
