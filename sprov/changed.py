"""What is not as it was when a job ran: its script, code, packages and input files, a line each."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pllib import kept, redaction
from pllib.errors import UnavailableError
from pllib.facts import git_commit
from pllib.moments import nanoseconds
from pllib.project import Project
from pllib.regular import read_regular
from query.engine import Engine
from slurm.submission import Submission

from .running.described import packages_in
from .running.git import EMPTY, difference

MAX_LINES = 40
MAX_FILES = 10_000
MAX_GROWTH_BYTES = 1 << 20
"""By which a script is compared; what follows is other anyway."""
PACKAGE = "package."
Facts = dict[str, str]
Row = dict[str, Any]


def script_changes(project: Project, then: Submission) -> list[str]:
    """Compare a script that was kept with what is in its place now."""
    if not then.path:
        return []
    old = kept.read(project, then.script)
    try:
        new = read_regular(then.path, len(old) + MAX_GROWTH_BYTES)
    except OSError as exc:
        return [f"script   {then.path}: {exc.strerror}; it is submitted as it was"]
    if old == new:
        return []
    redactor = redaction.load(project.config, os.environ)
    lines = _difference(redactor.document(old), redactor.document(new))
    return [f"script   {then.path} is another now; it is submitted as it was", *_few(lines, "    ")]


def _difference(old: bytes, new: bytes) -> list[str]:
    before, after = (text.decode(errors="replace").splitlines() for text in (old, new))
    return list(difflib.unified_diff(before, after, lineterm="", n=1))[2:]


def _few(lines: Sequence[str], head: str) -> list[str]:
    rest = [f"{head}and {len(lines) - MAX_LINES:,} more"] if len(lines) > MAX_LINES else []
    return [*(f"{head}{line}" for line in lines[:MAX_LINES]), *rest]


def code_changes(project: Project, facts: Facts, folder: str) -> list[str]:
    """Compare the commit, and the changes that were not committed."""
    then, now = facts.get("git_commit", ""), git_commit(folder)
    if then != now:
        return [f"code     commit {then[:12] or 'none'} then, {now[:12] or 'none'} now"]
    if not now or "git_dirty" not in facts:
        return []
    then_unknown = facts.get("git_unknown", "")
    unknown = [f"code     not known then: {then_unknown}"] if then_unknown else []
    found = difference(folder, "", lambda: False)
    unknown += [f"code     not known now: {reason}" for reason in found.unknown]
    was = _kept_difference(project, facts)
    if found.data is None or was is None:
        lost = "code     there were changes that were not committed, and are not known any more"
        return unknown or [lost]
    dirty = redaction.load(project.config, os.environ).document(found.data)
    if was == dirty:
        return unknown
    lines = _few(_difference(was, dirty), "    ")
    return [
        *unknown,
        "code     the changes that are not committed differ from those of then",
        *lines,
    ]


def _kept_difference(project: Project, facts: Facts) -> bytes | None:
    if facts["git_dirty"] == "0" or facts.get("git_diff") == EMPTY:
        return b""
    try:
        return kept.read(project, facts["git_diff"])
    except (KeyError, UnavailableError):
        return None


def package_changes(engine: Engine, runs: Iterable[Row]) -> list[str]:
    """Compare the packages of each Python that ran with what it has installed now.

    A run in which several ran, such as a shell script's, does not say which had which.
    """
    then: dict[str, Facts] = {}
    for run in runs:
        rows = engine.select(f"SELECT ?fact {{ <{run['run']}> sprov:fact ?fact }}")
        facts = [row["fact"].partition("=")[::2] for row in rows]
        prefixes = {value for name, value in facts if name == "python_prefix"}
        if len(prefixes) == 1:
            found = {name: value for name, value in facts if name.startswith(PACKAGE)}
            then.setdefault(prefixes.pop(), {}).update(found)
    lines = [line for prefix, was in then.items() if was for line in _packages(prefix, was)]
    return _few(lines, "package  ")


def _packages(prefix: str, was: Facts) -> Iterator[str]:
    if not Path(prefix).is_dir():
        yield f"{prefix} is not there any more"
        return
    folders = sorted(str(path) for path in Path(prefix).glob("lib*/python3*/*-packages"))
    now = packages_in(folders)
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            versions = (found.get(name, "missing") for found in (was, now))
            yield "{} {} then, {} now".format(name.removeprefix(PACKAGE), *versions)


def file_changes(engine: Engine, runs: Sequence[Row]) -> list[str]:
    """Compare the files that runs used, and did not make themselves, with what is there now."""
    rows = [row for run in runs for row in [*run["files"], *run["models"]] if row["path"]]
    made = {row["path"] for row in rows if row["how"] != "used"}
    used = {
        row["id"]: row
        for row in rows
        if row["kind"] != "reference" and row["path"] not in made and not _is_ours(row["path"])
    }
    ids = list(used)[:MAX_FILES]
    modified = _modified(engine, ids)
    changed = {used[each]["path"]: _changed(used[each], modified.get(each)) for each in ids}
    return _few([f"{path}: {how}" for path, how in changed.items() if how], "input    ")


def _is_ours(path: str) -> bool:
    """Tell whether a file is the copy of the script that ran (`slurm.batch`)."""
    return Path(path).parent.name.startswith("sprov-")


def _modified(engine: Engine, ids: Sequence[str]) -> dict[str, int]:
    """Return when files were modified, microseconds since 1970, by their IRI."""
    if not ids:
        return {}
    values = " ".join(f"<{each}>" for each in ids)
    query = f"SELECT ?file ?at {{ VALUES ?file {{ {values} }} ?file sprov:modified ?at }}"
    found = {}
    for row in engine.select(query):
        with contextlib.suppress(ValueError):  # an import may say any text
            found[row["file"]] = nanoseconds(row["at"]) // 1000
    return found


def _changed(row: Row, modified_us: int | None) -> str:
    """Return how a file differs from a version of it; empty if it does not."""
    try:
        now = os.stat(row["path"])  # noqa: PTH116
    except OSError as exc:
        return exc.strerror or "can't be read"
    if row["kind"] != "directory" and row["size"] is not None and now.st_size != row["size"]:
        return f"{row['size']:,} bytes then, {now.st_size:,} now"
    if modified_us is not None and now.st_mtime_ns // 1000 != modified_us:
        return "modified since"
    return ""
