"""ONNX export: probabilities equal torch's, otherwise no folder is created."""

import json

import numpy as np
import pytest

from xner_ray.encoders.load import load_model, save_tokenizer
from xner_ray.errors import UserError
from xner_ray.results.export import onnx
from xner_ray.text.tags import label_list

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def folder(tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger")
    load_model(tiny_encoder, label_list(["LOC", "PER"])).save_pretrained(folder)
    save_tokenizer(tiny_encoder, folder)
    return folder


def test_probabilities_equal_those_of_torch(folder, tmp_path, monkeypatch):
    import onnxruntime
    from tokenizers import Tokenizer

    out = tmp_path / "out"
    assert onnx.export_onnx(folder, out) <= onnx.TOLERANCE
    assert json.loads((out / "config.json").read_text())["id2label"]["1"] == "B-LOC"
    session = onnxruntime.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"])
    ids = np.array([Tokenizer.from_file(str(out / "tokenizer.json")).encode("Anna in Wien und anderswo.").ids] * 5)
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    (logits,) = session.run(["logits"], feed)
    assert logits.shape == (5, ids.shape[1], 5)  # another batch size and length than in the export

    monkeypatch.setattr(onnx, "_difference", lambda *_: float("nan"))
    with pytest.raises(UserError, match="differs from torch"):
        onnx.export_onnx(folder, tmp_path / "other")
    assert not (tmp_path / "other").exists() and not list(tmp_path.glob("*other*"))


def test_nonempty_folder_is_an_error(folder, tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(UserError) as e:
        onnx.export_onnx(folder, tmp_path)
    assert (e.value.file, e.value.key) == (tmp_path, "--out")
