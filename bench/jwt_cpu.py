"""CPU of a token at the door: microseconds for knowing who holds it, with its issuer's key set in memory.

    python bench/jwt_cpu.py [--requests 3000]

`anew`: a token that was not seen before, all of it checked; `remembered`: one that was; `refused`: a signature that is
wrong. User and system time of this process, uvloop as in the server, the best of five parts: the others measure what
else the machine does.
"""

import argparse
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from golive.checklist.issuer import signed
from golive.config.auth import OidcConfig
from golive.core.clock import SystemClock
from golive.core.errors import Unauthenticated
from golive.tenants.authentication import Credentials
from golive.tenants.issuer import Fetched
from golive.tenants.roles import BUILT_IN
from golive.tenants.verifier import RevocationSource, TokenVerifier

ISSUER = "https://login.example.com/realms/acme"
KEYS: dict[str, Callable[[], Any]] = {
    "RS256 (2048 bits)": lambda: rsa.generate_private_key(65_537, 2_048),
    "RS256 (4096 bits)": lambda: rsa.generate_private_key(65_537, 4_096),
    "PS256 (2048 bits)": lambda: rsa.generate_private_key(65_537, 2_048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
PARTS = 5


def claims(number: int) -> dict[str, Any]:
    """As an access token of Keycloak's has them, without the profile."""
    now = int(time.time())
    return {
        "exp": now + 3_600, "iat": now, "jti": f"5f2c9a0e-1b1d-4d0f-{number:012d}", "iss": ISSUER,
        "aud": ["golive", "account"],
        "sub": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "typ": "Bearer", "azp": "website", "sid": "0b9c2e7d",
        "realm_access": {"roles": ["offline_access", "golive-users", "uma_authorization"]}, "scope": "openid profile",
    }  # fmt: skip


async def verifier(key_set: bytes, alg: str) -> TokenVerifier:
    """One whose issuer answers with this key set."""

    async def fetch(_: str) -> Fetched:
        return Fetched(200, key_set)

    async def version() -> int:
        return 0

    async def rows() -> list[Any]:
        return []

    config = OidcConfig(
        issuer=ISSUER, audience=("golive",), algorithms=(alg,), jwks_url=f"{ISSUER}/keys",  # type: ignore[arg-type]
        roles_claim="realm_access.roles", roles={"golive-users": "user"},
    )  # fmt: skip
    made = TokenVerifier(
        {"corp": config}, role=BUILT_IN.get, fetch=fetch, clock=SystemClock(), source=RevocationSource(version, rows)
    )
    await made.refresh()
    await made.issuers[ISSUER].refresh()
    return made


async def timed(work: Callable[[int], Awaitable[object]], count: int) -> float:
    """CPU microseconds of one, in the best of the parts; each number is given once."""
    best = float("inf")
    each = count // PARTS
    for part in range(PARTS):
        began = time.process_time()
        for number in range(part * each, (part + 1) * each):
            await work(number)
        best = min(best, (time.process_time() - began) / each)
    return best * 1e6


async def measure(name: str, count: int) -> tuple[float, float, float]:
    """Anew, remembered, refused."""
    alg, key = name.partition(" ")[0], KEYS[name]()
    algorithm = get_default_algorithms()[alg]
    jwk = algorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "k1", "alg": alg, "use": "sig"}
    tokens = [signed(alg, key, {"alg": alg, "kid": "k1", "typ": "JWT"}, claims(number)) for number in range(count)]
    headers = [f"Bearer {token}" for token in tokens]
    ends = [token.rpartition(".")[2] for token in tokens]
    wrong = [f"{header.rpartition('.')[0]}.{ends[number - 1]}" for number, header in enumerate(headers)]
    found = await verifier(json.dumps({"keys": [jwk]}).encode(), alg)
    credentials = Credentials(found, found)

    async def refused(number: int) -> None:
        try:
            await credentials.authenticate(wrong[number])
        except Unauthenticated:
            return
        raise AssertionError("a wrong signature was taken")

    anew = await timed(lambda number: credentials.authenticate(headers[number]), count)
    remembered = await timed(lambda number: credentials.authenticate(headers[number]), count)
    bad = await timed(refused, count)
    await found.close()
    return anew, remembered, bad


def main() -> None:
    """Prints a line for each algorithm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3_000, help="tokens of each algorithm")
    count = parser.parse_args().requests
    print("| algorithm | anew | remembered | refused |\n|---|---|---|---|")
    for name in KEYS:
        figures = uvloop.run(measure(name, count))
        print(f"| {name} | " + " | ".join(f"{figure:.1f}" for figure in figures) + " |", flush=True)


if __name__ == "__main__":
    main()
