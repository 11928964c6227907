"""Fill the disks of journal, store and series of a served site, one after the other, and free them.

    full_disks.py FOLDER

Small file systems of their own are mounted for the project, and in it for journal and series.
"""

import errno
import sys
from functools import partial
from pathlib import Path

from enduring import Place, endure
from harness import Site

PIECES = (bytes(1 << 16), bytes(4096))


def fill(filler: Path) -> None:
    """Take all the space there is, to the last page."""
    with filler.open("wb", buffering=0) as file:
        for piece in PIECES:
            try:
                while True:
                    file.write(piece)
            except OSError as exc:
                if exc.errno != errno.ENOSPC:
                    raise


def main() -> None:
    site = Site(Path(sys.argv[1]))
    disks = {
        "journal": site.project.journal,
        "store": site.project.root,
        "series": site.project.series,
    }
    try:
        endure(
            site,
            [
                Place(name, partial(fill, disk / "filler"), (disk / "filler").unlink)
                for name, disk in disks.items()
            ],
        )
        fill(site.project.root / "filler")
        site.stop()
    finally:
        site.close()


if __name__ == "__main__":
    main()
