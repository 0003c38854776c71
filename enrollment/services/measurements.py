"""What is measured of locations, as files bring it; each line accepted or reported."""

import csv
import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import partial

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import AuditAction, Location, PartnerAccount, User
from accounts.services import record_audit_event
from accounts.text import clean_line
from enrollment.models import Criterion, MeasuredValue, ValueImport

COLUMNS = ("partner_id", "criterion", "value", "measured_on", "source")
MOST_BYTES = 200 * 1024 * 1024
# Fourteen digits and two decimals is what the database holds.
NUMBER = re.compile(r"-?[0-9]{1,14}(\.[0-9]{1,2})?")


@dataclass
class ImportReport:
    """What one file brought; every line is accepted or among the errors."""

    accepted: int = 0
    changed: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """The counts in words."""
        accepted = ngettext(
            "%(count)d line was accepted.",
            "%(count)d lines were accepted.",
            self.accepted,
        ) % {"count": self.accepted}
        changed = ngettext(
            "%(count)d value is new or changed.",
            "%(count)d values are new or changed.",
            self.changed,
        ) % {"count": self.changed}
        return f"{accepted} {changed}"


@transaction.atomic
def import_measured_values(content: bytes, *, by: User | None) -> ImportReport:
    """Read a CSV file of measured values and store the lines that are right.

    Columns: partner_id, criterion, value, measured_on (YYYY-MM-DD), source. Lines
    that are wrong are reported with their number and reason and change nothing. Of
    two values the one measured later counts, whatever the order of the lines; lines
    that contradict each other about one day are all reported. A value older than the
    one known is kept out; one of the same day corrects it. Raises ValidationError
    when the file as a whole cannot be read.
    """
    errors: dict[int, str] = {}
    values: dict[int, MeasuredValue] = {}
    read = _reader()
    for number, line in _lines(content):
        try:
            values[number] = read(line)
        except ValidationError as error:
            errors[number] = " ".join(error.messages)
    for number, others in _contradictions(values).items():
        del values[number]
        errors[number] = _(
            "the value differs from that of the same day on line %(lines)s."
        ) % {"lines": ", ".join(map(str, others))}
    report = ImportReport(
        accepted=len(values),
        changed=_store(_latest(values.values())),
        errors=[
            _("Line %(line)d: %(reason)s") % {"line": number, "reason": errors[number]}
            for number in sorted(errors)
        ],
    )
    if report.changed:
        _remember(report, content, by=by)
    return report


def _remember(report: ImportReport, content: bytes, *, by: User | None) -> None:
    counts = {
        "accepted": report.accepted,
        "changed": report.changed,
        "rejected": len(report.errors),
    }
    imported = ValueImport.objects.create(
        file_hash=hashlib.sha256(content).hexdigest(), imported_by=by, **counts
    )
    record_audit_event(
        imported,
        action=AuditAction.VALUES_IMPORTED,
        by=by,
        partner_account=None,
        after=counts | {"file_hash": imported.file_hash},
    )


def _lines(content: bytes):
    if len(content) > MOST_BYTES:
        raise ValidationError(_("The file is larger than 200 MB. Split it."))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValidationError(
            _("The file is not UTF-8. Save it as CSV UTF-8 and try again.")
        ) from error
    if "\0" in text:
        raise ValidationError(_("The file has binary content. It must be CSV text."))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in COLUMNS[:4] if name not in header]
        if missing:
            raise ValidationError(
                _("The first line must name the columns; missing: %(names)s.")
                % {"names": ", ".join(missing)}
            )
        for line in reader:
            if any(cell.strip() for cell in line):
                yield reader.line_num, _named(header, line)
    except csv.Error as error:
        raise ValidationError(
            _("Line %(line)d cannot be read as CSV: check its quotes.")
            % {"line": reader.line_num}
        ) from error


def _named(header: list[str], line: list[str]) -> dict[str, str] | None:
    """The cells by column; None where there are more cells than columns."""
    return None if len(line) > len(header) else dict(zip(header, line, strict=False))


def _reader() -> Callable[[dict[str, str] | None], MeasuredValue]:
    """Return what reads a line with what is known now of locations and criteria."""
    return partial(
        _measured_value,
        locations=dict(Location.objects.values_list("partner_id", "pk")),
        accounts=set(PartnerAccount.objects.values_list("partner_id", flat=True)),
        criteria={criterion.code: criterion for criterion in Criterion.objects.all()},
        today=timezone.localdate(),
    )


