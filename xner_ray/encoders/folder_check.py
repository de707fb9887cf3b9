"""Checks of a model folder before a library opens it, and errors of that library as a UserError.

A folder that a user names may be anything: a half copied download, pickled weights, the config of an unknown architecture.
The checks read config.json, the headers of the weights and the names of the tokenizer files. They import no torch.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xner_ray.encoders.data_only import check_data_only
from xner_ray.errors import UserError

MAX_LABELS = 10_000  # transformers spends 30 microseconds on each label of a config
MAX_LAYERS = 1_000  # transformers makes all layers before it opens the weights
MAX_REASON_CHARS = 300
_TOKENIZER_FILES = ("tokenizer.json", "vocab*", "*.model", "*.spm", "tekken.json")
_PICKLED_FILES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
_COPY_AGAIN = "copy the whole folder again, or save the model again with save_pretrained"


def read_model_config(folder: str | Path) -> dict[str, Any]:
    """The content of the config.json of a model folder.

    Raises:
        UserError: the file is missing or is no JSON object, its labels are not a list of texts with ids from 0, or it describes
            too many labels or layers.
    """
    file = Path(folder) / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("has no config.json", file=folder, remedy="give a folder of save_pretrained") from None
    except (OSError, ValueError, RecursionError) as e:
        raise UserError(f"cannot be read: {_first_line(e)}", file=file, remedy=_COPY_AGAIN) from e
    if not isinstance(config, dict):
        raise UserError("is no JSON object", file=file, remedy=_COPY_AGAIN)
    _check_labels(config, file)
    _check_layers(config, file)
    return config


def _check_labels(config: Mapping[str, Any], file: Path) -> None:
    labels = config.get("id2label")
    if labels is None:
        key, number = "num_labels", config.get("num_labels") or 0
    else:
        key, number = "id2label", len(labels) if isinstance(labels, dict) else None
    if not isinstance(number, int) or not 0 <= number <= MAX_LABELS:
        problem = f"does not describe at most {MAX_LABELS:,} labels"
        raise UserError(problem, file=file, key=key, remedy="give a tagger of named entities, or an encoder")
    ids = config.get("label2id")
    if ids is not None and not (isinstance(ids, dict) and len(ids) <= MAX_LABELS):
        problem, remedy = (
            f"does not describe at most {MAX_LABELS:,} labels",
            "remove the key; `id2label` has the labels",
        )
        raise UserError(problem, file=file, key="label2id", remedy=remedy)
    if labels is not None and not all(isinstance(labels.get(str(i)), str) for i in range(number)):
        remedy = f'write one text for each id, from "0" to "{number - 1}"'
        raise UserError("is not a text for each id", file=file, key="id2label", remedy=remedy)


def _check_layers(config: Mapping[str, Any], file: Path) -> None:
    for key, number in config.items():
        if key.endswith(("layers", "n_layer")) and isinstance(number, (int, float)) and number > MAX_LAYERS:
            raise UserError(f"describes more than {MAX_LAYERS:,} layers", file=file, key=key, remedy=_COPY_AGAIN)


def check_model_folder(folder: str | Path) -> dict[str, Any]:
    """Check config, weights and tokenizer of a folder of transformers, without loading them.

    Returns:
        The content of config.json.

    Raises:
        UserError: a file is missing or broken, or the folder names code or files elsewhere.
    """
    check_data_only(folder)
    config = read_model_config(folder)
    check_weights(folder)
    check_tokenizer(folder)
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        problem, remedy = "is not the name of an architecture", "give a folder that transformers wrote"
        raise UserError(problem, file=Path(folder) / "config.json", key="model_type", remedy=remedy)
    return config


def check_weights(folder: str | Path) -> None:
    """Check that a folder has weights as safetensors, and that each file is complete.

    Raises:
        UserError: the folder has no such file, or a file is truncated or damaged.
    """
    from safetensors import SafetensorError, safe_open

    folder = Path(folder)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = sorted(f.name for pattern in _PICKLED_FILES for f in folder.glob(pattern))
        problem = f"has no *.safetensors, only {pickled[0]}" if pickled else "has no *.safetensors"
        remedy = "load it where you trust it, and save it with save_pretrained; pickled weights are refused"
        raise UserError(problem, file=folder, remedy=remedy if pickled else _COPY_AGAIN)
    for file in files:
        try:
            with safe_open(file, "np"):  # compares the header with the size of the file
                pass
        except (SafetensorError, OSError, ValueError) as e:
            raise UserError(f"is truncated or damaged: {_first_line(e)}", file=file, remedy=_COPY_AGAIN) from e


def check_tokenizer(folder: str | Path) -> None:
    """Check that a folder has the vocabulary of a tokenizer. Without one, transformers makes a tokenizer that knows no token.

    Raises:
        UserError: there is no file of a vocabulary, or the folder names code or files elsewhere.
    """
    check_data_only(folder)
    folder = Path(folder)
    if not any(f.is_file() for pattern in _TOKENIZER_FILES for f in folder.glob(pattern)):
        remedy = "copy tokenizer.json and tokenizer_config.json of the model's encoder into it"
        raise UserError("has no tokenizer, e.g. tokenizer.json", file=folder, remedy=remedy)


@contextlib.contextmanager
def explain_load_errors(folder: str | Path) -> Iterator[None]:
    """Turn the errors that a library raises on a model folder into a UserError. Lack of memory passes.

    Raises:
        UserError: the block raised an error, e.g. for an unknown `model_type`, or weights of other sizes than config.json.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as e:
        remedy = f"check config.json and the version of transformers that the model needs, or {_COPY_AGAIN}"
        raise UserError(f"cannot be loaded: {_first_line(e)}", file=folder, remedy=remedy) from e


def check_loaded(folder: str | Path, info: Mapping[str, Any], new_head_of: str | None = None) -> None:
    """Check that a loaded model has no random weight. Transformers only warns of them. The pooler is unused and may be random.

    Args:
        folder: of the model.
        info: `output_loading_info` of `from_pretrained`.
        new_head_of: `base_model_prefix` of a model that gets a new head. Weights outside of the base model may be random.

    Raises:
        UserError: the files lack a weight, or hold it in another size.
    """
    names = {*info.get("missing_keys", ()), *(key[0] for key in info.get("mismatched_keys", ()))}
    if new_head_of is not None:
        names = {name for name in names if name.startswith(f"{new_head_of}.")}
    random = sorted(name for name in names if "pooler" not in name.split("."))
    if random:
        problem = f"lacks {len(random)} weights that its config.json describes, the first one is {random[0]}"
        raise UserError(problem, file=folder, remedy=_COPY_AGAIN)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:MAX_REASON_CHARS]
