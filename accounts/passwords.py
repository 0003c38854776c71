"""What a password has to be: long, not known from a breach, not about its owner.

No signs or digits are asked for and nobody has to change one by the calendar: length is
what counts (security.md §6.3). Each refusal says what to do.
"""

import gzip
import re
from functools import lru_cache
from pathlib import Path

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

SHORTEST = 15
LONGEST = 256
# So much must remain of a password without the words that anybody would try first.
LEAST_OWN = 8
BREACHED = Path(__file__).with_name("breached_passwords.txt.gz")
PRODUCT_WORDS = frozenset(
    "partner partners incentive incentives portal microsoft cloud program admin "
    "administrator password passwort lösenord losenord".split()
)


class LengthValidator:
    """Fifteen characters or more, spaces included; up to what nobody types."""

    def validate(self, password: str, user=None) -> None:
        """Raise ValidationError for what is too short or too long."""
        if len(password) < SHORTEST:
            raise ValidationError(
                _(
                    "Use at least %(shortest)d characters: four or five words that do "
                    "not belong together are easy to remember."
                ),
                code="password_too_short",
                params={"shortest": SHORTEST},
            )
        if len(password) > LONGEST:
            raise ValidationError(
                _("Use at most %(longest)d characters."),
                code="password_too_long",
                params={"longest": LONGEST},
            )

    def get_help_text(self) -> str:
        return _(
            "At least %(shortest)d characters, for example four or five words. Spaces "
            "are fine; digits and signs are not needed."
        ) % {"shortest": SHORTEST}


class BreachedPasswordValidator:
    """Not known from a breach, nor one that is, repeated or lengthened."""

    def validate(self, password: str, user=None) -> None:
        """Raise ValidationError for a password that attackers try first."""
        typed = password.strip().lower()
        if any(form in breached_passwords() for form in self._plain_forms(typed)):
            raise ValidationError(
                _(
                    "This password is in lists that attackers use, or is one of them "
                    "repeated or lengthened. Choose words of your own."
                ),
                code="password_breached",
            )
        if len(typed) >= SHORTEST and len(set(typed)) < 5:
            raise ValidationError(
                _("This password repeats a few characters. Use several words instead."),
                code="password_monotonous",
            )

    def get_help_text(self) -> str:
        return _("Not one that you use elsewhere.")

    @staticmethod
    def _plain_forms(typed: str) -> set[str]:
        """The password itself, and what it is without its padding and repetition."""
        core = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", typed)
        repeated = (
            re.fullmatch(r"(.+?)[\W_]*(?:\1[\W_]*)+", form) for form in (typed, core)
        )
        return {typed, core, *(match[1] for match in repeated if match)} - {""}


class ContextWordsValidator:
    """Not made of the person's name, address, company, or words of this portal."""

    def validate(self, password: str, user=None) -> None:
        """Raise ValidationError for a password that is mostly such words."""
        own = password.lower()
        for word in sorted(_words_about(user), key=len, reverse=True):
            own = own.replace(word, "")
        is_touched = len(own) < len(password)
        if is_touched and len(re.sub(r"[\W_]", "", own)) < LEAST_OWN:
            raise ValidationError(
                _(
                    "This password is mostly your name, your address, your company or "
                    "words of this portal. Add words that have nothing to do with them."
                ),
                code="password_about_its_owner",
            )

    def get_help_text(self) -> str:
        return _("Not your name, your company or words of this portal.")


@lru_cache(maxsize=1)
def breached_passwords() -> frozenset[str]:
    """The list beside this module; breached_passwords.md names its sources."""
    with gzip.open(BREACHED, "rt", encoding="utf-8") as lines:
        return frozenset(line.rstrip("\n") for line in lines)


def _words_about(user) -> set[str]:
    """The words of four letters or more that tell something about a person."""
    texts = [*PRODUCT_WORDS]
    if user is not None:
        texts += [user.full_name, user.email]
    if user is not None and user.pk is not None:
        companies = user.memberships.filter(ended_at=None)
        texts += companies.values_list("partner_account__name", flat=True)
    words = {word for text in texts for word in re.split(r"[\W_]+", text.lower())}
    return {word for word in words if len(word) >= 4}
