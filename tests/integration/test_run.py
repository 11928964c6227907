"""`sprov run`: the command is what it would be without, and what it did is known."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import SCRIPT, TIMEOUT_S, Site, require_module, wait_until

from pllib import kept
from pllib.log import LogReader
from pllib.records import Context, Ended, Facts, FileVersion, Generated, Outcome, Used
from pllib.records import decode_values as values_of
from sprov.running.descriptors import Descriptors
from sprov.running.opened import Opened
from sprov.running.written import MAX_FOLDERS

COUNTING = """
import os, signal, sys
numbers = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGINT, signal.SIGALRM]
for number in (*numbers, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.write(1, b"%d\\n" % number))
os.write(1, b"ready\\n")
while True:
    signal.pause()
"""


class Said(list[Any]):
    """What the logs of a project say."""

    def of(self, kind: type) -> list[Any]:
        return [record for record in self if isinstance(record, kind)]

    @property
    def facts(self) -> dict[str, str]:
        found = dict(self.of(Context)[0].facts)
        for record in self.of(Facts):
            found.update(record.facts)
        return found

    def files(self, kind: type) -> dict[str, FileVersion]:
        lists = [value for record in self.of(kind) for value in values_of(record.values)]
        return {Path(file.path).name: file for files in lists for file in files}


def said(site: Site) -> Said:
    found = Said()
    for path in sorted(site.project.spool.glob("*.log")):
        with LogReader(path) as reader:
            found += [record for located in reader.frames() for record in located.frame.records()]
    return found


def start(site: Site, *command: str, **options: Any) -> subprocess.Popen[str]:
    """Start a command in a session of its own, where no terminal signals it."""
    environ = site.environment(**options.pop("environ", {}))
    options = {"stdin": subprocess.DEVNULL, **options}
    process = subprocess.Popen(
        command, cwd=site.folder, env=environ, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True, **options,
    )  # fmt: skip
    site.started.append(process)
    return process


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, errors = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, out, errors


def run(site: Site, *command: str, **options: Any) -> tuple[int, str, str]:
    return finish(start(site, SCRIPT, "run", "--", *command, **options))


def write(site: Site, name: str, text: str, mode: int = 0o644) -> str:
    path = site.folder / name
    path.write_text(text)
    path.chmod(mode)
    return name


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (["true"], None),
        (["sh", "-c", "echo out; echo err >&2; exit 3"], "exit status 3"),
        (["sh", "-c", "kill -9 $$"], "killed by SIGKILL"),
        (["sh", "-c", "kill -SEGV $$"], "killed by SIGSEGV"),
    ],
)
def test_it_ends_and_prints_as_the_command(site: Site, command, error):
    plain = finish(start(site, *command))
    status, out, errors = run(site, *command)
    assert (status, out) == plain[:2]
    assert errors.startswith(plain[2]) or errors.endswith(plain[2])
    (ended,) = said(site).of(Ended)
    assert ended.error == (error and f"CommandError: {error}")
    (outcome,) = said(site).of(Outcome)
    code, number = (status, None) if status >= 0 else (None, -status)
    assert (outcome.exit_status, outcome.signal) == (code, number)
    assert outcome.state == {0: "completed"}.get(status, "failed" if status > 0 else "killed")


def test_a_command_that_cannot_be_executed_ends_as_in_a_shell(site: Site):
    status, _, errors = run(site, "no-such-command")
    assert (status, "no-such-command: No such file" in errors) == (127, True)
    status, _, errors = run(site, "./" + write(site, "plain.txt", "nothing"))
    assert (status, "plain.txt: Permission denied" in errors) == (126, True)
    assert {outcome.exit_status for outcome in said(site).of(Outcome)} == {127, 126}


def test_a_script_without_an_interpreter_is_the_shells(site: Site):
    status, out, _ = run(site, "./" + write(site, "plain", "echo $1\nexit 4\n", 0o755), "word")
    assert (status, out) == (4, "word\n")


def test_what_a_python_program_reads_and_writes_is_known(site: Site):
    write(site, "in.txt", "first")
    write(site, "changed.txt", "old")
    (site.folder / "parts").mkdir()
    write(site, "program.py", """
