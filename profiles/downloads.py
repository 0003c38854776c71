"""How a document leaves the portal: as a file to keep, never as a page."""

from django.http import HttpResponse

from profiles.models import TaxDocument
from profiles.papers import EXTENSIONS


def as_file(document: TaxDocument, content: bytes) -> HttpResponse:
    """Return a document as a download that no browser runs anything of.

    Its name is ours: what the sender called it is not trusted in a header.
    """
    name = f"{document.kind}-{document.dated_on.isoformat()}"
    return attached(content, content_type=document.content_type, name=name)


def attached(content: bytes, *, content_type: str, name: str) -> HttpResponse:
    """Return a file as a download under a plain name of ours."""
    response = HttpResponse(content, content_type=content_type)
    response["Content-Disposition"] = (
        f'attachment; filename="{name}.{EXTENSIONS[content_type]}"'
    )
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Cache-Control"] = "no-store"
    return response
