"""The whole bench with tiny models: a Ray of its own, the real stage, all keys."""

import json
import subprocess
import sys

import pytest

from bench.rounds import ROOT


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_throughput(tiny_models, tmp_path):
    command = [
        sys.executable,
        "-m",
        "bench.throughput",
        "--pairs",
        "60",
        "--shards",
        "6",
        "--rounds",
        "1",
        "--encoder",
        "tiny",
    ]
    command += ["--teacher", tiny_models[0], "--aligner", tiny_models[1], "--work", str(tmp_path), "--peers", ""]
    subprocess.run([*command, "--json", str(tmp_path / "out.json")], cwd=ROOT, check=True, timeout=800)
    told = json.loads((tmp_path / "out.json").read_text())
    for side in ("limit", "xner", "pipeline", "pipeline_default"):
        assert told[side]["pairs_per_second"] > 0 and told[side]["tokens_per_second"] > 0
    assert set(told["ratios"]) == {"xner/limit", "xner/pipeline", "xner/pipeline_default"}
    assert sum(told["shares"].values()) == pytest.approx(1, abs=1e-3)
    assert 0 <= told["padding"] < 1
    # Pairs are distinct, and so are queries within a shard: the stage ran the limit's tokens, no more and no fewer.
    assert told["counts"]["tokens_of_xner"] == told["counts"]["tokens_asked"] <= told["counts"]["tokens"]
    assert told["counts"]["pairs"] == 60 and told["counts"]["quarantined"] == 0
