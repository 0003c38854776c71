"""Activity and Audit: who reads which events, in which words, and as a table."""

import csv
import html
import io
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation

from accounts import services
from accounts.activity import PAGE_SIZE
from accounts.companies import in_company
from accounts.models import (
    AuditAction,
    AuditEvent,
    AuditKind,
    RoleAssignment,
    RoleSource,
)
from accounts.models.audit import kind_of
from accounts.origin import Door, Origin, coming_from
from accounts.roles import Permission, Role
from accounts.safe_csv import safe_cell
from accounts.services import acting_as, record_audit_event
from accounts.tests.cases import tried
from accounts.tests.factories import (
    IncentiveProgramFactory,
    LocationFactory,
    MembershipFactory,
    RoleAssignmentFactory,
    UserFactory,
)
from accounts.tests.shared_rows import shared
from accounts.trail import LABELS, SENTENCES, WANTED, trail_rows

pytestmark = pytest.mark.django_db

LIST, EXPORT = reverse("activity:list"), reverse("activity:export")
AUDIT, EXPORT_AUDIT = reverse("ops:audit"), reverse("ops:export_audit")


def words(response) -> str:
    main = response.content.decode().partition("<main")[2].partition("</main>")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def table(response) -> list[dict[str, str]]:
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def record(subject, action=AuditAction.PERSON_ADDED, *, by=None, of=None, **fields):
    return record_audit_event(
        subject, action=action, by=by, partner_account=of, **fields
    )


@shared
def given(nordvik, greta, lars, goteborg):
    """Greta gave Lars a role."""
    return services.assign_role(
        lars,
        role=Role.INCENTIVES_ADMIN,
        account=nordvik,
        location=goteborg,
        by=greta,
    )


class TestWhoReads:
    @pytest.mark.parametrize("reader", ["greta", "alice"])
    def test_admins_read_all_of_their_company(
        self, client_of, reader, request, given, sam
    ):
        person = request.getfixturevalue(reader)
        record(sam, of=sam.memberships.get().partner_account)

        page = words(client_of(person).get(LIST))

        assert (
            "Lars Ek was given the role Incentives admin: Göteborg, all programs."
            in page
        )
        assert "Greta Voss" in page
        assert "Sam Stranger" not in page

    def test_others_read_their_own_part_and_who_reads_all(
        self, client_of, given, lars, ida, nordvik, greta
    ):
        record(ida, of=nordvik)

        page = words(client_of(lars).get(LIST))

        assert "Lars Ek was given the role" in page
        assert "Ida Lund was added" not in page
        assert "These people see all of it: Greta Voss" in page

    def test_nobody_learns_from_their_own_refusals_what_there_is(
        self, client_of, ida, malmo, nordvik, greta
    ):
        # R16: an event only where there is a row would say that there is one.
        hidden = RoleAssignmentFactory(partner_account=nordvik, location=malmo)
        client = client_of(ida)
        client.get(reverse("accounts:revoke", args=[hidden.pk]))

        assert "refused" not in words(client.get(LIST))
        assert table(client.get(EXPORT)) == []
        assert "Access was refused: giving or ending roles. Role" in words(
            client_of(greta).get(LIST)
        )

    def test_a_stranger_is_not_named_to_the_company(
        self, client_of, greta, sam, nordvik, goteborg
    ):
        role = RoleAssignment.objects.get(user=greta)
        sam_client = client_of(
            sam, headers={"user-agent": "Firefox/1"}, REMOTE_ADDR="192.0.2.7"
        )
        sam_client.get(reverse("accounts:revoke", args=[role.pk]))

        response = client_of(greta).get(LIST, {"kind": "denied"})
        page, rows = words(response), table(client_of(greta).get(EXPORT))

        assert "Somebody outside your company" in page
        for told in ("Sam", "Hanseatic", "stranger.example", "192.0.2", "Firefox"):
            assert told not in page
            assert told not in str(rows)
        # Nor can they be looked for.
        assert "Nothing matches" in words(client_of(greta).get(LIST, {"person": "Sam"}))

    def test_operators_are_the_program_owner_to_partners(
        self, client_of, greta, mina, nordvik
    ):
        record(nordvik, AuditAction.COMPANY_ADDED, by=mina, of=nordvik)

        page = words(client_of(greta).get(LIST))

        assert "The program owner" in page
        assert "Mina" not in page

    def test_operators_read_every_company_and_the_portals_own(
        self, client_of, oscar, mina, given, sam
    ):
        company = sam.memberships.get().partner_account
        record(sam, of=company, by=mina)
        record(oscar, by=None)

        page = words(client_of(oscar).get(AUDIT))

        assert "Lars Ek was given the role" in page
        assert "Sam Stranger was added." in page
        assert "Hanseatic Cloudworks GmbH" in page
        assert "Oscar Sand was added." in page
        assert "Mina Okafor" in page

    def test_of_two_companies_the_address_says_which(
        self, client_of, greta, nordvik, sam
    ):
        other = sam.memberships.get().partner_account
        RoleAssignmentFactory(user=greta, role=Role.GLOBAL_ADMIN, partner_account=other)
        record(greta, of=nordvik, reason="first")
        record(greta, of=other, reason="second")
        client = client_of(greta)

        for company, told, untold in (
            (nordvik, "first", "second"),
            (other, "second", "first"),
        ):
            page = words(client.get(in_company(company, LIST)))
            assert f"Reason: {told}" in page
            assert f"Reason: {untold}" not in page

    def test_who_belongs_nowhere_is_told_so(self, client_of):
        client = client_of(UserFactory())

        assert "You belong to no company here." in words(client.get(LIST))
        assert client.get(EXPORT).url == LIST


