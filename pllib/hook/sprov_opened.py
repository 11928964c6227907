"""Tell `sprov run` which files this Python opens, by a line for each in a file that it made.

This runs in every Python below `sprov run`, of whatever environment: the standard library alone,
Python 3.8 and later.  Lines, their fields separated by tabs, are

    P version prefix folder:folder  a Python began: where its packages lie
    R size mtime_ns path            a file was opened for reading, as it was then
    W path                          a file was opened for writing
    M path path                     a file was renamed
    +                               something was opened that there was no room to list
    N pid                           this process is a command of sprov's own

What our own code opens, such as ``.git/HEAD``, is no file of the program and not told.

Promises: nothing is raised into the program and nothing of its own swallowed; a line is one write
to an O_APPEND descriptor, so that lines of many processes don't mix and none is lost in a kill.
"""

# pathlib would be imported into every Python:
# ruff: noqa: PTH100, PTH109, PTH116, PTH120

from __future__ import annotations

import fcntl
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

MAX_FILES = 10_000
"""That one process lists, and remembers so as not to list them again."""
SYSTEM = (
    "/proc/", "/sys/", "/dev/", "/etc/", "/lib/", "/lib32/", "/lib64/", "/libx32/", "/usr/lib/",
    "/usr/lib32/", "/usr/lib64/", "/usr/libexec/", "/usr/libx32/", "/usr/share/locale/",
    "/usr/share/zoneinfo/",
)  # fmt: skip
"""Folders of the operating system; `sprov.running.opened` has them from here."""
SHARED_MEMORY = "/dev/shm/"
"""In which jobs put files, as they do in any other folder."""
PACKAGES = ("/site-packages/", "/dist-packages/")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROOMS = tuple(
    f"{ROOT}/{room}/" for room in ("pllib", "tracker", "manager", "query", "slurm", "sprov")
)
LEFT_OUT = (*SYSTEM, *ROOMS)
LIBRARY = os.path.dirname(os.__file__) + "/"
ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR
REGULAR, KINDS = 0o100000, 0o170000
HIGH = 900
"""Lowest number of our descriptor.  A program that closes what it does not know, as daemons do,
has its next files under low numbers, so that ours is missed and not theirs written to."""
ESCAPES = {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n"}


class Opened:
    """What this process has opened so far, and the file that lines go to."""

    def __init__(self, path: str, excluded: tuple[str, ...]) -> None:
        self._path = path
        self._fd = -1
        self._is_gone = False
        self._has_left = False
        self._excluded = excluded
        self._room = MAX_FILES
        self._read: set[Any] = set()
        self._written: set[Any] = set()
        self._forget()

    def begin(self) -> None:
        """Say which Python this is.

        Raises:
            OSError: The file is gone.
        """
        packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        fields = ("P", sys.version.split(" ")[0], sys.prefix, os.pathsep.join(packages))
        self._write("\t".join(map(as_field, fields)) + "\n")

    def hook(self) -> Callable[[str, tuple[Any, ...]], None]:
        """Return the audit hook: a closure, since it is called for every event there is."""
        read, written, to_read, to_write = self._read, self._written, self._to_read, self._to_write
        others: dict[str, Callable[..., None]] = {
            "os.rename": self._rename,
            "os.chdir": self._forget,
        }

        def opened(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open":
                try:
                    path, _, flags = arguments
                    if flags & ACCESS:
                        if path not in written:
                            to_write(path, flags)
                    elif path not in read:
                        to_read(path)
                except Exception as exc:
                    if _is_theirs(exc):
                        raise
            elif event in others:
                try:
                    others[event](*arguments)
                except Exception as exc:
                    if _is_theirs(exc):
                        raise

        return opened

    def _to_read(self, path: Any) -> None:
        """Write a line about a file that is opened for reading, and remember it."""
        if self._has_left or _is_ours():  # the program may open the same file yet
            return
        name = self._name(path)
        if (name is None or self._is_read(name)) and self._room > 0:
            self._read.add(path)

    def _to_write(self, path: Any, flags: int) -> None:
        """Write a line about a file that is opened for writing, and remember it."""
        if self._has_left or _is_ours():
            return
        name = self._name(path)
        if name is not None:
            if flags & ACCESS == os.O_RDWR and not flags & os.O_TRUNC:
                self._is_read(name)
            self._write(f"W\t{as_field(name)}\n")
            self._read.discard(path)  # so that reading what this wrote is told
        if self._room > 0:
            self._written.add(path)

    def _is_read(self, name: str) -> bool:
        """Write a line about a file as it is; return whether there is something to open."""
        try:
            found = os.stat(name)
        except OSError as exc:
            if exc.errno is None:  # raised by a signal handler of the program
                raise
            return False  # which the program is about to hear
        if found.st_mode & KINDS == REGULAR:
            self._write(f"R\t{found.st_size}\t{found.st_mtime_ns}\t{as_field(name)}\n")
        return True

    def _write(self, line: str) -> None:
        """Write a line, as long as there is room and the file there."""
        self._room -= 1
        data = line.encode("utf-8", "surrogateescape") if self._room > 0 else b"+\n"
        try:
            os.write(self._fd, data)
        except OSError as exc:
            if exc.errno is None:  # raised by a signal handler of the program
                raise
            if not self._is_gone:
                self._is_gone = True  # `sprov run` is over, or the disk full: until it is not
                self._open()
                os.write(self._fd, data)
                self._is_gone = False

    def _open(self) -> None:
        self._fd = -1
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            self._fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)
        except OSError as exc:
            if exc.errno is None:
                raise
            self._fd = fd  # so many files may not be open here
        else:
            os.close(fd)

    def _rename(self, source: Any, target: Any, *_: int) -> None:
        before, after = self._name(source), self._name(target)
        if before and after and not self._has_left and not _is_ours():
            self._write(f"M\t{as_field(before)}\t{as_field(after)}\n")

    def _forget(self, *_: Any) -> None:
        """Take relative paths as those of other files from here on."""
        for known in (self._read, self._written):
            known.clear()
            known.add(self._path)

    def _name(self, path: Any) -> str | None:
        """Return the absolute path of a file that may be listed, else None."""
        if path.__class__ is not str:
            if isinstance(path, int):  # a descriptor; its file was seen when it was opened
                return None
            path = os.fsdecode(path)
        name: str = path if path[:1] == "/" else f"{os.getcwd()}/{path}"
        return name if is_listed(name, self._excluded) else None

    def leave(self) -> None:
        """Tell of nothing from here on: this is no program of the user's."""
        self._write(f"N\t{os.getpid()}\n")
        self._has_left = True


def is_listed(path: str, excluded: tuple[str, ...]) -> bool:
    """Tell whether a file may matter: not one of the system, of packages or of excluded folders."""
    if path.startswith(LEFT_OUT) and not path.startswith(SHARED_MEMORY):
        return False
    if path.startswith(excluded) or path[-4:] == ".pyc":
        return False
    return "-packages/" not in path or (PACKAGES[0] not in path and PACKAGES[1] not in path)


LIBRARYS, OWN, THEIRS = range(3)
_callers: dict[str, int] = {}
"""Whose code is in a file."""


def _is_ours() -> bool:
    """Tell whether code of ours opens a file, by itself or by the standard library."""
    frame = sys._getframe(3)  # beyond the hook
    while frame is not None:
        whose = _callers.get(frame.f_code.co_filename)
        if whose is None:
            whose = _whose(frame)
        if whose:
            return whose == OWN
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _whose(frame: Any) -> int:
    name, module = frame.f_code.co_filename, frame.f_globals.get("__name__")
    found = THEIRS
    if name == __file__:
        return LIBRARYS
    if name.startswith(ROOMS) or (isinstance(module, str) and module[:6] == "pllib."):
        found = OWN
    elif name.startswith((LIBRARY, "<frozen ")):
        found = THEIRS if PACKAGES[0] in name or PACKAGES[1] in name else LIBRARYS
    if len(_callers) < MAX_FILES:
        _callers[name] = found
    return found


def as_field(name: str) -> str:
    """Return a path as a field of a line."""
    if "\n" in name or "\t" in name or "\\" in name:
        return name.translate(ESCAPES)
    return name


def _is_theirs(exc: BaseException) -> bool:
    """Tell whether the program raised this while ours ran: a signal handler, or another thread.

    As `pllib.foreign.is_theirs`, which can't be imported here: a handler is given a frame, and what
    another thread raises has no arguments and comes where nothing raises.
    """
    import opcode

    trace = last = exc.__traceback__
    while trace is not None:
        last, frame, code = trace, trace.tb_frame, trace.tb_frame.f_code
        n_named = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4)
        for name in code.co_varnames[:n_named]:
            value = frame.f_locals.get(name)
            if any(
                type(item) is type(frame) for item in (value if type(value) is tuple else [value])
            ):
                return True
        trace = trace.tb_next
    if last is None or exc.args or isinstance(exc, (MemoryError, StopIteration)):
        return False
    raised_by = opcode.opname[last.tb_frame.f_code.co_code[last.tb_lasti]]
    return raised_by not in ("RAISE_VARARGS", "RERAISE")


def own_folders() -> set[str]:
    """Return where this Python and its packages lie, but not what else lies beside them."""
    folders = {os.path.dirname(os.__file__)}
    for prefix in {sys.prefix, sys.base_prefix}:
        marks = (f"{prefix}/pyvenv.cfg", f"{prefix}/conda-meta")
        if any(map(os.path.exists, marks)):
            folders.add(prefix)
    return folders


def watch(path: str, excluded: Iterable[str]) -> None:
    """Begin to tell; `excluded` are folders whose files are nobody's concern.

    Raises:
        OSError: `sprov run` is over, and its file gone.
    """
    folders = [folder.rstrip("/") + "/" for folder in (*own_folders(), *excluded) if folder]
    opened = Opened(path, tuple(folders))
    opened.begin()
    sys.addaudithook(opened.hook())
    watching.append(opened)


watching: list[Opened] = []
"""What `leave` ends, in this process."""


def leave() -> None:
    """Have this process be no part of what `sprov run` watches.

    Raises:
        OSError: `sprov run` is over.
    """
    while watching:
        watching.pop().leave()
