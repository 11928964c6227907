"""What tests leave running is ended, however they end themselves."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import reaper
from harness import wait_until

TESTS = f"""
import subprocess, sys
sys.path.insert(0, {str(Path(reaper.__file__).parent)!r})
import reaper
guard = reaper.Reaper()
left = subprocess.Popen(["sleep", "1000"], start_new_session=True)
print(guard.mark, left.pid, flush=True)
if sys.stdin.readline():
    print(guard.close(patience_s=0.1), flush=True)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None])
def test_what_tests_leave_is_ended(end: signal.Signals | None):
    tests = subprocess.Popen(
        [sys.executable, "-c", TESTS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert tests.stdin is not None and tests.stdout is not None
    mark, pid = tests.stdout.readline().split()
    wait_until(lambda: reaper.marked(mark) == [int(pid)])
    if end is None:
        tests.stdin.write("\n")
        tests.stdin.flush()
        assert f"{pid}: sleep 1000" in tests.stdout.readline()
    else:
        tests.send_signal(end)
    wait_until(lambda: not reaper.marked(mark))
    tests.communicate()
