"""Whom a command trusts over HTTPS, and what it shows of itself: `--ca FILE`, GOLIVE_CA, GOLIVE_CLIENT_CERT and _KEY.

Without `--ca` the system's authorities count, or those of SSL_CERT_FILE, as everywhere in OpenSSL.
"""

import ssl
from collections.abc import MutableMapping

from golive.core.errors import ConfigError

CA, CERT, KEY = "GOLIVE_CA", "GOLIVE_CLIENT_CERT", "GOLIVE_CLIENT_KEY"
OPTION = "--ca"


def take_option(words: list[str], environ: MutableMapping[str, str]) -> list[str]:
    """The words of a command line without `--ca FILE`, which may stand anywhere before `--` and counts as GOLIVE_CA."""
    end = words.index("--") if "--" in words else len(words)
    kept: list[str] = []
    at = 0
    while at < end:
        word = words[at]
        if word == OPTION and at + 1 < end:
            environ[CA] = words[at + 1]
            at += 1
        elif word.startswith(f"{OPTION}="):
            environ[CA] = word.partition("=")[2]
        else:
            kept.append(word)
        at += 1
    return kept + words[end:]


def client_context(environ: MutableMapping[str, str]) -> ssl.SSLContext | None:
    """What to connect with; None: as the system has it.

    Raises:
        ConfigError: a file cannot be used.
    """
    ca, cert = environ.get(CA), environ.get(CERT)
    if not ca and not cert:
        return None
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(CA, str(ca), error) from None
    if cert:
        try:
            # A password is always given: OpenSSL would ask for one on the terminal.
            context.load_cert_chain(cert, environ.get(KEY) or None, password="")
        except (OSError, ssl.SSLError) as error:
            raise _unusable(CERT, cert, error) from None
    return context


def _unusable(name: str, value: str, error: OSError) -> ConfigError:
    option = f"{OPTION} ({name})" if name == CA else name
    words = error.strerror if error.strerror and not isinstance(error, ssl.SSLError) else "it is no PEM file for that"
    return ConfigError(
        f"{option} {value!r} cannot be used: {words}.",
        remedy="Name a PEM file that you may read.",
        key=name,
        value=value,
    )
