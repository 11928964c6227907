"""The locks cover what setup.cfg asks for, at versions that it allows, from any index."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
NEWEST, OLDEST = "constraints.txt", "constraints-oldest.txt"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")


def _declared() -> list[Requirement]:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def _locked(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def _applies(requirement: Requirement, python: str, machine: str) -> bool:
    environment = {
        "python_version": python, "python_full_version": f"{python}.0",
        "platform_machine": machine, "sys_platform": "linux",
    }  # fmt: skip
    return requirement.marker is None or requirement.marker.evaluate(environment)


def _versions(lock: list[Requirement], python: str, machine: str) -> dict[str, str]:
    pins = [pin for pin in lock if _applies(pin, python, machine)]
    versions = {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in pins}
    assert len(versions) == len(pins), "a package has two versions"
    return versions


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_has_an_allowed_version_of_every_dependency(python: str, machine: str) -> None:
    versions = _versions(_locked(NEWEST), python, machine)
    needed = [need for need in _declared() if _applies(need, python, machine)]
    assert len(needed) > 30
    wrong = {
        str(need): versions.get(canonicalize_name(need.name))
        for need in needed
        if versions.get(canonicalize_name(need.name)) not in need.specifier
    }
    assert wrong == {}


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    versions = _versions(_locked(OLDEST), "3.10", "x86_64")
    needed = [need for need in _declared() if _applies(need, "3.10", "x86_64")]
    above = {}
    for need in needed:
        bounds = [part for part in need.specifier if part.operator in (">=", "==")]
        assert bounds, f"{need} has no lower bound"
        version = versions[canonicalize_name(need.name)]
        if not version.startswith(bounds[0].version):
            above[str(need)] = version
    assert above == {}


@pytest.mark.parametrize("name", [NEWEST, OLDEST])
def test_a_lock_names_no_index(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "--" not in text
    assert all(str(pin.specifier).startswith("==") for pin in _locked(name))
