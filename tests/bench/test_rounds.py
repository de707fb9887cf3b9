"""Order of the sides, ratios within a round, core affinity, and the JSON file."""

import json
import os
import subprocess
import sys

from bench.rounds import ROOT, interleaved, rate, ratio, write_json


def test_every_other_round_is_in_reverse_order():
    calls = []

    def side(name, seconds):
        def run():
            calls.append(name)
            return seconds

        return run

    seconds_by_side = interleaved({"a": side("a", 1.0), "b": side("b", 2.0)}, 3, log=False)
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert seconds_by_side == {"a": [1.0] * 3, "b": [2.0] * 3}


def test_ratio_is_the_median_within_rounds():
    # A slow round changes both medians but not the ratio.
    assert ratio([1.0, 2.0, 4.0], [3.0, 6.0, 12.0]) == 3.0
    assert rate(100, [1.0, 2.0, 50.0]) == 50.0


def test_child_processes_inherit_the_cores(tmp_path):
    core = min(os.sched_getaffinity(0))
    inner = "import os; print(os.sched_getaffinity(0), os.environ['OMP_NUM_THREADS'])"
    code = f"from bench import rounds; import subprocess, sys; print(rounds.pin('{core}'), flush=True);" + (
        f"subprocess.run([sys.executable, '-c', {inner!r}])"
    )
    lines = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert lines[0] == f"[{core}]" and lines[1] == f"{{{core}}} 1"


def test_write_json_makes_the_folder(tmp_path):
    write_json(tmp_path / "a" / "b.json", {"x": 1})
    assert json.loads((tmp_path / "a" / "b.json").read_text()) == {"x": 1}
