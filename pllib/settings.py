"""Settings: tables of names, each a section of the configuration files.

Defaults < the site's file < the project's ``config.toml`` < ``SPROV_*`` < argument.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import msgspec

from .errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

SITE_CONFIG = "/etc/sprov/config.toml"
"""Of all users of a machine; SPROV_SITE_CONFIG names another."""

Section = TypeVar("Section", bound=msgspec.Struct)


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
    telemetry_s: float = 0.0
    """A session samples its process and node this often, seconds; 0 does not."""


class Serving(msgspec.Struct, frozen=True):
    """Of daemons: ``[serve]``, ``SPROV_SERVE_*``."""

    interface: str = ""
    """Network interface to listen on, such as ib0; empty for what `--bind` says."""
    ports: str = ""
    """Range to take ports from, such as 40000-40100; empty for any."""
    indexes: str = ""
    """Folder for store, series and snapshots, node-local; empty for the project's own."""
    certificate: str = ""
    """PEM file: the manager then serves HTTPS; not over a Unix socket."""
    key: str = ""
    """PEM file with the certificate's key; empty if it is in the same."""
    hosts: tuple[str, ...] = ()
    """Names besides the manager's own that requests may call it by; in the environment separated
    by colons."""


class Running(msgspec.Struct, frozen=True):
    """Of `sprov run`: ``[run]``, ``SPROV_RUN_*``."""

    telemetry_s: float = 1.0
    """The command and its node are sampled this often, seconds; 0 does not."""
    files: str = "audit"
    """audit or off: whether files that the command opens are recorded."""
    exclude: tuple[str, ...] = ()
    """Folders whose files are not recorded; in the environment separated by colons."""


class Retention(msgspec.Struct, frozen=True):
    """Of `sprov gc`: ``[retention]``, ``SPROV_RETENTION_*``."""

    keep_days: float = 0.0
    """Journals that nobody wrote for so many days are archived by `sprov gc --free`; 0 keeps them
    where they are for ever."""
    archive: str = ""
    """Folder for archived journals; empty for the project's own."""


class Querying(msgspec.Struct, frozen=True):
    """Limits of queries: ``[query]``, ``SPROV_QUERY_*``."""

    timeout_s: float = 600.0
    """The longest that a manager lets a query run, whatever is asked for, seconds."""
    memory_bytes: int = 4 << 30
    """Of one query."""
    rows: int = 10_000_000
    """Of an answer."""
    answer_bytes: int = 1 << 30
    """Of an answer, as it is sent."""
    workers: int = 2
    """Processes of a manager that answer, each one query at a time."""
    waiting: int = 64
    """Queries that may wait for one of them; others are refused at once."""


class Redaction(msgspec.Struct, frozen=True):
    """What is secret besides what is known everywhere (`pllib.redaction`): ``[redaction]``.

    The site's and the project's add up.
    """

    patterns: dict[str, str] = {}
    """Name to regular expression; not in the environment."""
    names: tuple[str, ...] = ()
    """Of values that are secrets; in the environment separated by colons."""


class InSlurm(msgspec.Struct, frozen=True):
    """Of `sprov slurm start`: ``[slurm]``, ``SPROV_SLURM_*``."""

    tracker: str = "auto"
    """auto, dedicated or shared: whether the tracker has a node of its own."""
    spool_dir: str = ""
    """Folder for ranks' spools, node-local."""


_SECTIONS: dict[type[Any], tuple[str, str]] = {
    Settings: ("capture", "SPROV_"),
    Serving: ("serve", "SPROV_SERVE_"),
    Running: ("run", "SPROV_RUN_"),
    Querying: ("query", "SPROV_QUERY_"),
    Retention: ("retention", "SPROV_RETENTION_"),
    Redaction: ("redaction", "SPROV_REDACTION_"),
    InSlurm: ("slurm", "SPROV_SLURM_"),
}
_CHOICES = {
    "mode": ("online", "offline", "off"),
    "spool_full": ("drop", "block"),
    "files": ("audit", "off"),
    "tracker": ("auto", "dedicated", "shared"),
}


def load(
    config: Path | None, environ: Mapping[str, str], given: Mapping[str, Any] | None = None
) -> Settings:
    """Combine all sources of a session's settings and check the result.

    Raises:
        SettingsError: An unknown name or an impossible value; says where it came from.
    """
    settings = load_section(Settings, config, environ, given)
    if environ.get("SPROV_MODE", "").lower() == "off":
        return msgspec.structs.replace(settings, mode="off")
    return settings


def load_section(
    section: type[Section],
    config: Path | None,
    environ: Mapping[str, str],
    given: Mapping[str, Any] | None = None,
) -> Section:
    """Combine all sources of one section and check the result.

    Raises:
        SettingsError: An unknown name or an impossible value; says where it came from.
    """
    name, prefix = _SECTIONS[section]
    site = environ.get("SPROV_SITE_CONFIG") or SITE_CONFIG
    values: dict[str, Any] = {}
    for source, found in (
        (site, _from_file(site, name)),
        (str(config), _from_file(config, name)),
        ("the environment", _from_environment(section, prefix, environ)),
        ("settings=", dict(given or {})),
    ):
        for key, value in found.items():
            values[key] = _check(section, key, value, source)
    return section(**values)


def _from_file(config: Path | str | None, section: str) -> dict[str, Any]:
    if config is None or not os.path.exists(config):  # noqa: PTH110  pathlib is slow to import
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        with open(config, encoding="utf-8") as file:
            return dict(tomllib.loads(file.read()).get(section, {}))
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{config} can't be read: {exc}", "It must be TOML") from exc


def _from_environment(
    section: type[msgspec.Struct], prefix: str, environ: Mapping[str, str]
) -> dict[str, str]:
    names = {f"{prefix}{name.upper()}": name for name in section.__struct_fields__}
    return {names[key]: environ[key] for key in names if environ.get(key)}


def _check(section: type[msgspec.Struct], name: str, value: Any, source: str) -> Any:
    types = get_type_hints(section)
    if name not in types:
        known = ", ".join(types)
        raise SettingsError(f"{source} has no setting {name!r} to set", f"There are: {known}")
    value = _convert(types[name], name, value, source)
    if name in _CHOICES and value not in _CHOICES[name]:
        choices = ", ".join(_CHOICES[name])
        raise SettingsError(f"{name} = {value!r} in {source} is none of {choices}")
    if name == "flush_bytes" and (value % 4096 or not 4096 <= value <= 4 << 20):
        raise SettingsError(f"flush_bytes = {value} in {source} is no multiple of 4096 up to 4 MiB")
    if isinstance(value, int | float) and value < 0:
        raise SettingsError(f"{name} = {value} in {source} is negative")
    return value


def _convert(kind: Any, name: str, value: Any, source: str) -> Any:
    if kind == tuple[str, ...]:
        found = value.split(":") if isinstance(value, str) else value
        if isinstance(found, list | tuple) and all(isinstance(each, str) for each in found):
            return tuple(each for each in found if each)
        raise SettingsError(f"{name} = {value!r} in {source} is no list of texts")
    if kind == dict[str, str]:
        if isinstance(value, dict) and all(isinstance(each, str) for each in value.values()):
            return dict(value)
        raise SettingsError(f"{name} = {value!r} in {source} is no table of texts")
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise SettingsError(f"{name} = {value!r} in {source} is not a {kind.__name__}") from None


def from_process(config: Path | None, given: Mapping[str, Any] | None = None) -> Settings:
    return load(config, os.environ, given)
