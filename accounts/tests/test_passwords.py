"""Passwords: long, not known from a breach, not about their owner; hashed slowly."""

import pytest
from django.conf import settings
from django.contrib.auth.hashers import check_password, identify_hasher, make_password
from django.contrib.auth.password_validation import (
    get_password_validators,
    password_validators_help_texts,
    validate_password,
)
from django.core.exceptions import ValidationError
from django.test import override_settings

from accounts.models import User
from accounts.passwords import breached_passwords

pytestmark = pytest.mark.django_db

REAL_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
]


def refusals(password, user=None) -> set[str]:
    try:
        validate_password(password, user)
    except ValidationError as error:
        return {one.code for one in error.error_list}
    return set()


@pytest.mark.parametrize(
    "password",
    [
        "a staple of quite another horse",
        "äpplen växer inte på granar",
        "fifteen letters",
        "hest-hylla-hosta-havre",
        "x" + "yz  vwstuq" * 25,
    ],
)
def test_words_that_do_not_belong_together_are_fine(ida, password):
    assert refusals(password, ida) == set()


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("fourteen chars", "password_too_short"),
        ("a different word " * 16, "password_too_long"),
        ("123456789987654321", "password_breached"),
        ("1Q2w3e4r5t6y7u8i", "password_breached"),
        ("ManchesterUnited", "password_breached"),
        ("manchesterunited2027!!", "password_breached"),
        ("!!!!!!1234iloveyou", "password_breached"),
        ("football-football-", "password_breached"),
        ("sunshine sunshine sunshine", "password_breached"),
        ("aaaaaaaaaaaaaaaab", "password_monotonous"),
        ("partnerincentives1", "password_about_its_owner"),
        ("Nordvik-Partner-2027", "password_about_its_owner"),
        ("ida@partner.example1", "password_about_its_owner"),
        ("Lund Incentives Portal", "password_about_its_owner"),
    ],
)
def test_what_attackers_try_first_is_refused(ida, password, code):
    assert code in refusals(password, ida)


def test_what_is_too_short_is_told_that_and_nothing_else(ida):
    assert refusals("kort", ida) == {"password_too_short"}


def test_a_name_within_a_long_sentence_is_fine(ida):
    assert refusals("in Lund nobody paints umbrellas", ida) == set()


def test_each_refusal_says_what_to_do(ida):
    with pytest.raises(ValidationError) as refused:
        validate_password("password1234", ida)

    sentences = " ".join(refused.value.messages)
    assert "Use at least 15 characters" in sentences
    assert "Choose words of your own." in sentences


def test_nothing_is_asked_for_but_length_and_novelty():
    texts = " ".join(password_validators_help_texts())

    assert "digits and signs are not needed" in texts
    assert len(get_password_validators(settings.AUTH_PASSWORD_VALIDATORS)) == 3


def test_the_list_is_in_the_house():
    assert len(breached_passwords()) == 53_713
    assert {"password", "123456", "manchesterunited"} <= breached_passwords()


def test_without_the_list_what_is_breached_would_pass(ida, monkeypatch):
    # The control: it is the list that refuses.
    monkeypatch.setattr("accounts.passwords.breached_passwords", frozenset)

    assert refusals("manchesterunited", ida) == set()


@override_settings(PASSWORD_HASHERS=REAL_HASHERS)
def test_passwords_are_hashed_with_argon2id():
    encoded = make_password("a staple of quite another horse")

    assert encoded.startswith("argon2$argon2id$")
    assert check_password("a staple of quite another horse", encoded)


@override_settings(PASSWORD_HASHERS=REAL_HASHERS)
def test_an_older_hash_becomes_a_new_one_at_the_next_sign_in(ida):
    password = "a staple of quite another horse"
    User.objects.filter(pk=ida.pk).update(
        password=make_password(password, hasher="scrypt")
    )
    ida.refresh_from_db()

    assert ida.check_password(password)

    ida.refresh_from_db()
    assert identify_hasher(ida.password).algorithm == "argon2"
