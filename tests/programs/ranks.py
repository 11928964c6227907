"""Open sessions and print what they are: a line of JSON for each (study, run, rank, size).

ranks.py [--rank0 STUDY] [--fail-first] [--torch PORT] [--spawn N] [--fork] [--pool N] [--given]
         STUDY...
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pllib
from pllib import late


def show(study: str, **given: int) -> None:
    with pllib.open(study=study, mode="offline", **given) as session:
        session.metric("loss", 1.0 + session.rank, step=0)
        line = json.dumps([study, session.run, session.rank, session.size])
        os.write(1, line.encode() + b"\n")  # whole: several processes write


def in_group(local_rank: int, arguments: argparse.Namespace) -> None:
    """Join a process group: over all tasks of a job step, if this is in one."""
    task, tasks = (int(os.environ.get(f"SLURM_{name}", "0")) for name in ("PROCID", "NTASKS"))
    rank, size = local_rank + task * arguments.spawn, arguments.spawn * max(tasks, 1)
    if arguments.given:
        show(arguments.studies[0], rank=rank, size=size)
        return
    import torch.distributed as dist

    address = f"tcp://127.0.0.1:{arguments.torch}"
    if arguments.late:
        with pllib.open(study="late", mode="offline", settings={"flush_age_s": 0.05}) as session:
            dist.init_process_group("gloo", init_method=address, rank=rank, world_size=size)
            while session not in late._told:
                time.sleep(0.01)
            dist.barrier()
        return
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=size)
    show(arguments.studies[0])
    dist.barrier()
    dist.destroy_process_group()


def spawn(work: Callable[..., None], arguments: argparse.Namespace) -> None:
    """Start processes, anew as `torch.multiprocessing.spawn` does, or as forks with PyTorch."""
    if arguments.fork:
        import torch.distributed  # noqa: F401
    context: Any = multiprocessing.get_context("fork" if arguments.fork else "spawn")
    workers = [context.Process(target=work, args=(n, arguments)) for n in range(arguments.spawn)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0


def as_lightning(arguments: argparse.Namespace) -> None:
    """Start the script again for the other ranks, as Lightning's launcher does within `fit`."""
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT="1", NODE_RANK="0", LOCAL_RANK="0",
        WORLD_SIZE=str(arguments.lightning),
    )  # fmt: skip
    others = [
        subprocess.Popen(
            [sys.executable, str(Path(sys.argv[0]).resolve()), *sys.argv[1:]],
            env={**os.environ, "LOCAL_RANK": str(rank)},
        )
        for rank in range(1, arguments.lightning)
    ]
    assert not any(other.wait() for other in others)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("studies", nargs="*")
    parser.add_argument("--rank0", help="study that rank 0 alone opens first")
    parser.add_argument("--fail-first", action="store_true", help="an open that fails, on rank 0")
    parser.add_argument("--torch", type=int, help="port of a process group")
    parser.add_argument("--spawn", type=int, default=0, help="ranks to spawn")
    parser.add_argument("--fork", action="store_true", help="spawn by fork")
    parser.add_argument("--given", action="store_true", help="spawned ranks say who they are")
    parser.add_argument("--late", action="store_true", help="open before they know")
    parser.add_argument("--pool", type=int, default=0, help="workers of a pool")
    parser.add_argument("--lightning", type=int, default=0, help="ranks that Lightning would start")
    parser.add_argument("--crash", action="store_true", help="end by an exception, after all")
    arguments = parser.parse_args()
    is_first = "0" in (os.environ.get("SLURM_PROCID"), os.environ.get("PMI_RANK"))
    if arguments.fail_first and is_first:
        with contextlib.suppress(pllib.Error):
            pllib.open(study=arguments.studies[0], settings={"flush_bytes": -1})
    if arguments.rank0 and is_first:
        show(arguments.rank0)
    if arguments.spawn:
        spawn(in_group, arguments)
    elif arguments.pool:
        with ProcessPoolExecutor(arguments.pool) as pool:
            list(pool.map(show, arguments.studies))
    else:
        for study in arguments.studies:
            show(study)
    if arguments.lightning and "LOCAL_RANK" not in os.environ:
        as_lightning(arguments)
    if arguments.crash:
        raise SystemError("on purpose")


if __name__ == "__main__":
    main()
