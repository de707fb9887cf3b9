"""A worker node with an empty HOME, which does not see the HOME of the head, labels and trains with models from `out` only."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.harness.group_training import another_node, wait_for_nodes
from tests.harness.null_runs import ROOT, ray_head
from xner_ray.encoders.testing.tiny import make_tiny_encoder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_node_without_the_head_s_home_labels_and_trains(tmp_path):
    homes = {name: tmp_path / f"{name}-home" for name in ("head", "worker")}
    for home in homes.values():
        home.mkdir()
    make_tiny_encoder(homes["head"] / "encoder")
    out, log = tmp_path / "out", tmp_path / "hidden.log"
    # The teacher's encoder is made in the cache below HOME, and that of the other models is a folder there.
    encoder = homes["head"] / "encoder"
    settings = [f"out={out}", f"aligner.encoder={encoder}", f"student.encoder={encoder}"]
    worker = {
        "HOME": str(homes["worker"]),
        "PYTHONPATH": f"{ROOT / 'tests' / 'harness' / 'other_home'}{os.pathsep}{ROOT}",
        "XNER_HIDDEN_FOLDER": str(homes["head"]),
        "XNER_HIDDEN_LOG": str(log),
    }
    caches = dict.fromkeys(("XDG_CACHE_HOME", "XNER_CACHE", "HF_HOME"), "")
    with ray_head(0, env=caches) as head, another_node(head, "--num-cpus=2", env={**caches, **worker}):
        wait_for_nodes(head, 2)
        env = {**os.environ, **caches, "HOME": str(homes["head"]), "RAY_ADDRESS": head.address}
        env |= {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "xner_ray.cli", "run", str(ROOT / "configs" / "tiny.yaml"), *settings]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=800)
    lines = log.read_text().splitlines()
    hidden = [line for line in lines if line.startswith("hidden")]
    assert done.returncode == 0 and not hidden, f"{hidden[:3]}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert len(lines) > 5  # the worker node did the work
    models = [path for name in ("*.safetensors", "tokenizer.json") for path in homes["worker"].rglob(name)]
    assert models == [] and list(homes["head"].rglob("model.safetensors"))
    assert json.loads((out / "results.json").read_text())["sets"]["german"]["sentences"] == 20
