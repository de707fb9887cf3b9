"""Adopts a model that was trained elsewhere as the teacher: copies it and writes down what its labels mean.

Of a Hugging Face folder, weights and tokenizer are copied, and config.json gets the normalized labels (`xner_labels`), and for a
model that this project trained its tag scheme (`xner_scheme`). A spaCy pipeline is copied whole into the subfolder `spacy`,
beside a config.json with the normalized types (`xner_spacy`). The hash of the copy identifies the teacher of a labeled shard, as
it does for a teacher that was trained here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xner_ray.encoders.load import TOKENIZER_FILES, encoder_folder
from xner_ray.encoders.model_languages import languages_entry
from xner_ray.errors import UserError
from xner_ray.ner.label_normalizer import (
    NORMALIZED_LABELS,
    SPACY_PREFIX,
    TAG_SCHEME,
    TYPE_MAP,
    is_bio2,
    keeps_bio2,
    model_labels,
    normalize_labels,
    output_labels,
    read_config,
)
from xner_ray.ner.spacy_tagger import (
    PIPELINE_FOLDER,
    find_pipeline,
    hash_pipeline,
    is_pipeline,
    pipeline_types,
)
from xner_ray.storage.atomic import create_dir_once
from xner_ray.storage.fingerprint import hash_folder

_COPIED_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    *TOKENIZER_FILES,
    "vocab*",
    "merges*",
    "*.model",
    "added_tokens.json",
)


def resolve_model(model: str) -> Path:
    """The local folder of a trained tagger.

    Args:
        model: a folder, a hub id, or `spacy:` followed by a package or folder.

    Raises:
        UserError: it does not exist or cannot be downloaded, or it has no token classification head.
    """
    if model.startswith(SPACY_PREFIX):
        return find_pipeline(model.removeprefix(SPACY_PREFIX))
    folder = encoder_folder(model)
    architectures = read_config(folder).get("architectures") or []
    if not any(a.endswith("ForTokenClassification") for a in architectures):
        raise UserError(
            "holds no tagger",
            file=folder,
            key="teacher.model",
            remedy="give a model with a token classification head, or use it as teacher.encoder",
        )
    return folder


def hash_model(folder: Path) -> str:
    """SHA-256 of the files that decide which labels a model predicts."""
    return hash_pipeline(folder) if is_pipeline(folder) else hash_folder(folder)


def original_labels(folder: Path) -> list[str]:
    """The labels of a model before normalization, in the order of their ids. Of a spaCy pipeline: its types.

    Raises:
        UserError: a spaCy pipeline has no component `ner`.
    """
    return pipeline_types(folder) if is_pipeline(folder) else model_labels(read_config(folder))


def normalized_labels(folder: Path, label_map: Mapping[str, str], drop_types: Sequence[str]) -> list[str]:
    """The normalized label of each of `original_labels`. Arguments and errors are those of `normalize_labels`."""
    return normalize_labels(original_labels(folder), label_map, drop_types, are_types=is_pipeline(folder))


def stays_bio2(folder: Path, normalized: Sequence[str]) -> bool:
    """Whether the labels of a model follow BIO2 after normalization, so that the model is decoded as before its adoption.

    Args:
        folder: of the model.
        normalized: see `normalized_labels`.
    """
    return not is_pipeline(folder) and is_bio2(folder) and keeps_bio2(original_labels(folder), normalized)


def adopt_model(
    folder: Path, out: Path, label_map: Mapping[str, str], drop_types: Sequence[str], languages: Sequence[str] = ()
) -> Path:
    """Copy a model to `out`, with its normalized labels in config.json. The folder appears atomically.

    Args:
        folder: of the model, see `resolve_model`.
        out: of the copy.
        label_map, drop_types: see `normalize_labels`.
        languages: of the model.

    Returns:
        `out`.

    Raises:
        UserError: see `normalize_labels`.
    """
    labels, normalized = original_labels(folder), normalized_labels(folder, label_map, drop_types)

    def write(draft: Path) -> None:
        config: dict[str, Any]
        if is_pipeline(folder):
            shutil.copytree(folder, draft / PIPELINE_FOLDER)
            type_map = {name: label[2:] or "O" for name, label in zip(labels, normalized, strict=True)}
            config = {TYPE_MAP: type_map, "sha256": hash_model(folder)}
        else:
            for file in {f for pattern in _COPIED_FILES for f in folder.glob(pattern)}:
                shutil.copyfile(file, draft / file.name)
            config = {**read_config(folder), NORMALIZED_LABELS: normalized}
            config.pop(TAG_SCHEME, None)
            config |= {TAG_SCHEME: "bio2"} if stays_bio2(folder, normalized) else {}
        config |= languages_entry(languages)
        (draft / "config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False), encoding="utf-8")

    return create_dir_once(out, write)


def teacher_types(folder: str | Path) -> list[str]:
    """The normalized entity types of a teacher's folder, trained here or adopted, sorted."""
    config = read_config(folder)
    if TYPE_MAP in config:
        types = set(config[TYPE_MAP].values())
    else:
        types = {label[2:] for label in output_labels(folder)}
    return sorted(types - {"", "O"})
