"""Programs' years in the admin: who edits them, how lists are typed, what is kept."""

import datetime

import pytest
from django.urls import reverse

from accounts.tests.factories import UserFactory
from enrollment.models import (
    Criterion,
    FiscalCalendar,
    FiscalYear,
    ValueImport,
)
from enrollment.tests.factories import (
    EnrollmentFactory,
    MeasuredValueFactory,
    ProgramTermsFactory,
)


def change_url(record) -> str:
    return reverse(
        f"admin:{record._meta.app_label}_{record._meta.model_name}_change",
        args=[record.pk],
    )


def test_a_program_manager_writes_criteria_calendars_and_years(client_of, mina):
    client = client_of(mina)

    client.post(
        reverse("admin:enrollment_criterion_add"),
        {
            "code": "revenue",
            "kind": "number",
            "name_en": "Revenue",
            "name_sv": "Omsättning",
            "how_to_fix_en": "Sell more.",
            "how_to_fix_sv": "Sälj mer.",
        },
    )
    client.post(
        reverse("admin:enrollment_fiscalcalendar_add"),
        {"code": "july", "name": "July to June", "time_zone": "Europe/Stockholm"},
    )
    calendar = FiscalCalendar.objects.get(code="july")
    year = {
        "calendar": calendar.pk,
        "number": "2027",
        "starts_on": "2026-07-01",
        "ends_on": "2027-06-30",
    }
    add_year = reverse("admin:enrollment_fiscalyear_add")
    client.post(add_year, year)
    overlapping = client.post(add_year, year | {"number": "2028"})

    assert Criterion.objects.filter(code="revenue").exists()
    assert FiscalYear.objects.get().ends_on == datetime.date(2027, 6, 30)
    assert "overlaps another year" in overlapping.content.decode()


def test_a_time_zone_nobody_knows_is_refused(client_of, mina):
    client_of(mina).post(
        reverse("admin:enrollment_fiscalcalendar_add"),
        {"code": "moon", "name": "Moon", "time_zone": "Moon/Base"},
    )

    assert not FiscalCalendar.objects.exists()


def test_terms_enrollments_and_values_are_only_looked_at(client_of, mina):
    root = UserFactory(is_staff=True, is_superuser=True)
    records = [
        EnrollmentFactory(),
        # They are written in the program editor, which says first whom that strands.
        ProgramTermsFactory(),
        MeasuredValueFactory(),
        ValueImport.objects.create(
            file_hash="0" * 64, accepted=1, changed=1, rejected=0
        ),
    ]

    for person in (mina, root):
        client = client_of(person)
        for record in records:
            assert client.get(change_url(record)).status_code == 200
            assert client.post(change_url(record), {}).status_code == 403
            deletion = change_url(record).replace("/change/", "/delete/")
            assert client.post(deletion, {"post": "yes"}).status_code == 403


def test_an_enrollment_shows_its_reference_and_history(client_of, mina):
    enrollment = EnrollmentFactory()
    enrollment.events.create(
        code="invited", to_status="invited", at=enrollment.invited_at, note="By hand"
    )

    page = client_of(mina).get(change_url(enrollment)).content.decode()

    assert enrollment.reference in page
    assert "By hand" in page


@pytest.mark.parametrize("number", [1, 20])
def test_the_number_of_queries_does_not_grow(
    client_of, mina, number, django_assert_max_num_queries
):
    terms = ProgramTermsFactory()
    for _number in range(number):
        EnrollmentFactory(terms=terms)
    client = client_of(mina)
    url = reverse("admin:enrollment_enrollment_changelist")
    client.get(url)

    with django_assert_max_num_queries(20):
        client.get(url)


def test_a_long_list_of_records_is_counted_to_a_limit(
    client_of, mina, monkeypatch, django_assert_num_queries
):
    # performance.md, C: no exact count of a whole table, deep pages as fast as the first.
    monkeypatch.setattr("accounts.stretches.MOST_PAGED", 3)
    monkeypatch.setattr("accounts.admin_site.PortalModelAdmin.list_per_page", 2)
    enrollments = EnrollmentFactory.create_batch(3)
    client = client_of(mina)
    url = reverse("admin:enrollment_enrollment_changelist")

    whole = client.get(url).content.decode()
    enrollments.append(EnrollmentFactory())
    with django_assert_num_queries(8):
        page = client.get(f"{url}?p=2").content.decode()
    beyond = client.get(f"{url}?p=3")

    assert "3 enrollments" in " ".join(whole.split())
    assert "more than 3 enrollments: search or filter" in " ".join(page.split())
    newest_first = [one.reference for one in enrollments[::-1]]
    assert [one in page for one in newest_first] == [False, False, True, False]
    assert "e=1" in beyond.url


def test_a_record_of_a_filtered_list_leads_back_to_it(client_of, mina):
    record, other, web = EnrollmentFactory(), EnrollmentFactory(), client_of(mina)
    records = reverse("admin:enrollment_enrollment_changelist")

    plain, filtered = (
        web.get(records + query).content.decode()
        for query in ("", "?status__exact=invited")
    )

    assert f'href="{change_url(record)}"' in plain
    assert f'href="{change_url(other)}"' in plain
    back = f"{change_url(record)}?_changelist_filters=status__exact%3Dinvited"
    assert f'href="{back}"' in filtered
    assert f'href="{records}?status__exact=invited"' in web.get(back).content.decode()
