"""Turns are taken fairly, and ratios are those within a round."""

import json
import os
import subprocess
import sys

from bench.rounds import ROOT, interleaved, rate, ratio, write_json


def test_sides_take_turns():
    calls = []

    def side(name, seconds):
        def run():
            calls.append(name)
            return seconds

        return run

    found = interleaved({"a": side("a", 1.0), "b": side("b", 2.0)}, 3, log=False)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": [1.0] * 3, "b": [2.0] * 3}


def test_a_ratio_is_within_rounds():
    # A machine that is twice as slow in one round changes no ratio, though it changes both medians.
    assert ratio([1.0, 2.0, 4.0], [3.0, 6.0, 12.0]) == 3.0
    assert rate(100, [1.0, 2.0, 50.0]) == 50.0


def test_children_inherit_the_cores(tmp_path):
    core = min(os.sched_getaffinity(0))
    inner = "import os; print(os.sched_getaffinity(0), os.environ['OMP_NUM_THREADS'])"
    code = f"from bench import rounds; import subprocess, sys; print(rounds.pin('{core}'), flush=True);" + (
        f"subprocess.run([sys.executable, '-c', {inner!r}])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert told[0] == f"[{core}]" and told[1] == f"{{{core}}} 1"


def test_results_are_written_whole(tmp_path):
    write_json(tmp_path / "a" / "b.json", {"x": 1})
    assert json.loads((tmp_path / "a" / "b.json").read_text()) == {"x": 1}
