"""An issuer's keys: which of its key set can be used, for which algorithm, and what checks a signature by one.

Owns reading a key set. A key is bound to the algorithms that its type, its curve and its own `alg` allow, so that no
token can have it used for another. `issuer.py` owns fetching.

Source: RFC 7517 (JWK), 7518 (algorithms), 8037 (Ed25519).
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

MAX_KEYS = 100
"""Most keys of a set that are looked at."""
MIN_RSA_BITS = 2_048
MAX_RSA_BITS = 8_192
"""Longer ones would take milliseconds a signature."""
MAX_KID_CHARS = 500

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_FITS = {
    ("RSA", None): _RSA, ("EC", "P-256"): ("ES256",), ("EC", "P-384"): ("ES384",), ("OKP", "Ed25519"): ("EdDSA",),
}  # fmt: skip
"""Key type and curve -> the algorithms that such a key may be used for."""
_ALSO = {"Ed25519": "EdDSA"}
"""What RFC 9864 calls an algorithm that older texts call otherwise."""


class KeySetUnusable(Exception):
    """What the issuer answered is no key set, or holds no key that can be used."""


class Key(Struct, frozen=True, eq=False):
    """A public key for one algorithm. `verify`: (signed bytes, signature) -> whether it is good; `told`: its parts."""

    kid: str | None
    alg: str
    verify: Callable[[bytes, bytes], bool]
    told: tuple[Any, ...]


class KeySet(Struct, frozen=True):
    """Usable keys by (kid, algorithm). `alone`: algorithm -> the key for tokens that name none, if there is only one.

    `skipped`: keys that are not used, with the reason, for the operator.
    """

    keys: dict[tuple[str | None, str], Key]
    alone: dict[str, Key]
    skipped: tuple[str, ...] = ()

    def find(self, kid: str | None, alg: str) -> Key | None:
        """The key that a token names, or the only one there is for the algorithm."""
        return self.alone.get(alg) if kid is None else self.keys.get((kid, alg))

    def keeps(self, other: "KeySet") -> bool:
        """Whether every key of `other` stands in this set, too, and is the same."""
        return all(at in self.keys and self.keys[at].told == key.told for at, key in other.keys.items())


def read_key_set(body: bytes, algorithms: Iterable[str]) -> KeySet:
    """The keys of a JWK Set document that can be used for the algorithms.

    Raises:
        KeySetUnusable: it is none, or there is no such key.
    """
    try:
        document = json.loads(body.decode())
        listed = document["keys"]
    except (ValueError, RecursionError, TypeError, KeyError):
        raise KeySetUnusable("the answer is no JSON Web Key Set") from None
    if not isinstance(listed, list):
        raise KeySetUnusable("the answer is no JSON Web Key Set")
    wanted = frozenset(algorithms)
    found: dict[tuple[str | None, str], list[Key]] = {}
    skipped: list[str] = []
    for number, jwk in enumerate(listed[:MAX_KEYS]):
        try:
            for key in _keys(jwk, wanted):
                found.setdefault((key.kid, key.alg), []).append(key)
        except _Unusable as error:
            skipped.append(f"key {_name(jwk, number)}: {error}")
    keys = {at: same[0] for at, same in found.items() if len(same) == 1}
    skipped += [f"key {kid!r}: stands there {len(s)} times for {alg}" for (kid, alg), s in found.items() if len(s) > 1]
    if not keys:
        raise KeySetUnusable(f"no key can be used: {'; '.join(skipped[:5]) or 'the set is empty'}")
    by_alg: dict[str, list[Key]] = {}
    for same in found.values():
        for key in same:
            by_alg.setdefault(key.alg, []).append(key)
    return KeySet(keys, {alg: same[0] for alg, same in by_alg.items() if len(same) == 1}, tuple(skipped))


class _Unusable(Exception):
    """Why a key is passed over."""


def _keys(jwk: Any, wanted: frozenset[str]) -> list[Key]:
    """A key once for each algorithm that it may be used for."""
    if not isinstance(jwk, dict):
        raise _Unusable("is no JSON object")
    if "d" in jwk or jwk.get("kty") == "oct":
        raise _Unusable("is a private or shared key, and everybody can read it here")
    if jwk.get("use", "sig") != "sig" or ("key_ops" in jwk and "verify" not in _list(jwk["key_ops"])):
        raise _Unusable("is not for signatures")
    kid = jwk.get("kid")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= MAX_KID_CHARS):
        raise _Unusable("has an id that is no text, or too long")
    kty, crv = jwk.get("kty"), jwk.get("crv") if jwk.get("kty") != "RSA" else None
    fits = _FITS.get((kty, crv), ()) if isinstance(kty, str) and isinstance(crv, str | None) else ()
    own = jwk.get("alg")
    algorithms = [alg for alg in fits if own is None or _ALSO.get(str(own), own) == alg]
    if not algorithms:
        raise _Unusable(f"is of a type, curve or algorithm that is not taken ({ascii((kty, crv, own))[:80]})")
    if not (algorithms := [alg for alg in algorithms if alg in wanted]):
        raise _Unusable("is for an algorithm that `algorithms` leaves out")
    told = tuple(jwk.get(part) for part in ("kty", "crv", "n", "e", "x", "y"))
    return [Key(kid, alg, _verifier(jwk, alg), told) for alg in algorithms]


def _verifier(jwk: dict[str, Any], alg: str) -> Callable[[bytes, bytes], bool]:
    from jwt.algorithms import get_default_algorithms  # with the first issuer: it takes a fifth of a second
    from jwt.exceptions import InvalidKeyError

    algorithm = get_default_algorithms()[alg]
    try:
        key: Any = algorithm.from_jwk(jwk)
    except (InvalidKeyError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _Unusable(f"cannot be read ({type(error).__name__})") from None
    if jwk["kty"] == "RSA" and not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise _Unusable(f"has {key.key_size} bits; taken are {MIN_RSA_BITS} to {MAX_RSA_BITS}")

    def verify(signed: bytes, signature: bytes) -> bool:
        return algorithm.verify(signed, key, signature)

    return verify


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _name(jwk: Any, number: int) -> str:
    kid = jwk.get("kid") if isinstance(jwk, dict) else None
    return ascii(kid)[:60] if kid is not None else f"number {number + 1}"