def _measured_value(
    line: dict[str, str] | None,
    *,
    locations: dict[str, int],
    accounts: set[str],
    criteria: dict[str, Criterion],
    today: date,
) -> MeasuredValue:
    if line is None:
        raise ValidationError(
            _("there are more cells than columns; put quotes around commas.")
        )
    partner_id = line.get("partner_id", "").strip()
    if partner_id in accounts:
        raise ValidationError(
            _("%(id)s is a global PartnerID; give a location's.") % {"id": partner_id}
        )
    if partner_id not in locations:
        raise ValidationError(
            _("no location has the PartnerID %(id)s.") % {"id": partner_id}
        )
    criterion = criteria.get(line.get("criterion", "").strip())
    if criterion is None:
        raise ValidationError(
            _("there is no criterion %(code)s.") % {"code": line.get("criterion", "")}
        )
    return MeasuredValue(
        location_id=locations[partner_id],
        criterion=criterion,
        value=_number(line.get("value", ""), criterion),
        measured_on=_day(line.get("measured_on", ""), today=today),
        source=_source(line.get("source", "")),
    )


def _number(text: str, criterion: Criterion) -> Decimal:
    text = text.strip().lower()
    if criterion.kind == Criterion.Kind.YES_NO:
        if text not in ("yes", "no", "1", "0"):
            raise ValidationError(_("the value must be yes or no."))
        return Decimal(text in ("yes", "1"))
    if not NUMBER.fullmatch(text):
        raise ValidationError(_("the value must be a number like 21340.50."))
    return Decimal(text).quantize(Decimal("0.01"))


def _day(text: str, *, today: date) -> date:
    text = text.strip()
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise ValidationError(_("the day must be written like 2026-11-20."))
    # A day ahead may be today already where it was measured.
    if day > today + timedelta(days=1):
        raise ValidationError(_("the day is in the future."))
    return day


def _source(text: str) -> str:
    return clean_line(text, max_length=80) if text.strip() else ""


def _contradictions(values: dict[int, MeasuredValue]) -> dict[int, list[int]]:
    """Return the lines that say different things of one day, each with the others.

    Whichever counted, the same file in another order would bring another value.
    """
    said: dict[tuple, dict[int, tuple]] = defaultdict(dict)
    for number, value in values.items():
        key = (value.location_id, value.criterion_id, value.measured_on)
        said[key][number] = (value.value, value.source)
    return {
        number: [other for other in lines if other != number]
        for lines in said.values()
        if len(set(lines.values())) > 1
        for number in lines
    }


def _latest(values: Iterable[MeasuredValue]) -> dict[tuple[int, int], MeasuredValue]:
    """Return the value measured last, by location and criterion."""
    rows: dict[tuple[int, int], MeasuredValue] = {}
    for value in values:
        key = (value.location_id, value.criterion_id)
        if key not in rows or rows[key].measured_on < value.measured_on:
            rows[key] = value
    return rows


def _store(rows: dict[tuple[int, int], MeasuredValue]) -> int:
    _lock_criteria({criterion for _location, criterion in rows})
    known = {
        (value.location_id, value.criterion_id): value
        for value in MeasuredValue.objects.filter(
            location__in={location for location, _criterion in rows}
        )
    }
    changed = [
        value for key, value in rows.items() if _is_news(value, known=known.get(key))
    ]
    MeasuredValue.objects.bulk_create(
        changed,
        update_conflicts=True,
        unique_fields=["location", "criterion"],
        update_fields=["value", "measured_on", "source"],
        batch_size=1000,
    )
    return len(changed)


def _lock_criteria(keys: set[int]) -> None:
    """Let two imports of one criterion wait for each other, before they compare.

    Otherwise the older file could be stored after the newer one.
    """
    criteria = Criterion.objects.select_for_update(of=("self",), no_key=True)
    list(criteria.filter(pk__in=keys).order_by("pk").values_list("pk", flat=True))


def _is_news(value: MeasuredValue, *, known: MeasuredValue | None) -> bool:
    return known is None or (
        known.measured_on <= value.measured_on
        and (known.value, known.measured_on, known.source)
        != (value.value, value.measured_on, value.source)
    )
