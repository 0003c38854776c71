"""Invented documents for the demo: one page each that says it is none."""

import io
from datetime import date
from typing import Any

from PIL import Image, ImageDraw

from accounts.models import Location, User
from enrollment.management.demo.clock import Clock
from profiles.countries.tax_forms import DOCUMENTS
from profiles.models import TaxDocument


def documents_of(
    entries: list[dict[str, Any]], *, location: Location, clock: Clock, by: User
) -> list[TaxDocument]:
    """Return unsaved documents as the data describe them: kind and day."""
    return [
        _document(
            DOCUMENTS[entry["kind"]].label,
            kind=entry["kind"],
            dated_on=_day(entry["dated"], clock),
            location=location,
            by=by,
        )
        for entry in entries
    ]


def _day(offset: str, clock: Clock) -> date:
    """A day ago; "three-years" is one whose W-8 ends with this year."""
    if offset == "three-years":
        return date(clock.now.year - 3, 6, 1)
    return clock.day(offset)


def _document(
    label, *, kind: str, dated_on: date, location: Location, by: User
) -> TaxDocument:
    content = _page([str(label), location.legal_name, dated_on.isoformat()])
    return TaxDocument(
        location=location,
        kind=kind,
        dated_on=dated_on,
        content_type="application/pdf",
        size=len(content),
        name=f"{kind}.pdf",
        content=content,
        added_by=by,
    )


def _page(lines: list[str]) -> bytes:
    page = Image.new("L", (620, 877), "white")
    pen = ImageDraw.Draw(page)
    for number, line in enumerate([*lines, "", "Demo: an invented document"]):
        pen.text((60, 80 + 40 * number), line, fill="black", font_size=22)
    written = io.BytesIO()
    page.save(written, "PDF", resolution=75)
    return written.getvalue()
