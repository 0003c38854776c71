"""What people type as words: one normal form, and refusal of what cannot be seen."""

import re
import unicodedata
from collections.abc import Iterator

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext_lazy as _

MAX_COMBINING_MARKS = 4
MAX_EMAIL_LENGTH = 254

# Letters and marks that draw nothing, so that a name made of them looks empty.
# The rest of the invisible characters are Unicode's own category Cf.
BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")

# Scripts that are written together; every other mixture in one label is refused.
SCRIPTS_WRITTEN_TOGETHER = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
)
SCRIPT_OF_NAME = {"IDEOGRAPHIC": "CJK", "KATAKANA-HIRAGANA": "KATAKANA"}

# The idna codec folds these two into other letters, which is another domain.
LETTERS_THE_CODEC_CHANGES = frozenset("ßς")

# Two stops in a row are one; three are left out words.
TWO_STOPS = re.compile(r"(?<=\w)\.(</bdi>)?\.(?=[\s<]|\Z)")


def one_stop(text: str) -> str:
    """End a sentence once, also where a company's name ends in a stop: B.V., K.K."""
    return TWO_STOPS.sub(r".\1", text)


def refuse_hidden_characters(text: str, *, allow: str = "") -> None:
    """Refuse control, direction, zero-width and broken characters."""
    for character in text:
        if character in allow:
            continue
        category = unicodedata.category(character)
        if category in {"Cc", "Zl", "Zp"}:
            raise ValidationError(
                _(
                    "Remove the line break, tab or control character. "
                    "Type the text again instead of pasting it."
                ),
                code="control",
            )
        if category == "Cf" or character in BLANK_LETTERS:
            raise ValidationError(
                _(
                    "Remove the invisible character. "
                    "Type the text again instead of pasting it."
                ),
                code="invisible",
            )
        if category in {"Cs", "Co"} or _is_noncharacter(character):
            raise ValidationError(
                _("Remove the character that is not a letter, digit or sign."),
                code="broken",
            )


def clean_line(value: str, *, max_length: int) -> str:
    """Return one line in NFC with single plain spaces, or say what is wrong with it."""
    text = unicodedata.normalize("NFC", _plain_spaces(value))
    refuse_hidden_characters(text)
    text = re.sub(" {2,}", " ", text).strip(" ")
    _refuse_stacked_marks(text)
    return _sized(text, max_length)


def clean_text(value: str, *, max_length: int) -> str:
    """Return lines as clean_line does, at most one empty line between two."""
    text = unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n"))
    text = _plain_spaces(text)
    refuse_hidden_characters(text, allow="\n")
    lines = [re.sub(" {2,}", " ", line).strip(" ") for line in text.split("\n")]
    text = re.sub("\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
    _refuse_stacked_marks(text)
    return _sized(text, max_length)


def normalize_email(value: str) -> str:
    """Return the one spelling of an address: lower case, its domain in ASCII."""
    text = _folded(_plain_spaces(value)).strip(" ")
    refuse_hidden_characters(text)
    if " " in text:
        raise ValidationError(
            _("Enter one e-mail address without spaces, like name@company.com"),
            code="spaces",
        )
    local, at, domain = text.rpartition("@")
    address = f"{local}{at}{_ascii_domain(domain)}" if at else text
    if '"' in local or "[" in domain or len(address) > MAX_EMAIL_LENGTH:
        raise _not_an_address()
    try:
        EmailValidator(allowlist=[])(address)
    except ValidationError:
        raise _not_an_address() from None
    return address


def normalize_domain(domain: str) -> str:
    """Return a domain as addresses carry it; raises ValidationError if it is none."""
    return normalize_email(f"x@{domain}").partition("@")[2]


class CleanCharField(forms.CharField):
    """A one-line form field that gives what clean_line gives."""

    def __init__(self, *, max_length: int, **options):
        super().__init__(max_length=max_length, strip=False, **options)

    def to_python(self, value):
        text = super().to_python(value)
        if text in self.empty_values or not _plain_spaces(text).strip(" "):
            return self.empty_value
        return clean_line(text, max_length=self.max_length)


class CleanTextField(forms.CharField):
    """A many-line form field that gives what clean_text gives."""

    widget = forms.Textarea

    def __init__(self, *, max_length: int, **options):
        super().__init__(max_length=max_length, strip=False, **options)

    def to_python(self, value):
        text = super().to_python(value)
        if text in self.empty_values or not _plain_spaces(text).strip(" \r\n"):
            return self.empty_value
        return clean_text(text, max_length=self.max_length)


class EmailField(forms.CharField):
    """A form field that gives what normalize_email gives."""

    widget = forms.EmailInput

    def __init__(self, **options):
        options.setdefault("max_length", MAX_EMAIL_LENGTH)
        super().__init__(strip=False, **options)

    def to_python(self, value):
        text = super().to_python(value)
        if text in self.empty_values or not _plain_spaces(text).strip(" "):
            return self.empty_value
        return normalize_email(text)


def _plain_spaces(text: str) -> str:
    return "".join(
        " " if char == "\t" or unicodedata.category(char) == "Zs" else char
        for char in text
    )


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())


