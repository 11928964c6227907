"""The manager's certificate: one that is given, or made at its start where a network can be heard.

Whoever can read the network would else have queries, answers and the token.  Clients pin the one
certificate that the endpoint file has, so nobody needs to vouch for it.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from pllib.errors import SettingsError, UnavailableError
from pllib.settings import Serving

DAYS = 3650
"""How long a certificate is valid that is made for one start; who pins it looks at no dates."""
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def chosen(settings: Serving, certificate: str | None, key: str | None) -> Serving:
    """Return the settings with what the command line says.

    Raises:
        SettingsError: It says half.
    """
    if certificate is None:
        if key is not None:
            raise SettingsError("--key is nothing without --certificate")
        return settings
    return msgspec.structs.replace(settings, certificate=certificate, key=key or "")


def load(certificate: str, key: str) -> tuple[ssl.SSLContext, str]:
    """Return how to serve with a certificate, and that certificate alone, as PEM.

    Args:
        certificate: A PEM file: the manager's own first, then those that vouch for it.
        key: A PEM file; empty if the key is in the same.

    Raises:
        SettingsError: A file can't be read or used, or they are no pair.
    """
    context = _context()
    own = _first(certificate)
    _read(key or certificate)
    try:
        context.load_cert_chain(certificate, key or None, password=_refuse)
    except ssl.SSLError as exc:
        what = f"{certificate} and {key or certificate} are no certificate and its key"
        raise SettingsError(f"{what}: {exc.reason or exc}") from None
    return context, own


def make(names: Iterable[str]) -> tuple[ssl.SSLContext, str]:
    """Return how to serve with a new certificate that signs itself, and that, as PEM.

    Its key is in this process alone: no file of it is ever on a disk.

    Args:
        names: Hosts and addresses that it is for; IPv6 in brackets.

    Raises:
        UnavailableError: What makes certificates can't be loaded.
    """
    try:
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as exc:
        raise UnavailableError(
            f"a manager that listens on a network needs a certificate, and can't make one: {exc}",
            "pip install 'sprov[server]', or name one with --certificate",
        ) from exc

    key = ec.generate_private_key(ec.SECP256R1())
    own = _signed(key, names)
    secret: bytes = key.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
    )
    context = _context()
    fd = os.memfd_create("sprov-certificate", os.MFD_CLOEXEC)  # ssl reads files alone (3.14)
    try:
        os.write(fd, secret + own.encode())
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    return context, own


def _signed(key: Any, names: Iterable[str]) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sprov manager")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    called = [_general_name(each) for each in sorted(names) if each.isascii()]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)  # clocks of nodes differ
        .not_valid_after(now + DAYS * day)
        .add_extension(x509.SubjectAlternativeName(called), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem: bytes = certificate.public_bytes(form.Encoding.PEM)
    return pem.decode()


def _general_name(host: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _first(certificate: str) -> str:
    found = _CERTIFICATE.search(_read(certificate))
    if found is None:
        raise SettingsError(f"{certificate} holds no certificate in PEM")
    return found[0] + "\n"


def _read(path: str) -> str:
    try:
        return Path(path).read_text("latin-1")
    except OSError as exc:
        raise SettingsError(f"{path} can't be read: {exc.strerror}") from None


def _refuse() -> str:
    raise SettingsError("the key of the certificate has a passphrase", "Give one without")
