"""What a session could not keep, counted by reason.

What is lost may not be lost itself: a program may fail in as many words as it likes, and the record
that tells of it must fit into the smallest chunk of a spool.
"""

from __future__ import annotations

from collections import Counter

MAX_REASONS = 16
"""Further ones are counted by what they begin with, up to the colon, and then together."""
LONG_REASON = 200
RECORD_BYTES = 1024
"""Of the reasons in a record; flush_bytes, the size of a chunk, is 4096 or more."""
OTHERS = "other reasons"


class Losses(Counter[str]):
    """Reason to number of records that were not kept; its size is bounded."""

    def add(self, reason: str, n_records: int) -> None:
        self[self._key(reason)] += n_records

    def _key(self, reason: str) -> str:
        reason = reason[:LONG_REASON].encode("utf-8", "backslashreplace").decode()
        kind = reason.partition(":")[0]
        for key, most in ((reason, MAX_REASONS), (kind, 2 * MAX_REASONS)):
            if key in self or len(self) < most:
                return key
        return OTHERS

    def recorded(self) -> dict[str, int]:
        """Return the reasons as a record has room for them: the most frequent, the rest as one."""
        found: dict[str, int] = {}
        room, n_others = RECORD_BYTES, 0
        for reason, n_records in self.most_common():
            room -= len(reason.encode()) + 10
            if room > 0:
                found[reason] = n_records
            else:
                n_others += n_records
        if n_others:
            found[OTHERS] = found.get(OTHERS, 0) + n_others
        return found

    def in_words(self) -> str:
        """Return a line about all of it; empty if nothing was lost."""
        total = sum(self.values())
        if not total:
            return ""
        first = ", ".join(f"{reason} ({n:,})" for reason, n in self.most_common(3) if n)
        more = "" if len(self) <= 3 else ", and other reasons"
        return f"{total:,} records were not kept: {first}{more}"
