"""One holder at a time, in real processes that die, hang and wait."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from xner_ray.errors import UserError
from xner_ray.storage.local_disk import LocalDisk
from xner_ray.storage.lock import Holder, Lock, hold_output
from xner_ray.storage.processes import ProcessIdentity

ROOT = Path(__file__).parents[2]
SECONDS = 1.0
LOCK_HOLDER = f"""
import sys
from pathlib import Path
from xner_ray.storage.lock import Lock
from xner_ray.storage.local_disk import LocalDisk
with Lock(LocalDisk(Path(sys.argv[1])), {SECONDS}, name="refresh") as lock:
    print(lock.number, flush=True)
    sys.stdin.readline()
    lock.check()
"""
OUTPUT_HOLDER = f"""
import sys, time
from xner_ray.storage.lock import hold_output
with hold_output(sys.argv[1], lambda line: None, timeout_s={SECONDS}) as lock:
    print(lock.number, flush=True)
    time.sleep(100)
"""


@pytest.fixture
def store(tmp_path):
    return LocalDisk(tmp_path)


@pytest.fixture
def start(tmp_path):
    """Start a process that takes the lock."""
    processes = []

    def start(code: str = LOCK_HOLDER, number: int = 1, **options) -> subprocess.Popen:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, text=True, **pipes, **options
        )
        processes.append(process)
        assert process.stdout.readline() == f"{number}\n", process.stderr.read()
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def from_another_host(folder: Path) -> None:
    """Let the holder look like a process of another host, of which the process id says nothing."""
    file = folder / "lock" / "000001.json"
    holder = json.loads(file.read_text())
    file.write_text(json.dumps({**holder, "process": {**holder["process"], "host": "elsewhere"}}))


def test_numbers_increase(store):
    for number in (1, 2, 3):
        with Lock(store, SECONDS) as lock:
            lock.check()
            assert lock.number == number
    assert sorted(store.list("lock")) == [f"lock/000003.{suffix}" for suffix in ("beat", "done", "json")]


def test_the_number_is_larger_than_what_the_caller_knows(store):
    with Lock(store, SECONDS, after=6) as lock:
        assert lock.number == 7
    with Lock(store, SECONDS, after=3) as lock:
        assert lock.number == 8


def test_a_holder_compares_its_token_and_not_its_number(store):
    other = Holder.current("refresh").to_json()
    with Lock(store, SECONDS) as lock:
        store.write("lock/000001.json", other)  # of a second process, in a store that ignores If-None-Match
        with pytest.raises(UserError, match="lost its lock") as e:
            lock.check()
    assert e.value.remedy and store.read("lock/000001.json") == other
    assert not store.exists("lock/000001.done")  # the lock of the other one is not released


def test_a_lock_whose_files_were_deleted_is_lost(store, tmp_path):
    with Lock(store, SECONDS) as lock:
        shutil.rmtree(tmp_path / "lock")
        with pytest.raises(UserError, match="lost its lock"):
            lock.check()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"{}"])
def test_a_damaged_lock_is_named(store, text):
    store.write("lock/000001.json", text)
    with pytest.raises(UserError) as e:
        Lock(store, SECONDS).__enter__()
    assert e.value.file == store.path("lock/000001.json") and "delete this file" in e.value.remedy
    store.delete("lock/000001.json")
    with Lock(store, SECONDS) as lock:
        assert lock.number == 1


def test_the_lock_records_its_holder(store):
    with Lock(store, SECONDS, name="study"):
        holder = Holder.from_json(store.read("lock/000001.json"))
    assert holder.name == "study" and holder.process == ProcessIdentity.current()
    assert (holder.process.pid, holder.process.host) == (os.getpid(), socket.gethostname())
    assert holder.process.boot and holder.process.started and holder.began.endswith("+00:00")


def test_a_second_process_stops_with_an_error_that_names_the_first(store, start):
    process = start()
    holder, began = Holder.from_json(store.read("lock/000001.json")), time.monotonic()
    with pytest.raises(UserError) as e:
        Lock(store, SECONDS).__enter__()
    assert time.monotonic() - began < SECONDS
    for part in ("another refresh", f"process {process.pid}", socket.gethostname(), holder.began):
        assert part in e.value.problem
    assert e.value.file == store.path("lock") and e.value.remedy
    _, error = process.communicate("\n", timeout=30)
    assert process.returncode == 0, error
    with Lock(store, SECONDS) as lock:
        assert lock.number == 2


def test_a_killed_process_of_this_host_is_replaced_at_once(store, start):
    process = start()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie, which counts as dead
    lines, began = [], time.monotonic()
    with Lock(store, 60.0, log=lines.append) as lock:
        assert lock.number == 2 and time.monotonic() - began < 20
        lock.check()
    assert len(lines) == 1 and "refresh 1" in lines[0] and str(process.pid) in lines[0]


def test_a_killed_process_of_another_host_is_replaced_after_the_timeout(store, start, tmp_path):
    process = start()
    from_another_host(tmp_path)
    process.kill()
    process.wait()
    lines, began = [], time.monotonic()
    with Lock(store, SECONDS, log=lines.append) as lock:
        assert lock.number == 2 and SECONDS * 0.9 < time.monotonic() - began < SECONDS * 5
        lock.check()
    assert len(lines) == 1 and "waiting for refresh 1" in lines[0] and "elsewhere" in lines[0]


@pytest.mark.parametrize("change", [{"boot": "x"}, {"boot": ""}, {"host": "elsewhere"}])
def test_only_a_process_of_this_boot_and_host_is_certainly_dead(change):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    values = vars(ProcessIdentity.current())
    assert ProcessIdentity(**{**values, "pid": dead.pid}).is_certainly_dead()
    assert not ProcessIdentity(**{**values, "pid": dead.pid, **change}).is_certainly_dead()


def test_a_reused_process_id_is_another_process():
    values = vars(ProcessIdentity.current())
    assert not ProcessIdentity(**values).is_certainly_dead()
    assert ProcessIdentity(**{**values, "started": values["started"] - 1}).is_certainly_dead()


def test_a_stopped_process_loses_the_lock(store, start):
    process = start()
    os.kill(process.pid, signal.SIGSTOP)
    with Lock(store, SECONDS) as lock:
        os.kill(process.pid, signal.SIGCONT)
        _, error = process.communicate("\n", timeout=30)
        assert process.returncode == 1 and "refresh 1 lost its lock" in error
        lock.check()
    assert not [name for name in store.list("lock") if "000001.json" in name]


@pytest.mark.parametrize("ignored", [False, True])
def test_a_run_that_was_replaced_is_interrupted(tmp_path, start, ignored):
    """Also where SIGINT is ignored, as in a process that a script starts in the background."""

    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process = start(OUTPUT_HOLDER, preexec_fn=ignore if ignored else None)
    os.kill(process.pid, signal.SIGSTOP)
    with hold_output(tmp_path, lambda line: None, timeout_s=SECONDS) as lock:
        assert lock.number == 2
        os.kill(process.pid, signal.SIGCONT)
        _, error = process.communicate(timeout=30)
        assert process.returncode == 1 and "UserError" in error and "run 1 lost its lock" in error
        lock.check()


def test_a_second_run_can_wait(tmp_path, start):
    process, lines, began = start(OUTPUT_HOLDER), [], time.monotonic()
    with pytest.raises(UserError) as e, hold_output(tmp_path, lines.append, timeout_s=SECONDS):
        pytest.fail("the first run lives")
    assert "--wait" in e.value.remedy and str(process.pid) in e.value.problem
    threading.Timer(2 * SECONDS, process.kill).start()
    with hold_output(tmp_path, lines.append, wait=True, timeout_s=SECONDS) as lock:
        assert lock.number == 2 and time.monotonic() - began > 2 * SECONDS
    waiting = [line for line in lines if "waiting for run 1" in line and str(process.pid) in line]
    assert len(waiting) == 2  # one of each call


def test_several_processes_wait_for_one_another(store):
    order: list[int] = []

    def hold() -> None:
        with Lock(store, SECONDS, wait=True) as lock:
            order.append(lock.number)
            time.sleep(0.2)
            lock.check()
            order.append(lock.number)

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order == [1, 1, 2, 2, 3, 3, 4, 4]


def test_of_many_at_once_one_gets_it(store):
    locks, numbers, errors = [Lock(store, SECONDS, name="refresh") for _ in range(6)], [], []
    together, ended = threading.Barrier(len(locks)), threading.Event()

    def take(lock: Lock) -> None:
        together.wait()
        try:
            with lock:
                numbers.append(lock.number)
                ended.wait(10)
                lock.check()
        except UserError as e:
            errors.append(e.problem)

    threads = [threading.Thread(target=take, args=(lock,)) for lock in locks]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    while len(errors) < len(locks) - 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    ended.set()
    for thread in threads:
        thread.join()
    assert len(numbers) == 1 and len(errors) == len(locks) - 1
    assert all("another refresh is running" in problem for problem in errors)


def test_the_lock_is_released_if_the_block_fails(store):
    with pytest.raises(ZeroDivisionError), Lock(store, SECONDS):
        1 / 0  # noqa: B018
    began = time.monotonic()
    with Lock(store, 30.0) as lock:
        assert lock.number == 2 and time.monotonic() - began < 5


def test_ctrl_c_stays_a_keyboard_interrupt(tmp_path, start):
    # A shell ignores SIGINT in what it starts in the background, tests included.
    default = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = start(default + OUTPUT_HOLDER)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in error and "UserError" not in error
    assert (tmp_path / "lock" / "000001.done").exists()
