"""The session of a command: what is recorded of it before, while and after it runs.

Nothing here may harm the command.  What fails is counted and told once, and the rest goes on.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pllib import records, redaction, software
from pllib.describing import tell_facts, write
from pllib.entrance import enter_around
from pllib.facts import git_commit
from pllib.places import SHARED_MEMORY, own_places
from pllib.project import Project, find
from pllib.records import FileVersion
from pllib.runs import hand_down
from pllib.session import Session
from pllib.settings import Running, load_section

from . import described, ended
from .claims import settle
from .described import Description
from .lines import Lines
from .opened import Opened
from .told import tell_files
from .watched import leave_watch
from .watching import Watcher
from .written import Written

CLOCK_NS = 20_000_000
"""What a file's times may lag behind the clock: a tick of the kernel."""
FLUSH_AGE_S = 1.0
"""There is little to say and nobody who waits for it; each look at what is old costs."""
MAX_WORDS = 1000
"""Of a command that are looked at as paths."""
GIT_PATIENCE_S = 0.5
"""How long git is waited for once the command has ended."""


def open_wrapped(command: Sequence[str], options: Mapping[str, Any]) -> Wrapped | None:
    """Open a session for a command; None if the mode is off.

    Raises:
        Error: A setting is not usable, or no spool can be made.
        OSError: The project can't be written.
    """
    about = described.describe(command)
    sys.argv = [about.program, *command[1:]]
    python = about.environment
    facts = {
        "python": python.version if python else "",
        "python_prefix": python.prefix if python else "",
        "git_commit": git_commit(about.working_tree) if about.working_tree else "",
    }
    settings = {"telemetry_s": 0.0, "flush_age_s": FLUSH_AGE_S}
    session = enter_around(options, facts, settings)
    if not isinstance(session, Session):
        return None
    leave_watch()
    return Wrapped(command, about, session)


def _ignore(message: str) -> None:
    """Leave it to the session to say, which has read the same before."""


