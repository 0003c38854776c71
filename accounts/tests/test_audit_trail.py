"""The audit trail: written once, chained, and found out when it is tampered with."""

import json
from contextlib import suppress
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from accounts.models import AuditAction, AuditChain, AuditEvent
from accounts.origin import Door, Origin, coming_from
from accounts.services import acting_as, record_audit_event
from accounts.tests.factories import PartnerAccountFactory
from accounts.tests.threads import at_once

pytestmark = pytest.mark.django_db


def write(company, number: int = 1, *, by=None, **fields) -> list[AuditEvent]:
    """Write events about a company."""
    events = [
        record_audit_event(
            company,
            action=AuditAction.COMPANY_ADDED,
            by=by,
            partner_account=company,
            **fields,
        )
        for _number in range(number)
    ]
    for event in events:
        event.refresh_from_db()
    return events


def tamper(sql: str, *params) -> None:
    """What somebody with the owner's rights can do: switch the triggers off."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE accounts_auditevent DISABLE TRIGGER USER")
        cursor.execute(sql, params)
        cursor.execute("ALTER TABLE accounts_auditevent ENABLE TRIGGER USER")


def verify(*heads) -> str:
    out = StringIO()
    arguments = [f"--head={file}" for file in heads]
    call_command("audit_verify", *arguments, stdout=out)
    return out.getvalue()


def fault(*heads, returncode: int = 1) -> str:
    with pytest.raises(CommandError) as error:
        verify(*heads)
    assert error.value.returncode == returncode
    return str(error.value)


class TestTrail:
    def test_each_event_follows_the_one_before_it(self, nordvik):
        first, second = write(nordvik, 2)

        assert (first.seq, first.prev_hash) == (1, "")
        assert (second.seq, second.prev_hash) == (2, first.hash)
        head = AuditChain.objects.get(chain=first.chain)
        assert (head.seq, head.hash) == (2, second.hash)

    def test_each_company_has_its_own_chain(self, nordvik):
        write(nordvik, 2)
        (other,) = write(PartnerAccountFactory())

        assert other.seq == 1

    def test_events_of_no_company_share_one(self, lars):
        event = record_audit_event(
            lars, action=AuditAction.PERSON_ADDED, by=None, partner_account=None
        )

        event.refresh_from_db()
        assert (event.chain, event.seq) == ("portal", 1)

    def test_the_writer_does_not_choose_place_hash_or_time(self, nordvik):
        written = AuditEvent.objects.create(
            chain="x",
            seq=99,
            hash="0" * 64,
            prev_hash="1" * 64,
            action=AuditAction.COMPANY_ADDED,
            partner_account=nordvik,
        )

        written.refresh_from_db()
        assert (written.seq, written.prev_hash) == (1, "")
        assert written.hash != "0" * 64

    @pytest.mark.parametrize(
        "sql",
        [
            "UPDATE accounts_auditevent SET reason = 'another'",
            "UPDATE accounts_auditevent SET seq = seq",
            "DELETE FROM accounts_auditevent",
            "DELETE FROM accounts_auditevent WHERE seq = 1",
        ],
    )
    def test_history_is_written_once(self, nordvik, sql):
        # T16
        write(nordvik)

        with (
            pytest.raises(IntegrityError, match="written once"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)

        assert AuditEvent.objects.count() == 1

    def test_the_orm_cannot_change_it_either(self, nordvik):
        (event,) = write(nordvik)

        with pytest.raises(IntegrityError), transaction.atomic():
            event.save()
        with pytest.raises(IntegrityError), transaction.atomic():
            event.delete()
        with pytest.raises(IntegrityError), transaction.atomic():
            AuditEvent.objects.update(reason="x")


class TestVerifying:
    def test_an_intact_trail_prints_its_heads(self, nordvik):
        *_others, last = write(nordvik, 3, after={"name": "Åsa", "n": 1.5})
        write(PartnerAccountFactory())

        report = verify()

        assert f"company:{nordvik.pk} 3 {last.hash}" in report
        assert "Intact: 2 chains recomputed." in report

    def test_an_empty_trail_is_intact(self):
        assert "Intact: 0 chains" in verify()

    @pytest.mark.parametrize(
        "change",
        [
            "reason = 'nothing happened'",
            """after = '{"name": "another"}'""",
            "before = '[]'",
            "actor_id = NULL, action = 'role_revoked'",
            "at = at + interval '1 microsecond'",
            "object_id = '0'",
            "actor_name = 'SCIM: somebody else'",
            "partner_account_id = NULL",
            "on_behalf_of_id = actor_id",
            "person_id = NULL",
            "location_id = NULL",
            "door = ''",
            "door_name = 'invite'",
            "place = '198.51.100.0/24'",
            "device = 'Safari, macOS'",
            "session_hash = repeat('0', 16)",
            "hash = repeat('0', 64)",
        ],
    )
    def test_a_changed_event_is_found(self, nordvik, goteborg, greta, lars, change):
        here = Origin(Door.WEB, place="192.0.2.0/24", device="Firefox, Windows")
        told = {"person": lars.pk, "location": goteborg.pk}
        with coming_from(here):
            events = write(nordvik, 3, by=greta, after=told)

        tamper(f"UPDATE accounts_auditevent SET {change} WHERE id = %s", events[1].pk)

        assert f"company:{nordvik.pk} is broken at event 2 (id {events[1].pk})" in (
            fault()
        )

    def test_every_column_is_chained(self, nordvik, goteborg, greta, lars):
        # A column that comes later and is not hashed could be rewritten unseen.
        here = Origin(door=Door.WEB, name="n", place="p", device="d", request_id="r")
        with coming_from(here), acting_as("SCIM", on_behalf_of=greta):
            write(
                nordvik,
                1,
                reason="why",
                after={"person": lars.pk, "location": goteborg.pk},
            )
        other = {"chain": "'portal'", "seq": "7", "at": "at + interval '1 second'"}
        other["action"] = "'role_revoked'"
        unseen = []
        verify()
        for field in AuditEvent._meta.concrete_fields:
            kind = field.get_internal_type()
            changed = other.get(field.column) or {
                "ForeignKey": f"CASE WHEN {field.column} IS NULL THEN {greta.pk} END",
                "JSONField": "'{\"x\": 1}'",
            }.get(kind, f"left({field.column} || 'x', 30)")
            if field.primary_key:
                continue
            point = transaction.savepoint()
            tamper(f"UPDATE accounts_auditevent SET {field.column} = {changed}")
            with suppress(CommandError):
                verify()
                unseen.append(field.column)
            transaction.savepoint_rollback(point)

        assert unseen == []

    def test_the_name_of_a_machine_is_chained_too(self, nordvik):
        with acting_as("SCIM: Entra ID (1)"):
            first, second = write(nordvik, 2)
        (third,) = write(nordvik)

        names = [one.actor_name for one in (first, second, third)]
        assert names == ["SCIM: Entra ID (1)"] * 2 + [""]
        assert "Intact" in verify()
        tamper("UPDATE accounts_auditevent SET actor_name = '' WHERE id = %s", first.pk)
        assert "broken at event 1" in fault()

    def test_a_changed_event_with_a_new_hash_breaks_the_next(self, nordvik):
        events = write(nordvik, 3)

        tamper(
            "UPDATE accounts_auditevent SET reason = 'x' WHERE id = %s", events[1].pk
        )
        tamper(
            "UPDATE accounts_auditevent e SET hash = accounts_audit_hash(e) "
            "WHERE id = %s",
            events[1].pk,
        )

        assert "event 3" in fault()
        assert "does not follow the one before it" in fault()

    def test_a_missing_event_is_found(self, nordvik):
        events = write(nordvik, 3)

        tamper("DELETE FROM accounts_auditevent WHERE id = %s", events[1].pk)

        assert "event 3" in fault()
        assert "an event is missing before it" in fault()

    def test_a_cut_end_is_found(self, nordvik):
        events = write(nordvik, 3)

        tamper("DELETE FROM accounts_auditevent WHERE id = %s", events[2].pk)

        assert "the head says event 3" in fault()

    def test_a_whole_chain_taken_away_is_found(self, nordvik):
        write(nordvik, 2)

        tamper("DELETE FROM accounts_auditevent")

        assert "the head says event 2" in fault()

    def test_a_head_taken_away_is_found(self, nordvik):
        write(nordvik, 2)

        AuditChain.objects.all().delete()

        assert "the head says event 0" in fault()

    def test_a_head_moved_back_is_found(self, nordvik):
        first, _second = write(nordvik, 2)

        AuditChain.objects.update(seq=1, hash=first.hash)

        assert "the head says event 1" in fault()

    def test_swapped_events_are_found(self, nordvik):
        first, second = write(nordvik, 2)

        tamper("UPDATE accounts_auditevent SET seq = 9 WHERE id = %s", first.pk)
        tamper("UPDATE accounts_auditevent SET seq = 1 WHERE id = %s", second.pk)
        tamper("UPDATE accounts_auditevent SET seq = 2 WHERE id = %s", first.pk)

        assert "event 1" in fault()

    def test_an_event_put_in_by_hand_is_found(self, nordvik):
        (event,) = write(nordvik)

        tamper(
            "INSERT INTO accounts_auditevent (chain, seq, at, action, object_type, "
            "object_id, before, after, reason, request_id, prev_hash, hash) "
            "SELECT chain, 2, at, action, object_type, object_id, before, after, "
            "'forged', request_id, hash, repeat('0', 64) "
            "FROM accounts_auditevent WHERE id = %s",
            event.pk,
        )

        assert "event 2" in fault()

    def test_the_first_broken_link_is_named(self, nordvik):
        events = write(nordvik, 5)

        for event in (events[3], events[1]):
            tamper(
                "UPDATE accounts_auditevent SET reason = 'x' WHERE id = %s", event.pk
            )

        assert "event 2" in fault()

    def test_one_companys_broken_chain_is_found_among_others(self, nordvik):
        for _number in range(3):
            write(PartnerAccountFactory(), 2)
        events = write(nordvik, 2)

        tamper(
            "UPDATE accounts_auditevent SET reason = 'x' WHERE id = %s", events[0].pk
        )

        assert f"company:{nordvik.pk} is broken" in fault()


def cut_and_mend(company, *, keep: int) -> None:
    """Cut a chain's end and let its head say that it ended there."""
    chain = f"company:{company.pk}"
    tamper("DELETE FROM accounts_auditevent WHERE chain = %s AND seq > %s", chain, keep)
    last = AuditEvent.objects.get(chain=chain, seq=keep)
    AuditChain.objects.filter(chain=chain).update(seq=keep, hash=last.hash)


