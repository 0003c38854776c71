"""What is measured of locations, as files bring it; each line accepted or reported."""

import csv
import io
import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import AuditAction, Location, PartnerAccount, User
from accounts.services import record_audit_event
from accounts.text import clean_line
from enrollment.models import Agreement, Criterion, MeasuredValue

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
    two values the one measured later counts, of the same day the one further down; a
    value older than the one known is kept out. Raises ValidationError when the file
    as a whole cannot be read.
    """
    report = ImportReport()
    locations = dict(Location.objects.values_list("partner_id", "pk"))
    accounts = set(PartnerAccount.objects.values_list("partner_id", flat=True))
    criteria = {criterion.code: criterion for criterion in Criterion.objects.all()}
    rows: dict[tuple[int, int], MeasuredValue] = {}
    today = timezone.localdate()
    for number, line in _lines(content):
        try:
            value = _measured_value(line, locations, accounts, criteria, today=today)
        except ValidationError as error:
            report.errors.append(
                _("Line %(line)d: %(reason)s")
                % {"line": number, "reason": " ".join(error.messages)}
            )
            continue
        report.accepted += 1
        key = (value.location_id, value.criterion_id)
        if key not in rows or rows[key].measured_on <= value.measured_on:
            rows[key] = value
    report.changed = _store(rows)
    if report.changed:
        record_audit_event(
            Criterion.objects.order_by("pk").first(),
            action=AuditAction.VALUES_IMPORTED,
            by=by,
            partner_account=None,
            after={
                "accepted": report.accepted,
                "changed": report.changed,
                "rejected": len(report.errors),
            },
        )
    return report


@transaction.atomic
def record_agreement(
    account: PartnerAccount, *, starts_on: date, ends_on: date | None = None
) -> Agreement:
    """Write down that a company signed the partner agreement (domain.md §4)."""
    agreement, _is_new = Agreement.objects.update_or_create(
        partner_account=account, starts_on=starts_on, defaults={"ends_on": ends_on}
    )
    return agreement


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


def _measured_value(
    line: dict[str, str] | None,
    locations: dict[str, int],
    accounts: set[str],
    criteria: dict[str, Criterion],
    *,
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


def _store(rows: dict[tuple[int, int], MeasuredValue]) -> int:
    known = {
        (value.location_id, value.criterion_id): value
        for value in MeasuredValue.objects.filter(
            location__in={location for location, _criterion in rows}
        )
    }
    changed = []
    for key, value in rows.items():
        old = known.get(key)
        if old is None or (
            old.measured_on <= value.measured_on
            and (old.value, old.measured_on, old.source)
            != (value.value, value.measured_on, value.source)
        ):
            changed.append(value)
    MeasuredValue.objects.bulk_create(
        changed,
        update_conflicts=True,
        unique_fields=["location", "criterion"],
        update_fields=["value", "measured_on", "source"],
        batch_size=1000,
    )
    return len(changed)
