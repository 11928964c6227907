"""What a machine lacks is a skip, in CI a failure; nothing is installed unasked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from apt import ASKED, provide_tools
from harness import lack, require_module

TOOL = "a-tool-that-no-package-has"
PACKAGE = ("a-package",)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where an apt-get that installs nothing notes that it was called."""
    noted = tmp_path / "calls"
    noted.touch()
    program = tmp_path / "apt-get"
    program.write_text(f'#!/bin/sh\necho "$@" >> {noted}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return noted


@pytest.mark.parametrize("asked", ["", "0"])
def test_no_package_is_installed_unless_that_was_asked_for(calls, monkeypatch, asked):
    monkeypatch.setenv(ASKED, asked)
    reason = provide_tools(TOOL, "sh", packages=PACKAGE)
    assert reason == f"{TOOL} missing ({ASKED}=1 has a-package installed)"
    assert calls.read_text() == ""


def test_packages_are_installed_where_that_was_asked_for(calls, monkeypatch):
    if os.geteuid():
        lack("only root installs packages")
    monkeypatch.setenv(ASKED, "1")
    reason = provide_tools(TOOL, packages=PACKAGE)
    assert reason == f"{TOOL} missing still, with a-package installed"
    assert calls.read_text().splitlines() == [
        "-q update", "-q install --yes --no-install-recommends a-package",
    ]  # fmt: skip


def test_nothing_is_installed_for_a_tool_that_is_here(calls, monkeypatch):
    monkeypatch.setenv(ASKED, "1")
    assert provide_tools("sh", packages=PACKAGE) == ""
    assert calls.read_text() == ""


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip), ("true", pytest.fail)])
def test_what_is_lacking_is_a_failure_in_ci_alone(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome.Exception, match="no such thing"):
        lack("no such thing")
    with pytest.raises(outcome.Exception, match="pip install 'sprov"):
        require_module("a_module_that_nobody_wrote", "dev")
    require_module("os", "dev")
