"""The way of a file through the operators' pages, the workers and their deaths."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.urls import reverse
from django.utils.html import strip_tags

from accounts.tests.factories import LocationFactory, UserFactory
from accounts.tests.shared_rows import shared
from enrollment import services, tasks, value_files
from enrollment.models import MeasuredValue, StagedValue, ValueImport
from enrollment.services import imports
from enrollment.tests.factories import (
    CriterionFactory,
    MeasuredValueFactory,
    RequirementFactory,
    enrolled,
)

HEADER = "partner_id,criterion,value,measured_on,source\n"


@shared
def revenue(goteborg, malmo, terms):
    """The cast's program asks for 25 000 of revenue; both locations have it."""
    revenue = CriterionFactory(code="revenue")
    RequirementFactory(terms=terms, criterion=revenue)
    for location in (goteborg, malmo):
        MeasuredValueFactory(
            location=location, criterion=revenue, measured_on="2024-10-01"
        )
    return revenue


@pytest.fixture
def web(client_of, mina):
    return client_of(mina)


def upload(web, content: str | bytes, name="values.csv"):
    content = content.encode() if isinstance(content, str) else content
    file = SimpleUploadedFile(name, content, content_type="text/csv")
    return web.post(reverse("ops:upload_import"), {"file": file})


def words(response) -> str:
    text = strip_tags(response.content.decode().replace("<", " <"))
    return " ".join(text.replace("\u2068", "").replace("\u2069", "").split())


def step(web, name, one, **sent):
    return web.post(reverse(f"ops:{name}", kwargs={"pk": one.pk}), sent, follow=True)


def test_a_file_goes_its_whole_way_on_pages(
    web, goteborg, malmo, terms, revenue, settings
):
    settings.IMPORT_HOLD_PERCENT = 50
    enrollment = enrolled(goteborg, terms)
    content = (
        "Location;Metric;Worth;Day\n"
        "6120102;revenue;100;2024-11-01\n"
        "6120103;revenue;=1+1;2024-11-01\n"
        "6129999;revenue;1;2024-11-01\n"
        "6120103;profit;1;2024-11-01\n"
    )
    response = upload(web, content)
    one = ValueImport.objects.get()
    columns = reverse("ops:import_columns", kwargs={"pk": one.pk})
    assert response.url == columns
    shown = words(web.get(columns))
    assert "1: Location 2: Metric 3: Worth 4: Day" in shown
    assert "6120102 revenue 100 2024-11-01" in shown

    names = {"delimiter": ";", "partner_id": "0", "criterion": "1", "measured_on": "3"}
    response = web.post(columns, names)
    assert response.status_code == 422
    assert "Choose the column of this field." in words(response)
    web.post(columns, names | {"value": "2"})
    page = web.get(one.get_absolute_url())
    assert 'data-poll="3"' in page.content.decode()
    assert "0 lines read" in words(page)

    tasks.import_values()
    said = words(web.get(one.get_absolute_url()))
    assert "1 accepted, 3 rejected" in said
    assert "No longer eligible 1" in said
    assert "Enrollments that end 1" in said
    assert "Unknown locations: 6129999" in said
    assert "Unknown criteria: profit" in said
    table = b"".join(
        web.get(reverse("ops:import_problems", kwargs={"pk": one.pk})).streaming_content
    ).decode()
    assert '"3","Value","the value must be a number like 21340.50.","\'=1+1"' in table
    assert MeasuredValue.objects.get(location=goteborg).value == 30000

    step(web, "apply_import", one, effective_on="2020-01-01")
    one.refresh_from_db()
    assert one.is_ready
    step(web, "apply_import", one, effective_on=imports._today(one.imported_at))
    tasks.import_values()
    enrollment.refresh_from_db()
    assert enrollment.status == "ineligible"
    assert MeasuredValue.objects.get(location=goteborg).value == 100

    page = web.get(reverse("ops:value_import", kwargs={"pk": one.pk}))
    assert "What a later file says as well, or changed, stays" in words(page)
    page = step(web, "undo_import", one)
    assert "1 value was put back, 0 stay as other files say." in words(page)
    enrollment.refresh_from_db()
    assert enrollment.status == "enrolled"
    for name in ("import_effects", "import_values", "value_import"):
        assert web.get(reverse(f"ops:{name}", kwargs={"pk": one.pk})).status_code == 200


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("å".encode("utf-16"), "The file looks like UTF-16, not UTF-8."),
        (b"", "The file is empty."),
        (b"PK\x03\x04\x14\x00\x06\x00", "The file is a spreadsheet or an archive"),
        (b"\xef\xbb\xbf", "The file is empty."),
    ],
)
def test_a_file_that_cannot_be_taken_is_refused_at_its_field(web, content, said):
    response = upload(web, content)

    assert response.status_code == 422
    assert said in words(response)
    assert not ValueImport.objects.exists()


def test_what_the_portal_writes_it_reads(web, goteborg, revenue):
    template = b"".join(web.get(reverse("ops:import_template")).streaming_content)
    upload(web, template, name="template.csv")
    one = ValueImport.objects.get()
    columns = reverse("ops:import_columns", kwargs={"pk": one.pk})
    sent = web.get(columns).context["form"]
    sent = {name: sent[name].value() for name in sent.fields}

    assert web.post(columns, sent).url == one.get_absolute_url()

    tasks.import_values()
    one.refresh_from_db()
    assert (one.accepted, one.changed, one.rejected) == (1, 1, 0)
    page = web.get(reverse("ops:import_values", kwargs={"pk": one.pk}))
    first = value_files.first_rows(b"".join(page.streaming_content))
    assert (first.delimiter, first.missing) == (",", [])
    cells = {name: first.rows[0][index] for name, index in first.columns.items()}
    assert (cells["partner_id"], cells["value"]) == ("6120102", "21340.50")


