"""A tagger that somebody else trained, as the teacher: copied into the run as it is, with its labels explained.

A Hugging Face folder keeps weights and tokenizer; its config.json is told what each label means here (`xner_labels`). A spaCy
pipeline is copied whole into `spacy/`. Either folder says by its hash what labeled a shard, like one that we trained.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xner_ray.encoders.load import TOKENIZER_FILES, encoder_folder
from xner_ray.errors import UserError
from xner_ray.ner.label_normalizer import our_labels
from xner_ray.storage.atomic import create_dir_once
from xner_ray.storage.fingerprint import hash_file, hash_folder

SPACY = "spacy:"
_KEPT = (
    "*.safetensors",
    "*.safetensors.index.json",
    *TOKENIZER_FILES,
    "vocab*",
    "merges*",
    "*.model",
    "added_tokens.json",
)


def source_folder(model: str) -> Path:
    """Where a model lies: a folder, a hub id, or `spacy:` and a package or folder.

    Raises:
        UserError: it cannot be had, or holds no named-entity tagger.
    """
    if model.startswith(SPACY):
        return _spacy_folder(model.removeprefix(SPACY))
    folder = encoder_folder(model)
    told = _config(folder)
    if not any(a.endswith("ForTokenClassification") for a in told.get("architectures") or []):
        remedy = "give a model with a token classification head, or use it as teacher.encoder"
        raise UserError("holds no tagger", file=folder, key="teacher.model", remedy=remedy)
    return folder


def identity(folder: Path) -> str:
    """Hash of what decides about the labels."""
    if (folder / "meta.json").exists():
        files = {p.relative_to(folder).as_posix(): hash_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}
        return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return hash_folder(folder)


def own_labels(folder: Path) -> list[str]:
    """A model's labels in the order of their ids; of spaCy its types."""
    if (folder / "meta.json").exists():
        labels = json.loads((folder / "meta.json").read_text(encoding="utf-8")).get("labels", {}).get("ner", [])
        if not labels:
            raise UserError(
                "has no component `ner`", file=folder, key="teacher.model", remedy="choose another pipeline"
            )
        return list(labels)
    told = _config(folder).get("id2label") or {}
    return [told[str(i)] for i in range(len(told))]


def adopt(folder: Path, out: Path, label_map: Mapping[str, str], without: Sequence[str]) -> Path:
    """Copy a model to `out`, with its labels explained; it appears whole.

    Raises:
        UserError: see `labels.our_labels`.
    """
    own = own_labels(folder)
    meaning = our_labels(own, label_map, without)

    def write(made: Path) -> None:
        if (folder / "meta.json").exists():
            shutil.copytree(folder, made / "spacy")
            told: dict[str, Any] = {
                "xner_spacy": {name: label[2:] or "O" for name, label in zip(own, meaning, strict=True)},
                "sha256": identity(folder),
            }
        else:
            for file in {f for pattern in _KEPT for f in folder.glob(pattern)}:
                shutil.copyfile(file, made / file.name)
            told = {**_config(folder), "xner_labels": meaning}
        (made / "config.json").write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")

    return create_dir_once(out, write)


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def _spacy_folder(name: str) -> Path:
    if (Path(name) / "meta.json").exists():
        return Path(name)
    try:
        from spacy.util import get_package_path, is_package
    except ImportError as e:
        remedy = "pip install 'xner_ray[spacy]'"
        raise UserError(f"spaCy is not installed ({e.name})", key="teacher.model", remedy=remedy) from e
    if not is_package(name):
        remedy = f"give the folder of a pipeline, or install one: python -m spacy download {name}"
        raise UserError(
            f"`{name}` is no folder of a pipeline and no installed package", key="teacher.model", remedy=remedy
        )
    package = get_package_path(name)
    found = sorted(package.glob("*/meta.json"))  # the data lies in NAME-VERSION, below the package
    return found[-1].parent if found else package


def model_types(folder: str | Path) -> list[str]:
    """Our types of a teacher's folder, sorted: one that we trained, or one that was adopted."""
    told = _config(Path(folder))
    if "xner_spacy" in told:
        found = set(told["xner_spacy"].values())
    else:
        found = {label[2:] for label in told.get("xner_labels") or told["id2label"].values()}
    return sorted(found - {"", "O"})