class TestFilters:
    @pytest.fixture
    def events(self, nordvik, greta, ida, lars, goteborg, malmo):
        record(ida, of=nordvik, by=greta, reason="ida added")
        record(
            lars,
            AuditAction.ROLE_ASSIGNED,
            of=nordvik,
            by=ida,
            after={"person": lars.pk, "role": "incentives_user", "location": malmo.pk},
            reason="role in malmö",
        )
        record(goteborg, AuditAction.LOCATION_ADDED, of=nordvik, reason="place added")

    def test_each_narrows_the_list_and_the_table(self, client_of, greta, events):
        for asked, expected in (
            ({}, ["place added", "role in malmö", "ida added"]),
            ({"person": "ida"}, ["role in malmö", "ida added"]),
            ({"person": "ek lars@partner"}, ["role in malmö"]),
            ({"person": "nobody"}, []),
            ({"kind": "people"}, ["role in malmö", "ida added"]),
            ({"kind": "company"}, ["place added"]),
            ({"kind": "profiles"}, []),
            ({"since": "2020-01-01", "until": "2020-12-31"}, []),
            ({"since": "2020-01-01"}, ["place added", "role in malmö", "ida added"]),
            ({"until": "2020-01-01"}, []),
            ({"until": "9999-12-31"}, ["place added", "role in malmö", "ida added"]),
        ):
            with tried(asked, expected):
                client = client_of(greta)

                page, rows = (
                    words(client.get(LIST, asked)),
                    table(client.get(EXPORT, asked)),
                )

                assert re.findall(
                    r"Reason: (ida added|role in malmö|place added)", page
                ) == (expected)
                assert [row["Reason"] for row in rows] == expected

    def test_a_location_by_choice(self, client_of, greta, events, malmo, goteborg):
        client = client_of(greta)

        assert [
            row["Reason"] for row in table(client.get(EXPORT, {"location": malmo.pk}))
        ] == ["role in malmö"]
        assert [
            row["Reason"]
            for row in table(client.get(EXPORT, {"location": goteborg.pk}))
        ] == ["place added"]

    def test_a_day_counts_as_a_whole(self, client_of, greta, events):
        today = AuditEvent.objects.first().at.date()

        rows = table(client_of(greta).get(EXPORT, {"since": today, "until": today}))

        assert len(rows) == 3

    @pytest.mark.parametrize(
        "asked",
        [
            {"since": "yesterday"},
            {"kind": "secret"},
            {"location": "99999999"},
            {"since": "2026-02-01", "until": "2026-01-01"},
            {"person": "x" * 200},
        ],
    )
    def test_what_is_not_understood_is_said_and_nothing_is_written(
        self, client_of, greta, events, asked
    ):
        client = client_of(greta)

        page = client.get(LIST, asked)
        exported = client.get(EXPORT, asked)

        assert "There is a problem" in words(page)
        assert exported.status_code == 302
        assert exported.url.startswith(f"{LIST}?")

    def test_a_location_of_another_company_is_no_choice(
        self, client_of, greta, events, sam
    ):
        foreign = LocationFactory(
            partner_account=sam.memberships.get().partner_account, name="Canary"
        )

        page = words(client_of(greta).get(LIST, {"location": foreign.pk}))

        assert "There is a problem" in page
        assert "Canary" not in page

    def test_operators_find_a_company_a_place_and_a_person(
        self, client_of, oscar, events, sam, malmo
    ):
        record(sam, of=sam.memberships.get().partner_account, reason="sam added")
        client = client_of(oscar)

        def reasons(**asked):
            return [
                row["Reason"]
                for row in table(client.get(EXPORT_AUDIT, asked))
                if row["Reason"]
            ]

        assert reasons(company="hanseatic") == ["sam added"]
        assert reasons(company="5012001", kind="company") == ["place added"]
        assert reasons(location=malmo.partner_id) == ["role in malmö"]
        assert reasons(person="sam@stranger") == ["sam added"]
        assert reasons(company="501200") == []


