"""One refresh at a time, and no lock that outlives its holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from xner_ray.errors import UserError
from xner_ray.storage.blob_store import LocalDisk
from xner_ray.storage.lock import Lock

ROOT = Path(__file__).parents[2]
SECONDS = 1.0
HOLDER = f"""
import sys
from pathlib import Path
from xner_ray.storage.lock import Lock
from xner_ray.storage.blob_store import LocalDisk
with Lock(LocalDisk(Path(sys.argv[1])), {SECONDS}) as lease:
    print(lease.number, flush=True)
    sys.stdin.readline()
    lease.check()
"""


@pytest.fixture
def place(tmp_path):
    return LocalDisk(tmp_path)


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lease; a line to it makes it ask whether it still does, and end."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)
    assert process.stdout.readline() == "1\n", process.stderr.read()
    yield process
    process.kill()
    process.communicate()


def test_numbers_go_up(place):
    for number in (1, 2, 3):
        with Lock(place, SECONDS) as lease:
            lease.check()
            assert lease.number == number
    assert sorted(place.ages("lock")) == [f"lock/000003.{end}" for end in ("beat", "done", "json")]


def test_another_one_is_turned_away_at_once(place, holder):
    began = time.monotonic()
    with pytest.raises(UserError, match=f"another refresh is running: process {holder.pid} on "):
        Lock(place, SECONDS).__enter__()
    assert time.monotonic() - began < SECONDS
    _, error = holder.communicate("\n", timeout=30)
    assert holder.returncode == 0, error
    with Lock(place, SECONDS) as lease:
        assert lease.number == 2


def test_a_lock_does_not_outlive_a_crash_for_long(place, holder):
    holder.kill()
    holder.wait()
    said, began = [], time.monotonic()
    with Lock(place, SECONDS, said.append) as lease:
        assert lease.number == 2 and SECONDS * 0.9 < time.monotonic() - began < SECONDS * 5
        lease.check()
    assert len(said) == 1 and "refresh 1 has not ended" in said[0]


def test_who_slept_too_long_has_lost_it(place, holder):
    os.kill(holder.pid, signal.SIGSTOP)
    with Lock(place, SECONDS) as lease:
        os.kill(holder.pid, signal.SIGCONT)
        _, error = holder.communicate("\n", timeout=30)
        assert holder.returncode == 1 and "refresh 1 lost its lock while it slept" in error
        lease.check()
    assert not [name for name in place.ages("lock") if "000001.json" in name]


def test_of_many_at_once_one_gets_it(place):
    leases, got, refused = [Lock(place, SECONDS) for _ in range(6)], [], []
    at_once, ended = threading.Barrier(len(leases)), threading.Event()

    def take(lease: Lock) -> None:
        at_once.wait()
        try:
            with lease:
                got.append(lease.number)
                ended.wait(10)
                lease.check()
        except UserError as e:
            refused.append(e.problem)

    threads = [threading.Thread(target=take, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    while len(refused) < len(leases) - 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    ended.set()
    for thread in threads:
        thread.join()
    assert len(got) == 1 and len(refused) == len(leases) - 1
    assert all("another refresh is running" in problem for problem in refused)


def test_it_is_let_go_where_the_night_fails(place):
    with pytest.raises(ZeroDivisionError), Lock(place, SECONDS):
        1 / 0  # noqa: B018
    began = time.monotonic()
    with Lock(place, 30.0) as lease:
        assert lease.number == 2 and time.monotonic() - began < 5
