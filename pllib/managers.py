"""Ask a manager, wherever it listens: over HTTP, HTTPS or a Unix socket.

Over HTTPS the one certificate is trusted that the endpoint file gives, be it self-signed: it is
compared byte by byte before anything is sent, so neither names, dates nor authorities matter.
Proxies that the environment names are not used: the token is for the manager alone.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from . import launch
from .errors import UnavailableError
from .project import Endpoint
from .sharing import check_private

CONNECT_TIMEOUT_S = 5.0
UNIX = "unix://"


class NotTheManagerError(UnavailableError):
    """Somebody else answers at its address."""


class Reply(NamedTuple):
    status: int
    media: str
    body: bytes


class _Unix(http.client.HTTPConnection):
    """To a Unix socket; requests name ``localhost`` as their host."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Pinned(http.client.HTTPSConnection):
    """To whoever has the key of one certificate."""

    def __init__(self, host: str, port: int | None, timeout: float, certificate: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        super().__init__(host, port, timeout=timeout, context=context)
        self._expected = ssl.PEM_cert_to_DER_cert(certificate)

    def connect(self) -> None:
        super().connect()
        assert isinstance(self.sock, ssl.SSLSocket)
        if self.sock.getpeercert(binary_form=True) != self._expected:
            self.close()
            raise _StrangerError("it has another certificate")


class _StrangerError(ssl.SSLError):
    """Says what is not as it should be."""

    def __str__(self) -> str:
        return str(self.args[0])


def connect(endpoint: Endpoint, timeout_s: float) -> http.client.HTTPConnection:
    """Return a connection to a manager, made.

    Args:
        timeout_s: Of each answer.

    Raises:
        NotTheManagerError: It has another certificate than the endpoint file says.
        UnavailableError: It can't be reached.
    """
    try:
        connection = _new(endpoint, min(timeout_s, CONNECT_TIMEOUT_S))
        connection.connect()
    except ssl.SSLEOFError as exc:  # it ended, or was ended, before it said who it is
        raise _silent(endpoint, exc) from None
    except ssl.SSLError as exc:
        raise NotTheManagerError(
            f"{endpoint.manager} is not the manager that the endpoint file means: {exc}",
            "If it was started anew with another, try again; else somebody took its place",
        ) from None
    except (OSError, ValueError, UnavailableError, http.client.HTTPException) as exc:
        raise _silent(endpoint, exc) from None
    connection.sock.settimeout(timeout_s)
    return connection


def _new(endpoint: Endpoint, timeout_s: float) -> http.client.HTTPConnection:
    if endpoint.manager.startswith(UNIX):
        path = Path(endpoint.manager.removeprefix(UNIX))
        check_private(path.parent)  # nobody else can have put another socket there
        return _Unix(str(path), timeout_s)
    url = urlsplit(endpoint.manager)
    if url.scheme != "https":
        return http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout_s)
    if not endpoint.certificate:
        raise _StrangerError("the file has no certificate to know it by")
    return _Pinned(url.hostname or "", url.port, timeout_s, endpoint.certificate)


def _silent(endpoint: Endpoint, exc: Exception) -> UnavailableError:
    elsewhere = endpoint.manager.startswith(UNIX) and endpoint.host != launch.host()
    hint = f"Its socket is on {endpoint.host}: ask there" if elsewhere else "See `sprov status`"
    return UnavailableError(f"the manager at {endpoint.manager} does not answer: {exc}", hint)


def send(
    connection: http.client.HTTPConnection,
    endpoint: Endpoint,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> http.client.HTTPResponse:
    """Send a request; return the answer, whose body is not read yet.

    Raises:
        NotTheManagerError: It does not take the token.
        UnavailableError: None comes.
    """
    headers = {**(headers or {}), "Authorization": f"Bearer {endpoint.token}"}
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as exc:
        raise _silent(endpoint, exc) from exc
    if answer.status == http.client.UNAUTHORIZED:
        raise NotTheManagerError(
            f"the manager at {endpoint.manager} does not take the token of the endpoint file",
            "Try again if it was just started; else another has its address: see `sprov status`",
        )
    return answer


def request(
    endpoint: Endpoint,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    *,
    timeout_s: float,
) -> Reply:
    """Ask once, on a connection of its own.

    Raises:
        UnavailableError: There is no whole answer, or it is not the manager.
    """
    connection = connect(endpoint, timeout_s)
    try:
        return read(endpoint, send(connection, endpoint, method, path, body, headers))
    finally:
        connection.close()


def read(endpoint: Endpoint, answer: http.client.HTTPResponse) -> Reply:
    """Return an answer with its body.

    Raises:
        UnavailableError: It is not whole.
    """
    try:
        return Reply(answer.status, answer.headers.get_content_type(), answer.read())
    except (OSError, http.client.HTTPException) as exc:
        raise _silent(endpoint, exc) from exc


class Caller:
    """Asks again and again on one connection, which is made anew when it breaks; of one thread."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._to = ("", "")

    def request(
        self,
        endpoint: Endpoint,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Ask; what may be asked twice is, if a kept connection turns out to be closed.

        Raises:
            UnavailableError: There is no whole answer, or it is not the manager.
        """
        to = (endpoint.manager, endpoint.certificate)
        if to != self._to:
            self.close()
        kept = self._connection is not None
        try:
            if self._connection is None:
                self._connection, self._to = connect(endpoint, self._timeout_s), to
            return read(endpoint, send(self._connection, endpoint, method, path, body, headers))
        except UnavailableError as exc:
            self.close()
            broken = exc.__cause__
            if kept and isinstance(broken, ConnectionError | http.client.BadStatusLine):
                return self.request(endpoint, method, path, body, headers)
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
