"""Exactly the rows that raise an error or kill the process are quarantined. They do not change the results of other rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.harness.poison_function import COLUMN, PoisonFunction
from xner_ray.errors import UserError
from xner_ray.labeling.isolation import Bisection, ChildStartError, DeviceLostError, SubprocessWorker
from xner_ray.labeling.isolation.deadline import BASE_SECONDS, Deadline, count_tokens
from xner_ray.labeling.isolation.devices import other_gpu

MakeBisection = Callable[..., Bisection]


def shard(rows: int, **bad: list[int]) -> pa.Table:
    """A shard whose rows read `fine`, but for those that are given by text."""
    texts = ["fine"] * rows
    for text, numbers in bad.items():
        for n in numbers:
            texts[n] = text
    return pa.table({"n": range(rows), "source": texts})


@pytest.fixture
def bisection(tmp_path) -> Iterator[MakeBisection]:
    workers = []

    def make(max_quarantined: float = 0.5, fail_to_start: str = "", deadline: Deadline | None = None) -> Bisection:
        workers.append(SubprocessWorker(PoisonFunction, str(tmp_path / "log"), fail_to_start, deadline=deadline))
        return Bisection("label", ["n", "source"], COLUMN, workers[-1], max_quarantined)

    yield make
    for worker in workers:
        worker.close()


def check(table: pa.Table, faults: dict[int, str]) -> None:
    assert {i: fault for i, fault in enumerate(table["fault"].to_pylist()) if fault} == faults
    assert table["numbers"].to_pylist() == [[] if n in faults else [n] * (n % 3) for n in range(len(table))]
    assert table.schema.field("numbers").equals(COLUMN)


def log(tmp_path: Path) -> list[str]:
    """`start` for each start of a child, else the length of a table."""
    return (tmp_path / "log").read_text().split()


def test_sound_shard_runs_once(bisection, tmp_path):
    table, notes = bisection()(shard(100), "de")
    check(table, {})
    assert notes == {"rows": 100, "language": "de"} and log(tmp_path) == ["start", "100"]
    check(bisection()(shard(0), "de")[0], {})


def test_rows_that_raise_are_quarantined(bisection, tmp_path):
    table, notes = bisection()(shard(300, **{"raise": [0, 17, 299]}), "de")
    check(table, dict.fromkeys([0, 17, 299], "label: ValueError: cannot read raise"))
    assert notes["rows"] == 297  # the results are those of one call with all good rows
    assert log(tmp_path).count("start") == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [("kill", "killed its process (SIGKILL)"), ("segfault", "killed its process (SIGSEGV)"),
     ("device", "killed its process (SIGABRT)"), ("exit", "ended its process (exit code 3)")],
)  # fmt: skip
def test_rows_that_kill_the_process_are_quarantined(bisection, tmp_path, text, reason):
    table, _ = bisection()(shard(30, **{text: [5]}), "de")
    check(table, {5: f"label: {reason}"})
    # Deaths: the shard, a part of 2 rows, and the row alone, twice.
    assert log(tmp_path).count("start") == 5


EXHAUSTED = ["out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"]


@pytest.mark.parametrize("text", EXHAUSTED)
def test_exhausted_memory_is_no_lost_device(bisection, tmp_path, text):
    run = bisection()
    table, _ = run(shard(30, **{f"memory:{text}": [5]}), "de")
    check(table, {5: f"label: RuntimeError: CUDA error: {text}"})
    assert log(tmp_path).count("start") == 1
    with pytest.raises(ChildStartError, match=f"could not start: RuntimeError: CUDA error: {text[:10]}"):
        bisection(fail_to_start=f"CUDA error: {text}")


def test_memory_that_a_sound_row_exhausts_too_is_a_fault_of_the_device(bisection):
    run = bisection()
    run.sound = shard(1, **{"memory:out of memory": [0]})
    with pytest.raises(DeviceLostError, match="out of memory"):
        run(shard(30, **{"memory:out of memory": [5]}), "de")
    run.sound = shard(1)
    check(
        run(shard(30, **{"memory:out of memory": [5]}), "de")[0], {5: "label: RuntimeError: CUDA error: out of memory"}
    )


def test_lost_device_at_the_start_gives_its_reason(bisection):
    with pytest.raises(ChildStartError, match="could not start: RuntimeError: CUDA error: unspecified launch failure"):
        bisection(fail_to_start="CUDA error: unspecified launch failure")


def test_death_that_does_not_recur_quarantines_no_row(bisection, tmp_path):
    (tmp_path / "log.once").touch()
    table, _ = bisection()(shard(50, once=[7]), "de")
    check(table, {})


def test_shard_that_hangs_once_loses_no_row(bisection, tmp_path):
    (tmp_path / "log.stopped").touch()
    table, _ = bisection(deadline=Deadline(base_seconds=1))(shard(50, stopped=[7]), "de")
    check(table, {})
    assert log(tmp_path) == ["start", "50", "start", "50"]  # once more, and no bisection


def test_rows_that_hang_are_quarantined(bisection, tmp_path):
    run = bisection(deadline=Deadline(base_seconds=1))
    table, _ = run(shard(30, hang=[5]), "de")
    check(table, {5: "label: gave no answer in 1 seconds"})
    assert log(tmp_path).count("start") == 5  # the shard, twice; a part of 2 rows; the row alone
    check(run(shard(10), "de")[0], {})


def test_child_that_is_stopped_before_it_reads_a_large_table_is_replaced(bisection):
    run = bisection(deadline=Deadline(base_seconds=1))
    os.kill(run.worker._process.pid, signal.SIGSTOP)
    table = pa.table({"n": [0], "source": ["x" * (1 << 22)]})  # more than the pipe holds
    run.worker.deadline.seconds_per_token = 1e-9
    check(run(table, "de")[0], {})


def test_child_that_hangs_while_it_starts_is_an_error(bisection):
    with pytest.raises(RuntimeError, match="PoisonFunction did not start in 1 seconds"):
        bisection(fail_to_start="hang", deadline=Deadline(start_seconds=1))


def test_deadline_grows_with_the_tokens_and_follows_the_speed():
    entity = {"start": 0, "end": 1, "type": "PER", "score": 1.0}
    table = pa.table({"target": ["x" * 300, "y" * 30], "entities": [[entity] * 4, []]})
    assert count_tokens(table.select(["target"])) == 110 and count_tokens(table) == 510
    deadline = Deadline()
    assert deadline.seconds(0) == BASE_SECONDS
    slow = deadline.seconds(1_000_000) - BASE_SECONDS
    deadline.observe(100, 3600)  # too few tokens
    assert deadline.seconds(1_000_000) - BASE_SECONDS == slow
    deadline.observe(100_000, 10)
    assert deadline.seconds(1_000_000) - BASE_SECONDS == pytest.approx(2000)


def test_other_gpu_is_one_of_the_run():
    assert other_gpu("3", 8, 8) == "4" and other_gpu("7", 8, 8) == "0"
    assert other_gpu("0", 1, 1) is None
    assert other_gpu("4", 2, 8) is None  # Ray may use two GPUs of the machine, and their numbers are not known
    assert other_gpu("MIG-1", 8, 8) is None and other_gpu("0,1", 8, 8) is None


def test_later_stage_skips_rows_with_a_fault(bisection):
    first, _ = bisection()(shard(40, **{"raise": [3]}), "de")
    texts = pa.array(["kill" if i == 9 else "fine" for i in range(40)])
    table, notes = bisection()(first.drop_columns("numbers").set_column(1, "source", texts), "de")
    check(table, {3: "label: ValueError: cannot read raise", 9: "label: killed its process (SIGKILL)"})
    assert notes["rows"] == 38


def test_shard_without_a_sound_row_reaches_no_function(bisection, tmp_path):
    first, _ = bisection()(shard(8, **{"raise": list(range(8))}), "de")
    num_calls = len(log(tmp_path))
    table, notes = bisection()(first.drop_columns("numbers"), "de")
    check(table, dict.fromkeys(range(8), "label: ValueError: cannot read raise"))
    assert notes == {} and log(tmp_path)[num_calls:] == ["start"]


def test_too_many_bad_rows_are_an_error(bisection):
    with pytest.raises(UserError, match="9 of a shard's 100 rows") as e:
        bisection(max_quarantined=0.05)(shard(100, **{"raise": list(range(50))}), "de")
    assert e.value.key == "label.max_quarantined" and e.value.remedy


def test_eight_bad_rows_are_always_accepted(bisection):
    table, _ = bisection(max_quarantined=0.05)(shard(100, **{"raise": list(range(8))}), "de")
    check(table, dict.fromkeys(range(8), "label: ValueError: cannot read raise"))


def test_shard_that_fails_without_a_bad_row_is_an_error(bisection):
    with pytest.raises(RuntimeError, match="none of them alone: ValueError: two are a crowd"):
        bisection()(shard(20, company=[1, 15]), "de")


def test_user_error_is_raised_and_quarantines_no_row(bisection):
    with pytest.raises(UserError, match="config is wrong"):
        bisection()(shard(20, config=[1]), "de")


def test_child_that_fails_to_start_is_an_error(bisection):
    with pytest.raises(UserError, match="no such model"):
        bisection(fail_to_start="user")
    with pytest.raises(RuntimeError, match=r"PoisonFunction killed its process \(SIGSEGV\) while it started"):
        bisection(fail_to_start="SIGSEGV")
    with pytest.raises(RuntimeError, match="PoisonFunction could not start: TypeError"):
        SubprocessWorker(PoisonFunction)


def test_child_ends_with_its_parent(tmp_path):
    code = (
        "import os, sys, signal\nfrom tests.harness.poison_function import PoisonFunction\n"
        "from xner_ray.labeling.isolation import SubprocessWorker\n"
        "worker = SubprocessWorker(PoisonFunction, sys.argv[1])\n"
        "print(worker._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "log")], env=env, stdout=subprocess.PIPE)
    assert run.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while Path(f"/proc/{int(run.stdout)}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