class TestPages:
    def test_the_next_page_goes_on_where_the_last_one_ended(
        self, client_of, greta, nordvik
    ):
        for number in range(PAGE_SIZE * 2 + 5):
            record(greta, of=nordvik, reason=f"number {number:03}")
        client = client_of(greta)
        seen, address = [], LIST

        addresses = []
        while address:
            addresses.append(address)
            page = client.get(address)
            # What happens meanwhile changes nothing of the pages that follow.
            record(greta, of=nordvik, reason="meanwhile")
            found = re.findall(r"Reason: number (\d+)", page.content.decode())
            seen += found
            older = re.search(
                r'href="(\?[^"]*)" rel="next"', html.unescape(page.content.decode())
            )
            address = LIST + older[1] if older else ""

        assert seen == [f"{n:03}" for n in reversed(range(PAGE_SIZE * 2 + 5))]
        back = re.search(
            r'href="(\?[^"]*)" rel="prev"', html.unescape(page.content.decode())
        )
        again = re.findall(
            r"Reason: number (\d+)", client.get(LIST + back[1]).content.decode()
        )
        before = re.findall(
            r"Reason: number (\d+)", client.get(addresses[-2]).content.decode()
        )
        assert again == before

    def test_filters_stay_from_page_to_page(self, client_of, greta, nordvik):
        for _number in range(PAGE_SIZE + 1):
            record(greta, of=nordvik)

        page = client_of(greta).get(LIST, {"kind": "people", "person": "Greta Voss"})

        assert "?kind=people&amp;person=Greta+Voss&amp;before=" in page.content.decode()

    def test_a_made_up_place_in_the_list_is_no_error(
        self, client_of, greta, nordvik, oscar
    ):
        for place in ("x", "-1", "٣", "9" * 40, "1.5", ""):
            with tried(place):
                record(greta, of=nordvik)

                for name in ("before", "after"):
                    assert client_of(greta).get(LIST, {name: place}).status_code == 200
                    assert client_of(oscar).get(AUDIT, {name: place}).status_code == 200

    @pytest.mark.parametrize(
        ("address", "reader"),
        [(LIST, "greta"), (EXPORT, "greta"), (AUDIT, "oscar"), (EXPORT_AUDIT, "oscar")],
    )
    def test_more_events_ask_no_more_of_the_database(
        self, client_of, request, nordvik, greta, malmo, address, reader
    ):
        client = client_of(request.getfixturevalue(reader))

        def add():
            person = MembershipFactory(partner_account=nordvik).user
            program = IncentiveProgramFactory()
            place = LocationFactory(partner_account=nordvik)
            record(
                RoleAssignmentFactory(user=person, partner_account=nordvik),
                AuditAction.ROLE_ASSIGNED,
                of=nordvik,
                by=person,
                after={
                    "person": person.pk,
                    "role": "incentives_admin",
                    "location": place.pk,
                    "program": program.pk,
                },
            )
            record(
                nordvik,
                AuditAction.GROUP_ADDED,
                of=nordvik,
                by=person,
                after={"group": "Sales", "people": [person.pk]},
            )

        def asked() -> int:
            with CaptureQueriesContext(connection) as captured:
                response = client.get(address)
                if response.streaming:
                    list(response.streaming_content)
            return len(captured)

        add()
        few = asked()
        for _number in range(15):
            add()

        assert asked() == few


