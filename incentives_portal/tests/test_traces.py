"""Every service leaves a trace: found by reading what calls what, none is forgotten."""

import ast
from functools import cache
from pathlib import Path

import pytest
from django.conf import settings

# What writes history: the audit trail, and the steps of an enrollment.
TRACES = {"record_audit_event", "EnrollmentEvent", "write_refusals"}
SERVICES = (
    *sorted((settings.BASE_DIR / "accounts" / "services").glob("*.py")),
    *sorted((settings.BASE_DIR / "profiles" / "services").glob("*.py")),
    settings.BASE_DIR / "profiles" / "drafting.py",
    settings.BASE_DIR / "profiles" / "preparing.py",
    *sorted((settings.BASE_DIR / "enrollment" / "services").glob("*.py")),
)
# Services that change something and leave no trace, and why that is enough.
SILENT = {
    "accounts.clear_sessions": "deletes what nobody can use any more",
    "accounts.note_new_address": "a mail; the change itself is noted by its service",
    "accounts.note_new_place": "a mail about a sign-in, which changes nothing",
    "accounts.note_presence": "remembers where somebody is signed in",
    "accounts.seal_next_batch": "finish_rotation tells of the whole rotation",
    "accounts.share_demo_password": "invented people only",
    "profiles.add_tax_document": "of a draft: what is sent is told",
    "profiles.begin_tax_draft": "a draft: what is sent is told",
    "profiles.discard_forgotten_tax_drafts": "drafts: nothing of them was sent",
    "profiles.discard_tax_draft": "a draft: nothing of it was sent",
    "profiles.fill_tax_company": "a draft: what is sent is told",
    "profiles.fill_tax_setup": "a draft: what is sent is told",
    "profiles.fill_tax_status": "a draft: what is sent is told",
    "profiles.finish_tax_documents": "a draft: what is sent is told",
    "profiles.remove_tax_document": "of a draft; one that was sent stays",
    "enrollment.define_criterion": "what can be measured; terms that ask it are told",
    "enrollment.define_fiscal_calendar": "a rhythm of years; terms in them are told",
    "enrollment.define_fiscal_year": "a year's days; terms in it are told",
    "enrollment.define_program": "a name and a summary; its terms are told",
    "enrollment.ask_for_rehearsal": "changes no enrollment; what was rehearsed is told",
    "enrollment.rehearse_next_range": "one event tells of the whole rehearsal",
    "enrollment.renew_next_range": "its steps are written in SQL; one event tells all",
    "enrollment.undo_next_range": "its steps are written in SQL; two events tell all",
    "enrollment.begin_year_end_notices": "who is told next; the mails are kept",
    "enrollment.begin_tax_expiry_notices": "who is told next; the mails are kept",
    "enrollment.tell_next_of_tax_expiry": "queues mails, which are kept",
    "enrollment.open_invitation": "the reader's own tick; changes no enrollment",
    "enrollment.follow_questions": "the question and its answer are told",
    "enrollment.name_columns": "of a file; whoever applies it is told",
    "enrollment.start_import": "counts beforehand; what comes of it is told",
    "enrollment.retry_import": "asks for it; what becomes of the file is told",
    "enrollment.apply_import": "asks for it; carry_out_import tells who did",
    "enrollment.send_batch": "asks for it; what becomes of each row is told there",
    "enrollment.tell_next_of_batch": "queues mails, which are kept",
    "enrollment.remind_next_people": "queues mails, which are kept",
    "enrollment.note_calendar_read": "when a person's own calendar was last read",
    "enrollment.finish_sweep": "how far the clock has come; each move is told",
    "enrollment.send_test": "a mail to oneself, which changes nothing",
}


@cache
def functions() -> dict[str, dict[str, ast.FunctionDef]]:
    """Every function of the services, by app and name."""
    found: dict[str, dict[str, ast.FunctionDef]] = {}
    for path in SERVICES:
        app = Path(path).relative_to(settings.BASE_DIR).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                found.setdefault(app, {})[node.name] = node
    return found


def names_in(function: ast.FunctionDef) -> set[str]:
    """Everything a function calls or hands on, its decorators left out."""
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for part in function.body
        for node in ast.walk(part)
        if isinstance(node, ast.Name | ast.Attribute)
    }


def leaves_a_trace(name: str, known: dict[str, ast.FunctionDef]) -> bool:
    """Whether following the calls from a function leads to where history is written."""
    seen, ahead = set(), [name]
    while ahead:
        function = known.get(ahead.pop())
        if function is None or function.name in seen:
            continue
        seen.add(function.name)
        names = names_in(function)
        if names & TRACES:
            return True
        ahead += names
    return False


def changing() -> list[str]:
    """The public services that change something: a transaction of their own says so."""
    return sorted(
        f"{app}.{name}"
        for app, known in functions().items()
        for name, function in known.items()
        if not name.startswith("_")
        and any("atomic" in ast.unparse(one) for one in function.decorator_list)
    )


@pytest.mark.parametrize("service", changing())
def test_a_service_that_changes_something_leaves_a_trace(service):
    # The other way round: whoever leaves one needs no excuse.
    assert is_traced(service) is (service not in SILENT)


def is_traced(service: str) -> bool:
    app, name = service.split(".")
    everywhere = {
        known_name: function
        for known in functions().values()
        for known_name, function in known.items()
    }
    return leaves_a_trace(name, everywhere | functions()[app])


def test_every_silence_is_about_a_service():
    assert set(SILENT) <= set(changing())


def test_a_forgotten_trace_would_be_found():
    source = "def forget(user, *, by):\n    user.save()\n    _later(user)\n"
    (function,) = ast.parse(source).body

    assert not leaves_a_trace("forget", {"forget": function})
