"""`sprov`, but for its tracker: that one acknowledges what it has written and not yet synced.

It syncs with the next frames, as many a log does that counts on the page cache.
"""

import tracker.daemon
from pllib.log import LogWriter
from sprov.cli import main
from tracker.journal import Journal


class HastyWriter(LogWriter):
    """Makes durable what it was given before the last time."""

    def sync(self) -> None:
        """Do nothing: who appends next syncs, and what is acknowledged until then is not."""

    def append(self, frames: list[bytes]) -> None:
        super().sync()
        super().append(frames)


class HastyJournal(Journal):
    def _new_segment(self) -> LogWriter:
        writer = HastyWriter(self.segment(self._next), self._header)
        if self.starts[-1:] != [self._next]:
            self.starts.append(self._next)
        return writer


if __name__ == "__main__":
    tracker.daemon.Journal = HastyJournal  # type: ignore[misc]
    main()
