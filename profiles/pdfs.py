"""PDF documents: their structure is read; what holds programs or files is refused."""

import io

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from pypdf import PdfReader
from pypdf.errors import PyPdfError
from pypdf.generic import DictionaryObject

MOST_PAGES = 50
# What of a PDF's catalog and pages starts something, or carries another file along.
# Forms of tax authorities hold fields with rules of their own (XFA): those are let in.
_ACTIVE = ("/AA", "/JavaScript", "/JS", "/EmbeddedFiles")
_ACTIONS = frozenset(
    ("/JavaScript", "/Launch", "/SubmitForm", "/ImportData", "/GoToE", "/RichMedia")
)


def check_pdf(content: bytes) -> None:
    """Refuse what is no whole PDF, or does something; raises ValidationError."""
    if b"%%EOF" not in content[-1024:]:
        raise _damaged_pdf()
    try:
        reader = PdfReader(io.BytesIO(content), strict=False)
        # Many authorities' forms are locked against changes only, not against reading.
        if reader.is_encrypted and not reader.decrypt(""):
            raise ValidationError(
                _("This PDF is locked with a password. Save it without one."),
                code="locked",
            )
        pages = len(reader.pages)
        is_active = _starts_something(reader)
    except ValidationError:
        raise
    except (PyPdfError, RecursionError, MemoryError) as error:
        raise _damaged_pdf() from error
    except Exception as error:
        raise _damaged_pdf() from error
    if not pages:
        raise _damaged_pdf()
    if pages > MOST_PAGES:
        raise ValidationError(
            _("This PDF has more than %(most)d pages. Send only the form."),
            code="too_many_pages",
            params={"most": MOST_PAGES},
        )
    if is_active:
        raise ValidationError(
            _(
                "This PDF holds a program or another file. Print it to a PDF and send that."
            ),
            code="active",
        )


def _damaged_pdf() -> ValidationError:
    return ValidationError(
        _("This PDF is damaged or not whole. Save or scan it again."), code="damaged"
    )


def _starts_something(reader: PdfReader) -> bool:
    catalog = _dictionary(reader.trailer["/Root"])
    parts = (
        catalog,
        *(_dictionary(catalog.get(key)) for key in ("/Names", "/AcroForm")),
    )
    if any(key in part for part in parts for key in _ACTIVE):
        return True
    # Where a document opens is no program, if it is a place in it.
    if _is_action(catalog.get("/OpenAction")):
        return True
    return any(_page_starts_something(page) for page in reader.pages)


def _page_starts_something(page: DictionaryObject) -> bool:
    notes = page.get("/Annots")
    notes = notes.get_object() if notes is not None else ()
    return "/AA" in page or any(
        "/AA" in note
        or note.get("/Subtype") in ("/FileAttachment", "/RichMedia", "/Movie")
        or _is_action(note.get("/A"))
        for note in map(_dictionary, notes or ())
    )


def _is_action(value) -> bool:
    """Whether something runs, sends or opens a file; going to a page is none."""
    return _dictionary(value).get("/S") in _ACTIONS


def _dictionary(value) -> DictionaryObject:
    value = value.get_object() if hasattr(value, "get_object") else value
    return value if isinstance(value, DictionaryObject) else DictionaryObject()
