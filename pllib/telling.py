"""Records that no rank says: what a wrapper, a collector or Slurm tells of ranks and jobs.

Each telling is a log of its own.  Identities are derived, so it may be repeated.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import msgspec

from . import identity, launch, owners
from .delivery import deliver
from .errors import LogError, UnavailableError
from .log import LogWriter, frame_of, new_header
from .project import Endpoint, Project
from .records import NO_RANK, Closed, Context, Record, encode
from .sharing import make_folder

FRAME_RECORDS = 1000


def job_run(cluster: str, job: str) -> str:
    """Return the queue of what is told of a job: a run's identity that no run has."""
    return identity.digest("accounting", cluster, job)


def tell(
    project: Project,
    run: str,
    records: Sequence[Record],
    *,
    endpoint: Endpoint | None = None,
    timeout_s: float = 5.0,
) -> None:
    """Hand records to a tracker; without one that answers, to the spool for `sprov ingest`.

    Args:
        run: Identity of the run that they are of; `job_run` for a job's.
        records: Their `seq` is filled in.

    Raises:
        OSError: The spool can't be written.
    """
    if not records:
        return
    header = new_header(owners.this_process())
    frames = _frames(header.log_id, _context(project, run), records, _sweep(project))
    if endpoint is not None:
        try:
            for _ in deliver(endpoint, frames, timeout_s):
                pass
            return
        except (LogError, UnavailableError):
            pass  # a frame that it did take is the same frame when it comes again
    make_folder(project.spool)
    writer = LogWriter(project.spool / f"{header.log_id.hex()}.log", header)
    try:
        writer.append(frames)
        writer.sync()
    finally:
        writer.close()


def _sweep(project: Project) -> Callable[[bytes], bytes]:
    from .redaction import load
    from .sweeping import Sweeper

    return Sweeper(load(project.config, os.environ)).sweep


def _frames(
    log_id: bytes,
    context: Context,
    records: Sequence[Record],
    sweep: Callable[[bytes], bytes],
) -> list[bytes]:
    numbered = [msgspec.structs.replace(record, seq=n) for n, record in enumerate(records)]
    numbered.append(Closed(len(numbered), len(numbered) + 1, {}, context.opened_ns))
    head = encode(context)
    frames: list[bytes] = []
    for at in range(0, len(numbered), FRAME_RECORDS):
        bodies = [head, *map(encode, numbered[at : at + FRAME_RECORDS])]
        frame = frame_of(log_id, len(frames), bodies)
        frames.append(msgspec.structs.replace(frame, payload=sweep(frame.payload)).pack())
    return frames


def _context(project: Project, run: str) -> Context:
    return Context(
        run=run, restart=0, rank=NO_RANK, size=0, host=launch.host(), pid=os.getpid(), user="",
        program="sprov", project=project.name, workflow="", opened_ns=time.time_ns(),
    )  # fmt: skip
