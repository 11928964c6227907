"""Where daemons listen: hosts, interfaces and ranges of ports."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from harness import TIMEOUT_S, require_ipv6

from manager.protection import host_names
from manager.tls import make
from pllib import listening
from pllib.errors import SettingsError, UnavailableError
from pllib.listening import (
    Listening,
    authority,
    command_of,
    default_bind,
    interface_addresses,
    is_daemon,
    listen,
    parse,
)
from pllib.project import Endpoint
from tracker.journal import Journal
from tracker.server import Server, new_keys


def test_an_interface_is_bound_and_advertised_by_its_address():
    assert parse("lo:40000-40100") == Listening("127.0.0.1", "127.0.0.1", (40000, 40100))
    for name, address in interface_addresses().items():
        assert parse(name).address == address


def test_all_addresses_are_advertised_by_a_name_that_is_not_of_this_host_alone():
    found = parse("0.0.0.0:4000")
    assert found.address == "0.0.0.0"
    assert found.ports == (4000, 4000)
    assert found.advertised not in ("", "0.0.0.0", "localhost")


@pytest.mark.parametrize(
    ("bind", "found"),
    [
        ("[::1]", Listening("::1", "::1")),
        ("::1", Listening("::1", "::1")),
        ("[::1]:4000-4100", Listening("::1", "::1", (4000, 4100))),
        ("[::1]:4000", Listening("::1", "::1", (4000, 4000))),
    ],
)
def test_an_address_of_ipv6_stands_in_brackets_before_ports(bind: str, found: Listening):
    require_ipv6()
    assert parse(bind) == found
    assert authority(found.address, 7) == "[::1]:7"
    assert authority("node1", 7) == "node1:7"


def test_all_addresses_of_ipv6_are_those_of_ipv4_too():
    require_ipv6()
    found = parse("[::]")
    assert (found.address, found.advertised) == ("::", parse("0.0.0.0").advertised)
    with listen(found, 1) as made:
        port = made.getsockname()[1]
        for host in ("::1", "127.0.0.1"):
            socket.create_connection((host, port), timeout=TIMEOUT_S).close()


def test_a_node_without_ipv4_serves_and_is_reached_by_ipv6(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(listening, "interface_addresses", lambda: {"lo": "::1", "ib0": "fd00::2"})
    monkeypatch.setattr(listening, "_is_reachable", lambda name: False)
    assert parse("0.0.0.0:4000") == Listening("::", "fd00::2", (4000, 4000))
    assert parse("ib0") == Listening("fd00::2", "fd00::2")
    assert "[fd00::2]" in host_names(parse("ib0"))


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_host_of_this_machine_may_be_named(name: str):
    assert parse(name).address == "127.0.0.1"


@pytest.mark.parametrize(
    ("bind", "says"),
    [
        ("ib9", "ib9 is no interface"),
        ("ib9:4000", "Its interfaces are .*lo"),
        ("192.0.2.1:4000", "192.0.2.1 is no interface"),
        ("[2001:db8::1]:4000", "2001:db8::1 is no interface"),
        ("lo:70000", "'70000' is no range of ports"),
        ("lo:9-8", "'9-8' is no range"),
        ("lo:x", "'x' is no range"),
    ],
)
def test_what_can_not_be_is_said(bind: str, says: str):
    with pytest.raises(SettingsError, match=says):
        parse(bind)


@pytest.mark.parametrize(
    ("interface", "ports", "environ", "bind"),
    [
        ("", "", {}, "127.0.0.1"),
        ("", "", {"SLURM_JOB_ID": "7"}, "0.0.0.0"),
        ("ib0", "40000-40100", {"SLURM_JOB_ID": "7"}, "ib0:40000-40100"),
        ("", "4000", {}, "127.0.0.1:4000"),
        ("fd00::2", "4000", {}, "[fd00::2]:4000"),
        ("fd00::2", "", {}, "fd00::2"),
    ],
)
def test_a_jobs_daemons_serve_its_other_nodes(interface, ports, environ, bind):
    assert default_bind(interface, ports, environ) == bind


def test_the_port_of_last_time_comes_first_if_it_may():
    assert list(Listening("h", "h").candidates()) == [0]
    assert list(Listening("h", "h").candidates(7)) == [7, 0]
    assert list(Listening("h", "h", (5, 7)).candidates(6)) == [6, 5, 7]
    assert list(Listening("h", "h", (5, 7)).candidates(9)) == [5, 6, 7]


def test_a_tracker_takes_what_is_free_of_a_range_and_says_when_nothing_is(tmp_path):
    keys, secret = new_keys()
    endpoint = Endpoint(**keys)
    journal = Journal(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"port {port} of 127.0.0.1 is taken"):
            Server(journal, endpoint, secret, parse(f"lo:{port}"))
        server = Server(journal, endpoint, secret, parse(f"lo:{port}-{min(port + 50, 65535)}"))
        assert port < int(server.url.rpartition(":")[2]) <= port + 50
        server.close()
    journal.close()


@pytest.mark.parametrize(("command", "is_one"), [("serve", True), ("run", False)])
def test_another_command_of_ours_is_no_daemon(command: str, is_one: bool):
    """It may have the number that a daemon had which was killed."""
    words = [sys.executable, "-c", "input()", "/venv/bin/sprov", command]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        assert is_daemon(process.pid) is is_one
        process.communicate(b"\n")
    assert not is_daemon(process.pid)


def test_a_process_that_was_just_started_has_its_command():
    for _ in range(300):
        with subprocess.Popen(["/bin/cat", "-"], stdin=subprocess.PIPE) as process:
            assert command_of(process.pid)[:2] == [b"/bin/cat", b"-"]
            process.communicate()
        assert command_of(process.pid) == []


def test_what_makes_certificates_and_can_not_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch):
    """As where its wheel does not fit the node."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(UnavailableError, match="needs a certificate") as raised:
        make(["localhost"])
    assert "--certificate" in raised.value.hint
