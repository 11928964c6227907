"""`sprov import`: PROV-JSON, PROV-N, RDF, RO-Crates and MLflow runs of others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pllib import notices
from pllib.project import Project, find

from ..extras import require
from ..ingest import ingest

if TYPE_CHECKING:
    from .mlflow import MlflowLog
    from .statements import Refusal, Statements

REFUSED = 2
"""Exit status when anything was refused."""
MOST_LINES = 50
"""Of refusals that are printed."""


@click.command(name="import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--strict", is_flag=True, help="Take nothing in when anything is refused.")
@click.pass_context
def import_(context: click.Context, paths: tuple[Path, ...], strict: bool) -> None:
    """Take in PATHS: PROV-JSON, PROV-N, RDF, RO-Crates, MLflow run directories.

    What is wrong, or would change what the store knows, is refused with a line each; all else comes
    in.  Paths that are named together are judged together.

    \b
        sprov import run.json
        sprov import crate.zip mlruns/0

    Exit status: 0 all came in, 2 something was refused.
    """
    require("import", "interchange", "prov", "rocrate", "yaml")
    project = find().create()
    found = _Found(project, paths)
    if found.refused and strict:
        _report(found.refused)
        notices.write("nothing was taken in, as --strict says")
        raise SystemExit(REFUSED)
    logs = found.write()
    if logs:
        context.invoke(ingest, logs=tuple(logs))
        for path in logs:
            path.unlink()
    click.echo(found.summary())
    if found.refused:
        _report(found.refused)
        raise SystemExit(REFUSED)


class _Found:
    """What some paths hold and may come in, and what was refused of them."""

    def __init__(self, project: Project, paths: tuple[Path, ...]) -> None:
        self._project = project
        self._sources: list[Statements] = []
        self._runs: list[MlflowLog] = []
        self.refused: list[Refusal] = []
        for path in paths:
            self._read(path)
        self._judge()
        for source in self._sources:
            self.refused.extend(source.refused)

    def _read(self, path: Path) -> None:
        from . import confined, mlflow, sources

        runs = mlflow.run_folders(path) if path.is_dir() and not sources.is_crate(path) else []
        for folder in runs:
            with self._refusing():
                run = confined.read_run(folder, self._project)
                self.refused.extend(run.refused)
                self._runs.append(mlflow.log_of(run, self._project))
        if not runs:
            with self._refusing():
                self._sources.append(confined.read_source(path, self._project))

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        from .statements import ImportRefusedError, Refusal

        try:
            yield
        except ImportRefusedError as exc:
            where, _, reason = str(exc).partition(": ")
            self.refused.append(Refusal(where, reason))

    def _judge(self) -> None:
        from .judge import judge, mentioned
        from .ontology import ontology
        from .present import Present
        from .statements import Refusal

        runs = {iri for run in self._runs for iri in (run.run, run.execution)}
        present = Present(self._project, mentioned(self._sources) | runs)
        judge(self._sources, ontology(), present)
        changed = [
            run for run in self._runs if present.knows(run.run) and not present.knows(run.execution)
        ]
        for run in changed:
            self._runs.remove(run)
            reason = "the store knows this run, and not as it is now: nothing is added to it"
            self.refused.append(Refusal(str(run.folder), reason))

    def write(self) -> list[Path]:
        """Write a log for each source and run that has anything to say; return their paths."""
        from .logs import write_log, write_statements

        written = [
            write_statements(self._project, source.said) for source in self._sources if source.said
        ]
        for run in self._runs:
            written.append(write_log(self._project, run.log_id, run.head, run.records))
        return written

    def summary(self) -> str:
        n_triples = sum(len(set(source.said)) for source in self._sources)
        return (
            f"{n_triples} new triple(s) of {len(self._sources)} source(s), "
            f"{len(self._runs)} MLflow run(s)"
        )


def _report(refused: list[Refusal]) -> None:
    for refusal in refused[:MOST_LINES]:
        notices.write(f"refused: {refusal}")
    if len(refused) > MOST_LINES:
        notices.write(f"refused: {len(refused) - MOST_LINES} more")