import os, subprocess, sys
try:
    open("missing.txt")
except FileNotFoundError:
    text = open("in.txt").read()
old = open("changed.txt").read()
for name in ("changed.txt", "out.txt", "gone.txt", ".new"):
    with open(name, "w") as file:
        file.write(text + old)
os.replace(".new", "renamed.txt")
os.unlink("gone.txt")
open("out.txt").read()
os.chdir("parts")
with open("in.txt", "x") as file:
    file.write("in parts")
if os.fork() == 0:
    open("forked.txt", "w").close()
    os._exit(0)
os.wait()
subprocess.run([sys.executable, "-c", "open('child\\tof\\\\it.txt', 'w').close()"])
""")  # fmt: skip
    status, _, errors = run(site, sys.executable, "program.py")
    assert status == 0, errors
    used, generated = said(site).files(Used), said(site).files(Generated)
    assert used.keys() == {"in.txt", "changed.txt", "program.py"}
    assert used["changed.txt"].size == 3
    expected = {"changed.txt", "out.txt", "renamed.txt", "forked.txt", "in.txt"}
    assert generated.keys() == {*expected, "child\tof\\it.txt"}
    assert generated["changed.txt"].size == 8
    assert generated["in.txt"].path == str(site.folder / "parts" / "in.txt")


def test_what_is_known_of_a_command(site: Site):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    write(site, "program.py", "import sys; sys.stdin.read()\n")
    for words in (["init", "-q"], ["add", "program.py"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], cwd=site.folder, check=True)
    write(site, "program.py", "import sys; print(sys.stdin.read())\n")
    status, _, errors = run(
        site, sys.executable, "program.py", "two words", environ={"LOADEDMODULES": "gcc/12:mpi/4"}
    )
    assert status == 0, errors
    assert said(site).of(Context)[0].program == "program.py"
    facts = said(site).facts
    assert facts["command"] == f"{sys.executable} program.py 'two words'"
    assert facts["script"] == str(site.folder / "program.py")
    assert facts["script_digest"].startswith("blake2b:")
    assert facts["modules"] == "gcc/12:mpi/4"
    assert facts["python_prefix"] == sys.prefix
    assert facts["python"] == sys.version.split()[0]
    assert "package.msgspec" in facts
    assert facts["git_dirty"] == "1"
    difference = kept.read(site.project, facts["git_diff"]).decode()
    assert "+import sys; print(sys.stdin.read())" in difference


def test_a_python_that_a_shell_script_starts_is_seen(site: Site):
    write(site, "in.txt", "data")
    write(site, "job.sh", f'{sys.executable} -c \'open("in.txt"); open("out.txt", "w")\'\n')
    status, _, errors = run(site, "bash", "job.sh")
    assert status == 0, errors
    assert said(site).files(Used).keys() == {"job.sh", "in.txt"}
    assert said(site).files(Generated).keys() == {"out.txt"}
    assert said(site).facts["python_prefix"] == sys.prefix


def test_files_that_its_words_name_are_used_or_generated(site: Site):
    for name in ("a.txt", "b.txt", "kept.txt"):
        write(site, name, name)
    status, _, errors = run(site, "cp", "a.txt", "b.txt")
    assert status == 0, errors
    status, _, errors = run(site, "cp", "kept.txt", "--backup=none", "new.txt")
    assert status == 0, errors
    assert said(site).files(Used).keys() == {"a.txt", "kept.txt"}
    assert said(site).files(Generated).keys() == {"b.txt", "new.txt"}


def test_files_that_any_process_has_open_are_seen(site: Site):
    folder = site.folder
    write(site, "in.txt", "data")
    opened = Opened()
    with (folder / "in.txt").open() as source, (folder / "out.txt").open("w") as target:
        process = subprocess.Popen(
            ["sh", "-c", "read line; cat; read line <&3"], stdin=subprocess.PIPE, stdout=target,
            pass_fds=(source.fileno(),),
        )  # fmt: skip
    site.started.append(process)  # type: ignore[arg-type]
    descriptors = Descriptors(opened, 0)
    descriptors.note(descriptors.look([process.pid]))
    assert [Path(file.path).name for file in opened.used()] == ["in.txt"]
    assert [Path(file.path).name for file in opened.generated()] == ["out.txt"]


TRAIN = """
import os, torch
torch.manual_seed(0)
model = torch.nn.Linear(2, 2)
if os.environ["RANK"] == "0":
    torch.save(model.state_dict(), "model.pt")
