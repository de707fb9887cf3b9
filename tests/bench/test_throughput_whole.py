"""bench.throughput as a whole with tiny models."""

import json
import subprocess
import sys

import pytest

from bench.rounds import ROOT


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_throughput_writes_all_keys(tiny_models, tmp_path):
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
    results = json.loads((tmp_path / "out.json").read_text())
    for side in ("limit", "xner", "pipeline", "pipeline_default"):
        assert results[side]["pairs_per_second"] > 0 and results[side]["tokens_per_second"] > 0
    assert set(results["ratios"]) == {"xner/limit", "xner/pipeline", "xner/pipeline_default"}
    assert sum(results["shares"].values()) == pytest.approx(1, abs=1e-3)
    assert 0 <= results["padding"] < 1
    # Pairs are distinct, and so are queries within a shard, so the stage ran exactly the recorded tokens.
    assert results["counts"]["tokens_of_xner"] == results["counts"]["tokens_asked"] <= results["counts"]["tokens"]
    assert results["counts"]["pairs"] == 60 and results["counts"]["quarantined"] == 0
