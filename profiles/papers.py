"""What may be stored as a document: its content is looked at, not its name or label.

A picture is decoded whole and written anew, so that nothing comes along that nobody
sees: places, other files behind the picture, comments. Of a PDF the structure is read;
one that holds programs, other files or a lock is refused.
"""

from dataclasses import dataclass
from importlib import import_module

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

MOST_BYTES = 5 * 1024 * 1024
MOST_MEGABYTES = MOST_BYTES // (1024 * 1024)
NAME_LENGTH = 120
PDF, PNG, JPEG = "application/pdf", "image/png", "image/jpeg"
EXTENSIONS = {PDF: "pdf", PNG: "png", JPEG: "jpg"}
_PICTURES = {PNG: "PNG", JPEG: "JPEG"}
_BEGINNINGS = ((b"%PDF-", PDF), (b"\x89PNG\r\n\x1a\n", PNG), (b"\xff\xd8\xff", JPEG))


@dataclass(frozen=True)
class Paper:
    """A document's content after it was looked at, and what it is."""

    content_type: str
    content: bytes


def checked_paper(content: bytes, *, size: int | None = None) -> Paper:
    """Return what is stored of an uploaded file, or say what is wrong with it.

    `size` is what was sent, where not all of it was kept. Raises ValidationError.
    """
    size = len(content) if size is None else size
    if not size:
        raise ValidationError(_("This file is empty. Choose another."), code="empty")
    if size > MOST_BYTES:
        raise ValidationError(
            _(
                "This file is larger than %(most)d MB. Scan it with fewer dots per inch."
            ),
            code="too_large",
            params={"most": MOST_MEGABYTES},
        )
    found = (kind for start, kind in _BEGINNINGS if content.startswith(start))
    content_type = next(found, None)
    if content_type is None:
        raise ValidationError(
            _("This is no PDF, PNG or JPEG file, whatever its name says."),
            code="unknown",
        )
    # What reads them takes half a second and 5 MB to load: not for every process.
    if content_type == PDF:
        import_module("profiles.pdfs").check_pdf(content)
        return Paper(PDF, content)
    pictures = import_module("profiles.pictures")
    return Paper(content_type, pictures.redrawn(content, _PICTURES[content_type]))