"""
BUSY = "while True: pass"
TRIES = 20
TORCH_TRIES = int(os.environ.get("SPROV_TEST_TRIES", "2"))
"""Each costs seconds of processor time."""


@pytest.fixture
def busy() -> Iterator[None]:
    """Two processes more than the machine has cores for."""
    found = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2)]
    yield
    for process in found:
        process.kill()
        process.wait()


def test_a_file_that_is_closed_before_anybody_looks_is_found(site: Site, busy: None):
    write(site, "in.txt", "b\na\n")
    write(site, "job.sh", """
sort in.txt > sorted.txt
mkdir -p parts/deep
echo one > parts/deep/one.txt
sort in.txt > .later && mv .later moved.txt
""")  # fmt: skip
    n_found: Counter[str] = Counter()
    for nth in range(TRIES):
        own = site.folder / f"try-{nth}"
        own.mkdir()
        for name in ("in.txt", "job.sh"):
            (own / name).write_bytes((site.folder / name).read_bytes())
        status, _, errors = run(site, "sh", "-c", f"cd {own.name} && sh job.sh")
        assert status == 0, errors
        n_found.update(made_in(site, own))
    expected = ("sorted.txt", "parts/deep/one.txt", "moved.txt")
    assert n_found == dict.fromkeys(expected, TRIES)


def made_in(site: Site, folder: Path) -> set[str]:
    """Return the paths below a folder that commands generated."""
    values = [values_of(record.values) for record in said(site).of(Generated)]
    paths = [Path(file.path) for lists in values for files in lists for file in files]
    return {str(path.relative_to(folder)) for path in paths if path.is_relative_to(folder)}


def test_the_last_file_that_torchrun_leaves_is_found(site: Site, busy: None):
    require_module("torch", "lifecycle")
    write(site, "train.py", TRAIN)
    for nth in range(TORCH_TRIES):
        own = site.folder / f"try-{nth}"
        own.mkdir()
        words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1", "../train.py"]
        script = f"cd {own.name} && exec {shlex.join([sys.executable, *words])}"
        status, _, errors = run(site, "sh", "-c", script)
        assert status == 0, errors
        assert made_in(site, own) == {"model.pt"}


def test_of_commands_that_share_a_folder_each_file_is_ones(site: Site):
    script = "read line; echo $0 > $0.txt; read line"
    started = [
        start(site, SCRIPT, "run", "--", "sh", "-c", script, name, stdin=subprocess.PIPE)
        for name in ("first", "second", "third")
    ]
    names = ["first.txt", "second.txt", "third.txt"]
    for _ in range(2):
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        wait_until(lambda: all((site.folder / name).exists() for name in names))
    for process in started:
        assert finish(process)[0] == 0
    values = [values_of(record.values) for record in said(site).of(Generated)]
    found = Counter(Path(file.path).name for lists in values for files in lists for file in files)
    assert found == dict.fromkeys(names, 1)


def test_show_says_which_folders_were_not_watched(site: Site):
    for nth in range(MAX_FOLDERS + 5):
        (site.folder / f"data-{nth}").mkdir()
    assert run(site, "sleep", "0.5")[0] == 0
    site.sprov("ingest")
    (line,) = (text for text in site.sprov("show", "@last").splitlines() if "not watched" in text)
    assert line.startswith("not seen")
    assert re.search(r"not watched: [1-9]\d* folders", line)


def test_a_working_folder_that_is_gone_is_named(site: Site):
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    started = start(site, "bash", "-c", script, "bash", SCRIPT, "run", "--", "echo", "ran")
    status, out, errors = finish(started)
    assert (status, out) == (0, "ran\n")
    assert "the working folder is gone; the command runs without provenance" in errors


def test_what_our_own_code_reads_is_no_input(site: Site):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    write(site, "in.txt", "data")
    write(site, "program.py", "import pllib\nwith pllib.open():\n    open('in.txt').read()\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], cwd=site.folder, check=True)
    status, _, errors = run(site, sys.executable, "program.py")
    assert status == 0, errors
    assert said(site).files(Used).keys() == {"program.py", "in.txt"}


def test_what_commands_and_daemons_of_ours_open_is_no_input(site: Site):
    write(site, "data.bin", "x" * 100_000)
    write(site, "product.py", """
