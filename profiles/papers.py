"""What may be stored as a document: its content is looked at, not its name or label.

A picture is decoded whole and written anew, so that nothing comes along that nobody
sees: places, other files behind the picture, comments. Of a PDF the structure is read;
one that holds programs, other files or a lock is refused.
"""

import io
import warnings
from dataclasses import dataclass
from importlib import import_module

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from PIL import Image, ImageOps

MOST_BYTES = 5 * 1024 * 1024
MOST_MEGABYTES = MOST_BYTES // (1024 * 1024)
MOST_PIXELS = 40_000_000
LONGEST_SIDE = 12_000
NAME_LENGTH = 120
PDF, PNG, JPEG = "application/pdf", "image/png", "image/jpeg"
EXTENSIONS = {PDF: "pdf", PNG: "png", JPEG: "jpg"}
_BEGINNINGS = ((b"%PDF-", PDF), (b"\x89PNG\r\n\x1a\n", PNG), (b"\xff\xd8\xff", JPEG))
_FORMATS = {PNG: "PNG", JPEG: "JPEG"}


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
    if content_type == PDF:
        # What reads them takes half a second to load: not for every process's start.
        import_module("profiles.pdfs").check_pdf(content)
        return Paper(PDF, content)
    return Paper(content_type, _redrawn(content, content_type))


# --- Pictures ------------------------------------------------------------------------


def _redrawn(content: bytes, content_type: str) -> bytes:
    """Return the picture alone, as it is to be looked at."""
    written = io.BytesIO()
    try:
        with warnings.catch_warnings():
            # Giant pictures are told by their size below, before they are decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=[_FORMATS[content_type]])
        _check_size(image)
        image.load()
        image = ImageOps.exif_transpose(image)
        if content_type == JPEG:
            image.convert("RGB").save(written, "JPEG", quality=88)
        else:
            is_clear = "A" in image.mode or "transparency" in image.info
            image = image.convert("RGBA" if is_clear else "RGB")
            image.info = {}
            image.save(written, "PNG")
    except Image.DecompressionBombError:
        raise _too_many_pixels() from None
    except ValidationError:
        raise
    except Exception as error:
        raise ValidationError(
            _("This picture is damaged. Take or save it again."), code="damaged"
        ) from error
    return written.getvalue()


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise _too_many_pixels()


def _too_many_pixels() -> ValidationError:
    return ValidationError(
        _("This picture has too many pixels. Save it in a smaller size."),
        code="too_many_pixels",
    )
