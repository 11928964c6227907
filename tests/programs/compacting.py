"""Store points of one series in many small commits, as a manager does, until COUNT of them.

    compacting.py FOLDER COUNT

Begins behind what the store has.  Prints the number of points that are durable after each commit.
"""

import sys
from array import array
from pathlib import Path

import msgspec
from harness import wait_until

from manager.store.writable import Store
from manager.writer import Writer
from pllib import linked
from pllib.log import frame_of
from tracker.linker import link

LOG, RUN, JOURNAL = b"log of one rank.", "1" * 32, "2" * 32
SERIES, ACTIVITY = "3" * 32, "4" * 32
POINTS = 3
"""In a commit."""


def batch(number: int) -> linked.Batch:
    """Return the linked points of one frame; value and step say which they are."""
    steps = range(POINTS * number, POINTS * (number + 1))
    whole = array("q", steps).tobytes()
    points = linked.Points(
        [linked.PointSource(LOG, SERIES, 0, "loss")], [ACTIVITY], [(LOG, number)],
        bytes(4 * POINTS), bytes(4 * POINTS), b"\1" * POINTS, whole, whole, whole,
        array("d", steps).tobytes(),
    )  # fmt: skip
    empty = link([(number, frame_of(LOG, number, []))], JOURNAL, RUN)
    return msgspec.structs.replace(empty, points=points)


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    writer = Writer(Store(folder / "store"), folder / "series", folder / "snapshots")
    writer.start()
    number = writer.watermarks(JOURNAL).get(RUN, -1) + 1
    while number * POINTS < count:
        writer.submit_waiting(batch(number))
        wait_until(lambda: writer.n_waiting == 0)
        number += 1
        print(number * POINTS, flush=True)
    writer.close()
    assert not writer.failure, writer.failure


if __name__ == "__main__":
    main()