class TestWords:
    def told(self, event, company=None, language="en"):
        with translation.override(language):
            (row,) = trail_rows([event], company=company)
        return row

    def test_every_action_is_said_without_codes(self, nordvik, lars, goteborg, program):
        after = {
            "person": lars.pk,
            "role": "incentives_admin",
            "location": goteborg.pk,
            "program": program.pk,
            "name": "Sales",
            "group": "Sales",
            "app_role": "Sales",
            "email": "new@partner.example",
            "wanted": "people_x",
        }

        for action in AuditAction:
            event = record(lars, action, of=nordvik, after=after)
            said = {
                language: self.told(event, language=language).what
                for language in ("en", "sv")
            }

            for words in said.values():
                assert words, action
                assert action.value not in words or " " in words
                assert not re.search(r"[a-z]_[a-z]|%\(|None|\bUser object", words)
            assert said["sv"] != said["en"]

    def test_every_permission_has_words_for_its_refusal(self):
        assert set(Permission) <= set(WANTED)

    def test_every_action_is_of_one_kind(self):
        listed = [action for kind in AuditKind for action in kind.actions]

        assert sorted(listed) == sorted(AuditAction)
        assert kind_of(AuditAction.RECOVERY_CODE_USED) == AuditKind.SIGN_IN
        assert kind_of(AuditAction.RECOVERY_REQUESTED) == AuditKind.PEOPLE
        assert kind_of(AuditAction.INVITATIONS_SENT) == AuditKind.PROGRAMS
        assert kind_of(AuditAction.INVITATION_ACCEPTED) == AuditKind.PEOPLE
        assert kind_of(AuditAction.LOCATION_ADDED) == AuditKind.COMPANY

    def test_before_and_after_are_said_in_words(self, nordvik, lars, greta):
        event = record(
            lars,
            AuditAction.PERSON_CHANGED,
            of=nordvik,
            before={"person": lars.pk, "email": "l@partner.example", "is_active": True},
            after={"person": lars.pk, "email": "lars@partner.example", "x_y": "z"},
        )

        row = self.told(event)

        assert [(one.label, one.before, one.after) for one in row.changes] == [
            ("E-mail address", "l@partner.example", "lars@partner.example"),
            ("Active", "Yes", ""),
        ]

    def test_a_roles_details_beside_its_sentence(self, given):
        event = AuditEvent.objects.get(action=AuditAction.ROLE_ASSIGNED)

        assert self.told(event).facts == f"Source: {RoleSource.MANUAL.label}"

    def test_keys_of_rows_are_not_shown(self, nordvik, lars):
        event = record(
            lars,
            AuditAction.PAYOUT_CONFIRMED,
            of=nordvik,
            after={"part": "bank", "version": "0b6cbb4a-55a5-4d9a-b9b2-6d2bb17a2a51"},
        )

        assert self.told(event).facts == "Part: Bank profile"

    def test_a_directory_and_on_whose_behalf_it_acts(self, nordvik, greta, lars):
        with acting_as("SCIM: Entra ID (1)", on_behalf_of=greta):
            event = record(lars, of=nordvik)

        row = self.told(event, company=nordvik)

        assert (row.who, row.on_behalf_of) == ("SCIM: Entra ID (1)", "Greta Voss")

    def test_tasks_and_commands_say_their_name_to_operators(
        self, nordvik, lars, oscar, greta, client_of
    ):
        with coming_from(Origin(Door.COMMAND, name="add_company")):
            record(lars, of=nordvik)

        page = words(client_of(oscar).get(AUDIT))

        assert "add_company" not in words(client_of(greta).get(LIST))

        assert "A command of the operators: add_company" in page

    def test_too_many_refusals_are_one_sentence(self, nordvik, lars):
        event = record(
            lars,
            AuditAction.ACCESS_DENIED,
            of=nordvik,
            after={"wanted": "person_view", "times": 300},
        )

        assert "more than 300 times" in self.told(event).what

    def test_labels_and_sentences_are_translated(self):
        with translation.override("sv"):
            swedish = [str(one) for one in (*SENTENCES.values(), *LABELS.values())]
        with translation.override("en"):
            english = [str(one) for one in (*SENTENCES.values(), *LABELS.values())]
        same = {
            one for one, other in zip(english, swedish, strict=True) if one == other
        }

        assert same <= {"Version"}


