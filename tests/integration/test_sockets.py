"""Daemons on Unix sockets and over TLS: whole runs, and every way that they can be wrong."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from harness import (
    TIMEOUT_S,
    TRANSFORMATIONS,
    Site,
    require_ipv6,
    require_module,
    wait_until,
)

from manager.daemon import _secured
from pllib.project import read_endpoint, update_endpoint


def one_line(errors: str) -> str:
    """Return the one line that an error is."""
    lines = [line for line in errors.splitlines() if line]
    assert len(lines) == 1, errors
    return lines[0]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for sockets: pytest's own are too long for one."""
    with tempfile.TemporaryDirectory(prefix="s") as made:
        yield Path(made) / "d"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.pem, 1.key, 2.pem, 2.key: certificates that nobody vouches for, and their keys."""
    made = tmp_path_factory.mktemp("certificates")
    for name in "12":
        command = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", "/CN=elsewhere",
        ]  # fmt: skip
        subprocess.run(command, cwd=made, check=True, capture_output=True)
    return made


def over_unix(site: Site, folder: Path, certificates: Path) -> None:
    site.serve("--bind", f"unix:{folder}")
    assert site.endpoint.manager == f"unix://{folder}/manager.sock"
    assert site.endpoint.tracker == f"ipc://{folder}/tracker.sock"


def over_tls(site: Site, folder: Path, certificates: Path) -> None:
    site.serve("--certificate", f"{certificates}/1.pem", "--key", f"{certificates}/1.key")
    assert site.endpoint.manager.startswith("https://127.0.0.1:")


def over_network(site: Site, folder: Path, certificates: Path) -> None:
    """With a certificate that the manager makes when it starts, and so another after a kill."""
    require_module("cryptography", "server")
    site.serve("--bind", "0.0.0.0")
    assert site.endpoint.manager.startswith("https://")
    assert site.endpoint.certificate.startswith("-----BEGIN CERTIFICATE-----")


Serve = Callable[[Site, Path, Path], None]


@pytest.mark.parametrize("serve", [over_unix, over_network])
def test_a_whole_life(site: Site, folder: Path, certificates: Path, serve: Serve):
    """
    Ranks record, commands ask, an offline log is ingested, daemons are killed and restarted and
    stopped.
    """
    serve(site, folder, certificates)
    site.run("steps.py", "7", ranks=2)
    assert site.count(TRANSFORMATIONS) == 14
    status = json.loads(site.sprov("status", "--format", "json"))
    assert status["tracker"]["running"] and status["manager"]["running"]
    assert not status["tracker"]["trouble"]
    assert len(json.loads(site.sprov("runs", "--format", "json"))) == 1
    assert "completed" in site.sprov("show", "@last")
    assert site.sprov("ask", "run-time")

    site.run("steps.py", "3", SPROV_MODE="offline")
    assert "handed to the running tracker" in site.sprov("ingest")
    assert site.count(TRANSFORMATIONS) == 17
    site.kill("manager")
    site.kill("tracker")
    wait_until(lambda: site.endpoint.tracker and site.endpoint.manager)
    site.run("steps.py", "5")
    assert site.count(TRANSFORMATIONS) == 22

    assert site.sprov("stop") == "stopped\n"
    assert site.server is not None
    site.server.wait(TIMEOUT_S)
    assert site.count(TRANSFORMATIONS) == 22
    site.verify()
    assert not (folder / "manager.sock").exists()


def test_sockets_are_their_users_alone(site: Site, folder: Path):
    before = os.umask(0)
    try:
        site.serve("--bind", f"unix:{folder}")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.sock")}
    assert modes == {"manager.sock": 0o600, "tracker.sock": 0o600}


def test_no_port_is_open(site: Site, folder: Path):
    import psutil

    site.serve("--bind", f"unix:{folder}")
    for pid in (site.endpoint.tracker_pid, site.endpoint.manager_pid):
        assert psutil.Process(pid).net_connections("inet") == []


def test_a_folder_that_others_may_enter_is_refused(site: Site, folder: Path, tmp_path: Path):
    folder.mkdir()
    bind = ("serve", "--bind", f"unix:{folder}")
    folder.chmod(0o711)
    assert "mode 700" in one_line(site.sprov(*bind, status=4))
    folder.rename(folder.with_name("real"))
    folder.with_name("real").chmod(0o700)
    folder.symlink_to(folder.with_name("real"))
    assert f"{folder} is not this user's alone" in one_line(site.sprov(*bind, status=4))
    folder.unlink()
    folder.touch()
    assert str(folder) in one_line(site.sprov(*bind, status=4))
    if os.geteuid() == 0:
        folder.unlink()
        folder.mkdir(mode=0o700)
        os.chown(folder, 5001, 5001)
        assert "is not this user's alone" in one_line(site.sprov(*bind, status=4))
    long = folder / ("x" * 100)
    said = one_line(site.sprov("serve", "--bind", f"unix:{long}", status=2))
    assert "at most 107" in said
    assert "needs a folder" in one_line(site.sprov("serve", "--bind", "unix:", status=2))


@pytest.mark.parametrize("name", ["manager.sock", "tracker.sock"])
def test_a_socket_is_replaced_only_when_nobody_listens(site: Site, folder: Path, name: str):
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(folder / name))
        living.listen()
        said = one_line(site.sprov("serve", "--bind", f"unix:{folder}", status=4))
        assert f"a daemon listens on {folder / name} already" in said
    assert (folder / name).is_socket()
    site.serve("--bind", f"unix:{folder}")
    site.run("steps.py", "2")
    assert site.count(TRANSFORMATIONS) == 2


def test_certificates_that_can_not_be_used_are_told_in_a_line(site: Site, certificates: Path):
    def serve(certificate: str, key: str | None = None) -> str:
        given = ["--certificate", str(certificates / certificate)]
        more = ["--key", str(certificates / key)] if key else []
        return one_line(site.sprov("serve", *given, *more, status=2))

    (certificates / "empty.pem").write_text("")
    secret = (certificates / "1.key").read_bytes()
    locked = ["openssl", "ec", "-aes256", "-passout", "pass:x", "-out", certificates / "locked.key"]
    subprocess.run(locked, input=secret, check=True, capture_output=True)
    assert "none.pem can't be read: No such file" in serve("none.pem", "1.key")
    assert "none.key can't be read: No such file" in serve("1.pem", "none.key")
    assert "holds no certificate" in serve("empty.pem", "1.key")
    assert "2.key are no certificate and its key" in serve("1.pem", "2.key")
    assert "empty.pem are no certificate and its key" in serve("1.pem", "empty.pem")
    assert "are no certificate and its key" in serve("1.pem")
    assert "passphrase" in serve("1.pem", "locked.key")
    said = one_line(site.sprov("serve", "--key", str(certificates / "1.key"), status=2))
    assert "--certificate" in said


def test_certificate_and_key_may_be_set_and_in_one_file(site: Site, certificates: Path):
    both = site.folder / "both.pem"
    both.write_bytes(
        b"".join((certificates / name).read_bytes() for name in ("1.key", "1.pem", "2.pem"))
    )
    (site.project.root / "config.toml").write_text(f'[serve]\ncertificate = "{both}"\n')
    site.serve()
    assert site.endpoint.certificate == (certificates / "1.pem").read_text()
    assert site.count("?s ?p ?o") == 0


COMMANDS = [
    ("query", "ASK {}"),
    ("show", "@last"),
    ("ask", "run-time"),
    ("lineage", "@last"),
    ("metrics", "@last"),
    ("export", "@last"),
    ("runs",),
]


def said(site: Site, *command: str) -> str:
    """Return the line that a command says of the manager, before it answers from the store."""
    done = site.attempt(*command)
    assert done.returncode == 0, (command, done)
    trouble, *rest = done.stderr.splitlines()
    assert len(rest) == 1, rest
    assert rest[0].startswith("sprov: as of ")
    return trouble


def test_a_wrong_token_or_certificate_is_one_clear_line(site: Site, certificates: Path):
    over_tls(site, site.folder, certificates)
    site.run("steps.py", "2")
    site.count("?s ?p ?o")
    file = site.project.endpoints / "local.json"
    right = site.endpoint
    other = (certificates / "2.pem").read_text()
    for fields, says, commands in (
        ({"token": "x" * 43}, "does not take the token of the endpoint file", COMMANDS),
        ({"certificate": other}, "has another certificate", COMMANDS[:1]),
        ({"certificate": ""}, "no certificate to know it by", COMMANDS[:1]),
    ):
        update_endpoint(file, **fields)
        for command in commands:
            trouble = said(site, *command)
            assert says in trouble, command
            assert f"{file} is stale" in trouble
        assert says in site.sprov("status")
        assert says in one_line(site.sprov("query", "ASK {}", "--live", status=4))
        update_endpoint(file, **{name: getattr(right, name) for name in fields})
    assert site.sprov("query", "ASK {}").strip() == "yes"


def test_a_token_is_not_sent_to_who_has_another_certificate(
    site: Site, certificates: Path, tmp_path: Path
):
    """Somebody who took a manager's port can't have its token."""
    over_tls(site, tmp_path, certificates)
    file = site.project.endpoints / "local.json"
    endpoint = msgspec.json.decode(file.read_bytes())
    heard: list[bytes] = []

    def answer(thief: socket.socket) -> None:
        """Answer whoever calls, the tracker too, until the socket is shut."""
        while True:
            try:
                taken, _ = thief.accept()
            except OSError:
                return
            with taken, contextlib.suppress(OSError):  # a caller may hang up
                heard.append(taken.recv(65536))
                taken.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n")
                taken.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as thief:
        answering = threading.Thread(target=answer, args=(thief,))
        answering.start()
        update_endpoint(file, manager=f"https://127.0.0.1:{thief.getsockname()[1]}")
        site.sprov("query", "ASK {}", "--live", status=4)
        thief.shutdown(socket.SHUT_RDWR)
        answering.join()
    assert heard
    for said_first in heard:
        assert said_first[:1] == b"\x16"  # a TLS handshake, and nothing else
        assert endpoint["token"].encode() not in said_first


def test_a_job_is_served_with_a_certificate_which_is_another_at_each_start(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    """It is valid for all names of the node, so that other clients need know it alone."""
    require_module("cryptography", "server")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    site.serve()
    file = site.project.endpoint("77")
    first = read_endpoint(file)
    port = int(first.manager.rpartition(":")[2])
    context = ssl.create_default_context(cadata=first.certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("localhost", "127.0.0.1", socket.gethostname()):
        with (
            socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=name) as encrypted,
        ):
            assert encrypted.version() == "TLSv1.3"
    assert site.sprov("query", "ASK {}").strip() == "yes"
    os.kill(first.manager_pid, signal.SIGKILL)
    wait_until(lambda: read_endpoint(file).manager_pid != first.manager_pid)
    assert read_endpoint(file).certificate != first.certificate
    written = [*site.project.root.iterdir(), *site.project.endpoints.iterdir()]
    assert not [path for path in written if is_key(path)]


def is_key(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):  # of a file that was written and renamed
        return path.is_file() and b"PRIVATE KEY" in path.read_bytes()
    return False


@pytest.mark.parametrize(
    ("address", "is_secured"),
    [("127.0.0.1", False), ("127.0.0.2", False), ("::1", False), ("0.0.0.0", True), ("::", True)],
)
def test_what_leaves_the_node_is_encrypted(address: str, is_secured: bool):
    require_module("cryptography", "server")
    if ":" in address:
        require_ipv6()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as bound:
        bound.bind((address, 0))
        context, certificate = _secured(bound, None, ["localhost"])
    assert bool(context) == bool(certificate) == is_secured


def test_plain_http_gets_nothing_of_a_manager_with_a_certificate(
    site: Site, tmp_path: Path, certificates: Path
):
    over_tls(site, tmp_path, certificates)
    port = int(site.endpoint.manager.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"HTTP" not in sock.recv(65536)
    assert site.count("?s ?p ?o") == 0


def test_a_stopped_process_leaves_its_folder_to_the_next(site: Site, folder: Path):
    site.serve("--bind", f"unix:{folder}")
    assert site.server is not None
    for pid in (site.server.pid, site.endpoint.tracker_pid, site.endpoint.manager_pid):
        os.kill(pid, signal.SIGKILL)
    site.server.wait()
    site.serve("--bind", f"unix:{folder}")
    site.run("steps.py", "2")
    assert site.count(TRANSFORMATIONS) == 2
