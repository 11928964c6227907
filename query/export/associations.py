"""One association an activity, in whatever goes out.

A store keeps one `prov:Association` for all executions of a plan by a rank, which is two triples an
execution less.  To others an association's identifier is a key (PROV-CONSTRAINTS 23), and one that
several activities have is one association of one activity: so each activity gets its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from manager.vocabulary import QUALIFIED_ASSOCIATION
from pllib.identity import ID_BASE, digest

_QUALIFIED = QUALIFIED_ASSOCIATION.encode()
_OURS = f"<{ID_BASE}association/".encode()
_OTHERS = f"<{ID_BASE}influence/".encode()
_IDENTITY = re.compile(rb"<%b[a-z_]+/([0-9a-f]{32})>" % re.escape(ID_BASE.encode()))


def split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield N-Triples with an association for each activity that has one.

    Doing so twice changes nothing.  Associations come last, for what others say of them is known
    only then.

    Args:
        pieces: N-Triples, cut between lines; what an association says comes after who has it.
    """
    activities: dict[bytes, list[bytes]] = defaultdict(list)
    said: dict[bytes, list[bytes]] = defaultdict(list)
    for piece in pieces:
        kept = []
        for line in piece.split(b"\n"):
            subject, _, rest = line.partition(b" ")
            if rest.startswith(_QUALIFIED) and rest[len(_QUALIFIED) + 1 :].startswith(b"<"):
                activities[rest[len(_QUALIFIED) + 1 : -2]].append(subject)
            elif subject in activities:
                said[subject].append(rest)
            elif line:
                kept.append(line + b"\n")
        yield b"".join(kept)
    yield from _told_apart(activities, said)


def _told_apart(
    activities: dict[bytes, list[bytes]], said: dict[bytes, list[bytes]]
) -> Iterator[bytes]:
    numbers: dict[bytes, int] = defaultdict(int)
    for association, those in activities.items():
        for activity in those:
            numbers[activity] += association.startswith(_OURS)
    for association, those in sorted(activities.items()):
        lines = []
        for nth, activity in enumerate(sorted(those)):
            name = _name(activity, association, is_only=numbers[activity] == 1, is_first=nth == 0)
            lines.append(b"%b %b %b .\n" % (activity, _QUALIFIED, name))
            lines += [b"%b %b\n" % (name, rest) for rest in said[association]]
        yield b"".join(lines)


def _name(activity: bytes, association: bytes, *, is_only: bool, is_first: bool) -> bytes:
    """Return the name of an activity's association.

    Of the store's own it is the activity's identity, whoever else has that association; others
    keep theirs, but for those that share it with the first.
    """
    known = _IDENTITY.fullmatch(activity)
    is_ours = association.startswith(_OURS)
    if known and is_only and is_ours:
        return b"%b%b>" % (_OURS, known[1])
    if is_first:
        return association
    name = digest("association", activity, association).encode()
    return b"%b%b>" % (_OURS if is_ours else _OTHERS, name)
