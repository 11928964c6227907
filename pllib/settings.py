"""Settings: tables of names, each a section of the configuration files.

Defaults < the site's file < the project's ``config.toml`` < ``SPROV_*`` < argument.

A wrong value in a file or in the environment is told, and what is below it holds: a file that a
newer version can read must not end an older one.  Two kinds of mistake are errors: an argument of
the program's own call, and a value of a section that protects something (`STRICT`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta

from .errors import SettingsError
from .notices import warn
from .regular import read_regular

if TYPE_CHECKING:
    from pathlib import Path

SITE_CONFIG = "/etc/sprov/config.toml"
"""Of all users of a machine; SPROV_SITE_CONFIG names another."""
MAX_FILE_BYTES = 1 << 20
LONGEST_S = 604_800.0
"""A week: libzmq takes milliseconds in 31 bits."""

Section = TypeVar("Section", bound=msgspec.Struct)
Warn = Callable[[str], None]

Seconds = Annotated[float, Meta(ge=0, le=LONGEST_S)]
Count = Annotated[int, Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True):
    """Each is also `[capture]` in `.sprov/config.toml` and an environment variable,
    ``SPROV_`` and its name in capitals."""

    mode: Annotated[
        Literal["online", "offline", "off"],
        Meta(description="online, offline (spool only) or off; SPROV_MODE=off beats everything"),
    ] = "online"
    spool_dir: Annotated[
        str, Meta(description="node-local folder for spools; empty: the project's, or memory")
    ] = ""
    spool_limit_bytes: Annotated[
        Count, Meta(description="of one process; at the limit spool_full says what happens")
    ] = 1 << 30
    spool_full: Annotated[
        Literal["drop", "block"], Meta(description="drop (and count) or block")
    ] = "drop"
    flush_bytes: Annotated[
        int,
        Meta(
            ge=4096, le=4 << 20, multiple_of=4096,
            description="size of a frame; a multiple of 4096, at most 4 MiB",
        ),
    ] = 256 << 10  # fmt: skip
    flush_age_s: Annotated[
        Seconds, Meta(description="a record waits at most about so long before it is sent")
    ] = 0.25
    close_timeout_s: Annotated[
        Seconds, Meta(description="how long the end of a session may wait for the tracker")
    ] = 2.0
    digest_limit_bytes: Annotated[
        Count, Meta(description="larger files are not read to know copies of them; 0 reads none")
    ] = 8 << 30
    telemetry_s: Annotated[
        Seconds, Meta(description="sample process and node this often, seconds; 0 does not")
    ] = 0.0
    software: Annotated[
        Literal["loaded", "off"],
        Meta(description="loaded or off: whether command, code and packages are recorded"),
    ] = "loaded"


class Serving(msgspec.Struct, frozen=True):
    """Of daemons: ``[serve]``, ``SPROV_SERVE_*``."""

    interface: Annotated[
        str, Meta(description='network interface to listen on, such as "ib0"; else as --bind says')
    ] = ""
    ports: Annotated[
        str, Meta(description='range to take ports from, such as "40000-40100"; empty for any')
    ] = ""
    indexes: Annotated[
        str, Meta(description="node-local folder for store, series and snapshots")
    ] = ""
    certificate: Annotated[
        str, Meta(description="PEM file: the manager then serves HTTPS; not over a Unix socket")
    ] = ""
    key: Annotated[
        str, Meta(description="PEM file with the certificate's key; empty if it is in the same")
    ] = ""
    hosts: Annotated[
        tuple[str, ...],
        Meta(description="names besides the manager's own that requests may call it by"),
    ] = ()
    quota_bytes: Annotated[
        Count, Meta(description="of the project: beyond it nothing is journalled; 0 for no quota")
    ] = 0
    manager_port: Annotated[
        int, Meta(ge=0, le=65535, description="port of the manager of `sprov serve`; 0 for any")
    ] = 0
    metrics_token_file: Annotated[
        str, Meta(description="file with a token that opens the manager's /metrics alone")
    ] = ""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "off"],
        Meta(description="debug, info, warning, error or off: what daemons log"),
    ] = "info"


class Running(msgspec.Struct, frozen=True):
    """Of `sprov run`: ``[run]``, ``SPROV_RUN_*``."""

    telemetry_s: Annotated[
        Seconds, Meta(description="sample the command and its node this often; 0 does not")
    ] = 1.0
    files: Annotated[
        Literal["audit", "off"], Meta(description="audit or off: whether opened files are recorded")
    ] = "audit"
    exclude: Annotated[
        tuple[str, ...], Meta(description="folders whose files are not recorded")
    ] = ()


class Retention(msgspec.Struct, frozen=True):
    """Of `sprov gc`: ``[retention]``, ``SPROV_RETENTION_*``."""

    keep_days: Annotated[
        float,
        Meta(
            ge=0, le=1e6,
            description="`gc --free` archives journals that nobody wrote for so long; 0: none",
        ),
    ] = 0.0  # fmt: skip
    archive: Annotated[
        str, Meta(description="folder for archived journals; empty for .sprov/archive")
    ] = ""


class Querying(msgspec.Struct, frozen=True):
    """Limits of queries: ``[query]``, ``SPROV_QUERY_*``."""

    timeout_s: Annotated[
        Seconds, Meta(description="the longest that a manager lets a query run")
    ] = 600.0
    memory_bytes: Annotated[Count, Meta(description="of one query")] = 4 << 30
    rows: Annotated[Count, Meta(description="of an answer")] = 10_000_000
    answer_bytes: Annotated[Count, Meta(description="of an answer, as it is sent")] = 1 << 30
    workers: Annotated[
        int, Meta(ge=1, description="processes of a manager that answer, each one query at a time")
    ] = 2
    waiting: Annotated[
        Count, Meta(description="queries that may wait for one of them; others are refused")
    ] = 64


class Redaction(msgspec.Struct, frozen=True):
    """What is secret besides what is known everywhere (`pllib.redaction`): ``[redaction]``.

    The site's and the project's add up.
    """

    patterns: Annotated[
        dict[str, str], Meta(description="name to regular expression; not in the environment")
    ] = {}
    names: Annotated[tuple[str, ...], Meta(description="of values that are secrets")] = ()


class InSlurm(msgspec.Struct, frozen=True):
    """Of `sprov slurm start`: ``[slurm]``, ``SPROV_SLURM_*``."""

    tracker: Annotated[
        Literal["auto", "dedicated", "shared"],
        Meta(description="auto, dedicated or shared: whether the tracker has a node of its own"),
    ] = "auto"
    spool_dir: Annotated[str, Meta(description="node-local folder for ranks' spools")] = ""


class Publishing(msgspec.Struct, frozen=True):
    """Who stands for an RO-Crate: ``[export]``, ``SPROV_EXPORT_*``."""

    license: Annotated[str, Meta(description="of the crate: an address, or text")] = ""
    author: Annotated[
        str, Meta(description="a person: a name, or a name and <https://orcid.org/...>")
    ] = ""
    publisher: Annotated[
        str, Meta(description="an organization: a name, or a name and <https://ror.org/...>")
    ] = ""


SECTIONS: dict[type[Any], tuple[str, str]] = {
    Settings: ("capture", "SPROV_"),
    Serving: ("serve", "SPROV_SERVE_"),
    Running: ("run", "SPROV_RUN_"),
    Querying: ("query", "SPROV_QUERY_"),
    Retention: ("retention", "SPROV_RETENTION_"),
    Redaction: ("redaction", "SPROV_REDACTION_"),
    InSlurm: ("slurm", "SPROV_SLURM_"),
    Publishing: ("export", "SPROV_EXPORT_"),
}
"""Of each table: its section in the files, and how its environment variables begin."""
STRICT = frozenset({Serving, Redaction})
"""Where no default may stand in for a wrong value: it would be less secure than what was meant."""


def seconds(given: float | None, default: float) -> float:
    """Return how long to wait, as `Seconds` allows it: the default for what is no number."""
    is_number = isinstance(given, int | float) and given == given
    return min(max(float(given), 0.0), LONGEST_S) if given is not None and is_number else default


def is_off(environ: Mapping[str, str]) -> bool:
    """Tell whether the environment switches capture off, whatever else is set or wrong."""
    return environ.get("SPROV_MODE", "").strip().lower() == "off"


def load(
    config: Path | None,
    environ: Mapping[str, str],
    given: Mapping[str, Any] | None = None,
    warn: Warn = warn,
) -> Settings:
    """Combine all sources of a session's settings, as `load_section` does; off beats them all."""
    if is_off(environ):
        return Settings(mode="off")
    return load_section(Settings, config, environ, given, warn)


