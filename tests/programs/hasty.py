"""`sprov`, but for its tracker: that one acknowledges what it has written and never syncs."""

import tracker.daemon
from pllib.log import LogWriter
from sprov.cli import main
from tracker.journal import Journal


class HastyWriter(LogWriter):
    """Counts on the page cache."""

    def sync(self) -> None:
        """Do nothing."""


class HastyJournal(Journal):
    def _new_segment(self) -> LogWriter:
        writer = HastyWriter(self.segment(self._next), self._header)
        if self.starts[-1:] != [self._next]:
            self.starts.append(self._next)
        return writer


if __name__ == "__main__":
    tracker.daemon.Journal = HastyJournal  # type: ignore[misc]
    main()