import pllib
with pllib.open() as session:
    session.used(data=pllib.File("data.bin"))
""")  # fmt: skip
    finish(start(site, sys.executable, "product.py"))
    write(site, "job.sh", f"{SCRIPT} ingest\ncat small.txt > copy.txt\n")
    write(site, "small.txt", "x")
    status, _, errors = run(site, "sh", "job.sh")
    assert status == 0, errors
    assert "data.bin" not in said(site).files(Used)
    site.sprov("ingest")
    assert site.count("?file sprov:path ?path ; prov:specializationOf ?content") >= 1
    readers = site.count(f"?a prov:used ?f . ?f sprov:path '{site.folder / 'data.bin'}'")
    assert readers == 1


def test_what_a_tracker_below_the_command_digests_is_no_input(site: Site):
    with (site.folder / "data.bin").open("wb") as file:
        file.truncate(256 << 20)  # so that its digester is met at work
    write(site, "product.py", """
import pllib
with pllib.open() as session:
    session.used(data=pllib.File("data.bin"))
""")  # fmt: skip
    write(site, "job.sh", f"""
{SCRIPT} serve --ready-file ready &
until [ -e ready ]; do sleep 0.05; done
{sys.executable} product.py
until {SCRIPT} query --live 'ASK {{ ?f prov:specializationOf ?c }}' 2> /dev/null | grep -q yes
do echo x >> ticks.txt; done
{SCRIPT} stop
wait
""")  # fmt: skip
    status, _, errors = run(site, "sh", "job.sh")
    assert status == 0, errors
    assert "data.bin" not in said(site).files(Used)
    site.sprov("ingest")
    rows = site.select(f"""SELECT ?role {{ ?a prov:qualifiedUsage ?u . ?u prov:hadRole/rdfs:label
        ?role ; prov:entity/sprov:path '{site.folder / "data.bin"}' }}""")
    assert [row["role"] for row in rows] == ["data"]


def test_staging_into_shared_memory_is_recorded(site: Site):
    staged = Path("/dev/shm") / f"staged-{os.getpid()}"
    write(site, "in.txt", "data")
    write(site, "read.py", "import sys; open(sys.argv[1]).read()")
    script = f"mkdir $0 && cp in.txt $0/in.txt && {sys.executable} read.py $0/in.txt"
    try:
        status, _, errors = run(site, "sh", "-c", script, str(staged))
        assert status == 0, errors
        assert said(site).files(Generated)["in.txt"].path == f"{staged}/in.txt"
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def test_each_signal_reaches_it_once(site: Site):
    process = start(site, SCRIPT, "run", "--", sys.executable, "-c", COUNTING)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    numbers = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGINT, signal.SIGTERM]
    for number in numbers:
        process.send_signal(number)
        assert process.stdout.readline() == f"{int(number)}\n"
    os.killpg(process.pid, signal.SIGALRM)
    assert process.stdout.readline() == f"{int(signal.SIGALRM)}\n"
    process.send_signal(signal.SIGQUIT)
    status, rest, _ = finish(process)
    assert (status, rest) == (-signal.SIGQUIT, "")


def test_what_is_typed_reaches_it_once(site: Site):
    pid, terminal = pty.fork()
    if pid == 0:
        command = [SCRIPT, "run", "--", sys.executable, "-c", COUNTING]
        os.execve(SCRIPT, command, site.environment())
    with os.fdopen(terminal, "r+b", buffering=0) as typed:
        lines = iter(typed.readline, b"")
        assert b"ready\r\n" in lines
        for key in (b"\x03", b"\x03"):
            typed.write(key)
            assert next(lines).endswith(b"2\r\n")
        os.kill(pid, signal.SIGUSR1)
        assert next(lines) == b"%d\r\n" % signal.SIGUSR1
        typed.write(b"\x1c")
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGQUIT


def test_it_stops_and_goes_on_as_the_command_does(site: Site):
    script = "echo ready; read line; exit 5"
    process = start(site, SCRIPT, "run", "--", "sh", "-c", script, stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTSTP)
    wait_until(lambda: state(process.pid) == "T")
    process.send_signal(signal.SIGCONT)
    assert finish(process)[0] == 5


def test_who_kills_it_kills_the_command(site: Site):
    process = start(site, SCRIPT, "run", "--", "sh", "-c", "echo $$; exec sleep 600")
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    wait_until(lambda: state(pid) in "ZX")


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "X"


def test_descriptors_and_environment_are_the_commands_own(site: Site):
    show = (
        "import os, json; print(json.dumps([sorted(os.listdir('/proc/self/fd')),"
        " dict(os.environ), open('/proc/self/status').read().split('SigQ')[1].split('Cpus')[0]]))"
    )
    here, there = os.pipe()
    command = [sys.executable, "-S", "-c", show]
    environ = {"PYTHONPATH": "/nowhere", "ODD": "\udcff\n"}
    plain = json.loads(finish(start(site, *command, pass_fds=(there,), environ=environ))[1])
    found = json.loads(run(site, *command, pass_fds=(there,), environ=environ)[1])
    os.close(here)
    os.close(there)
    assert found[0] == plain[0]
    assert str(there) in found[0]
    changed = {name for name in found[1] if found[1][name] != plain[1].get(name)}
    ours = {"WRAPPED", "WITHIN", "TELEMETRY_S", "OPENED", "OPENED_EXCLUDE"}
    assert changed == {*(f"SPROV_{name}" for name in ours), "PYTHONPATH"}
    assert plain[1].keys() <= found[1].keys()
    assert found[1]["PYTHONPATH"].endswith(":/nowhere")
    assert masks(found[2]) == masks(plain[2])


def masks(status: str) -> list[str]:
    return [line for line in status.splitlines() if line.startswith(("Sig", "Shd"))]


def test_a_sitecustomize_of_the_users_is_loaded(site: Site):
    (site.folder / "own").mkdir()
    write(site, "own/sitecustomize.py", "import builtins; builtins.mine = 'loaded'\n")
    script = "import sys, sitecustomize; print(mine, sitecustomize.__file__, sys.path)"
    environ = {"PYTHONPATH": str(site.folder / "own")}
    plain = finish(start(site, sys.executable, "-c", script, environ=environ))
    assert "loaded" in plain[1]
    assert run(site, sys.executable, "-c", script, environ=environ)[:2] == plain[:2]


def test_what_a_users_sitecustomize_raises_is_told_as_without_us(site: Site):
    (site.folder / "own").mkdir()
    write(site, "own/sitecustomize.py", "raise RuntimeError('broken')\n")
    environ = {"PYTHONPATH": str(site.folder / "own")}
    plain = finish(start(site, sys.executable, "-c", "pass", environ=environ))
    assert "broken" in plain[2]
    status, _, errors = run(site, sys.executable, "-c", "pass", environ=environ)
    assert status == 0
    assert Counter(plain[2].splitlines()) <= Counter(errors.splitlines())


def test_an_exception_of_a_signal_handler_goes_through_the_hook(site: Site):
    script = """
