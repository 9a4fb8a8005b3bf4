"""Redaction: no credential reaches the log, and ordinary words do."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.guards.redact import MAX_DEPTH, REDACTED, Redactor

KEY = "gl_0123abcd_" + "A" * 43

CREDENTIALS = [
    KEY,
    "sk-proj-abcdefghijklmnop1234",
    "sk-ant-api03-abcdefghijklmnop1234",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_" + "a1" * 20,
    "xoxb-1234567890-abcdef",
    "AIza" + "B" * 35,
    "hf_" + "x" * 34,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
]


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_well_known_shapes_are_replaced(credential: str) -> None:
    """A credential with a well-known shape never survives, wherever it stands in a sentence."""
    assert Redactor().text(f"calling with {credential}, then on") == f"calling with {REDACTED}, then on"
    assert credential not in Redactor().text(json.dumps({"note": credential}))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Authorization: Bearer abc123def456", "Authorization: Bearer [redacted]"),
        ('{"authorization": "Basic dXNlcjpwYXNz"}', '{"authorization": "Basic [redacted]"}'),
        ("api_key=hunter2hunter2&x=1", "api_key=[redacted]&x=1"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = [redacted]"),
        ("postgres://user:s3cretpw@db/x", "postgres://user:[redacted]@db/x"),
    ],
)
def test_what_follows_a_telling_word_is_replaced(text: str, kept: str) -> None:
    """Values without a shape of their own are known by the word in front, which stays readable."""
    assert Redactor().text(text) == kept


def test_private_keys_are_replaced_whole_even_when_cut_off() -> None:
    """A private key disappears from its first line on, also when the end was cut."""
    pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----"
    assert Redactor().text(f"a {pem} b") == f"a {REDACTED} b"
    assert Redactor().text("a " + pem[:45]) == f"a {REDACTED}"


def test_known_values_are_replaced_without_any_shape() -> None:
    """A value declared secret is replaced anywhere, the longer of two first; short ones would blot out words."""
    redactor = Redactor(["correct horse", "correct horse battery", "abc"])
    assert redactor.text("use correct horse battery or abc") == f"use {REDACTED} or abc"
    redactor.learn("plain-value-9")
    assert redactor.text("x plain-value-9 y") == f"x {REDACTED} y"


def test_what_was_clean_is_searched_again_once_a_secret_is_learnt() -> None:
    redactor = Redactor()
    assert redactor.value({"note": "plain-value-9"}) == {"note": "plain-value-9"}
    redactor.learn("plain-value-9")
    assert redactor.value({"note": "plain-value-9", "plain-value-9": 1}) == {"note": REDACTED, REDACTED: 1}


def test_nested_structures_are_copied_and_cleaned() -> None:
    """Mappings, lists, bytes and exceptions are cleaned at every depth; the original stays as it was."""
    original = {"a": [{"password": "x"}, ("t", KEY)], "b": KEY.encode(), "error": ValueError(f"bad {KEY}"), "n": 3}
    cleaned = Redactor().value(original)
    assert cleaned == {
        "a": [{"password": REDACTED}, ["t", REDACTED]],
        "b": REDACTED,
        "error": f"bad {REDACTED}",
        "n": 3,
    }
    assert original["b"] == KEY.encode()


def test_bottomless_nesting_ends() -> None:
    """A structure that contains itself is cut at a fixed depth instead of recursing for ever."""
    loop: dict[str, object] = {}
    loop["self"] = loop
    text = json.dumps(Redactor().value(loop))
    assert text.count("self") == MAX_DEPTH
    assert REDACTED in text


@pytest.mark.parametrize(
    "text", ["run.finished", "the task-force met", "input_tokens: 12", "a basic understanding", "risk-averse"]
)
def test_ordinary_text_stays(text: str) -> None:
    """Words that merely resemble a credential are left alone."""
    assert Redactor().text(text) == text


def test_token_counts_are_not_secrets() -> None:
    """Fields that count tokens are not mistaken for tokens that open doors."""
    fields = {"input_tokens": 12, "first_token_ms": 3.5, "secret": None}
    assert Redactor().value(fields) == fields


@given(before=st.text(), after=st.text(), credential=st.sampled_from(CREDENTIALS[:3]))
def test_no_surrounding_text_lets_a_credential_through(before: str, after: str, credential: str) -> None:
    """Whatever stands around it, the secret part of a key is gone."""
    assert credential[-12:] not in Redactor().text(f"{before} {credential} {after}").replace(after, "")


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    """Redaction is idempotent."""
    once = Redactor(["known-secret-value"]).text(text)
    assert Redactor(["known-secret-value"]).text(once) == once


SECRET = "pa+ss/wo\"rd=<ä>'&9x7Qz1234567890"
"""Has what each way of writing it down writes otherwise."""
DATA = SECRET.encode()
WRITTEN = {
    "itself": SECRET, "in lower case": SECRET.lower(), "in upper case": SECRET.upper(), "in hexadecimal": DATA.hex(),
    "in upper hexadecimal": DATA.hex().upper(), "percent-encoded": quote(SECRET, safe=""),
    "percent-encoded, slashes kept": quote(SECRET), "in a form": quote_plus(SECRET),
    "percent-encoded in lower case": quote(SECRET, safe="").replace("%2B", "%2b").replace("%2F", "%2f")
    .replace("%22", "%22").replace("%3D", "%3d").replace("%3C", "%3c").replace("%C3", "%c3").replace("%A4", "%a4")
    .replace("%3E", "%3e"),
    "escaped for HTML": html.escape(SECRET), "escaped for HTML, quotes kept": html.escape(SECRET, quote=False),
    "in JSON": json.dumps(SECRET)[1:-1], "in JSON, not ASCII": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "in JSON, slashes escaped": json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    "in JSON, all escaped": "".join(f"\\u{ord(each):04x}" for each in SECRET),
}  # fmt: skip


@pytest.mark.parametrize("way", WRITTEN)
def test_a_known_value_is_found_however_it_is_written_down(way: str) -> None:
    """Whole, in a sentence, in a field; and words around it stay."""
    redactor = Redactor([SECRET])
    assert redactor.text(f"it said: {WRITTEN[way]}; no more") == f"it said: {REDACTED}; no more"
    assert redactor.known(f"<{WRITTEN[way]}>") == f"<{REDACTED}>"


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "u", "us", "user:", "user42:"])
def test_a_known_value_is_found_in_base64_wherever_it_begins(before: str, encode: Callable[[bytes], bytes]) -> None:
    """Of what is left no byte of it can be told: the digits at its ends hold others' bits, too."""
    whole = encode(f"{before}{SECRET}, and more".encode()).decode()
    shown = Redactor([SECRET]).text(f"sent {whole}")
    begin, _, rest = shown.partition(REDACTED)
    assert rest
    assert whole.startswith(begin.removeprefix("sent "))
    assert whole.endswith(rest)
    assert len(begin) - len("sent ") <= len(before) * 4 / 3 + 1
    assert len(rest) <= len(", and more") * 4 / 3 + 3


def test_many_values_are_found_and_the_longest_of_those_that_begin_alike() -> None:
    """One that is another's beginning leaves no rest of it."""
    values = [f"value-{number:05}-of-many" for number in range(2_000)]
    redactor = Redactor(values)
    redactor.learn("value-00001-of-many-and-longer")
    assert redactor.text(f"a {values[0]}b{values[1999]} c") == f"a {REDACTED}b{REDACTED} c"
    assert redactor.text("a value-00001-of-many-and-longer.") == f"a {REDACTED}."
    assert redactor.text("value-0000 is none") == "value-0000 is none"


def test_of_a_long_value_the_common_forms_are_found() -> None:
    """Such as a file of keys: itself, in JSON, in base64."""
    secret = "line of a key\n" * 200
    redactor = Redactor([secret])
    for written in (secret, json.dumps(secret)[1:-1]):
        assert redactor.text(f"<{written}>") == f"<{REDACTED}>"
    assert "bGluZSBvZi" not in redactor.text(base64.b64encode(secret.encode()).decode())
