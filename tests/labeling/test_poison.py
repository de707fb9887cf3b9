"""Rows that raise or kill are set aside, exactly those, and the others have what they would have without them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from tests.harness.poison_work import COLUMN
from xner_ray.errors import UserError
from xner_ray.labeling.isolation import Bisection, SubprocessWorker


def shard(rows: int, **bad: list[int]) -> pa.Table:
    texts = ["fine"] * rows
    for word, numbers in bad.items():
        for n in numbers:
            texts[n] = word
    return pa.table({"n": range(rows), "source": texts})


@pytest.fixture
def guard(tmp_path):
    made = []

    def make(max_share: float = 0.5, **settings):
        made.append(
            Bisection(
                "label",
                ["n", "source"],
                COLUMN,
                SubprocessWorker("tests.harness.poison_work:Rows", {"log": str(tmp_path / "log"), **settings}),
                max_share,
            )
        )
        return made[-1]

    yield make
    for g in made:
        g.child.close()


def check(table: pa.Table, bad: dict[int, str]) -> None:
    assert {i: f for i, f in enumerate(table["fault"].to_pylist()) if f} == bad
    assert table["found"].to_pylist() == [[] if n in bad else [n] * (n % 3) for n in range(len(table))]
    assert table.schema.field("found").equals(COLUMN)


def log(tmp_path) -> list[str]:
    return (tmp_path / "log").read_text().split()


def test_a_sound_shard_runs_once(guard, tmp_path):
    table, notes = guard()(shard(100), "de")
    check(table, {})
    assert notes == {"rows": 100, "language": "de"} and log(tmp_path) == ["start", "100"]
    check(guard()(shard(0), "de")[0], {})


def test_rows_that_raise(guard, tmp_path):
    table, notes = guard()(shard(300, **{"raise": [0, 17, 299]}), "de")
    check(table, dict.fromkeys([0, 17, 299], "label: ValueError: cannot read raise"))
    assert notes["rows"] == 297  # what counts is the run of all good rows as one
    assert log(tmp_path).count("start") == 1


@pytest.mark.parametrize(
    ("word", "reason"),
    [("kill", "killed its process (SIGKILL)"), ("segfault", "killed its process (SIGSEGV)"),
     ("device", "killed its process (SIGABRT)"), ("exit", "ended its process (exit code 3)")],
)  # fmt: skip
def test_rows_that_end_their_process(guard, tmp_path, word, reason):
    table, _ = guard()(shard(30, **{word: [5]}), "de")
    check(table, {5: f"label: {reason}"})
    # The shard, a part of 2, and the row alone, twice: 4 deaths.
    assert log(tmp_path).count("start") == 5


def test_a_death_that_does_not_come_again_is_nobodys(guard, tmp_path):
    (tmp_path / "log.once").touch()
    table, _ = guard()(shard(50, once=[7]), "de")
    check(table, {})


def test_a_second_stage_leaves_bad_rows_alone(guard):
    first, _ = guard()(shard(40, **{"raise": [3]}), "de")
    again = first.drop_columns("found").set_column(
        1, "source", pa.array(["kill" if i == 9 else "fine" for i in range(40)])
    )
    table, notes = guard()(again, "de")
    check(table, {3: "label: ValueError: cannot read raise", 9: "label: killed its process (SIGKILL)"})
    assert notes["rows"] == 38


def test_too_many_bad_rows_are_no_poison(guard):
    with pytest.raises(UserError, match="9 of a shard's 100 rows") as e:
        guard(max_share=0.05)(shard(100, **{"raise": list(range(50))}), "de")
    assert e.value.key == "label.max_quarantined" and e.value.remedy
    check(guard(max_share=0.05)(shard(100, **{"raise": list(range(8))}), "de")[0],
          dict.fromkeys(range(8), "label: ValueError: cannot read raise"))  # fmt: skip


def test_a_shard_that_fails_without_a_bad_row_is_loud(guard):
    with pytest.raises(RuntimeError, match="none of them alone: ValueError: two are a crowd"):
        guard()(shard(20, company=[1, 15]), "de")


def test_a_users_mistake_is_no_poison(guard):
    with pytest.raises(UserError, match="config is wrong"):
        guard()(shard(20, config=[1]), "de")
    with pytest.raises(UserError, match="no such model"):
        guard(fail_to_start="user")
    with pytest.raises(RuntimeError, match=r"SIGSEGV\) while it started"):
        guard(fail_to_start="SIGSEGV")


def test_the_child_ends_with_its_parent(tmp_path):
    code = (
        "import os, sys, signal\nfrom xner_ray.labeling.isolation import SubprocessWorker\n"
        "child = SubprocessWorker('tests.harness.poison_work:Rows', {'log': sys.argv[1]})\n"
        "print(child._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "log")], env=env, stdout=subprocess.PIPE)
    assert run.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while Path(f"/proc/{int(run.stdout)}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
