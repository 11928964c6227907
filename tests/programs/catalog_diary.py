"""What a program did, written down beside its capture: answers that no graph had a part in.

Times are (before, after) of the moment that is recorded, seconds since 1970.
"""

import contextlib
import json
import os
import resource
import time
from pathlib import Path

import pllib
from pllib.identity import ID_BASE

FOLDER = Path("diary")


class Diary:
    """One rank's; written when the block ends, also by an exception."""

    def __init__(self, session: pllib.Session, **known: object) -> None:
        FOLDER.mkdir(exist_ok=True)
        self.told = {
            "run": f"{ID_BASE}run/{session.run}", "rank": session.rank, "ranks": session.size,
            "pid": os.getpid(), "epochs": [], "spans": [], "error": None, **known,
        }  # fmt: skip
        self.path = FOLDER / f"{known['name']}-{known.get('restart', 0)}-{session.rank}.json"

    def __enter__(self) -> "Diary":
        return self

    def __exit__(self, kind, error, trace) -> None:
        if error is not None:
            self.told["error"] = f"{kind.__name__}: {error}"
        self.write()

    def write(self) -> None:
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.told))
        partial.rename(self.path)

    def add(self, name: str, what: object) -> None:
        self.told.setdefault(name, []).append(what)

    @contextlib.contextmanager
    def span(self, kind: str, plan: str, execution, index: int | None = None):
        """Enter an execution; write down between which times it began and ended."""
        around, before = used(), time.time()
        told = {"kind": kind, "plan": plan, "index": index, "error": None}
        self.told["spans"].append(told)
        try:
            with execution as entered:
                told["start"] = (before, time.time())
                inside = used()
                try:
                    yield entered
                except Exception as exc:
                    told["error"] = f"{type(exc).__name__}: {exc}"
                    raise
                finally:
                    inside_end, before_end = used(), time.time()
        finally:
            told["end"] = (before_end, time.time())
            around_end = used()
            told["least_used"] = {name: inside_end[name] - inside[name] for name in inside}
            told["most_used"] = {name: around_end[name] - around[name] for name in around}
            told["max_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def used() -> dict[str, float]:
    """Return what this process has used since it began."""
    times = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    moved = Path("/proc/self/io").read_text().split()
    return {
        "cpu_seconds": sum(each.ru_utime + each.ru_stime for each in times),
        "read_bytes": int(moved[1]), "written_bytes": int(moved[3]),
    }  # fmt: skip


def file(path: str | Path) -> dict[str, object]:
    """Return a file as it is now."""
    found = Path(path).stat()
    return {"path": str(Path.cwd() / path), "size": found.st_size, "mtime_ns": found.st_mtime_ns}
