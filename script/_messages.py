"""Keeps locale/ in step with the sentences in code and templates; see script/messages."""

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.core import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "locale"
SOURCES = ("accounts", "profiles", "enrollment", "incentives_portal", "templates")
NOT_SHOWN = {"tests", "migrations"}
WITH_CONTEXT = ((1, "c"), 2)
WITH_CONTEXT_AND_PLURAL = ((1, "c"), 2, 3)
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop"), None),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), WITH_CONTEXT),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), WITH_CONTEXT_AND_PLURAL),
}
PLACEHOLDER = re.compile(r"%%|%(?:\(\w+\))?[sdif]|\{\w*\}|</?[a-z][^>]*>")


class Translations(Catalog):
    """A catalog whose header says nothing that changes from one day to the next."""

    def __init__(self, language: str):
        super().__init__(
            locale=language,
            header_comment="# Made by script/messages: only what msgstr says is ours.",
            fuzzy=False,
        )

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        return [
            ("Language", str(self.locale)),
            ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Transfer-Encoding", "8bit"),
            ("Plural-Forms", self.plural_forms),
        ]


# --- Sentences in the sources -----------------------------------------------------


def source_files() -> Iterator[Path]:
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".html", ".txt"} and not NOT_SHOWN & {
                *path.relative_to(ROOT).parts
            }:
                yield path


def sentences(path: Path) -> Iterator[tuple[str | tuple[str, str], str | None, list]]:
    """Yield (sentence or singular and plural, context, notes) of a file."""
    text = path.read_text()
    if path.suffix != ".py":
        text = as_python(templatize(text, origin=str(path.relative_to(ROOT))))
    for _, said, notes, context in extract(
        "python",
        io.BytesIO(text.encode()),
        keywords=KEYWORDS,
        comment_tags=("Translators",),
        options={"encoding": "utf-8"},
    ):
        if said and said[0]:
            yield said, context, notes


def as_python(templatized: str) -> str:
    """Return what Django makes of a template without indents, which mean nothing."""
    return "\n".join(
        re.sub(r"[^\S\n]", " ", line).lstrip() for line in templatized.split("\n")
    )


def up_to_date(old: Catalog, language: str) -> Translations:
    """Return what is said now, with the translations there are; nothing is guessed."""
    new = Translations(language)
    for path in source_files():
        for said, context, notes in sentences(path):
            new.add(
                said,
                locations=[(path.relative_to(ROOT).as_posix(), 0)],
                auto_comments=notes,
                context=context,
            )
    for message in spoken(new):
        known = translation(old, message)
        if known and known.pluralizable == message.pluralizable:
            message.string = known.string
            message.flags |= known.flags & {"fuzzy"}
            message.user_comments = known.user_comments
    return new


# --- Files ------------------------------------------------------------------------


def read(path: Path, language: str) -> Catalog:
    if not path.exists():
        return Translations(language)
    with path.open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def po_bytes(catalog: Catalog) -> bytes:
    file = io.BytesIO()
    write_po(file, catalog, sort_output=True, include_lineno=False)
    return file.getvalue()


def mo_bytes(catalog: Catalog) -> bytes:
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def spoken(catalog: Catalog) -> list[Message]:
    """Return the messages without the header."""
    return [message for message in catalog if message.id]


def key(message: Message) -> tuple[str | None, str]:
    return message.context, singular(message)


def singular(message: Message) -> str:
    return message.id[0] if message.pluralizable else message.id


def translation(catalog: Catalog, message: Message) -> Message | None:
    return catalog.get(singular(message), message.context)


# --- What can be wrong ----------------------------------------------------------------


def faults(path: Path, language: str) -> Iterator[str]:
    """Yield everything that keeps the translation from being complete and right."""
    written = read(path, language)
    wanted = up_to_date(written, language)
    for message in spoken(wanted):
        known = translation(written, message)
        if known is None or known.pluralizable != message.pluralizable:
            places = ", ".join(sorted({name for name, _ in message.locations}))
            yield f"missing: {singular(message)!r} ({places})"
        else:
            yield from faults_of(known, forms=written.num_plurals)
    said = {key(message) for message in spoken(wanted)}
    for message in spoken(written):
        if key(message) not in said:
            yield f"nobody says it any more: {singular(message)!r}"
    if written.obsolete:
        yield f"{len(written.obsolete)} commented-out entries"
    if written.plural_forms != wanted.plural_forms:
        yield f"Plural-Forms must be {wanted.plural_forms!r}"
    compiled = path.with_suffix(".mo")
    if not compiled.exists() or compiled.read_bytes() != mo_bytes(wanted):
        yield f"{compiled.name} is not what {path.name} compiles to"


def faults_of(message: Message, *, forms: int) -> Iterator[str]:
    """Yield what is wrong with one translation."""
    name = repr(singular(message))
    if message.fuzzy:
        yield f"fuzzy: {name}"
    said = message.string if message.pluralizable else (message.string,)
    if message.pluralizable and len(said) != forms:
        yield f"{len(said)} plural forms instead of {forms}: {name}"
        return
    if not all(text and text.strip() for text in said):
        yield f"not translated: {name}"
        return
    originals = message.id if message.pluralizable else (message.id,)
    for place, text in enumerate(said):
        original = originals[min(place, len(originals) - 1)]
        needed, allowed = marks(original), set().union(*map(marks, originals))
        if missing := needed - marks(text):
            yield f"{', '.join(sorted(missing))} is missing in {text!r}"
        if foreign := marks(text) - allowed:
            yield f"{', '.join(sorted(foreign))} is not in {name} but in {text!r}"
        if "%" in PLACEHOLDER.sub("", text) and "%" not in PLACEHOLDER.sub("", name):
            yield f"a lonely % in {text!r}"
        if edges(text) != edges(original):
            yield f"other spaces at the ends than {name}: {text!r}"


def marks(text: str) -> set[str]:
    """Return the placeholders and tags that a translation must carry over."""
    return set(PLACEHOLDER.findall(text))


def edges(text: str) -> tuple[str, str]:
    return text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]


# --- Doors ---------------------------------------------------------------------------


def languages() -> list[tuple[str, Path]]:
    folders = sorted(path for path in LOCALE.iterdir() if path.is_dir())
    return [
        (str(Locale.parse(folder.name)), folder / "LC_MESSAGES" / "django.po")
        for folder in folders
    ]


def check() -> int:
    wrong = [
        f"{path.relative_to(ROOT)}: {fault}"
        for language, path in languages()
        for fault in faults(path, language)
    ]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    if wrong:
        print(f"{len(wrong)} to mend; script/messages adds, drops and compiles.")
    return bool(wrong)


def update() -> int:
    for language, path in languages():
        written = read(path, language)
        catalog = up_to_date(written, language)
        before, now = ({key(m) for m in spoken(c)} for c in (written, catalog))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(po_bytes(catalog))
        path.with_suffix(".mo").write_bytes(mo_bytes(catalog))
        empty = sum(not any(texts(message)) for message in spoken(catalog))
        print(
            f"{path.relative_to(ROOT)}: {len(now)} sentences, "
            f"{len(now - before)} new, {len(before - now)} dropped, "
            f"{empty} without translation"
        )
    return 0


def texts(message: Message) -> tuple[str, ...]:
    return message.string if message.pluralizable else (message.string,)


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: script/messages [--check]", file=sys.stderr)
        return 2
    try:
        return check() if arguments else update()
    except (PoFileError, SyntaxError) as error:
        print(f"A file cannot be read: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
