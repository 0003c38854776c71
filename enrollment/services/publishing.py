"""Drafts of a program's terms: written, foreseen, published, followed.

What publishing does to enrollments is asked of the views that move them: the draft is put
beside what is in force, as terms that nobody else sees and that are taken back. There is
no second rule that could say otherwise, and nothing of a partner's waits
(docs/adr/0014-terms-are-published.md).
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from time import monotonic
from typing import Any

from django.core.exceptions import ValidationError
from django.db import OperationalError, connection, transaction
from django.db.models import (
    Case,
    CharField,
    Count,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Concat
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _

from accounts.models import AuditAction, IncentiveProgram, User
from accounts.services import record_audit_event
from accounts.time_limits import at_length, is_held
from enrollment.eligibility import eligible_again, is_offered_in, tax_gap
from enrollment.models import (
    CheckState,
    Criterion,
    Enrollment,
    EnrollmentEvent,
    FiscalYear,
    PayoutUnderTerms,
    ProgramTerms,
    RequirementCheck,
    TermsDraft,
    TermsVersion,
)
from enrollment.services.following import follow_changed_terms
from enrollment.services.imports import writings
from enrollment.services.programs import (
    check_agreement_text,
    check_earning_types,
    define_program_terms,
)
from enrollment.services.standings import follow_requirements
from enrollment.states import FOLLOWS_PROFILES, OPEN, EnrollmentStatus
from enrollment.versions import (
    BLANK,
    SECTIONS,
    content_of,
    differences,
    moved_to,
    worded,
)

# Gaps that terms cause; the others are the partner's own, whatever terms say.
OF_TERMS = ("bank_country", "method_refused", "currency_refused", "tax_incomplete")
COUNTRY, AGREEMENT, REQUIREMENT = "country", "agreement", "requirement:"
# What is not known of a criterion ends nothing.
UNKNOWN = "unknown:"
# Who declined uses nothing: taken up again, it asks for what is missing then.
CONCERNED = OPEN - {EnrollmentStatus.DECLINED}
SAMPLES = 3
ROWS_AT_ONCE = 5000
# Seconds that one statement on all enrollments of a program may take.
PATIENCE = 600
# Moved in the transaction that publishes; the clock moves the rest (tasks.py).
AT_ONCE = 5
# No turn begins later: whoever enrolls waits for the program until the last one ended.
SECONDS_AT_ONCE = 2


@dataclass(frozen=True)
class Stranded:
    """Enrollments that one change leaves without what they need, in one status.

    `becomes` is the status they get; the one they have where nothing moves.
    """

    reason: str
    status: EnrollmentStatus
    becomes: EnrollmentStatus
    count: int
    samples: tuple[Enrollment, ...]


@dataclass(frozen=True)
class Effects:
    """What publishing a draft does to enrollments that there are.

    `enrollments` are stranded, each counted once; `mended` lack nothing of the program's
    any more; `back` are Not eligible, and come back. `digest` stands for exactly this.
    """

    stranded: tuple[Stranded, ...]
    enrollments: int
    mended: int
    back: int = 0

    @property
    def digest(self) -> str:
        counts = [
            [one.reason, one.status, one.becomes, one.count] for one in self.stranded
        ]
        text = json.dumps([counts, self.enrollments, self.mended, self.back])
        return hashlib.sha256(text.encode()).hexdigest()


# --- Drafts --------------------------------------------------------------------------


@transaction.atomic
def begin_terms_draft(
    program: IncentiveProgram,
    *,
    fiscal_year: FiscalYear,
    copy_of: ProgramTerms | None = None,
    by: User,
) -> TermsDraft:
    """Begin to write what a program asks in a year; the same draft if there is one.

    It begins with what is in force that year, else with a copy of other terms, whose
    last day moves along, else empty. Raises ValidationError for a program that is
    discontinued.
    """
    program = _locked(program)
    if program.discontinued_at is not None:
        raise ValidationError(
            _("%(program)s is discontinued.") % {"program": program.name}
        )
    begun = TermsDraft.objects.filter(program=program, fiscal_year=fiscal_year).first()
    if begun is not None:
        return begun
    in_force = ProgramTerms.objects.filter(
        program=program, fiscal_year=fiscal_year
    ).first()
    if in_force is not None:
        content = content_of(in_force)
    elif copy_of is not None:
        years = fiscal_year.number - copy_of.fiscal_year.number
        content = moved_to(content_of(copy_of), years=years)
    else:
        content = BLANK
    now = timezone.now()
    draft = TermsDraft.objects.create(
        program=program,
        fiscal_year=fiscal_year,
        content=content,
        based_on=in_force.version if in_force else 0,
        begun_at=now,
        changed_at=now,
        changed_by=by,
    )
    _record(
        draft,
        AuditAction.TERMS_DRAFT_BEGUN,
        by=by,
        after={"copy_of": str(copy_of.pk) if copy_of and not in_force else ""},
    )
    return draft


def section_digest(draft: TermsDraft, section: str) -> str:
    """What stands for a section as it is written now: forms carry it to say it was seen."""
    held = [draft.content.get(name) for name in SECTIONS[section]]
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()


@transaction.atomic
def change_terms_draft(
    draft: TermsDraft, *, section: str, values: Mapping[str, Any], seen: str, by: User
) -> TermsDraft:
    """Write down a section; without a difference nothing is written.

    `seen` is its section_digest() when it was looked at. Raises ValidationError when
    somebody changed it meanwhile.
    """
    draft = TermsDraft.objects.select_for_update(of=("self",)).get(pk=draft.pk)
    if seen != section_digest(draft, section):
        raise ValidationError(
            _(
                "%(person)s changed this section while you were writing. What you typed "
                "is still here; what is saved stands above. Save again to keep yours."
            ),
            code="changed",
            params={"person": draft.changed_by.get_full_name()},
        )
    before = {name: draft.content.get(name) for name in SECTIONS[section]}
    changed = [name for name, held in before.items() if values[name] != held]
    if not changed:
        return draft
    draft.content = draft.content | {name: values[name] for name in changed}
    draft.changed_at, draft.changed_by = timezone.now(), by
    draft.save(update_fields=["content", "changed_at", "changed_by"])
    _record(
        draft,
        AuditAction.TERMS_DRAFT_CHANGED,
        by=by,
        before={name: _shortened(before[name]) for name in changed},
        after={name: _shortened(values[name]) for name in changed},
    )
    return draft


@transaction.atomic
def discard_terms_draft(draft: TermsDraft, *, by: User) -> None:
    """Throw a draft away; what is in force stays. Twice is once."""
    draft = (
        TermsDraft.objects.select_for_update(of=("self",)).filter(pk=draft.pk).first()
    )
    if draft is None:
        return
    content = {name: _shortened(value) for name, value in draft.content.items()}
    _record(draft, AuditAction.TERMS_DRAFT_DISCARDED, by=by, before=content)
    draft.delete()


# --- What it would do ----------------------------------------------------------------


def problems_of(draft: TermsDraft) -> list[tuple[str, str]]:
    """Say what keeps a draft from being published: the section, and a sentence."""
    content = draft.content
    found = []
    if not content["methods"]:
        found.append(("payment", _("Choose at least one payment method.")))
    if not content["currencies"] and not content["pays_local_currency"]:
        found.append(("payment", _("Name at least one currency it pays in.")))
    if (
        not (content["is_open_to_all"] or content["needs_agreement"])
        and not (content["requirements"])
    ):
        found.append(
            ("requirements", _("Name a requirement, or open the program to all."))
        )
    if not content["agreement_text_en"] or not content["agreement_text_sv"]:
        found.append(("agreement", _("Write the agreement in both languages.")))
    try:
        rehearsed_terms(draft, lambda _terms: None)
    except ValidationError as error:
        by_field = getattr(error, "message_dict", {"": error.messages})
        for field, sentences in by_field.items():
            found += [(_section_of(field), one) for one in sentences]
    return list(dict.fromkeys(found))


def _section_of(field: str) -> str:
    return next((name for name, fields in SECTIONS.items() if field in fields), "who")


def foresee_publishing(draft: TermsDraft, *, at: datetime) -> Effects:
    """Say what publishing would do to the enrollments that there are.

    However long that takes: no row is locked that others write, and none is waited for.
    Raises ValidationError where the draft cannot be put in force.
    """
    return _effects_of(draft, at=at)


def rehearsed_terms(draft: TermsDraft, look) -> Any:
    """Return what `look` makes of the terms as the draft would have them.

    They are written beside what is in force and taken back around it: what a partner
    will read is asked of the same pages and rules. Raises ValidationError where the
    draft cannot be put in force.
    """
    with transaction.atomic():
        terms = _put_beside(draft)
        terms.program = draft.program
        seen = look(terms)
        transaction.set_rollback(True)
    return seen


@transaction.atomic
@at_length(PATIENCE)
def publish_terms(
    draft: TermsDraft,
    *,
    seen: str,
    is_confirmed: bool = False,
    by: User,
    at: datetime | None = None,
) -> TermsVersion:
    """Put a draft in force as the next version, and let enrollments follow.

    `seen` is the digest of the Effects that were looked at; where enrollments are
    stranded, that has to be confirmed. Those that do not meet a requirement become Not
    eligible, those that meet all again come back. Those that are submitted and lack
    something now become Action required, with a mail each person gets once; those that
    lack nothing any more go back to validation. What is too much for one transaction the
    clock does. What it does is asked before the program is held, and once more only
    where enrollments took a step meanwhile, or an import wrote values or was undone. A
    profile approved, an agreement or a location changed in those seconds is not watched:
    who follows is asked anew either way.
    Raises ValidationError when the draft is not whole, says nothing new, is older than
    what is in force, or does to enrollments something else than was looked at; and
    ("busy") while the year end or invitations hold the program.
    """
    at = at or timezone.now()
    draft = (
        TermsDraft.objects.select_for_update(of=("self",))
        .select_related("program", "fiscal_year__calendar")
        .filter(pk=draft.pk)
        .first()
    )
    if draft is None:
        raise ValidationError(_("This draft was published or thrown away meanwhile."))
    if problems := problems_of(draft):
        raise ValidationError([sentence for _section, sentence in problems])
    moves, effects = _moves(draft), _effects_of(draft, at=at)
    program = _locked(draft.program)
    if program.discontinued_at is not None:
        raise ValidationError(
            _("%(program)s is discontinued.") % {"program": program.name}
        )
    _refuse_stale(draft)
    if _moves(draft) != moves:
        effects = _effects_of(draft, at=at)
    if effects.digest != seen:
        raise ValidationError(
            _(
                "What this does to enrollments has changed since you looked. Look at the "
                "numbers again."
            ),
            code="changed",
        )
    if effects.enrollments and not is_confirmed:
        raise ValidationError(
            {"is_confirmed": _("Confirm that you have seen what becomes of them.")},
            code="not_confirmed",
        )
    terms = _put_in_force(draft, by=by)
    draft.delete()
    ProgramTerms.objects.filter(pk=terms.pk).update(is_followed=False, standing_on=None)
    until = monotonic() + SECONDS_AT_ONCE
    for follow in (follow_requirements, follow_changed_terms):
        for _turn in range(AT_ONCE):
            if not follow(terms, at=at) or monotonic() > until:
                break
    return terms.versions.get(number=terms.version)


def read_stranded(
    draft: TermsDraft, *, at: datetime, read: Callable[[Iterator[tuple]], None]
) -> None:
    """Let `read` have each enrollment that publishing would strand, one after the other.

    The reason, the status now and then, the PartnerID and name of the location, the
    company, the key of the enrollment: all of what foresee_publishing() counts. Raises
    ValidationError where publish_terms() would.
    """
    _effects_of(draft, at=at, read=read)


def _moves(draft: TermsDraft) -> tuple:
    """Count what tells that an answer of _effects_of() may be out of date.

    The enrollments by status, their steps, and how often values were written or taken
    back. Counted, not the newest: steps are numbered before they can be seen.
    """
    terms = _terms_of(draft)
    here = Enrollment.objects.filter(terms__in=terms)
    counted = here.order_by().values_list("status").annotate(number=Count("pk"))
    steps = EnrollmentEvent.objects.filter(enrollment__terms__in=terms)
    return dict(counted), steps.count(), writings()


def _effects_of(
    draft: TermsDraft,
    *,
    at: datetime,
    read: Callable[[Iterator[tuple]], None] | None = None,
) -> Effects:
    """Compare what enrollments lack under what is in force and under the draft.

    Raises ValidationError where the draft cannot be put in force.
    """
    known = _terms_of(draft).first()
    if known is None:
        rehearsed_terms(draft, lambda _terms: None)
        return Effects((), 0, 0)
    on = draft.fiscal_year.calendar.day_at(at)
    moves = draft.fiscal_year.contains(on)
    with transaction.atomic():
        with at_length(PATIENCE), connection.cursor() as cursor:
            beside = _put_beside(draft)
            _note_lacking(cursor, known, beside, on=on)
            effects = _compared(cursor, moves=moves)
            if read:
                read(_each_stranded(cursor, moves=moves))
            if moves:
                back = eligible_again(known, on=on, under=beside).count()
                effects = replace(effects, back=back)
        transaction.set_rollback(True)
    return effects


def _put_beside(draft: TermsDraft) -> ProgramTerms:
    """Write down a draft as the terms of a program of its own, to be taken back.

    Rows that are there are referred to (the year, criteria) and not locked against
    writing: who only looks keeps nobody waiting, and waits for nobody. Raises
    ValidationError where the draft cannot take the place of what is in force.
    """
    known, content = _terms_of(draft).first(), _arguments(draft.content)
    if known is not None:
        check_agreement_text(
            known,
            version=content["agreement_version"],
            texts=(content["agreement_text_en"], content["agreement_text_sv"]),
        )
        check_earning_types(known, dict(content["earning_types"]))
    unseen = IncentiveProgram.objects.create(
        code=f"DRAFT-{secrets.token_hex(7)}".upper(), name=draft.program.name
    )
    return _put_in_force(draft, program=unseen)


def _note_lacking(
    cursor, known: ProgramTerms, beside: ProgramTerms, *, on: date
) -> None:
    """Write down what open enrollments lack, before and after, and what is new of it."""
    cursor.execute(TABLES)
    for insert, rows in _lacking(known, beside, on=on):
        sql, values = rows.order_by().query.sql_with_params()
        cursor.execute(insert.format(rows=sql), values)
    cursor.execute("ANALYZE terms_lacking")
    cursor.execute(NEW, {"before": known.pk, "after": beside.pk})
    cursor.execute("ANALYZE terms_new")
    cursor.execute(MENDED, {"before": known.pk, "after": beside.pk})


def _lacking(
    known: ProgramTerms, beside: ProgramTerms, *, on: date
) -> list[tuple[str, QuerySet]]:
    """Ask the views that move enrollments what is lacking under both terms."""
    both = (known.pk, beside.pk)
    payouts = PayoutUnderTerms.objects.filter(
        terms__in=both, enrollment__terms=known, enrollment__status__in=CONCERNED
    ).annotate(tax_gap=tax_gap(on=on))
    failing = (
        RequirementCheck.objects.filter(terms__in=both)
        .failing(on)
        .filter(
            # In one filter: each would look at enrollments of the location by itself.
            Q(location__enrollments__status__in=CONCERNED)
            | Q(location__enrollments__status__in=OPEN, state=CheckState.UNMET),
            location__enrollments__terms=known,
        )
        .annotate(
            asked=Case(
                When(requirement=None, then=Value(AGREEMENT)),
                default=Concat(
                    Case(
                        When(state=CheckState.UNMET, then=Value(REQUIREMENT)),
                        default=Value(UNKNOWN),
                    ),
                    F("criterion__code"),
                    output_field=CharField(),
                ),
            )
        )
    )
    here = Enrollment.objects.filter(terms=known, status__in=CONCERNED)
    offered = is_offered_in(OuterRef("location__country"))
    return [
        (
            GAPS,
            payouts.values_list(
                "terms", "enrollment", "bank_gap", "currency_gap", "tax_gap"
            ),
        ),
        (REASONS, failing.values_list("terms", "location__enrollments", "asked")),
        *(
            (
                REASONS,
                here.exclude(Exists(ProgramTerms.objects.filter(offered, pk=one)))
                .annotate(under=Value(one), asked=Value(COUNTRY))
                .values_list("under", "pk", "asked"),
            )
            for one in both
        ),
    ]


TABLES = """
CREATE TEMPORARY TABLE terms_lacking (terms bigint, enrollment uuid, reason text)
    ON COMMIT DROP;
