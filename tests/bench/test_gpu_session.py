"""bench.gpu_session on a CPU with tiny shapes. The import of pydantic and Ray fails."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from bench.gpu_session.models import Shape
from bench.gpu_session.parts import Part, Session, run_part
from bench.rounds import ROOT

BLOCKED = """
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pydantic", "ray"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__")
"""
MEASUREMENTS = {  # of the small session, with figures that must be above 0
    "machine": (["machine"], []),
    "matmul": (["fp32", "bf16"], ["tflops"]),
    "engine": (["512", "2048", "auto"], ["pairs_per_second", "tokens_per_second", "tflops", "busy", "of_matmul"]),
    "labeling": (
        ["large", "large, similarity", "embedded", "embedded, similarity"],
        ["pairs_per_second", "tokenized_pairs_per_second", "busy"],
    ),
    "attention": (["padded", "unmasked", "unpadded, nested tensors"], ["tokens_per_second", "tflops"]),
    "precision": (["large fp32", "large bf16", "embedded fp32", "embedded bf16"], ["tokens_per_second"]),
    "pipeline": (["xner tagger", "pipeline, batch 4", "pipeline, batch 16"], ["sentences_per_second"]),
    "training": (["large", "embedded"], ["tokens_per_second", "tflops"]),
    "resume": (["embedded"], ["steps_after_resume", "stopped_at"]),
}


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """The JSON and the table of a session."""
    from bench.gpu_session.pack import write_pack

    folder = tmp_path_factory.mktemp("session")
    assert write_pack(folder / "pack", "tiny", None, "de", 40) == 40
    command = [sys.executable, "-c", BLOCKED, "bench.gpu_session", "run", "--pack", folder / "pack"]
    command += ["--device", "cpu", "--small", "--json", folder / "gpu.json", "--table", folder / "gpu.md"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([str(x) for x in command], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    table = (folder / "gpu.md").read_text()
    assert table in done.stdout
    return json.loads((folder / "gpu.json").read_text()), table


def test_each_measurement_has_its_figures(session):
    results, table = session
    assert list(results["parts"]) == list(MEASUREMENTS)
    for name, (measurements, figures) in MEASUREMENTS.items():
        part = results["parts"][name]
        assert "error" not in part and part["seconds"] < part["limit"], part
        for measurement in measurements:
            value = part["measurements"][measurement]
            assert all(value[figure] > 0 for figure in figures), (name, measurement, value)
            assert name == "machine" or f"| {name} | {measurement} |" in table
    assert sum(part["limit"] for part in results["parts"].values()) < 9 * 60


def test_resumed_training_equals_one_that_was_not_interrupted(session):
    value = session[0]["parts"]["resume"]["measurements"]["embedded"]
    assert value["stopped_at"] + value["steps_after_resume"] == value["steps"]
    assert value["largest_loss_difference"] < 1e-3 < value["mean_loss"]


def test_flops_are_those_that_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
    bert = BertModel(BertConfig(vocab_size=100, **sizes), add_pooling_layer=False).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        bert(torch.randint(2, 100, (2, 10)))
    assert Shape(3, 32, 4, 48).flops(np.array([10, 10])) == counter.get_total_flops()


@pytest.mark.parametrize("kind", ["xlm-roberta", "bert"])
def test_unpadded_logits_equal_padded_ones(kind):
    from transformers import AutoConfig, AutoModelForTokenClassification

    from bench.gpu_session.attention import nested, unpadded, unpadded_logits, with_expanded_mask

    config = AutoConfig.for_model(
        kind, vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        pad_token_id=1, max_position_embeddings=64,
    )  # fmt: skip
    model = AutoModelForTokenClassification.from_config(config).eval()
    ids = torch.randint(2, 100, (3, 12))
    mask = (torch.arange(12) < torch.tensor([[12], [5], [7]])).long()
    ids[mask == 0] = 1
    with torch.inference_mode():
        batch = {"input_ids": ids, "attention_mask": mask}
        padded = model(**batch).logits[mask.bool()]
        expanded = model(**with_expanded_mask(batch)).logits[mask.bool()]
        logits = unpadded_logits(model, *unpadded(batch), nested)
    assert torch.allclose(padded, expanded, atol=1e-5) and torch.allclose(padded, logits, atol=1e-5)


def _hangs(session, recorder):
    recorder.measure("first", lambda: {"value": 1})
    recorder.measure("fails", lambda: 1 / 0)
    time.sleep(60)


def _dies(session, recorder):
    os._exit(7)


def test_a_part_is_stopped_at_its_limit_and_keeps_its_measurements(tmp_path):
    part = run_part(Part("x", _hangs, 1.0), Session(tmp_path, tmp_path, tmp_path, "cpu", 1, 1, True))
    assert part["measurements"]["first"] == {"value": 1} and part["seconds"] < 10
    assert "ZeroDivisionError" in part["measurements"]["fails"]["error"] and "limit of 1 s" in part["error"]
    dead = run_part(Part("x", _dies, 10.0), Session(tmp_path, tmp_path, tmp_path, "cpu", 1, 1, True))
    assert "exit code 7" in dead["error"]


@pytest.mark.slow
def test_the_pack_of_the_embedded_encoder_is_small_and_keeps_its_weights(tmp_path):
    from bench.gpu_session.pack import MAX_BYTES, unpack_encoder, write_pack
    from xner_ray.alignment.projector import LABELS
    from xner_ray.encoders.bundled import bundled_folder
    from xner_ray.encoders.load import load_model
    from xner_ray.encoders.tokenizer import Tokenizer

    write_pack(tmp_path / "pack", "embedded", None, "de", 100)
    assert sum(file.stat().st_size for file in (tmp_path / "pack").iterdir()) < MAX_BYTES
    folder = unpack_encoder(tmp_path / "pack", tmp_path / "encoder")
    texts = ["Angela Merkel visited the Château de Versailles.", "Der Präsident besuchte München."]
    states = []
    for path in (folder, bundled_folder()):
        model, tokens = load_model(path, LABELS).eval(), Tokenizer(str(path))(texts)
        with torch.inference_mode():
            states.append(model.base_model(torch.from_numpy(tokens.ids.values.astype(np.int64))[None])[0])
    assert states[0].shape == states[1].shape and torch.allclose(*states, atol=1e-4)
