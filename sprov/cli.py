"""The `sprov` command.  Commands are named here and loaded when they are called."""

from __future__ import annotations

import os
import sys
import traceback

import click

from pllib import notices, terminal
from pllib.errors import Error

from .lazy import Entry, LazyGroup
from .running.watched import leave_watch

COMMANDS = {
    "init": Entry("sprov.init:init", "Make .sprov/, where provenance of a project is kept.", ""),
    "declare": Entry("sprov.declare:declare", "Declare what is planned, from YAML or JSON.", ""),
    "run": Entry("sprov.running.command:run", "Run a command, and record what it does.", ""),
    "serve": Entry("sprov.serve:serve", "Run tracker and manager in the foreground."),
    "stop": Entry("sprov.serve:stop", "Drain and end the daemons.", ""),
    "status": Entry("sprov.status:status", "Daemons, ranks, queues, lag, lost records.", ""),
    "runs": Entry("query.cli:runs", "List runs."),
    "show": Entry("query.cli:show", "Show one run: settings, data, results, failures."),
    "watch": Entry("query.watch:watch", "Watch a run while it runs."),
    "metrics": Entry("query.cli:metrics", "Print a run's series."),
    "lineage": Entry("query.cli:lineage", "What a file came from, or led to."),
    "identify": Entry("query.identify:identify_files", "Which recorded version a file is."),
    "diff": Entry("query.cli:diff", "How two runs differ."),
    "ask": Entry("query.ask:ask", "Ask a named query, or list them."),
    "query": Entry("query.cli:query", "Answer a SPARQL query."),
    "export": Entry(
        "query.export.cli:export", "Write a run as PROV, RDF or RO-Crate.", "server,interchange"
    ),
    "import": Entry(
        "sprov.importing.cli:import_",
        "Take in PROV, RDF, RO-Crates, MLflow runs.",
        "server,interchange",
    ),
    "ingest": Entry("sprov.ingest:ingest", "Take in logs that no tracker took."),
    "rebuild": Entry("sprov.rebuild:rebuild", "Make store and series again from the journals."),
    "verify": Entry("sprov.verify:verify", "Prove that logs and store agree."),
    "gc": Entry("sprov.gc:gc", "What is kept and what may go; archive or forget journals."),
    "log": Entry("sprov.logs:log", "Look inside provenance logs.", ""),
    "demo": Entry("sprov.demo.command:demo", "The main job on this machine.", "server,mpi,demo"),
    "slurm": Entry("sprov.slurm:slurm", "Job templates, submitting, accounting, checks.", ""),
    "tracker": Entry("tracker.cli:tracker", "The tracker alone."),
    "manager": Entry("manager.cli:manager", "The manager alone."),
}


@click.group(
    cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="sprov", prog_name="sprov")
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Record what batch jobs do, and ask about it."""
    if ctx.invoked_subcommand != "run":  # which leaves once it has a session
        leave_watch()
    # `run` writes nothing but logs, and must run its command; `slurm` checks for itself.
    if ctx.invoked_subcommand not in ("run", "slurm"):
        from .formats import check_project

        check_project()


def main() -> None:
    """Run the command; an error is one line and an exit status by kind."""
    terminal.guard()
    debug = "--debug" in sys.argv[1:2]
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as exc:
        sys.exit(exc.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (Error, OSError, ModuleNotFoundError) as exc:
        if debug:
            raise
        notices.write(_said(exc))
        for line in getattr(exc, "lines", ()):  # of candidates, such as runs
            notices.detail(line)
        sys.exit(getattr(exc, "exit_code", 1))
    except Exception as exc:  # whatever nobody foresaw
        if debug:
            raise
        notices.write(_fault(exc))
        sys.exit(1)


def _fault(exc: Exception) -> str:
    """Say in one line what nobody foresaw, and where it was raised."""
    *_, (frame, line) = traceback.walk_tb(exc.__traceback__)
    what = f"{type(exc).__name__}: {exc}"
    where = f"{os.path.basename(frame.f_code.co_filename)}:{line}"  # noqa: PTH119
    return f"{what} ({where}). This is a fault of sprov: `sprov --debug` shows all of it"


def _said(exc: BaseException) -> str:
    if isinstance(exc, ModuleNotFoundError):
        return f"{exc.name} is not installed. Run: pip install 'sprov[server]'"
    return str(exc)


if __name__ == "__main__":
    main()