CREATE TEMPORARY TABLE terms_new (enrollment uuid, reason text, status text)
    ON COMMIT DROP;
CREATE TEMPORARY TABLE terms_mended (enrollment uuid) ON COMMIT DROP
"""
REASONS = "INSERT INTO terms_lacking {rows}"
GAPS = f"""
WITH payout (terms, enrollment, bank, currency, tax) AS MATERIALIZED ({{rows}})
INSERT INTO terms_lacking
SELECT payout.terms, payout.enrollment, gap
FROM payout, unnest(ARRAY[bank, currency, tax]) gap
WHERE gap IN {OF_TERMS}
"""
# What ends is not told of what else it lacks.
NEW = f"""
INSERT INTO terms_new
SELECT DISTINCT a.enrollment, a.reason, e.status
FROM terms_lacking a
JOIN enrollment_enrollment e ON e.id = a.enrollment
WHERE a.terms = %(after)s
AND NOT EXISTS (
    SELECT FROM terms_lacking b
    WHERE b.terms = %(before)s AND b.enrollment = a.enrollment AND b.reason = a.reason
)
AND (
    starts_with(a.reason, '{REQUIREMENT}') OR a.reason = '{AGREEMENT}'
    OR NOT EXISTS (
        SELECT FROM terms_lacking o
        WHERE o.terms = %(after)s AND o.enrollment = a.enrollment
          AND (starts_with(o.reason, '{REQUIREMENT}') OR o.reason = '{AGREEMENT}')
    )
)
"""
MENDED = """
INSERT INTO terms_mended
SELECT enrollment FROM terms_lacking WHERE terms = %(before)s
EXCEPT
SELECT enrollment FROM terms_lacking WHERE terms = %(after)s
"""
COUNTED = f"""
SELECT reason, status, count(*),
       (array_agg(enrollment ORDER BY enrollment))[1:{SAMPLES}]
