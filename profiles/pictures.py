"""Pictures of documents: decoded whole and written anew, without what nobody sees."""

import io
import warnings

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from PIL import Image, ImageOps

MOST_PIXELS = 40_000_000
LONGEST_SIDE = 12_000


def redrawn(content: bytes, kind: str) -> bytes:
    """Return the picture alone, as it is to be looked at; `kind` is PNG or JPEG.

    Raises ValidationError where it is no whole picture of that kind, or too large.
    """
    written = io.BytesIO()
    try:
        with warnings.catch_warnings():
            # Giant pictures are told by their size below, before they are decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=[kind])
        _check_size(image)
        image.load()
        image = ImageOps.exif_transpose(image)
        if kind == "JPEG":
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
