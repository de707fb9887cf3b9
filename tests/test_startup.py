"""No command imports torch, transformers or Ray before it needs them: each would cost its user seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xner_ray.encoders.load import load_model, save_tokenizer
from xner_ray.text.tags import label_list

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "ray")
RUN = f"""
import sys
from xner_ray.cli.main import app
try:
    app(sys.argv[1:])
finally:
    print(*(m for m in {HEAVY} if m in sys.modules), file=sys.stderr)
"""


def imported(*arguments: object) -> tuple[str, list[str]]:
    """What a command prints, and which of HEAVY it imported."""
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr.splitlines()[-1].split()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["tag", "--help"],
        ["corpus", "--help"],
        ["plan", ROOT / "configs" / "demo.yaml"],
        ["sample", "--out", "{tmp}/sample", "--pairs", "6"],
    ],
    ids=lambda a: a[0].lstrip("-"),
)
def test_light_commands(arguments, tmp_path):
    _, heavy = imported(*(str(a).replace("{tmp}", str(tmp_path)) for a in arguments))
    assert heavy == []


def test_tag_from_an_export(tiny_encoder, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from xner_ray.encoders.temperature import store_temperature
    from xner_ray.ner.tagger import open_tagger
    from xner_ray.results.export.onnx import export_onnx

    folder, exported = tmp_path / "model", tmp_path / "onnx"
    model = load_model(tiny_encoder, label_list(["LOC", "PER"]))
    model.classifier.weight.data.mul_(30)  # sure of what it makes up, so that rounding changes no label
    model.save_pretrained(folder)
    save_tokenizer(tiny_encoder, folder)
    store_temperature(folder, 2.5)
    export_onnx(folder, exported)

    texts = ["Anna lebt in Wien.", "Ok", "Ein langer Satz: " + 60 * "Anna in Wien ", "北京很大。", ""]
    expected = open_tagger(folder, precision="fp32").tag(texts, "de")
    found = open_tagger(exported, max_batch_tokens=64).tag(texts, "de")
    assert [[e[:3] for e in row] for row in found] == [[e[:3] for e in row] for row in expected]
    assert any(expected)
    assert [e.score for row in found for e in row] == pytest.approx([e.score for r in expected for e in r], abs=2e-3)
    assert open_tagger(exported).temperature == 2.5

    out, heavy = imported("tag", "--model", exported, "--language", "de", texts[0])
    assert heavy == [] and out.strip()
