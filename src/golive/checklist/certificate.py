"""Certificates of a drill's own: a pair for this machine's loopback address, trusted by nobody else."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

DAY_S = 86_400.0


class DrillPair(Struct, frozen=True):
    """A certificate that vouches for itself, its key, and its serial number."""

    cert: Path
    key: Path
    serial: int

    def settings(self) -> dict[str, str]:
        """The environment that makes a server use it."""
        return {"GOLIVE_SERVER__TLS__CERT": str(self.cert), "GOLIVE_SERVER__TLS__KEY": str(self.key)}


def make_pair(folder: Path, name: str, now: float, *, life_s: float = DAY_S) -> DrillPair:
    """Writes NAME.crt and NAME.key (mode 0600) into the folder.

    Args:
        now: seconds since the epoch; it is valid from an hour before.
        life_s: how long from now.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"golive check {name}")])
    moment = datetime.fromtimestamp(now, UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(hours=1))
        .not_valid_after(moment + timedelta(seconds=life_s))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = DrillPair(folder / f"{name}.crt", folder / f"{name}.key", certificate.serial_number)
    made.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.touch(0o600)
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    return made


def trusting(pair: DrillPair, *, oldest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client's context that trusts this pair alone; `oldest`: the only version that it offers, however old."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pair.cert)
    if oldest is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = oldest
    return context
