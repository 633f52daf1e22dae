"""Certificates for tests: an authority, and the certificates that it issues."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Files:
    """A certificate and its key, in PEM."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates into a folder; `ca` is the file to trust."""

    def __init__(self, folder: Path, days: float = 365) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("PetSage test authority")
        self.ca = folder / "ca.pem"
        self.ca.touch()
        self.certify_itself(days)

    def certify_itself(self, days: float) -> None:
        """Adds one more certificate of the authority itself, which expires in `days`, to `ca`."""
        certificate = _build(self._name, self._name, self._key, self._key, (), days, ca=True)
        self.ca.write_bytes(self.ca.read_bytes() + certificate)

    def issue(self, names: tuple[str, ...] = LOOPBACK, days: float = 90) -> Files:
        """A certificate for these names or addresses, which expires in `days`, or has expired if
        that is negative."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _build(_name("server"), self._name, key, self._key, names, days)
        return _written(self._folder, certificate, key)


def self_signed(folder: Path, names: tuple[str, ...] = LOOPBACK) -> Files:
    """A certificate that is signed by its own key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("self-signed")
    return _written(folder, _build(name, name, key, key, names, 90), key)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _build(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...],
    days: float,
    ca: bool = False,
) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=400))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _written(folder: Path, certificate: bytes, key: ec.EllipticCurvePrivateKey) -> Files:
    number = len(list(folder.iterdir()))
    files = Files(folder / f"{number}.pem", folder / f"{number}.key")
    files.certificate.write_bytes(certificate)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files
