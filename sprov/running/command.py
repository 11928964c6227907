"""`sprov run -- CMD`: a command as it is, with its provenance."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from pllib import notices
from pllib.errors import Error

from .child import Child, end_as, execute, status_of

if TYPE_CHECKING:
    from .wrapped import Wrapped


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--study", help="Study that the run is part of.")
@click.option("--experiment", help="Experiment that it is part of.")
@click.option("--name", help="Name of the run, for people.")
@click.option("--workflow", help="Name of what is run; by default the program.")
@click.option("--tag", "tags", multiple=True, help="A tag; may be given again.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...], **options: Any) -> None:
    """Run a COMMAND that nobody needs to edit, and record what it does.

    Its exit status is ours, signals reach it, and it keeps its standard streams and descriptors.
    If anything of ours fails, the command runs as it would without.

    \b
        sprov run -- ./simulate --steps 1000
        srun sprov run --study digits -- python train.py
    """
    try:
        child = Child(command)
    except OSError as exc:  # no more processes: then this one is the command's
        _say(f"{exc.strerror}; the command runs without provenance")
        _become(lambda: execute(command), command)
    wrapped = _open(command, options)
    if wrapped is None:
        _become(child.replace_us, command)
    more = _guarded(wrapped.environment) or {}
    try:
        child.release(more)
    except OSError as exc:
        status = _cannot_execute(command, exc)
        _guarded(lambda: wrapped.end(child.pid, status << 8))
        sys.exit(status)
    _guarded(lambda: wrapped.watch(child.pid))
    ended = child.wait()
    _guarded(lambda: wrapped.end(child.pid, ended))
    end_as(ended)


def _open(command: Sequence[str], options: Mapping[str, Any]) -> Wrapped | None:
    """Return the session around the command; None if there is to be or can be none."""
    try:
        from .wrapped import open_wrapped

        return open_wrapped(command, options)
    except (Error, OSError) as exc:
        reason = " ".join(str(exc).split()) if _is_there() else "the working folder is gone"
    except Exception as exc:  # noqa: BLE001  the command must run whatever is wrong with us
        reason = _described(exc)
    _say(f"{reason}; the command runs without provenance")
    return None


def _is_there() -> bool:
    """Tell whether the working folder is there still."""
    try:
        os.getcwd()  # noqa: PTH109
    except OSError:
        return False
    return True


def _guarded(call: Callable[[], Any]) -> Any:
    """Call one of ours, whose failure is not the command's."""
    try:
        return call()
    except Exception as exc:  # noqa: BLE001  the command must run and end as it does
        _say(f"{_described(exc)}; some of what the command does is not recorded")
        return None


def _become(call: Callable[[], NoReturn], command: Sequence[str]) -> NoReturn:
    try:
        call()
    except OSError as exc:
        sys.exit(_cannot_execute(command, exc))


def _cannot_execute(command: Sequence[str], exc: OSError) -> int:
    _say(f"{command[0]}: {exc.strerror}")
    return status_of(exc)


def _described(exc: Exception) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split())


def _say(message: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # stderr is closed
        notices.write(message)