def load_section(
    section: type[Section],
    config: Path | None,
    environ: Mapping[str, str],
    given: Mapping[str, Any] | None = None,
    warn: Warn = warn,
) -> Section:
    """Combine all sources of one section and check the result.

    Args:
        given: Arguments of the program's own call, or options.
        warn: Is told of what is wrong in a file or in the environment, and where.

    Raises:
        SettingsError: What is given is wrong, or a value of a `STRICT` section; a file can't be
            read.
    """
    name, prefix = SECTIONS[section]
    site = environ.get("SPROV_SITE_CONFIG") or SITE_CONFIG
    values: dict[str, Any] = {}
    for source, texts in (
        (site, _from_file(site, name)),
        (str(config), _from_file(config, name)),
        ("the environment", _from_environment(section, prefix, environ)),
    ):
        for key, value, problem in _checked(section, texts, source):
            if problem is None:
                values[key] = value
            elif section in STRICT and key in section.__struct_fields__:
                raise problem
            else:
                warn(f"{problem} (ignored)")
    values.update(check(section, given or {}))
    return section(**values)


def check(section: type[msgspec.Struct], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments converted to their types.

    Raises:
        SettingsError: One is unknown or impossible.
    """
    found: dict[str, Any] = {}
    for key, value, problem in _checked(section, given, "settings="):
        if problem is not None:
            raise problem
        found[key] = value
    return found


def _from_file(config: Path | str | None, section: str) -> Mapping[str, Any]:
    if config is None or str(config) == os.devnull:
        return {}
    if not os.path.exists(config):  # noqa: PTH110  pathlib is slow to import
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        text = read_regular(config, MAX_FILE_BYTES).decode()
        found = tomllib.loads(text).get(section, {})
    except (OSError, ValueError) as exc:
        raise SettingsError(f"{config} can't be read: {exc}", "It must be TOML") from exc
    return found if isinstance(found, dict) else {section: found}


def _from_environment(
    section: type[msgspec.Struct], prefix: str, environ: Mapping[str, str]
) -> dict[str, str]:
    names = {f"{prefix}{name.upper()}": name for name in section.__struct_fields__}
    return {names[key]: environ[key] for key in names if environ.get(key)}


def _checked(
    section: type[msgspec.Struct], values: Mapping[str, Any], source: str
) -> Iterator[tuple[str, Any, SettingsError | None]]:
    """Yield name and value of each setting, converted to its type, or what is wrong with it."""
    defaults = section()
    for name, value in values.items():
        if name not in section.__struct_fields__:
            known = ", ".join(section.__struct_fields__)
            message = f"{source} has no setting {name!r} to set"
            yield name, value, SettingsError(message, f"There are: {known}")
            continue
        plain = _plain(value, getattr(defaults, name))
        try:
            converted = msgspec.convert({name: plain}, section, strict=False)
            yield name, getattr(converted, name), None
        except (msgspec.ValidationError, TypeError, ValueError, OverflowError) as exc:
            reason = _reason(section, name, exc)
            yield (
                name,
                value,
                SettingsError(f"{name} = {value!r} in {source} is not usable: {reason}"),
            )


def _plain(value: Any, default: Any) -> Any:
    """Return a value in the form that its setting has: lists with colons, and numbers as texts."""
    if isinstance(default, tuple):
        parts = value.split(":") if isinstance(value, str) else value
        return [part for part in parts if part] if isinstance(parts, list | tuple) else parts
    if isinstance(default, str) and type(value) is int:
        return str(value)
    return value


def _reason(section: type[msgspec.Struct], name: str, exc: Exception) -> str:
    choices = choices_of(section, name)
    return f"there are {', '.join(choices)}" if choices else str(exc).partition(" - at ")[0]


def choices_of(section: type[msgspec.Struct], name: str) -> tuple[str, ...]:
    """Return the values that a setting may have, where they are few."""
    kind = get_type_hints(section)[name]
    return get_args(kind) if all(isinstance(each, str) for each in get_args(kind)) else ()


def description_of(section: type[msgspec.Struct], name: str) -> str:
    kind = get_type_hints(section, include_extras=True)[name]
    return next(each.description or "" for each in get_args(kind)[1:] if each.description)


def from_process(
    config: Path | None, given: Mapping[str, Any] | None = None, warn: Warn = warn
) -> Settings:
    return load(config, os.environ, given, warn)