class TestTable:
    @pytest.mark.parametrize(
        ("text", "cell"),
        [
            ("=1+1", "'=1+1"),
            ("+46 8", "'+46 8"),
            ("-2", "'-2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("  =1", "'  =1"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("\n=1", "'\n=1"),
            ("\0=1", "'=1"),
            ("＝1+1", "'＝1+1"),
            ("－2", "'－2"),
            ("\ufeff=1", "'\ufeff=1"),
            ("\u200b=1", "'\u200b=1"),
            ("|cmd", "'|cmd"),
            ("Lars Ek", "Lars Ek"),
            ("a=b", "a=b"),
            ("", ""),
            (None, ""),
            (12, "12"),
            ("  ", "  "),
        ],
    )
    def test_no_cell_is_a_formula(self, text, cell):
        # T13
        assert safe_cell(text) == cell

    def test_names_and_reasons_cannot_run(self, client_of, greta, nordvik):
        evil = UserFactory(
            full_name='=HYPERLINK("http://evil")', email="e@partner.example"
        )
        MembershipFactory(user=evil, partner_account=nordvik)
        record(evil, of=nordvik, by=evil, reason='@x"\r\n=cmd|a')

        (row,) = table(client_of(greta).get(EXPORT))

        assert row["Who"] == '\'=HYPERLINK("http://evil")'
        assert row["What"] == '\'=HYPERLINK("http://evil") was added.'
        assert row["Reason"] == "'@x\"\r\n=cmd|a"

    def test_it_is_written_while_it_is_read_in_the_readers_language(
        self, client_of, greta, nordvik, monkeypatch
    ):
        monkeypatch.setattr("accounts.activity.BATCH", 2)
        greta.language = "sv"
        greta.save()
        for _number in range(5):
            record(greta, of=nordvik)

        response = client_of(greta).get(EXPORT)
        with translation.override("en"):
            rows = table(response)

        assert response.streaming
        assert response["Content-Type"] == "text/csv; charset=utf-8"
        assert re.fullmatch(
            r'attachment; filename="activity-\d{4}-\d\d-\d\d\.csv"',
            response["Content-Disposition"],
        )
        assert len(rows) == 5
        assert "Vem" in rows[0]

    def test_operators_get_the_company_too(self, client_of, oscar, nordvik, lars):
        record(lars, of=nordvik)
        record(oscar)

        rows = table(client_of(oscar).get(EXPORT_AUDIT))

        assert [row["PartnerID"] for row in rows] == ["", "5012001"]

    def test_a_moment_is_in_utc(self, client_of, greta, nordvik):
        event = record(greta, of=nordvik)
        event.refresh_from_db()

        (row,) = table(client_of(greta).get(EXPORT))

        assert row["Time (UTC)"] == event.at.strftime("%Y-%m-%d %H:%M:%S")