class Wrapped:
    """A command that is about to run, runs, and has ended."""

    def __init__(self, command: Sequence[str], about: Description, session: Session) -> None:
        self._command = command
        self._about = about
        self._session = session
        self._project = find(warn=_ignore)
        self._settings = load_section(Running, self._project.config, os.environ)
        self._redactor = redaction.load(self._project.config, os.environ, _ignore)
        self._git_given_up = threading.Event()
        self._git: threading.Thread | None = None
        self._watcher: Watcher | None = None
        self._lines: Lines | None = None
        self._written: Written | None = None
        self._unwatched = ""
        """Why no folder is watched."""
        self._since_ns = time.time_ns() - CLOCK_NS
        self._excluded = (*_own_folders(self._project), *self._settings.exclude)
        self._opened = Opened(self._excluded)

    def environment(self) -> dict[str, str]:
        """Return what the command's environment gets."""
        context = records.decode(self._session._context)
        assert isinstance(context, records.Context)
        more = hand_down(context.scope, context.launch, os.environ)
        if self._settings.telemetry_s:
            more["SPROV_TELEMETRY_S"] = "0"  # it is sampled from here
        if self._settings.files == "audit":
            more.update(self._session.guard(self._listen) or {})
        return more

    def _listen(self) -> dict[str, str]:
        for path in described.files_in(self._command[1:MAX_WORDS]):
            self._opened.look(path)
        if self._about.script:
            self._opened.read(self._about.script)
        self._lines = Lines(self._opened)
        try:
            self._written = Written(
                *_working_folders(), since_ns=self._since_ns, excluded=self._excluded
            )
        except OSError as exc:  # what is open is looked at, though
            self._unwatched = f"none: {exc.strerror}"
        return self._lines.environment(self._excluded, os.environ.get("PYTHONPATH", ""))

    def watch(self, pid: int) -> None:
        """Do what is done beside the command, which is running now."""
        guard = self._session.guard
        if self._settings.telemetry_s:
            guard(self._sample, pid)
        if self._settings.files == "audit":
            self._watcher = guard(
                Watcher, self._session, pid, self._opened, self._since_ns, self._lines,
                self._written,
            )  # fmt: skip
        if self._session.rank == 0:
            self._git = threading.Thread(target=guard, args=[self._ask_git], daemon=True)
            guard(self._git.start)
            guard(self._describe)

    def _sample(self, pid: int) -> None:
        from pllib.telemetry import Sampler

        self._session.sampler = Sampler(self._session, pid, self._settings.telemetry_s)
        self._session.sampler.start()

    def _describe(self) -> None:
        found = {"command": self._recorded(), **software.modules(os.environ)}
        if self._about.script:
            found["script"] = self._about.script
            found["script_digest"] = software.digest(self._about.script)
        if self._about.environment is not None:
            found.update(described.packages_in(self._about.environment.packages))
        tell_facts(self._session, found)

    def _recorded(self) -> str:
        return software.recorded(self._command, self._redactor)

    def _ask_git(self) -> None:
        if not self._about.working_tree:
            return
        from pllib import kept

        from .git import difference

        around = [os.getcwd()]  # noqa: PTH109
        is_over = self._git_given_up.is_set
        found = difference(self._about.working_tree, self._about.script, is_over, around)
        data = found.data
        digest = kept.keep(self._project, self._redactor.document(data)) if data else ""
        tell_facts(self._session, found.facts(digest))

    def end(self, pid: int, status: int) -> None:
        """Record how the command ended and what it did, and close the session."""
        guard = self._session.guard
        if self._git is not None and self._git.ident is not None:
            self._git.join(GIT_PATIENCE_S)
            self._git_given_up.set()
            self._git.join(GIT_PATIENCE_S)  # to say that it gave up
        if self._watcher is None or self._watcher.stop():
            guard(tell_files, self._session, self._opened, self._settle)
            guard(self._tell_pythons)
            guard(self._tell_unwatched)
        else:
            self._session.lose("files: the last look took too long")
        guard(self._tell_end, pid, status)
        if self._lines is not None:
            guard(self._lines.close)
        self._session.close(error=ended.in_words(status))

    def _settle(self, written: list[FileVersion]) -> list[FileVersion]:
        """Return what was written while the command ran, by nobody that was seen."""
        if self._lines is None or self._watcher is None:
            return []
        unseen = [*self._opened.unexplained()]
        return settle(self._lines.path, written, unseen, {os.getpid(), *self._watcher.pids})

    def _tell_unwatched(self) -> None:
        """Say where files may have been written that nobody saw."""
        if self._written is None:
            tell_facts(self._session, {"folders_not_watched": self._unwatched})
        elif self._written.n_unwatched or self._written.n_overflows:
            n_folders, n_overflows = self._written.n_unwatched, self._written.n_overflows
            said = f"{n_folders} folders, and {n_overflows} times the kernel dropped events"
            tell_facts(self._session, {"folders_not_watched": said})

    def _tell_end(self, pid: int, status: int) -> None:
        write(self._session, ended.outcome(self._session.log_id.hex(), status))
        if not status:
            return
        pids = {pid} if self._watcher is None else self._watcher.pids
        for log in ended.abandoned(self._spool_folders(), pids, self._since_ns):
            found = ended.outcome(log.log_id.hex(), status)
            if log.owner.pid != pid:  # nobody but its parent knows how it ended, and when
                found = ended.seen_killed(found, log)
            write(self._session, found)

    def _tell_pythons(self) -> None:
        """Tell of the Pythons that the command's words did not name."""
        if self._lines is None or self._session.rank != 0:
            return
        named = self._about.environment
        for python in self._lines.pythons:
            if named is None or python.prefix != named.prefix:
                about = {"python": python.version, "python_prefix": python.prefix}
                tell_facts(self._session, {**about, **described.packages_in(python.packages)})

    def _spool_folders(self) -> list[Path]:
        folders = [self._project.spool, *own_places()]
        if chosen := os.environ.get("SPROV_SPOOL_DIR"):
            folders.append(Path(chosen))
        return folders


def _working_folders() -> list[str]:
    """Return where the command works, and where jobs stage files on a node."""
    folders = [os.getcwd(), SHARED_MEMORY]  # noqa: PTH109
    return [folder for folder in dict.fromkeys(folders) if os.path.isdir(folder)]  # noqa: PTH112


def _own_folders(project: Project) -> list[str]:
    """Return where sprov keeps what is its own."""
    usual = f"{SHARED_MEMORY}/sprov-{os.getuid()}"
    return [str(project.root), usual, *map(str, own_places())]
