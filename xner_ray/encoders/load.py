"""The one door for encoders: `embedded`, a hub id, or a local folder (and `tiny`, random weights for tests).

Weights come from safetensors only and no code of a model's repository is run. What leaves the house are ordinary Hugging
Face folders, which `transformers.pipeline` opens too.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from xner_ray.encoders.bundled import embedded_folder
from xner_ray.encoders.quiet import quiet
from xner_ray.encoders.testing.tiny import tiny_folder
from xner_ray.errors import UserError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def encoder_folder(encoder: str) -> Path:
    """The local folder of an encoder; hub ids are downloaded (safetensors, tokenizer and config only).

    Raises:
        UserError: neither a folder nor a hub id that can be had, or one without safetensors.
    """
    if encoder == "embedded":
        return embedded_folder()
    if encoder == "tiny":
        return tiny_folder()
    folder = Path(encoder)
    if not folder.is_dir():
        folder = _from_hub(encoder)
    if not (folder / "config.json").exists():
        raise UserError("has no config.json", file=folder, remedy="give a folder written by save_pretrained")
    if not list(folder.glob("*.safetensors")):
        raise UserError(
            "has no *.safetensors",
            file=folder,
            remedy="save it again with save_pretrained; pickled weights are refused",
        )
    return folder


def _from_hub(encoder: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = [
        "*.safetensors",
        "*.safetensors.index.json",
        "config.json",
        "tokenizer*",
        "*.model",
        "vocab*",
        "merges*",
    ]
    try:
        return Path(snapshot_download(encoder, allow_patterns=[*patterns, "special_tokens_map.json"]))
    except (HFValidationError, LocalEntryNotFoundError, HfHubHTTPError, OSError) as e:
        raise UserError(
            f"`{encoder}` is no folder here, and the hub did not give it ({type(e).__name__})",
            key="encoder",
            remedy="write `embedded`, an existing folder, or a hub id that this machine can reach or has cached",
        ) from e


def load_tokenizer(folder: str | Path):
    """The fast tokenizer of a folder.

    Raises:
        UserError: it has no fast tokenizer; character offsets need one.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    if not tokenizer.is_fast:
        raise UserError("has no fast tokenizer", file=folder, remedy="save a tokenizer.json beside the weights")
    return tokenizer


def longest_row(folder: str | Path) -> int:
    """Most tokens in a row of a folder's model, special tokens included."""
    from transformers import AutoConfig

    from xner_ray.encoders.engine_base import max_positions

    return max_positions(AutoConfig.from_pretrained(str(folder)))


def save_tokenizer(folder: str | Path, out: str | Path) -> None:
    """Copy an encoder's tokenizer, so that a token's characters are its own (see `cut_at_spaces`)."""
    for name in TOKENIZER_FILES:
        if (Path(folder) / name).exists():
            shutil.copy(Path(folder) / name, Path(out) / name)
    cut_at_spaces(Path(out) / "tokenizer.json")


def cut_at_spaces(file: Path) -> None:
    """Let a tokenizer.json cut at spaces before its Metaspace does; nothing where there is none.

    A bare Metaspace counts the space before a word as the word's first character, and `pipeline` then gives entities that
    begin with a space. Cutting at spaces first gives the same tokens, but for spaces at the end of a text.
    """
    told = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if (told.get("pre_tokenizer") or {}).get("type") == "Metaspace":
        cut = {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": False}
        told["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [cut, told["pre_tokenizer"]]}
        file.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")


def load_model(folder: str | Path, labels: list[str] | None = None):
    """A token classifier.

    Args:
        folder: a Hugging Face folder.
        labels: the labels of a new head; None: the folder already holds a trained head.

    Raises:
        UserError: `labels` is None and the folder holds no token classifier.
    """
    from transformers import AutoConfig, AutoModelForTokenClassification

    config = AutoConfig.from_pretrained(str(folder))
    if labels is None:
        architectures = config.architectures or []
        if not any(a.endswith("ForTokenClassification") for a in architectures):
            raise UserError(
                f"holds {', '.join(architectures) or 'an unknown architecture'}, not a trained tagger",
                file=folder,
                remedy="give the folder of a trained teacher or student",
            )
        with quiet():
            return AutoModelForTokenClassification.from_pretrained(str(folder), use_safetensors=True)
    names = dict(enumerate(labels))
    # A head of other labels is replaced, not stretched: its rows mean something else.
    same = list(config.id2label.values()) == labels
    with quiet():
        return AutoModelForTokenClassification.from_pretrained(
            str(folder),
            use_safetensors=True,
            id2label=names,
            label2id={v: k for k, v in names.items()},
            ignore_mismatched_sizes=not same,
        )
