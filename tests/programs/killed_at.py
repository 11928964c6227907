"""Run a `sprov` command many times over, each time killed before another change to its files.

    killed_at.py TEMPLATE PLACE COMMAND...   copies of TEMPLATE: PLACE/1 is killed before its first
                                             change, PLACE/2 before its second, until one ends
    killed_at.py --again PLACE COMMAND...    run it in each of these to its end

TEMPLATE is a `.sprov/` folder.  The kill comes from an audit hook: what Python opens for writing,
renames, makes, links or deletes is a change.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import sprov.gc
import sprov.rebuild
import sprov.verify  # noqa: F401  loaded once, before each fork
from pllib.errors import Error
from sprov.cli import cli

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate")
NAMING = ("os.rename", "os.symlink", "os.link")
"""Their second argument is the name that is made."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Killer:
    """An audit hook that kills this process before the n-th change in a project.

    What lies in ``rebuild/`` is not in it yet.
    """

    def __init__(self, folder: Path, n: int) -> None:
        self._folder = f"{folder}/"
        self._new = f"{folder}/rebuild/"
        self._left = n

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        changes = event in CHANGES or (event == "open" and bool(int(arguments[2] or 0) & WRITING))
        if changes and self._is_inside(arguments[1 if event in NAMING else 0]):
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def _is_inside(self, path: object) -> bool:
        if not isinstance(path, str | os.PathLike):
            return False
        place = os.fspath(path)
        return place.startswith(self._folder) and not place.startswith(self._new)


def run(project: Path, command: list[str], n: int) -> int:
    """Run a command in a child; return its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        os.environ["SPROV_DIR"] = str(project)
        if n:
            sys.addaudithook(Killer(project, n))
        try:
            cli(command, standalone_mode=False)
        except (Error, SystemExit) as exc:
            print(exc, file=sys.stderr)
            os._exit(getattr(exc, "exit_code", 1))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    first, place, *command = sys.argv[1:]
    if first == "--again":
        for folder in sorted(Path(place).iterdir()):
            status = run(folder, command, 0)
            assert status == 0, (folder, status)
        return
    for n in range(1, 1000):
        folder = Path(place, f"{n:03d}")
        shutil.copytree(first, folder, symlinks=True)
        status = run(folder, command, n)
        if status == 0:
            return
        assert status == -signal.SIGKILL, (folder, status)
    raise AssertionError("it never ends")


if __name__ == "__main__":
    main()
