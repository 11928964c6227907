"""Where options end and the command begins, on the command lines of `srun` and `sbatch`.

Imports nothing but the standard library: `slurm/srun_line.py` is run as a file, without the rest.

Source: srun(1), sbatch(1) of 22.05.8, and what came until 25.05; both stop at the first word that
is no option (getopt_long with ``+``), and know long options by any prefix that is unique.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_BOTH = (
    "account= acctg-freq= bb= bbf= begin= chdir= cluster-constraint= clusters= comment= "
    "constraint= container= container-id= contiguous core-spec= cores-per-socket= cpu-freq= "
    "cpus-per-gpu= cpus-per-task= deadline= delay-boot= dependency= distribution= error= exclude= "
    "exclusive? export= extra= extra-node-info= gid= gpu-bind= gpu-freq= gpus= gpus-per-node= "
    "gpus-per-socket= gpus-per-task= gres= gres-flags= help hint= hold input= job-name= "
    "licenses= mail-type= mail-user= mcs-label= mem= mem-bind= mem-per-cpu= mem-per-gpu= mincpus= "
    "network= nice? no-kill? nodefile= nodelist= nodes= ntasks= ntasks-per-core= ntasks-per-gpu= "
    "ntasks-per-node= ntasks-per-socket= oom-kill-step? open-mode= output= overcommit "
    "oversubscribe partition= power= prefer= priority= profile= propagate? qos= quiet reboot "
    "reservation= segment= share signal= sockets-per-node= spread-job stepmgr switches= test-only "
    "thread-spec= threads-per-core= time= time-min= tmp= tres-bind= tres-per-task= uid= "
    "usage use-min-nodes verbose version wckey= x11? "
)
_SRUN = (
    "accel-bind= bcast? bcast-exclude= compress? cpu-bind= cpu_bind= disable-status epilog= exact "
    "export-env= external-launcher het-group= immediate? interactive jobid= kill-on-bad-exit? "
    "label mem_bind= mpi= mpi-combine= msg-timeout= multi-prog no-allocate overlap pack-group= "
    "preserve-env prolog= pty? quit-on-interrupt relative= resv-ports? send-libs? slurmd-debug= "
    "task-epilog= task-prolog= threads= treewidth= unbuffered wait= wait-for-children whole "
)
_SBATCH = (
    "array= batch= export-file= get-user-env? ignore-pbs kill-on-invalid-dep= no-requeue parsable "
    "requeue wait wait-all-nodes= wrap= "
)
_SHORT = {
    "A": "account", "B": "extra-node-info", "C": "constraint", "D": "chdir", "F": "nodefile",
    "G": "gpus", "H": "hold", "J": "job-name", "L": "licenses", "M": "clusters", "N": "nodes",
    "O": "overcommit", "Q": "quiet", "S": "core-spec", "V": "version", "b": "begin",
    "c": "cpus-per-task", "d": "dependency", "e": "error", "h": "help", "i": "input",
    "k": "no-kill", "m": "distribution", "n": "ntasks", "o": "output", "p": "partition",
    "q": "qos", "s": "oversubscribe", "t": "time", "v": "verbose", "w": "nodelist", "x": "exclude",
}  # fmt: skip
_SHORT_SRUN = {
    "E": "preserve-env", "I": "immediate", "K": "kill-on-bad-exit", "T": "threads", "W": "wait",
    "X": "disable-status", "Z": "no-allocate", "l": "label", "r": "relative", "u": "unbuffered",
}  # fmt: skip
_SHORT_SBATCH = {"W": "wait", "a": "array"}


class Table(NamedTuple):
    """A command's options: whether each has a value, ``=``, may have one, ``?``, or none."""

    long: dict[str, str]
    short: dict[str, str]


def _table(text: str, short: dict[str, str]) -> Table:
    names = (_BOTH + text).split()
    found = {name.rstrip("=?"): name[-1] if name[-1] in "=?" else "" for name in names}
    return Table(found, {**_SHORT, **short})


SRUN = _table(_SRUN, _SHORT_SRUN)
SBATCH = _table(_SBATCH, _SHORT_SBATCH)


class Unknown(Exception):  # noqa: N818  it is no error: the line is passed on as it is
    """An option that no table has, and that may or may not take the next word."""


class Line(NamedTuple):
    """One command line, or one component of a het step's."""

    options: list[tuple[str, str | None]]
    """Name and value, in order; of an option that may have a value and has none, None."""
    words: list[list[str]]
    """The words that each of the options is written in."""
    command: list[str]
    """The command and what follows it; empty where there is none."""


def split(arguments: Sequence[str], table: Table) -> Line:
    """Split a command line where its options end.

    A ``:`` among them, between the components of a het job, is one too.

    Raises:
        Unknown: An option that is not known, and is not written as ``--name=value``.
    """
    options: list[tuple[str, str | None]] = []
    words: list[list[str]] = []
    at = 0
    while at < len(arguments):
        word = arguments[at]
        if word == "--":
            at += 1
            break
        if word == ":":
            options.append((word, None))
            words.append([word])
            at += 1
            continue
        if not word.startswith("-") or word == "-":
            break
        following = arguments[at + 1] if at + 1 < len(arguments) else None
        found, takes_next = _read(word, following, table)
        options += found
        used = arguments[at : at + 1 + takes_next]
        words += [list(used), *[[] for _ in found[1:]]]
        at += len(used)
    return Line(options, words, list(arguments[at:]))


def _read(
    word: str, following: str | None, table: Table
) -> tuple[list[tuple[str, str | None]], bool]:
    """Return the options of one word, and whether the next word is the value of the last."""
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        if equals:
            return [(_known(name, table) or name, value)], False
        known = _known(name, table)
        if known is None:
            raise Unknown(word)
        takes_next = table.long[known] == "="
        return [(known, following if takes_next else None)], takes_next
    found: list[tuple[str, str | None]] = []
    for name, rest in _letters(word, table):
        kind = table.long[name]
        if kind and rest:
            return [*found, (name, rest)], False
        if kind == "=":
            return [*found, (name, following)], True
        found.append((name, None))
    return found, False


def _letters(word: str, table: Table) -> Iterator[tuple[str, str]]:
    """Yield the option of each letter of -lu or -n4, and what is behind it."""
    for at, letter in enumerate(word[1:], 2):
        if letter not in table.short:
            raise Unknown(word)
        yield table.short[letter], word[at:]


def _known(name: str, table: Table) -> str | None:
    if name in table.long:
        return name
    found = [known for known in table.long if known.startswith(name)]
    return found[0] if len(found) == 1 and name else None
