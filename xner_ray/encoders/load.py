"""Loads encoders: `embedded`, `tiny` (random weights for tests), a local folder, or an id of the Hugging Face Hub.

Weights are read from safetensors only, and no code of a model's repository is run. All models are ordinary Hugging Face
folders, which `transformers.pipeline` opens too.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xner_ray.encoders.bundled import bundled_folder
from xner_ray.encoders.engine_base import max_sequence_length
from xner_ray.encoders.folder_check import (
    check_loaded,
    check_model_folder,
    check_tokenizer,
    explain_load_errors,
    read_model_config,
)
from xner_ray.encoders.testing.tiny import tiny_folder
from xner_ray.errors import UserError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
_HUB_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "tokenizer*",
    "*.model",
    "vocab*",
    "merges*",
    "special_tokens_map.json",
)


def encoder_folder(encoder: str) -> Path:
    """The local folder of an encoder. A hub id is downloaded: safetensors, tokenizer and config only.

    Args:
        encoder: `embedded` (see `bundled`), `tiny` (see `testing.tiny`), a folder, or a hub id.

    Raises:
        UserError: it is neither a folder nor a hub id that can be downloaded, or its files are missing or broken.
    """
    if encoder == "embedded":
        return bundled_folder()
    if encoder == "tiny":
        with quiet_transformers():
            return tiny_folder()
    folder = Path(encoder)
    if not folder.is_dir():
        folder = _download(encoder)
    check_model_folder(folder)
    return folder


def local_encoder(encoder: str) -> Path | None:
    """The folder of an encoder as far as it is on this machine; None: a hub model that is not cached. No network.

    Raises:
        UserError: as `encoder_folder`.
    """
    if encoder in ("embedded", "tiny") or Path(encoder).is_dir():
        return encoder_folder(encoder)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(encoder, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None


def _download(encoder: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(encoder, allow_patterns=list(_HUB_FILES)))
    except (HFValidationError, LocalEntryNotFoundError, HfHubHTTPError, OSError) as e:
        raise UserError(
            f"`{encoder}` is not a local folder, and the download from the hub failed ({type(e).__name__})",
            key="encoder",
            remedy="write `embedded`, an existing folder, or a hub id that this machine can reach or has cached",
        ) from e


def load_tokenizer(folder: str | Path):
    """The fast tokenizer of a folder, as transformers loads it.

    Raises:
        UserError: the folder has no fast tokenizer. Only fast tokenizers give character offsets.
    """
    from transformers import AutoTokenizer

    check_tokenizer(folder)
    with explain_load_errors(folder):
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    if not tokenizer.is_fast:
        raise UserError("has no fast tokenizer", file=folder, remedy="save a tokenizer.json beside the weights")
    return tokenizer


def model_max_length(folder: str | Path) -> int:
    """Longest row that the model of a folder takes, in tokens, special tokens included."""
    from transformers import AutoConfig

    read_model_config(folder)
    with explain_load_errors(folder):
        return max_sequence_length(AutoConfig.from_pretrained(str(folder)))


def save_tokenizer(folder: str | Path, out: str | Path) -> None:
    """Copy the tokenizer files of a folder, and let the copy split at spaces (see `split_at_spaces`)."""
    for name in TOKENIZER_FILES:
        if (Path(folder) / name).exists():
            shutil.copy(Path(folder) / name, Path(out) / name)
    split_at_spaces(Path(out) / "tokenizer.json")


def split_at_spaces(file: Path) -> None:
    """Edit a tokenizer.json so that it splits at spaces before its Metaspace step. Without such a step nothing changes.

    A lone Metaspace step counts the space before a word as the word's first character. Then the entities of
    `transformers.pipeline` start with a space. A split at spaces gives the same tokens, except for spaces at the end of a text.
    """
    tokenizer = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if (tokenizer.get("pre_tokenizer") or {}).get("type") == "Metaspace":
        split = {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": False}
        tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, tokenizer["pre_tokenizer"]]}
        file.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def load_model(folder: str | Path, labels: list[str] | None = None):
    """A token classifier of transformers.

    Args:
        folder: a Hugging Face folder.
        labels: labels of a new head in the order of their ids. A trained head with the same labels is kept. None: use the
            trained head of the folder.

    Raises:
        UserError: `labels` is None and the folder holds no token classifier.
    """
    from transformers import AutoConfig, AutoModelForTokenClassification

    check_model_folder(folder)
    with explain_load_errors(folder), quiet_transformers():
        config = AutoConfig.from_pretrained(str(folder))
        arguments: dict[str, Any] = {"use_safetensors": True, "output_loading_info": True}
        if labels is None:
            architectures = config.architectures or []
            if not any(a.endswith("ForTokenClassification") for a in architectures):
                raise UserError(
                    f"holds {', '.join(architectures) or 'an unknown architecture'}, not a trained tagger",
                    file=folder,
                    remedy="give the folder of a trained teacher or student",
                )
            model, info = AutoModelForTokenClassification.from_pretrained(str(folder), **arguments)
            check_loaded(folder, info)
            return model
        # A head with other labels is replaced even if its size fits, because its rows mean something else.
        same_labels = list(config.id2label.values()) == labels
        names = dict(enumerate(labels))
        model, info = AutoModelForTokenClassification.from_pretrained(
            str(folder),
            **arguments,
            id2label=names,
            label2id={v: k for k, v in names.items()},
            ignore_mismatched_sizes=not same_labels,
        )
        check_loaded(folder, info, new_head_of=model.base_model_prefix)
        return model


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence the progress bars of transformers and its warnings about new heads and unused poolers, which are intended."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    progress_bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if progress_bars:
            logging.enable_progress_bar()