FROM terms_new GROUP BY reason, status ORDER BY reason, status
"""
ALL_OF_THEM = """
SELECT (SELECT count(DISTINCT enrollment) FROM terms_new),
       (SELECT count(*) FROM terms_mended)
"""
EACH = """
CREATE TEMPORARY TABLE terms_stranded ON COMMIT DROP AS
SELECT row_number() OVER (ORDER BY new.reason, p.name, l.name, new.enrollment) AS n,
       new.reason, new.status, l.partner_id, l.name AS location, p.name AS company,
       new.enrollment
FROM terms_new new
JOIN enrollment_enrollment e ON e.id = new.enrollment
JOIN accounts_location l ON l.id = e.location_id
JOIN accounts_partneraccount p ON p.id = l.partner_account_id
"""
SOME = """
SELECT reason, status, partner_id, location, company, enrollment
FROM terms_stranded WHERE n > %s AND n <= %s ORDER BY n
"""


def _each_stranded(cursor, *, moves: bool) -> Iterator[tuple]:
    cursor.execute(EACH)
    cursor.execute("CREATE INDEX ON terms_stranded (n)")
    done = 0
    while True:
        cursor.execute(SOME, [done, done + ROWS_AT_ONCE])
        some = cursor.fetchall()
        for reason, status, *rest in some:
            yield reason, status, _becomes(reason, status, moves=moves), *rest
        if len(some) < ROWS_AT_ONCE:
            return
        done += ROWS_AT_ONCE


def _compared(cursor, *, moves: bool) -> Effects:
    cursor.execute(COUNTED)
    groups = cursor.fetchall()
    cursor.execute(ALL_OF_THEM)
    enrollments, mended = cursor.fetchone()
    keys = {key for *_group, some in groups for key in some}
    samples = Enrollment.objects.for_pages().in_bulk(keys)
    return Effects(
        stranded=tuple(
            Stranded(
                reason=reason,
                status=EnrollmentStatus(status),
                becomes=_becomes(reason, status, moves=moves),
                count=count,
                samples=tuple(samples[key] for key in some),
            )
            for reason, status, count, some in groups
        ),
        enrollments=enrollments,
        mended=mended,
    )


def _becomes(reason: str, status: str, *, moves: bool) -> EnrollmentStatus:
    """What an enrollment becomes for which a payout gap or a requirement is new.

    `moves` is whether the year is under way: requirements end nothing in another.
    """
    if reason in OF_TERMS and status in FOLLOWS_PROFILES:
        return EnrollmentStatus.ACTION_REQUIRED
    if moves and (reason == AGREEMENT or reason.startswith(REQUIREMENT)):
        return EnrollmentStatus.INELIGIBLE
    return EnrollmentStatus(status)


def _put_in_force(
    draft: TermsDraft,
    *,
    program: IncentiveProgram | None = None,
    by: User | None = None,
) -> ProgramTerms:
    """Without `by` to be taken back; of another program, beside what is in force."""
    return define_program_terms(
        program or draft.program,
        fiscal_year=draft.fiscal_year,
        **_arguments(draft.content),
        is_rehearsal=by is None,
        by=by,
    )


def _arguments(content: Mapping[str, Any]) -> dict[str, Any]:
    """Content as define_program_terms() takes it."""
    codes = [one["criterion"] for one in content["requirements"]]
    criteria = {one.code: one for one in Criterion.objects.filter(code__in=codes)}
    plain = {
        name: value
        for name, value in content.items()
        if name in BLANK and name not in ("requirements", "earning_types", "enroll_by")
    }
    return plain | {
        "enroll_by": parse_date(content["enroll_by"] or ""),
        "earning_types": [tuple(one) for one in content["earning_types"]],
        "requirements": [
            (criteria[one["criterion"]], Decimal(one["at_least"]))
            for one in content["requirements"]
        ],
    }


def _terms_of(draft: TermsDraft) -> QuerySet[ProgramTerms]:
    return ProgramTerms.objects.filter(
        program=draft.program_id, fiscal_year=draft.fiscal_year_id
    )


def _refuse_stale(draft: TermsDraft) -> None:
    with _busy_said(draft.program):
        held = _terms_of(draft).select_for_update(of=("self",), no_key=True)
        in_force = held.first()
    if in_force is None:
        return
    if in_force.version != draft.based_on:
        raise ValidationError(
            _(
                "Version %(number)s was published after this draft was begun. Throw the "
                "draft away and begin anew."
            ),
            code="stale",
            params={"number": in_force.version},
        )
    if not differences(content_of(in_force), worded(draft.content)):
        raise ValidationError(
            _("This draft says nothing else than what is in force."), code="same"
        )


def _locked(program: IncentiveProgram) -> IncentiveProgram:
    """Hold a program: no range of a year end or of invitations is written meanwhile.

    Who begins to enroll without an invitation waits as well; who goes on with an
    enrollment does not. Raises ValidationError ("busy").
    """
    with _busy_said(program):
        return IncentiveProgram.objects.select_for_update(
            of=("self",), no_key=True
        ).get(pk=program.pk)


@contextmanager
def _busy_said(program: IncentiveProgram) -> Iterator[None]:
    """Say in a sentence that somebody else holds the rows of a program for too long."""
    try:
        with transaction.atomic():
            yield
    except OperationalError as error:
        if not is_held(error):
            raise
        raise ValidationError(
            _(
                "Enrollments of %(program)s are being written just now, by the year end "
                "or by invitations. Try again in a few minutes."
            ),
            code="busy",
            params={"program": program.name},
        ) from error


def _shortened(value: Any) -> Any:
    """Long texts by their hash, as the audit trail keeps them."""
    if isinstance(value, str) and len(value) > 300:
        return hashlib.sha256(value.encode()).hexdigest()
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [[one["criterion"], one["at_least"]] for one in value]
    return value


def _record(
    draft: TermsDraft,
    action: AuditAction,
    *,
    by: User,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    record_audit_event(
        draft,
        action=action,
        by=by,
        partner_account=None,
        before=before,
        after={"program": draft.program_id, "year": draft.fiscal_year.number}
        | (after or {}),
    )
