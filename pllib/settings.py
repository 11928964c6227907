"""Settings of a session: one table; defaults < config.toml < SPROV_* < argument."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


class Settings(msgspec.Struct, frozen=True):
    """Each is also `[capture]` in `.sprov/config.toml` and an environment variable,
    ``SPROV_`` and its name in capitals."""

    mode: str = "online"
    """online, offline (spool only) or off; SPROV_MODE=off beats everything."""
    spool_dir: str = ""
    """Folder for spools: node-local; empty for the project's own, if it can be mapped."""
    spool_limit_bytes: int = 1 << 30
    """Of one process; at the limit, `spool_full` says what happens."""
    spool_full: str = "drop"
    """drop (and count) or block."""
    flush_bytes: int = 256 << 10
    """Size of a frame; a multiple of 4096, at most 4 MiB."""
    flush_age_s: float = 0.25
    """A record waits at most about this long before it is sent."""
    close_timeout_s: float = 2.0
    """How long the end of a session may wait for the tracker."""
    digest_limit_bytes: int = 8 << 30
    """Files up to this size are read beside the tracker, or by `sprov ingest`, to know copies of
    them; 0 reads none."""


_CHOICES = {"mode": ("online", "offline", "off"), "spool_full": ("drop", "block")}


def load(
    config: Path | None, environ: Mapping[str, str], given: Mapping[str, Any] | None = None
) -> Settings:
    """Combine all sources and check the result.

    Raises:
        SettingsError: An unknown name or an impossible value; says where it came from.
    """
    values: dict[str, Any] = {}
    for source, found in (
        (str(config), _from_file(config)),
        ("the environment", _from_environment(environ)),
        ("settings=", dict(given or {})),
    ):
        for name, value in found.items():
            values[name] = _check(name, value, source)
    if environ.get("SPROV_MODE", "").lower() == "off":
        values["mode"] = "off"
    return Settings(**values)


def _from_file(config: Path | None) -> dict[str, Any]:
    if config is None or not config.exists():
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return dict(tomllib.loads(config.read_text()).get("capture", {}))
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{config} can't be read: {exc}", "It must be TOML") from exc


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    names = {f"SPROV_{name.upper()}": name for name in Settings.__struct_fields__}
    return {names[key]: environ[key] for key in names if environ.get(key)}


def _check(name: str, value: Any, source: str) -> Any:
    types = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    if name not in types:
        known = ", ".join(types)
        raise SettingsError(f"{source} has no setting {name!r} to set", f"There are: {known}")
    try:
        value = types[name](value)
    except (TypeError, ValueError):
        kind = types[name].__name__
        raise SettingsError(f"{name} = {value!r} in {source} is not a {kind}") from None
    if name in _CHOICES and value not in _CHOICES[name]:
        choices = ", ".join(_CHOICES[name])
        raise SettingsError(f"{name} = {value!r} in {source} is none of {choices}")
    if name == "flush_bytes" and (value % 4096 or not 4096 <= value <= 4 << 20):
        raise SettingsError(f"flush_bytes = {value} in {source} is no multiple of 4096 up to 4 MiB")
    if isinstance(value, int | float) and value < 0:
        raise SettingsError(f"{name} = {value} in {source} is negative")
    return value


def from_process(config: Path | None, given: Mapping[str, Any] | None = None) -> Settings:
    return load(config, os.environ, given)
