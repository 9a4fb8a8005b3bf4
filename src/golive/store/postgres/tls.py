"""Why TLS to PostgreSQL did not come about: which parameter of `store.url` is wrong, and what to do.

The driver says it with errors of files and of the network. They are looked into after a failure only.
"""

import ssl
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

import asyncpg
from msgspec import Struct

from golive.config import libpq

_FILES = {
    "sslrootcert": "the PEM file with the certificate of the authority that signed the database's certificate",
    "sslcert": "the PEM file with golive's own certificate",
    "sslkey": "the PEM file with the key of golive's own certificate",
    "sslcrl": "the PEM file with the revoked certificates",
}
_DEFAULT = "~/.postgresql/root.crt"
_VERIFYING = ("verify-ca", "verify-full")
_OTHER_NAME = frozenset({62, 64})
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""


class Fault(Struct, frozen=True):
    """What is wrong, and what to do."""

    cause: str
    remedy: str


def fault(error: BaseException, url: str) -> Fault | None:
    """What of TLS, or of the URL's parameters, made connecting fail; None: it was something else."""
    if not isinstance(error, (OSError, asyncpg.InterfaceError)):
        return None
    settings = dict(parse_qsl(urlsplit(url).query))
    mode, _ = _given(settings, "sslmode")
    if isinstance(error, ssl.SSLCertVerificationError):
        return _unverified(error, settings)
    found = _unreadable(settings)
    if found is not None:
        return found
    if isinstance(error, asyncpg.ClientConfigurationError):
        return _misconfigured(error, mode, settings)
    if type(error) is ConnectionError and mode in ("require", *_VERIFYING):  # its subclasses come from the network
        return Fault(
            f"it speaks no TLS, and sslmode={mode} demands it",
            "Switch TLS on in PostgreSQL (ssl = on, with ssl_cert_file and ssl_key_file), or let store.url name "
            "the server that has it.",
        )
    return None


def _given(settings: Mapping[str, str], name: str) -> tuple[str, str]:
    """The parameter's value, and where it stands: in the URL, else in the environment, as libpq reads it."""
    if name in settings:
        return settings[name], name
    variable, value = libpq.given(name)
    return value, variable


def _unreadable(settings: Mapping[str, str]) -> Fault | None:
    for name, what in _FILES.items():
        value, where = _given(settings, name)
        if not value:
            continue
        try:
            with open(value, "rb"):
                pass
            if name == "sslrootcert":
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=value)
        except ssl.SSLError:
            cause = f"{where}={value} holds no certificate in PEM"
        except OSError as error:
            cause = f"{where}={value} cannot be read ({error.strerror})"
        else:
            continue
        return Fault(cause, f"Let {where} name {what}, readable by golive's user.")
    return None


def _misconfigured(error: Exception, mode: str, settings: Mapping[str, str]) -> Fault:
    if mode in _VERIFYING and not _given(settings, "sslrootcert")[0]:
        return Fault(
            f"sslmode={mode} needs a root certificate, and sslrootcert names none",
            f"Add sslrootcert=FILE to store.url (or set PGSSLROOTCERT): {_FILES['sslrootcert']}. Without it, "
            f"{_DEFAULT} of golive's user is read, which is not there.",
        )
    return Fault(str(error).splitlines()[0].rstrip("."), "Correct the parameters in store.url, behind the `?`.")


def _unverified(error: ssl.SSLCertVerificationError, settings: Mapping[str, str]) -> Fault:
    said = error.verify_message.rstrip(".")
    if error.verify_code in _OTHER_NAME:
        return Fault(
            f"the database's certificate is for another host ({said})",
            "Let store.url have the host as it stands in the certificate, or give the database a certificate for this "
            "one. sslmode=verify-ca looks at the authority alone.",
        )
    value, where = _given(settings, "sslrootcert")
    return Fault(
        f"the database's certificate is not trusted ({said})",
        f"Look whether it is still valid, and whether {f'{where}={value}' if value else _DEFAULT} is "
        f"{_FILES['sslrootcert']}.",
    )
