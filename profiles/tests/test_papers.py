"""What is stored as a document: looked at, not believed; hostile files are refused."""

import io
import struct
import zlib

import pytest
from django.core.exceptions import ValidationError
from PIL import Image
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject

from profiles.papers import JPEG, MOST_BYTES, PDF, PNG, checked_paper
from profiles.tests.factories import a_pdf

HTML = b"<html><script>alert(1)</script></html>"


def a_picture(kind: str = "PNG", size=(20, 10), **options) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, "white").save(written, kind, **options)
    return written.getvalue()


def noise() -> bytes:
    written = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(written, "PNG")
    return written.getvalue()


def changed(change) -> bytes:
    """A whole PDF after a change by its writer."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(a_pdf("form"))))
    change(writer)
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def opens_with(writer: PdfWriter, action: str) -> None:
    """Let something happen when the document is opened."""
    what = {NameObject("/S"): NameObject(action)}
    writer.root_object[NameObject("/OpenAction")] = DictionaryObject(what)


def giant_png(side: int = 60_000) -> bytes:
    """A few bytes that say they are gigabytes of picture."""

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


HOSTILE = {
    "empty": (b"", "is empty"),
    "one byte": (b"%", "no PDF, PNG or JPEG"),
    "too large": (b"%PDF-1.7" + b" " * MOST_BYTES, "larger than 5 MB"),
    "HTML as PDF": (HTML, "no PDF, PNG or JPEG"),
    "HTML before a PDF": (HTML + a_pdf("x"), "no PDF, PNG or JPEG"),
    "HTML that begins as a PDF": (b"%PDF-1.7\n" + HTML, "damaged"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no PDF, PNG or JPEG"),
    "GIF": (b"GIF89a" + b"\0" * 30, "no PDF, PNG or JPEG"),
    "ZIP": (b"PK\x03\x04" + b"\0" * 30, "no PDF, PNG or JPEG"),
    "cut PDF": (a_pdf("x")[:200], "damaged"),
    "PDF of nonsense": (b"%PDF-1.7\n" + b"\xff" * 500 + b"\n%%EOF", "damaged"),
    "PDF without pages": (a_pdf("x", pages=0), "damaged"),
    "PDF of many pages": (a_pdf("x", pages=51), "more than 50 pages"),
    "PDF with a program": (
        changed(lambda writer: opens_with(writer, "/JavaScript")),
        "a program or another file",
    ),
    "PDF that starts a program": (
        changed(lambda writer: opens_with(writer, "/Launch")),
        "a program or another file",
    ),
    "PDF with a file": (
        changed(lambda writer: writer.add_attachment("a.exe", b"MZ")),
        "a program or another file",
    ),
    "locked PDF": (
        changed(lambda writer: writer.encrypt("secret", algorithm="AES-256")),
        "locked with a password",
    ),
    "giant PNG": (giant_png(), "too many pixels"),
    "cut PNG": (noise()[: len(noise()) // 2], "damaged"),
    "PNG of nonsense": (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "damaged"),
    "JPEG of nonsense": (b"\xff\xd8\xff" + b"\0" * 100, "damaged"),
    "PNG that says JPEG": (b"\xff\xd8\xff" + a_picture(), "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_with_a_sentence(name):
    content, said = HOSTILE[name]

    with pytest.raises(ValidationError) as refusal:
        checked_paper(content)

    assert said in " ".join(refusal.value.messages)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (a_pdf("form"), PDF),
        (changed(lambda writer: writer.encrypt("", "owner")), PDF),
        (a_picture("PNG"), PNG),
        (a_picture("JPEG"), JPEG),
    ],
    ids=["PDF", "PDF locked against changes only", "PNG", "JPEG"],
)
def test_what_people_scan_is_taken(content, content_type):
    assert checked_paper(content).content_type == content_type


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_nothing_comes_along_with_a_picture(kind):
    place = Image.Exif()
    place[0x010E] = "taken at home"
    picture = a_picture(kind, exif=place) + HTML + b"PK\x03\x04 another file"
    assert b"taken at home" in picture

    stored = checked_paper(picture).content

    assert b"taken at home" not in stored
    assert HTML not in stored
    assert b"PK\x03\x04" not in stored
    with Image.open(io.BytesIO(stored)) as shown:
        assert shown.size == (20, 10)


def test_a_picture_lies_as_it_is_looked_at():
    turned = Image.Exif()
    turned[0x0112] = 6

    stored = checked_paper(a_picture("JPEG", exif=turned)).content

    with Image.open(io.BytesIO(stored)) as shown:
        assert shown.size == (10, 20)