def _is_noncharacter(character: str) -> bool:
    number = ord(character)
    return 0xFDD0 <= number <= 0xFDEF or number & 0xFFFE == 0xFFFE


def _refuse_stacked_marks(text: str) -> None:
    stacked = 0
    for character in text:
        is_mark = unicodedata.category(character).startswith("M")
        stacked = stacked + 1 if is_mark else 0
        if stacked > MAX_COMBINING_MARKS:
            raise ValidationError(
                _("Remove the accents stacked on one letter; at most four can stand."),
                code="marks",
            )


def _sized(text: str, max_length: int) -> str:
    if not text:
        raise ValidationError(
            _("Enter at least one letter, digit or sign."), code="blank"
        )
    if len(text) > max_length:
        raise ValidationError(
            _("Shorten this to %(max)d characters. It has %(length)d."),
            code="max_length",
            params={"max": max_length, "length": len(text)},
        )
    return text


def _not_an_address() -> ValidationError:
    return ValidationError(
        _("Enter a whole e-mail address, like name@company.com"), code="invalid"
    )


def _ascii_domain(domain: str) -> str:
    labels = domain.replace("\u3002", ".").split(".")
    return ".".join(_ascii_label(label) for label in labels)


def _ascii_label(label: str) -> str:
    if label.startswith("xn--"):
        _refuse_mixed_scripts(_decoded_label(label))
        return label
    if label.isascii():
        return label
    _refuse_mixed_scripts(label)
    if LETTERS_THE_CODEC_CHANGES & set(label):
        return _punycode(label)
    try:
        encoded = label.encode("idna").decode("ascii")
    except UnicodeError:
        raise _not_an_address() from None
    if _decoded_label(encoded) != label:
        raise _not_an_address()
    return encoded


def _punycode(label: str) -> str:
    return "xn--" + label.encode("punycode").decode("ascii")


def _decoded_label(label: str) -> str:
    """Read an xn-- label; one that is not the only spelling of its letters is refused."""
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
        is_only_spelling = not decoded.isascii() and _punycode(decoded) == label
    except UnicodeError:
        is_only_spelling = False
    if not is_only_spelling or _folded(decoded) != decoded:
        raise _not_an_address()
    refuse_hidden_characters(decoded)
    return decoded


def _refuse_mixed_scripts(label: str) -> None:
    scripts = set(_scripts(label))
    if len(scripts) > 1 and not any(
        scripts <= together for together in SCRIPTS_WRITTEN_TOGETHER
    ):
        raise ValidationError(
            _(
                "The part after @ mixes letters of several alphabets, which can imitate "
                "another company's address. Type it again with one keyboard."
            ),
            code="mixed_script",
        )


def _scripts(label: str) -> Iterator[str]:
    for character in label:
        if character == "-" or character.isascii() and character.isdigit():
            continue
        if unicodedata.category(character).startswith("M"):
            continue
        if not character.isalnum():
            raise _not_an_address()
        first_word = unicodedata.name(character, "UNKNOWN").split(" ")[0]
        yield SCRIPT_OF_NAME.get(first_word, first_word)