class TestHeads:
    @pytest.fixture
    def heads(self, tmp_path):
        """Export the heads of now to a new file."""
        files = (tmp_path / f"heads-{number}.json" for number in range(9))

        def export():
            file = next(files)
            call_command("audit_head", export=file, stdout=StringIO())
            return file

        return export

    def test_a_trail_that_went_on_is_intact(self, nordvik, heads):
        write(nordvik, 2)
        before = heads()
        write(nordvik, 2)
        write(PartnerAccountFactory())

        report = verify(before)

        assert "Intact: 2 chains recomputed, 1 exported heads found again." in report

    def test_a_cut_end_with_a_mended_head_is_found(self, nordvik, heads):
        # T16
        write(nordvik, 3)
        exported = heads()

        cut_and_mend(nordvik, keep=2)

        assert "Intact" in verify()  # the control: the database alone cannot know
        assert "is broken at event 3: it is gone" in fault(exported)

    def test_a_chain_written_anew_from_the_start_is_found(self, nordvik, heads):
        write(nordvik, 3)
        exported = heads()

        tamper("DELETE FROM accounts_auditevent")
        AuditChain.objects.all().delete()
        write(nordvik, 3, reason="another story")

        assert "Intact" in verify()
        assert "not what it was when its head was exported" in fault(exported)

    def test_a_chain_taken_away_with_its_head_is_found(self, nordvik, heads):
        write(nordvik, 3)
        write(PartnerAccountFactory())
        exported = heads()

        chain = f"company:{nordvik.pk}"
        tamper("DELETE FROM accounts_auditevent WHERE chain = %s", chain)
        AuditChain.objects.filter(chain=chain).delete()

        assert "Intact" in verify()
        assert f"{chain} is broken at event 3: it is gone" in fault(exported)

    def test_several_heads_are_compared_at_once(self, nordvik, heads):
        write(nordvik, 2)
        first = heads()
        write(nordvik, 2)
        second = heads()

        cut_and_mend(nordvik, keep=3)

        assert "Intact" in verify(first)
        assert "event 4" in fault(first, second)

    def test_an_older_head_is_not_overwritten(self, nordvik, heads, tmp_path):
        write(nordvik)
        file = heads()
        kept = file.read_text()
        write(nordvik)

        with pytest.raises(CommandError, match="could not be written"):
            call_command("audit_head", export=file)

        assert file.read_text() == kept

    def test_without_a_file_the_heads_are_printed(self, nordvik):
        *_others, last = write(nordvik, 2)
        out = StringIO()

        call_command("audit_head", stdout=out)

        assert json.loads(out.getvalue())["heads"] == [
            {"chain": f"company:{nordvik.pk}", "seq": 2, "hash": last.hash}
        ]

    @pytest.mark.parametrize(
        "content", [None, "", "[]", "{}", '{"heads": [{"chain": "x"}]}', "\0"]
    )
    def test_what_is_no_export_cannot_be_compared(self, tmp_path, content):
        # Another status than for a broken chain: a scheduler can tell them apart.
        file = tmp_path / "heads.json"
        if content is not None:
            file.write_text(content)

        assert "holds no exported heads" in fault(file, returncode=2)


class TestAtOnce:
    @pytest.mark.django_db(transaction=True)
    def test_writers_of_one_company_wait_for_each_other(self):
        company, other = PartnerAccountFactory(), PartnerAccountFactory()

        def write_some():
            for _number in range(5):
                with transaction.atomic():
                    write(company)
            with suppress(ZeroDivisionError), transaction.atomic():
                write(company)
                raise ZeroDivisionError  # taken back: leaves no hole
            with transaction.atomic():
                write(other)

        outcomes = at_once(*[write_some] * 6)

        assert outcomes == [None] * 6
        places = AuditEvent.objects.filter(partner_account=company).order_by("seq")
        assert list(places.values_list("seq", flat=True)) == list(range(1, 31))
        assert "Intact: 2 chains recomputed." in verify()
