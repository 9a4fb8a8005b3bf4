"""No damaged token is taken, none is a fault of ours, and all are refused in the same words."""

import random
from collections.abc import Callable

import pytest

from golive.core.errors import Unauthenticated
from tests.token_kit import World, private_key, segment, signed

SEED = 20_261_122
_BITS = b'\x00\xff{}[]",:.=-_ \n\xc3\xa9\xed\xa0\x80eyJhbGciOiJub25lIn0'
_VALUES = (
    None, True, -1, 0, 1e400, 10**30, 2**63, "", "none", "HS256", "RS256", "\ud800", "\x00", "x" * 3_000, [], {},
    [[[]]], "../../x", "' OR 1=1", "https://evil.example", {"a": {"a": {}}}, ["golive"], "*",
)  # fmt: skip


class Damage:
    """Ways to damage a token, drawn from a seed."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.good = {kid: world.issuer.token(kid) for kid in world.issuer.keys}
        self.foreign = {alg: private_key(alg, 5) for alg in ("RS256", "ES256", "EdDSA")}
        self.ways: tuple[Callable[[str], str], ...] = (
            self.bytes_changed, self.cut, self.parts_mixed, self.claims_changed, self.header_changed,
            self.bytes_at_random, self.by_another_key, self.unsigned, self.characters,
        )  # fmt: skip

    def one(self) -> str:
        """A token that must not be taken."""
        while True:
            token = self.chance.choice(self.ways)(self.chance.choice(list(self.good.values())))
            if token not in self.good.values():
                return token

    def bytes_changed(self, token: str) -> str:
        at = self.chance.randrange(len(token))
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ "
        return token[:at] + self.chance.choice(letters) + token[at + 1 :]

    def characters(self, token: str) -> str:
        at = self.chance.randrange(len(token))
        return token[:at] + chr(self.chance.randrange(0x11000)) + token[at + self.chance.randrange(3) :]

    def cut(self, token: str) -> str:
        return token[: self.chance.randrange(len(token))] + self.chance.choice(("", ".", "..", "="))

    def parts_mixed(self, _: str) -> str:
        parts = [part for token in self.good.values() for part in token.split(".")]
        return ".".join(self.chance.choice(parts) for _ in range(self.chance.choice((1, 2, 3, 3, 3, 4, 5))))

    def claims_changed(self, token: str) -> str:
        head, _, signature = token.split(".")
        claims = self.world.issuer.claims()
        claims[self.chance.choice([*claims, "new"])] = self.chance.choice(_VALUES)
        return f"{head}.{segment(claims)}.{signature}"

    def header_changed(self, token: str) -> str:
        _, claims, signature = token.split(".")
        header = {"alg": "RS256", "kid": "RS256-1", "typ": "JWT"}
        header[self.chance.choice([*header, "crit", "jwk", "jku", "zip"])] = self.chance.choice(_VALUES)  # type: ignore[assignment]
        return f"{segment(header)}.{claims}.{signature}"

    def bytes_at_random(self, _: str) -> str:
        draw = self.chance
        return ".".join(
            segment(bytes(draw.choice(_BITS) for _ in range(draw.randrange(40)))) for _ in range(draw.choice((2, 3, 3)))
        )

    def by_another_key(self, _: str) -> str:
        alg = self.chance.choice(list(self.foreign))
        return signed(alg, self.foreign[alg], {"alg": alg, "kid": f"{alg}-1"}, self.world.issuer.claims())

    def unsigned(self, token: str) -> str:
        spelled = "".join(self.chance.choice((letter, letter.upper())) for letter in "none")
        _, claims, signature = token.split(".")
        return f"{segment({'alg': spelled})}.{claims}.{self.chance.choice(('', 'AA', signature))}"


async def _none_is_taken(count: int) -> None:
    world = World()
    await world.verifier.refresh()
    await world.verifier.issuers[world.issuer.url].refresh()
    damage = Damage(world, random.Random(SEED))
    told: set[tuple[str, str]] = set()
    for number in range(count):
        token = damage.one()
        try:
            principal = await world.verifier.authenticate(token)
        except Unauthenticated as error:
            told.add((error.message, error.remedy))
        else:
            raise AssertionError(f"number {number} of seed {SEED} was taken: {token!r} as {principal}")
    assert len(told) == 1
    assert len(world.refused) == count
    assert len({refusal.reason for refusal in world.refused}) >= 6
    for token in damage.good.values():
        assert (await world.verifier.authenticate(token)).id == "user:alice"
    await world.verifier.close()


async def test_no_damaged_token_is_taken() -> None:
    """2,000 of them."""
    await _none_is_taken(2_000)


@pytest.mark.long
async def test_of_a_hundred_thousand_damaged_tokens_none_is_taken() -> None:
    """The figure of issue 5: 0 taken, 0 faults, one text."""
    await _none_is_taken(100_000)