import signal
class Alarm(OSError): pass
def ring(*_): raise Alarm
signal.signal(signal.SIGALRM, ring)
n_rung = 0
for nth in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-5 * (nth % 30 + 1))
        for name in range(30):
            open(f"{nth}-{name}", "w").close()
        signal.pause()
    except Alarm:
        n_rung += 1
print(n_rung)
"""
    status, out, errors = run(site, sys.executable, write(site, "alarm.py", script))
    assert (status, out) == (0, "300\n"), errors


def test_a_wrong_setting_is_said_and_the_default_holds(site: Site):
    environ = {"SPROV_FLUSH_BYTES": "1"}
    status, out, errors = run(site, "sh", "-c", "echo out; exit 3", environ=environ)
    assert (status, out) == (3, "out\n")
    assert "flush_bytes" in errors
    assert [outcome.exit_status for outcome in said(site).of(Outcome)] == [3]


def test_without_provenance_the_command_runs_and_it_is_said_once(site: Site):
    environ = {"SPROV_DIR": "/dev/null/x"}
    status, out, errors = run(site, "sh", "-c", "echo out; exit 3", environ=environ)
    assert (status, out) == (3, "out\n")
    (line,) = errors.splitlines()
    assert line.startswith("sprov: ")
    assert line.endswith("runs without provenance")


def test_off_is_as_if_it_were_not_there(site: Site):
    status, out, errors = run(site, "sh", "-c", "echo $PPID", environ={"SPROV_MODE": "off"})
    assert (status, out, errors) == (0, f"{os.getpid()}\n", "")
    assert not said(site)


def test_files_off_leaves_pythons_alone(site: Site):
    show = "import sys, os; print('sitecustomize' in sys.modules, 'SPROV_OPENED' in os.environ)"
    environ = {"SPROV_RUN_FILES": "off"}
    plain = finish(start(site, sys.executable, "-c", show))
    assert run(site, sys.executable, "-c", show, environ=environ)[:2] == plain[:2]
    assert not said(site).of(Used)


def test_a_rank_that_is_killed_is_told_of(site: Site):
    program = """
