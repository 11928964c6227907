"""Append frames to a journal of small segments and have them sealed, until killed.

    sealed.py FOLDER

Prints the number of each frame, from 0 up, once it is durable; begins behind those that are there.
"""

import itertools
import sys
import threading
from pathlib import Path

from pllib.log import frame_of
from pllib.records import Ended, encode
from tracker.journal import Journal

LOG = bytes(range(16))
SEGMENT_BYTES = 20_000


def main() -> None:
    journal = Journal(Path(sys.argv[1]), SEGMENT_BYTES)

    def seal() -> None:
        while True:
            if not journal.seal_next():
                journal.wait(journal.durable, 0.01)

    threading.Thread(target=seal, daemon=True).start()
    for number in itertools.count(journal.durable):
        frame = frame_of(LOG, number, [encode(Ended(number, n, n)) for n in range(40)])
        journal.append([((LOG, number), frame.pack())])
        print(number, flush=True)


if __name__ == "__main__":
    main()
