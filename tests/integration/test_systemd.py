"""The daemons as a service of systemd: units, when it is told what, what its journal gets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from apt import provide_tools
from harness import SCRIPT, Site, lack

from pllib.readiness import READY, VARIABLE, Notifier
from slurm.sitefile import UNITS

WAIT_S = 200


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(site: Site, unit: str):
    if absent := provide_tools("systemd-analyze", packages=("systemd",)):
        lack(absent)
    text = site.sprov("slurm", "template", unit)
    assert f'ExecStart="{sys.prefix}/bin/sprov" serve\n' in text
    for name, written in (("sprov", text), ("wrong", text.replace("KillMode", "Killmode"))):
        path = site.folder / f"{name}@home-ada.service"
        path.write_text(written)
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        about = [line for line in done.stderr.splitlines() if path.name in line]
        assert bool(about) == (name == "wrong"), done.stderr


@pytest.mark.parametrize("is_abstract", [False, True])
def test_readiness_is_one_datagram(tmp_path: Path, monkeypatch, is_abstract: bool):
    name = f"@sprov-{os.getpid()}-{tmp_path.name}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name[1:] if is_abstract else name)
        systemd.settimeout(WAIT_S)
        monkeypatch.setenv(VARIABLE, name)
        Notifier().tell(READY, "STATUS=serving")
        assert systemd.recv(4096) == b"READY=1\nSTATUS=serving"
        assert VARIABLE not in os.environ, "no child is to speak for this process"


def test_nobody_who_listens_is_no_error(tmp_path: Path, monkeypatch):
    for name in ("", "nonsense", str(tmp_path / "none"), "@", "/" + "x" * 200):
        monkeypatch.setenv(VARIABLE, name)
        Notifier().tell(READY)
        assert VARIABLE not in os.environ


def test_systemd_hears_when_both_serve_and_its_journal_what_they_log(site: Site):
    address = str(site.folder / "notify")
    ours, journal = socket.socketpair()
    with ours, journal, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(WAIT_S)
        found = os.fstat(journal.fileno())
        stream = f"{found.st_dev}:{found.st_ino}"
        site.server = subprocess.Popen(
            [SCRIPT, "serve"], cwd=site.folder, stderr=journal,
            env=site.environment(NOTIFY_SOCKET=address, JOURNAL_STREAM=stream),
        )  # fmt: skip
        journal.close()
        ready = systemd.recv(4096).decode().split("\n")
        assert ready == [READY, f"STATUS=serving {site.project.root}"]
        assert site.endpoint.tracker
        assert site.endpoint.manager
        site.sprov("status")
        site.stop()
        assert systemd.recv(4096) == b"STOPPING=1"
        said = ours.makefile("rb").read().decode().splitlines()
    for daemon in ("serve", "tracker", "manager"):
        about = [line for line in said if f" local {daemon}: " in line]
        assert about[0].startswith(f"<6>INFO    local {daemon}: started "), said
        assert " ended " in about[-1]
