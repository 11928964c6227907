"""Lists of nodes as Slurm writes them: ``node[0-3,07-09],rack[1-2]n[01-02]``.

Source: the hostlist expressions of srun(1) and `scontrol show hostnames`, compared with Slurm
22.05.8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from pllib.errors import SettingsError

MAX_NODES = 1 << 20
_OUTSIDE = re.compile(r",(?![^\[]*\])")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
_NUMBERED = re.compile(r"(.*?)(\d+)")


def expand(nodelist: str) -> list[str]:
    """Return the names of the nodes of a list, in its order.

    Raises:
        SettingsError: It is no list of nodes.
    """
    names: list[str] = []
    for part in _OUTSIDE.split(nodelist):
        if part:
            names += _expand_one(part, nodelist)
        if len(names) > MAX_NODES:
            raise SettingsError(f"{nodelist!r} is of more than {MAX_NODES} nodes")
    return names


def _expand_one(part: str, nodelist: str) -> list[str]:
    head, bracket, rest = part.partition("[")
    if not bracket:
        if "]" in head:
            raise SettingsError(f"{nodelist!r} is no list of nodes")
        return [head]
    inside, bracket, tail = rest.partition("]")
    if not bracket:
        raise SettingsError(f"{nodelist!r} is no list of nodes")
    numbers = [number for item in inside.split(",") for number in _numbers(item, nodelist)]
    return [f"{head}{number}{end}" for number in numbers for end in _expand_one(tail, nodelist)]


def _numbers(item: str, nodelist: str) -> Iterator[str]:
    found = _RANGE.fullmatch(item)
    if found is None:
        raise SettingsError(f"{nodelist!r} is no list of nodes")
    first, last = found[1], found[2] or found[1]
    if int(last) - int(first) > MAX_NODES:
        raise SettingsError(f"{nodelist!r} is of more than {MAX_NODES} nodes")
    for number in range(int(first), int(last) + 1):
        yield str(number).zfill(len(first))


def fold(names: Iterable[str]) -> str:
    """Return nodes as one list, such as ``node[1-3],head``; nodes of one prefix stay together."""
    folded = []
    for (prefix, width), found in groupby(names, _kind):
        numbers = [int(name[len(prefix) :]) for name in found] if width else []
        if not width:
            folded.append(prefix)
        elif len(numbers) == 1:
            folded.append(f"{prefix}{numbers[0]:0{width}}")
        else:
            ranges = ",".join(_ranges(numbers, width))
            folded.append(f"{prefix}[{ranges}]")
    return ",".join(folded)


def _kind(name: str) -> tuple[str, int]:
    """Return prefix and width of the number; numbers without leading zeros are of width 1."""
    found = _NUMBERED.fullmatch(name)
    if found is None:
        return name, 0
    digits = found[2]
    return found[1], len(digits) if digits.startswith("0") else 1


def _ranges(numbers: list[int], width: int) -> Iterator[str]:
    start = last = numbers[0]
    for number in [*numbers[1:], -1]:
        if number == last + 1:
            last = number
            continue
        yield f"{start:0{width}}" if start == last else f"{start:0{width}}-{last:0{width}}"
        start = last = number
