"""A model folder is data: it runs no code, asks nothing, and loads no file that lies elsewhere or that its hash leaves out."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xner_ray.encoders.data_only import check_data_only
from xner_ray.encoders.load import encoder_folder, load_model, load_tokenizer, model_max_length
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.errors import UserError
from xner_ray.storage.fingerprint import hash_folder

ROOT = Path(__file__).parents[2]
AUTO_MAP = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}


@pytest.fixture
def model(tiny_encoder, tmp_path) -> Path:
    """A folder with a trained head, and `evil.py`, which leaves a file behind where it runs."""
    folder = tmp_path / "model"
    load_model(tiny_encoder, ["O", "B-PER", "I-PER"]).save_pretrained(folder)
    load_tokenizer(tiny_encoder).save_pretrained(folder)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    return folder


def edit(file: Path, **keys) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**content, **keys}))


def shards(folder: Path, name: str) -> None:
    """Replace the weights by an index that names a file."""
    (folder / "model.safetensors").rename(folder / "shard.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "shard.safetensors", "b": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("file", "keys", "key"),
    [
        ("config.json", {"auto_map": AUTO_MAP}, "auto_map"),
        ("config.json", {"model_type": "evil", "auto_map": AUTO_MAP}, "auto_map"),
        ("config.json", {"text_config": {"auto_map": AUTO_MAP}}, "auto_map"),
        ("config.json", {"custom_pipelines": {"ner": {"impl": "evil.Evil"}}}, "custom_pipelines"),
        ("config.json", {"configuration_files": ["config.4.0.0.json"]}, "configuration_files"),
        ("config.json", {"transformers_weights": "other.safetensors"}, "transformers_weights"),
        ("config.json", {"backbone": "user/repository", "use_pretrained_backbone": True}, "backbone"),
        ("config.json", {"quantization_config": {"quant_method": "fp8"}}, "quantization_config"),
        ("config.json", {"_attn_implementation": "user/kernel"}, "_attn_implementation"),
        ("config.json", {"attn_implementation": {"": "user/kernel@main:f"}}, "attn_implementation"),
        ("config.json", {"xner_spacy": {"PERSON": "PER"}}, "xner_spacy"),
        ("generation_config.json", {"custom_generate": "user/repository"}, "custom_generate"),
        ("tokenizer_config.json", {"auto_map": AUTO_MAP}, "auto_map"),
        ("tokenizer_config.json", {"fast_tokenizer_files": ["tokenizer.4.0.0.json"]}, "fast_tokenizer_files"),
        ("processor_config.json", {"auto_map": AUTO_MAP}, "auto_map"),
        ("adapter_config.json", {"base_model_name_or_path": "user/repository"}, None),
    ],
)
def test_folders_that_name_code_or_other_files_are_refused(model, tmp_path, monkeypatch, file, keys, key):
    edit(model / file, **keys)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asks the user"))
    for load in (encoder_folder, load_tokenizer, load_model, model_max_length, check_data_only):
        with pytest.raises(UserError) as error:
            load(str(model))
        assert error.value.file == model / file and error.value.key == key and error.value.remedy
    with pytest.raises(UserError):
        Tokenizer(str(model), without_transformers=True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    ["evil.bin", "../outside.safetensors", "/tmp/outside.safetensors", "sub/shard.safetensors", "..\\x.safetensors",
     "x.safetensors.index.json", "gone.safetensors", "", ".."],
)  # fmt: skip
def test_each_shard_of_an_index_is_a_safetensors_file_in_the_folder(model, tmp_path, name):
    shards(model, name)
    for outside in (tmp_path / "outside.safetensors", model / "evil.bin", model / "x.safetensors.index.json"):
        shutil.copy(model / "shard.safetensors", outside)
    (model / "sub").mkdir()
    shutil.copy(model / "shard.safetensors", model / "sub/shard.safetensors")
    (model / "x.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "shard.safetensors"}}))
    for load in (encoder_folder, load_model):
        with pytest.raises(UserError) as error:
            load(str(model))
        assert error.value.file == model / "model.safetensors.index.json" and error.value.key == "weight_map"


def test_shards_load_and_count_for_the_identity(model, tiny_encoder):
    whole = load_model(model)
    shutil.rmtree(model)
    whole.save_pretrained(model, max_shard_size="100KB")
    load_tokenizer(tiny_encoder).save_pretrained(model)
    names = sorted(path.name for path in model.glob("*.safetensors*"))
    assert len(names) == 3  # two shards and the index
    assert all((a == b).all() for a, b in zip(whole.parameters(), load_model(model).parameters(), strict=True))
    hashes = {hash_folder(model)}
    for name in names:
        content = (model / name).read_bytes()
        (model / name).write_bytes(content + b" ")
        hashes.add(hash_folder(model))
        (model / name).write_bytes(content)
    assert len(hashes) == len(names) + 1


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_link_out_of_the_folder_is_refused(model, tmp_path, name):
    (model / name).rename(tmp_path / name)
    (model / name).symlink_to(tmp_path / name)
    with pytest.raises(UserError, match="link") as error:
        load_model(model)
    assert error.value.file == model / name and error.value.remedy


def test_links_inside_the_folder_to_the_folder_and_of_the_hubs_cache_are_allowed(model, tmp_path):
    (model / "model.safetensors").rename(model / "weights.safetensors")
    (model / "model.safetensors").symlink_to("weights.safetensors")
    (tmp_path / "current").symlink_to(model)
    assert load_model(tmp_path / "current").num_labels == 3
    snapshot, blobs = tmp_path / "models--a--b/snapshots/123", tmp_path / "models--a--b/blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for i, file in enumerate(sorted(model.iterdir())):
        shutil.copy(file, blobs / str(i))
        (snapshot / file.name).symlink_to(f"../../blobs/{i}")
    assert load_model(snapshot).num_labels == 3


def test_a_fifo_does_not_hang_the_loader(model):
    (model / "tokenizer_config.json").unlink()
    os.mkfifo(model / "tokenizer_config.json")
    with pytest.raises(UserError, match="no regular file"):
        load_tokenizer(model)


@pytest.mark.parametrize("name", ["AutoModel", "BertModel", "RagRetriever", "pipeline"])
def test_only_a_tokenizer_class_is_loaded_as_tokenizer(model, name):
    edit(model / "tokenizer_config.json", tokenizer_class=name)
    with pytest.raises(UserError) as error:
        load_tokenizer(model)
    assert error.value.key == "tokenizer_class" and error.value.file == model / "tokenizer_config.json"


def test_only_text_models_are_loaded(model):
    edit(model / "config.json", model_type="vit")
    with pytest.raises(UserError, match="vit") as error:
        load_model(model)
    assert error.value.key == "model_type"


def test_pickled_weights_are_refused(model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    for load in (encoder_folder, load_model):
        with pytest.raises(UserError, match="safetensors") as error:
            load(model)
        assert "pickled" in error.value.remedy


def test_a_chat_template_is_not_run(model, tmp_path):
    code = "{{ ''.__class__.__mro__[1].__subclasses__() }}{% include '/etc/passwd' %}"
    edit(model / "tokenizer_config.json", chat_template=code)
    (model / "chat_template.jinja").write_text(code)
    assert load_tokenizer(model)("a b")["input_ids"]


def test_tag_takes_its_input_for_text_and_not_for_an_answer(model, tmp_path):
    edit(model / "config.json", model_type="evil", auto_map=AUTO_MAP)
    command = [sys.executable, "-m", "xner_ray.cli", "tag", "--model", str(model)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input="y\ny\n", capture_output=True, text=True, env=env, cwd=tmp_path, timeout=120)
    assert done.returncode == 2 and "auto_map" in done.stderr and "config.json" in done.stderr
    assert not done.stdout and not (tmp_path / "ran").exists()


def test_all_loaders_use_the_one_function():
    """`from_pretrained`, `spacy.load` and the like occur in one place each."""
    calls = {}
    for file in sorted((ROOT / "xner_ray").rglob("*.py")):
        for name in re.findall(
            r"\b(\w*from_pretrained|spacy\.load|torch\.load|pickle\.loads?|unpickle)\(", file.read_text()
        ):
            calls.setdefault(name, []).append(file.relative_to(ROOT / "xner_ray").as_posix())
    assert calls == {"from_pretrained": ["encoders/load.py"], "spacy.load": ["ner/spacy_tagger.py"]}