import os, signal, pllib
session = pllib.open()
session.used(x=1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    status, _, _ = run(site, sys.executable, write(site, "rank.py", program))
    assert status == -signal.SIGKILL
    (spool,) = site.project.spool.glob("*.spool")
    with LogReader(spool) as reader:
        log_id = reader.header.log_id.hex()
        context = next(next(reader.frames()).frame.records())
    assert isinstance(context, Context)
    assert context.run == said(site).of(Context)[0].run
    told = {outcome.log_id: outcome for outcome in said(site).of(Outcome)}
    assert len(told) == 2
    assert (told[log_id].state, told[log_id].signal) == ("killed", signal.SIGKILL)


def test_its_graph(site: Site):
    write(site, "in.txt", "data")
    run(site, "sh", "-c", "sleep 0; exit 3", "in.txt")
    site.sprov("ingest")
    (row,) = site.select("""SELECT ?outcome ?status ?error ?path {
        ?a a provml:WorkflowExecution ; sprov:outcome ?outcome ; sprov:exitStatus ?status ;
            sprov:error ?error ; prov:used ?file . ?file sprov:path ?path }""")
    assert row["outcome"] == "failed"
    assert (row["status"], row["error"]) == ("3", "CommandError: exit status 3")
    assert row["path"] == str(site.folder / "in.txt")
