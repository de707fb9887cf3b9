"""bench.gpu on a CPU with a tiny shape. The import of transformers, pydantic and Ray fails."""

import json
import os
import subprocess
import sys

import numpy as np
import torch

from bench.rounds import ROOT

BLOCKED = """
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("transformers", "pydantic", "ray", "yaml", "rich", "typer", "safetensors"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


def test_gpu_bench_needs_only_torch_tokenizers_numpy_and_pyarrow(tmp_path):
    from bench.gpu_pack import pack

    assert pack(tmp_path / "pack", "tiny", None, "de", 40) == 40
    command = [
        sys.executable,
        "-c",
        BLOCKED,
        "bench.gpu",
        "--pack",
        tmp_path / "pack",
        "--device",
        "cpu",
        "--small",
    ]
    command += ["--rounds", "1", "--json", tmp_path / "gpu.json", "--table", tmp_path / "gpu.md"]
    done = subprocess.run(
        [str(x) for x in command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (run,) = json.loads((tmp_path / "gpu.json").read_text())["runs"]
    assert all(run[side]["pairs_per_second"] > 0 for side in ("limit", "engine", "whole", "pipeline"))
    assert all(0 < run[side]["busy"] <= 1 for side in ("limit", "engine", "whole", "pipeline"))
    assert set(run["stages"]) == {"tokenize", "forward", "decode"} and run["training"]["ratio"] > 0
    assert "| small | fp32 | engine |" in (tmp_path / "gpu.md").read_text()


def test_layers_equal_those_of_bert_model():
    """The layers have as many weights and flops as those of a BertModel of the same shape."""
    from transformers import BertConfig, BertModel

    from bench.gpu_shape import Classifier, Shape

    shape = Shape(3, 32, 4, 48)
    classifier = Classifier(shape, 100, 5)
    bert = BertModel(
        BertConfig(vocab_size=100, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48)
    )
    assert sum(p.numel() for p in classifier.layers.parameters()) == sum(p.numel() for p in bert.encoder.parameters())
    products = sum(m.weight.numel() for m in classifier.layers.modules() if isinstance(m, torch.nn.Linear))
    assert shape.flops(np.array([10])) == 2 * products * 10 + 3 * 4 * 32 * 10**2
    ids = torch.randint(2, 100, (2, 7))
    assert classifier(ids, torch.ones_like(ids)).logits.shape == (2, 7, 5)