def test_a_delimiter_that_does_not_fit_is_said_and_keeps_the_file(web, revenue):
    upload(web, '"partner_id";"criterion";"value";"measured_on"\n')
    one = ValueImport.objects.get()
    columns = reverse("ops:import_columns", kwargs={"pk": one.pk})

    page = web.get(columns, {"delimiter": ","})

    assert "Line 1 cannot be read as CSV: check its quotes." in words(page)
    assert '<option value="," selected>' in page.content.decode()
    assert web.post(columns, {"delimiter": ","}).status_code == 422
    one.refresh_from_db()
    assert one.is_uploaded
    assert "1: partner_id 2: criterion" in words(web.get(columns, {"delimiter": ";"}))


def test_a_file_no_delimiter_fits_is_canceled_by_who_brought_it_only(web, revenue):
    upload(web, '"partner_id"x\n')
    one = ValueImport.objects.get()

    page = web.get(reverse("ops:import_columns", kwargs={"pk": one.pk}))

    assert "Line 1 cannot be read as CSV: check its quotes." in words(page)
    assert "Cancel this import" in words(page)
    assert "Read the file" not in words(page)
    one.refresh_from_db()
    assert one.is_uploaded


def test_a_file_that_turns_out_unreadable_says_so_on_its_page(web, revenue):
    upload(web, HEADER + '6120102,revenue,1,2024-11-01,"no end\n')
    one = ValueImport.objects.get()
    services.name_columns(
        one,
        columns={"partner_id": 0, "criterion": 1, "value": 2, "measured_on": 3},
        delimiter=",",
        by=None,
    )
    tasks.import_values()

    said = words(web.get(one.get_absolute_url()))
    assert "A quote that opens on line 2 is never closed." in said
    assert not StagedValue.objects.exists()


def test_a_held_import_is_let_through_by_somebody_else(
    web, client_of, goteborg, revenue, mina
):
    upload(web, HEADER + "6120102,revenue,1,2024-11-01,\n")
    one = ValueImport.objects.get()
    services.name_columns(
        one,
        columns={"partner_id": 0, "criterion": 1, "value": 2, "measured_on": 3},
        delimiter=",",
        by=mina,
    )
    tasks.import_values()
    said = words(web.get(one.get_absolute_url()))
    assert "If nobody goes on with it, it is canceled after" in said
    assert "It would end 1 of 2 that are eligible or enrolled: 50%." in said
    assert "Somebody else has to let it through." in said
    aino = UserFactory(operator=True)
    aino.groups.add(Group.objects.get(name="Approver"))
    second = client_of(aino)

    response = step(second, "release_import", one, reason="")
    assert response.status_code == 422
    assert "Say why this import is right as it is." in words(response)
    step(second, "release_import", one, reason="They told us.")

    one.refresh_from_db()
    assert (one.is_ready, one.release_reason) == (True, "They told us.")


def test_a_canceled_file_says_that_nothing_of_it_counts(web, revenue):
    upload(web, HEADER)
    one = ValueImport.objects.get()

    said = words(step(web, "cancel_import", one))

    assert "Nothing of the file counts. Upload it again to begin anew." in said
    assert "it is canceled after" not in said


def test_the_same_file_leads_to_where_it_is(web, revenue):
    upload(web, HEADER)
    again = upload(web, HEADER)

    assert again.url == reverse(
        "ops:value_import", kwargs={"pk": ValueImport.objects.get().pk}
    )


@pytest.mark.parametrize(
    ("name", "status"), [("mina", 302), ("reader", 413), ("ida", 413)]
)
def test_only_who_imports_may_send_more_than_a_form(
    client_of, mina, ida, name, status, monkeypatch
):
    monkeypatch.setattr(settings, "LARGEST_BODY", 10)
    reader = UserFactory(operator=True)
    reader.groups.add(Group.objects.get(name="Reader"))
    web = client_of({"mina": mina, "reader": reader, "ida": ida}[name])

    assert upload(web, HEADER + "x" * 2_000_000).status_code == status


# --- Killed ---------------------------------------------------------------------------

PROGRAM = """
import django
django.setup()
from enrollment.tests.killed_importers import main
main()
"""


@pytest.mark.django_db(transaction=True)
def test_a_file_read_by_workers_that_are_killed_is_read_once(goteborg, revenue):
    others = LocationFactory.create_batch(40, partner_account=goteborg.partner_account)
    content = HEADER + "".join(
        f"{one.partner_id},revenue,{number},2024-11-01,\n"
        for number, one in enumerate(others)
    )
    one = services.keep_file([content.encode()], by=None).value_import
    first = services.first_rows(one)
    services.name_columns(one, columns=first.columns, delimiter=",", by=None)
    facts = connection.settings_dict
    password = f":{facts['PASSWORD']}" if facts["PASSWORD"] else ""
    url = (
        f"postgres://{facts['USER']}{password}@{facts['HOST'] or 'localhost'}"
        f":{facts['PORT'] or 5432}/{facts['NAME']}"
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "12", "7"],
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == 12
    one.refresh_from_db()
    assert (one.status, one.accepted, one.changed) == ("applied", 40, 40)
    assert list(
        MeasuredValue.objects.filter(location__in=others)
        .order_by("location_id")
        .values_list("value", flat=True)
    ) == list(range(40))
