"""Loads encoders: `embedded`, `tiny` (random weights for tests), a local folder, or an id of the Hugging Face Hub.

All models are ordinary Hugging Face folders, which `transformers.pipeline` opens too. `load_pretrained` is the only way to
Transformers: weights are read from safetensors only, and no code of a model's repository is run.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xner_ray.encoders.bundled import bundled_folder
from xner_ray.encoders.data_only import check_data_only
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
    "generation_config.json",
    "tokenizer*",
    "*.model",
    "vocab*",
    "merges*",
    "*.spm",
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


def load_pretrained(auto_class: str, folder: str | Path, **options: Any) -> Any:
    """Load a config, tokenizer or model of a folder with Transformers: data only, without network or prompt.

    Args:
        auto_class: `AutoConfig`, `AutoTokenizer`, `AutoModel`, `AutoModelForTokenClassification` or another Auto class.
        folder: a Hugging Face folder.
        options: further arguments of `from_pretrained`.

    Raises:
        UserError: the folder names code or files elsewhere, a file is missing or broken, or it holds no text model.
    """
    check_data_only(folder)
    import transformers

    if auto_class == "AutoTokenizer":
        check_tokenizer(folder)
        _check_tokenizer_class(Path(folder))
    elif auto_class == "AutoConfig":
        read_model_config(folder)
    else:
        check_model_folder(folder)
        _check_model_type(Path(folder), auto_class)
        options["use_safetensors"] = True
    loader = getattr(transformers, auto_class)
    with explain_load_errors(folder):
        return loader.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True, **options)


def _check_tokenizer_class(folder: Path) -> None:
    """Transformers takes any of its classes as tokenizer, such as a model, whose weights it would unpickle."""
    import transformers

    for file in (folder / "tokenizer_config.json", folder / "config.json"):
        name = json.loads(file.read_text(encoding="utf-8")).get("tokenizer_class") if file.exists() else None
        found = getattr(transformers, name, None) if isinstance(name, str) else None
        if found is None or (isinstance(found, type) and issubclass(found, transformers.PreTrainedTokenizerBase)):
            continue
        remedy = "save the tokenizer again with save_pretrained"
        raise UserError(f"`{name}` is no tokenizer of Transformers", file=file, key="tokenizer_class", remedy=remedy)


def _check_model_type(folder: Path, auto_class: str) -> None:
    """Models of images and of other libraries can load files that their config names."""
    from transformers.models.auto import modeling_auto as names

    kind = load_pretrained("AutoConfig", folder).model_type
    taggers, translators = (
        names.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES,
        names.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    )
    known, what = {
        "AutoModelForTokenClassification": (taggers, "text encoder"),
        "AutoModelForSeq2SeqLM": (translators, "seq2seq model"),
    }.get(auto_class, ({*taggers, *translators, *names.MODEL_FOR_MASKED_LM_MAPPING_NAMES}, "text model"))
    if kind not in known:
        remedy = f"give the folder of a {what}"
        raise UserError(f"`{kind}` is no {what}", file=folder / "config.json", key="model_type", remedy=remedy)


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
    tokenizer = load_pretrained("AutoTokenizer", folder)
    if not tokenizer.is_fast:
        raise UserError("has no fast tokenizer", file=folder, remedy="save a tokenizer.json beside the weights")
    return tokenizer


def model_max_length(folder: str | Path) -> int:
    """Longest row that the model of a folder takes, in tokens, special tokens included."""
    return max_sequence_length(load_pretrained("AutoConfig", folder))


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
    check_model_folder(folder)
    with quiet_transformers():
        config = load_pretrained("AutoConfig", folder)
        if labels is None:
            architectures = config.architectures or []
            if not any(a.endswith("ForTokenClassification") for a in architectures):
                raise UserError(
                    f"holds {', '.join(architectures) or 'an unknown architecture'}, not a trained tagger",
                    file=folder,
                    remedy="give the folder of a trained teacher or student",
                )
            model, info = load_pretrained("AutoModelForTokenClassification", folder, output_loading_info=True)
            check_loaded(folder, info)
            return model
        # A head with other labels is replaced even if its size fits, because its rows mean something else.
        same_labels = list(config.id2label.values()) == labels
        names = dict(enumerate(labels))
        model, info = load_pretrained(
            "AutoModelForTokenClassification",
            folder,
            output_loading_info=True,
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
