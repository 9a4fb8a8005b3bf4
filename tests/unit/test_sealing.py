"""Sealing: what was sealed opens under the same key, at the same place, with every byte as it was; not otherwise."""

import pytest

from golive.core.sealing import NotAuthentic, SealingKey, fingerprint, place

KEY = SealingKey(bytes(range(32)))
NONCE = bytes(12)


def test_what_was_sealed_opens_at_its_place() -> None:
    """And holds nothing of the plain text."""
    sealed = KEY.seal(b"the customer's name is Ada", place("event", "acme", "run_1"), NONCE)
    assert b"Ada" not in sealed
    assert len(sealed) == len(b"the customer's name is Ada") + 29
    assert KEY.open(sealed, place("event", "acme", "run_1")) == b"the customer's name is Ada"


@pytest.mark.parametrize("other", [("event", "acme", "run_2"), ("event", "acme"), ("event", "acmer", "un_1"), ()])
def test_it_opens_at_no_other_place(other: tuple[str, ...]) -> None:
    """Also where the parts joined would read the same."""
    sealed = KEY.seal(b"x", place("event", "acme", "run_1"), NONCE)
    with pytest.raises(NotAuthentic):
        KEY.open(sealed, place(*other))


def test_it_opens_under_no_other_key_and_with_no_byte_changed() -> None:
    """Each byte in turn: format, nonce, text, tag; cut short, too."""
    sealed = KEY.seal(b"four", place("a"), NONCE)
    with pytest.raises(NotAuthentic):
        SealingKey(bytes(32)).open(sealed, place("a"))
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        for damaged in (changed, sealed[:at]):
            with pytest.raises(NotAuthentic):
                KEY.open(damaged, place("a"))


def test_a_key_of_another_length_is_refused() -> None:
    """AES-128 would be taken by the library."""
    for size in (0, 16, 31, 33):
        with pytest.raises(ValueError, match=f"not {size}"):
            SealingKey(bytes(size))


def test_the_name_of_a_key_tells_keys_apart_and_is_no_part_of_them() -> None:
    """Sixteen hexadecimal digits, always the same."""
    assert fingerprint(bytes(range(32))) == fingerprint(bytes(range(32)))
    assert fingerprint(bytes(range(32))) != fingerprint(bytes(32))
    assert len(fingerprint(bytes(32))) == 16
    assert fingerprint(bytes(32)) not in bytes(32).hex()
