"""The manager's certificate, if it serves HTTPS."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import msgspec

from pllib.errors import SettingsError
from pllib.settings import Serving

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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    own = _first(certificate)
    _read(key or certificate)
    try:
        context.load_cert_chain(certificate, key or None, password=_refuse)
    except ssl.SSLError as exc:
        what = f"{certificate} and {key or certificate} are no certificate and its key"
        raise SettingsError(f"{what}: {exc.reason or exc}") from None
    return context, own


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
