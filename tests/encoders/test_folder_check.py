"""A model folder with a missing or broken file is an error with its file and a remedy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from xner_ray.encoders.folder_check import MAX_LABELS, check_model_folder, read_model_config
from xner_ray.encoders.load import encoder_folder, load_model
from xner_ray.errors import UserError
from xner_ray.ner.tagger import open_tagger

LABELS = ["O", "B-PER", "I-PER"]


@pytest.fixture(scope="module")
def trained(tiny_encoder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    load_model(tiny_encoder, LABELS).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(tiny_encoder) / name, folder / name)
    return folder


@pytest.fixture
def folder(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


def edit_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def drop_tensor(folder: Path, name: str) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def many_labels(folder: Path) -> None:
    edit_config(folder, id2label={str(i): f"B-{i}" for i in range(MAX_LABELS + 1)})


BROKEN = {
    "no config.json": lambda f: (f / "config.json").unlink(),
    "empty config.json": lambda f: (f / "config.json").write_text(""),
    "config.json is a list": lambda f: (f / "config.json").write_text("[]"),
    "config.json is deep": lambda f: (f / "config.json").write_text("[" * 100_000),
    "config.json is not UTF-8": lambda f: (f / "config.json").write_bytes(b'{"a": "\xff"}'),
    "config.json is a folder": lambda f: ((f / "config.json").unlink(), (f / "config.json").mkdir()),
    "no model_type": lambda f: edit_config(f, model_type=None),
    "unknown model_type": lambda f: edit_config(f, model_type="no-such-model"),
    "sizes that fit no weight": lambda f: edit_config(f, hidden_size=48),
    "no number": lambda f: edit_config(f, num_hidden_layers="two"),
    "too many labels": many_labels,
    "too many labels, as ids": lambda f: edit_config(f, label2id={f"B-{i}": i for i in range(MAX_LABELS + 1)}),
    "ids of labels are a list": lambda f: edit_config(f, label2id=["O"]),
    "too many layers": lambda f: edit_config(f, num_hidden_layers=10_000_000),
    "too many labels, as a number": lambda f: edit_config(f, id2label=None, label2id=None, num_labels=2_000_000),
    "labels with a gap": lambda f: edit_config(f, id2label={"0": "O", "2": "B-PER"}),
    "labels that are no text": lambda f: edit_config(f, id2label={"0": "O", "1": None}),
    "pickled weights only": lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
    "no weights": lambda f: (f / "model.safetensors").unlink(),
    "truncated weights": lambda f: truncate(f / "model.safetensors"),
    "empty weights": lambda f: (f / "model.safetensors").write_bytes(b""),
    "no safetensors inside": lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 100),
    "a layer is missing": lambda f: drop_tensor(f, "bert.encoder.layer.1.output.dense.weight"),
    "the head is missing": lambda f: drop_tensor(f, "classifier.weight"),
    "no tokenizer": lambda f: (f / "tokenizer.json").unlink(),
    "empty tokenizer": lambda f: (f / "tokenizer.json").write_text("{}"),
    "truncated tokenizer": lambda f: truncate(f / "tokenizer.json"),
    "an encoder": lambda f: edit_config(f, architectures=["BertModel"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_folder_is_an_error_with_a_remedy(name, folder):
    BROKEN[name](folder)
    with pytest.raises(UserError) as caught:
        open_tagger(folder, precision="fp32").tag(["Anna"], "en")
    assert str(folder) in str(caught.value.file) and caught.value.remedy


@pytest.mark.parametrize("name", ["empty config.json", "pickled weights only", "truncated weights", "no tokenizer"])
def test_encoder_is_checked_before_torch_is_needed(name, folder):
    BROKEN[name](folder)
    with pytest.raises(UserError):
        encoder_folder(str(folder))


def test_start_of_a_training_must_have_all_weights_but_the_head(folder):
    drop_tensor(folder, "classifier.weight")
    load_model(folder, ["O", "B-LOC", "I-LOC"])
    drop_tensor(folder, "bert.embeddings.word_embeddings.weight")
    with pytest.raises(UserError, match="word_embeddings"):
        load_model(folder, ["O", "B-LOC", "I-LOC"])


def test_aligner_is_not_a_tagger(folder, tiny_encoder):
    load_model(tiny_encoder, ["OUTSIDE", "INSIDE"]).save_pretrained(folder)
    with pytest.raises(UserError, match="aligner"):
        open_tagger(folder)


def test_complete_folder_passes(folder):
    assert check_model_folder(folder)["model_type"] == "bert"
    assert open_tagger(folder, precision="fp32").tag(["Anna"], "en")


def test_labels_are_listed_in_order(folder):
    assert list(read_model_config(folder)["id2label"].values()) == LABELS
