"""`sprov demo`: three real jobs under capture, asked about while they run and after."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pllib.errors import UnavailableError
from pllib.launch import console_script
from pllib.project import FOLDER, Project
from query.engine import find_engine
from query.lineage import trace
from query.present import write
from query.runs import find_run, list_runs
from query.series import read_steps
from query.tables import print_table
from query.targets import find_target

from ..extras import require
from .folder import prepare, prepare_default

HERE = Path(__file__).parent
N_RANKS = 4
READY_TIMEOUT_S = 30.0
ASK_EVERY_S = 0.5


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
def demo(folder: Path | None) -> None:
    """Train a digit classifier on 4 MPI ranks in FOLDER, and ask how it went.

    FOLDER is new, empty, or of an earlier demo, whose records stay; by default it is sprov-demo.

    \b
        sprov demo
        cd sprov-demo && sprov show @last
    """
    require("demo", "server,mpi,demo", "pyoxigraph", "fastapi", "mpi4py", "numpy", "sklearn")
    folder = prepare(folder.absolute()) if folder else prepare_default(Path.cwd())
    project = Project(folder / FOLDER).create()
    with _serving(folder):
        _copy_digits(folder / "digits.csv.gz")
        _step(folder, "curate", ["digits.csv.gz", "clean.npz"])
        _step(folder, "prepare", ["clean.npz", "train.npz", "test.npz"])
        _train(folder, project)
        find_engine(project, {}).flush()
    _report(folder, project)


def _copy_digits(path: Path) -> None:
    """Copy the UCI handwritten digits that scikit-learn ships."""
    import sklearn.datasets

    source = Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz"
    click.echo(f"$ cp {'/'.join(source.parts[-4:])} .")
    shutil.copyfile(source, path)


@contextmanager
def _serving(folder: Path) -> Iterator[None]:
    ready = folder / "ready"
    ready.unlink(missing_ok=True)
    click.echo(f"$ cd {folder.name} && sprov serve &")
    server = subprocess.Popen(
        [console_script(), "serve", "--name", "local", "--ready-file", str(ready)],
        cwd=folder,
        env=_environment(folder),
    )
    try:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not ready.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                raise UnavailableError("the daemons do not come up; what they printed is above")
            time.sleep(0.02)
        yield
    finally:
        server.terminate()
        server.wait()
        ready.unlink(missing_ok=True)


def _environment(folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SPROV_")}
    return {**kept, "SPROV_DIR": str(folder / ".sprov"), "OMP_NUM_THREADS": "1"}


def _step(folder: Path, name: str, arguments: list[str]) -> None:
    click.echo(f"$ python {name}.py {' '.join(arguments)}")
    command = [sys.executable, str(HERE / f"{name}.py"), *arguments]
    subprocess.run(command, cwd=folder, env=_environment(folder), check=True)


def _train(folder: Path, project: Project) -> None:
    arguments = ["train.npz", "test.npz", "model.npz"]
    click.echo(f"$ mpirun -n {N_RANKS} python train.py {' '.join(arguments)}")
    mpirun = str(Path(sys.executable).with_name("mpirun"))
    command = [mpirun, "-n", str(N_RANKS), sys.executable, str(HERE / "train.py"), *arguments]
    training = subprocess.Popen(command, cwd=folder, env=_environment(folder))
    asked = 0
    while True:
        try:
            training.wait(ASK_EVERY_S)
            break
        except subprocess.TimeoutExpired:
            asked += _ask_while_running(project)
    if training.returncode:
        raise UnavailableError(f"the training ended with status {training.returncode}")
    if not asked:
        click.echo("  (it was over before it could be asked about)")


def _ask_while_running(project: Project) -> bool:
    """Ask the live manager how far the training is; False if it has not said anything yet."""
    engine = find_engine(project, {})
    running = [run for run in list_runs(engine) if run["state"] == "running"]
    steps = read_steps(engine, running[-1]["run"]) if running else []
    known = [step for step in steps if "accuracy" in step]
    if not known:
        return False
    last = known[-1]
    click.echo(
        f"  asked while it trains: {running[-1]['ranks']} ranks, epoch {last['step']}, "
        f"accuracy {last['accuracy']:.3f}, loss {last['loss']:.3f}"
    )
    return True


def _report(folder: Path, project: Project) -> None:
    engine = find_engine(project, {})
    run = find_run(engine, "@last")
    steps = read_steps(engine, run["run"])
    print_table(steps[:: max(1, len(steps) // 8)], ["step", "loss", "accuracy"], "$ sprov metrics")
    click.echo("$ sprov lineage model.npz")
    write([trace(engine, find_target(engine, str(folder / "model.npz")).iri)], "tree", sys.stdout)
    click.echo(
        f"\nNow type:\n  cd {folder.name}\n  sprov runs\n  sprov show @last\n"
        "  sprov metrics @last accuracy\n  sprov lineage clean.npz --down\n  sprov verify"
    )
