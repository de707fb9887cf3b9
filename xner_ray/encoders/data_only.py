"""Checks a model folder before a library reads it: it must hold data only, and all of it inside the folder.

A folder of Hugging Face can name Python code (`auto_map`), weights elsewhere (shards, adapters, `transformers_weights`), other
config files, and kernels or backbones of the hub. Transformers follows some of these names even with
`trust_remote_code=False`, so a folder that has them is refused. The check imports neither torch nor transformers.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from xner_ray.errors import UserError

# All that Transformers reads besides weights and vocabularies. A key at any depth counts.
_CONFIG_FILES = (
    *("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"),
)
_CODE_KEYS = ("auto_map", "custom_pipelines", "custom_generate")
_FILE_KEYS = ("configuration_files", "fast_tokenizer_files", "transformers_weights", "base_model_name_or_path")
_HUB_KEYS = ("backbone", "quantization_config")
_SPACY_KEY = "xner_spacy"  # TYPE_MAP of ner/label_normalizer.py
_ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
_NO_CODE = "code of a model is never run: use a model without it, or save the model with a class of Transformers"
_SAVE_AGAIN = "save the model again with save_pretrained"


def check_data_only(folder: str | Path) -> None:
    """Check that a folder holds data only, and that all of it lies inside the folder.

    Args:
        folder: of a Hugging Face model, or of an ONNX export.

    Raises:
        UserError: it names code, or a file outside of the folder, or weights that are not safetensors.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError("no such folder", file=folder, remedy="give the folder of a model")
    for entry in sorted(folder.iterdir()):
        _check_entry(entry)
    for name in _ADAPTERS:
        if (folder / name).exists():
            remedy = "merge the adapter into its base model (`merge_and_unload` of peft), and give that folder"
            raise UserError("is an adapter, which names another model as its base", file=folder / name, remedy=remedy)
    for name in _CONFIG_FILES:
        if (folder / name).exists():
            _check_keys(folder / name)
    for index in sorted(folder.glob("*.safetensors.index.json")):
        _check_shards(index)


def _check_entry(entry: Path) -> None:
    """An entry must be a file or a folder; a link must not leave the model's folder, except inside the cache of the hub."""
    if entry.is_symlink() and not entry.is_dir():
        root, target = entry.parent.resolve(), entry.resolve()
        # The hub's cache keeps snapshots/REVISION/FILE as a link to blobs/HASH.
        in_hub_cache = root.parent.name == "snapshots" and target.parent == root.parent.parent / "blobs"
        if not target.is_relative_to(root) and not in_hub_cache:
            raise UserError(f"is a link to {target}, outside of the folder", file=entry, remedy="copy the file here")
    if not entry.is_dir() and not entry.is_file():
        problem = "is a broken link" if entry.is_symlink() else "is no regular file"
        raise UserError(problem, file=entry, remedy=f"remove it, or {_SAVE_AGAIN}")


def _check_keys(file: Path) -> None:
    for key, value in _entries(_read_json(file)):
        if not value or not isinstance(value, (str, list, dict)):
            continue  # unset, or a label or token of this name with its id
        if key == _SPACY_KEY:
            remedy = "a spaCy pipeline may run code: name it as `spacy:` and its folder where you trust it"
            raise UserError(
                "describes a spaCy pipeline and no model of Transformers", file=file, key=key, remedy=remedy
            )
        if key in _CODE_KEYS:
            raise UserError("names Python code of its own", file=file, key=key, remedy=_NO_CODE)
        if key in _FILE_KEYS:
            raise UserError(
                "names other files to load", file=file, key=key, remedy=f"remove the key, or {_SAVE_AGAIN}"
            )
        if key in _HUB_KEYS:
            remedy = "use a model in full precision without this key"
            raise UserError(
                "makes Transformers load code or weights from elsewhere", file=file, key=key, remedy=remedy
            )
        if key.endswith(("attn_implementation", "experts_implementation")) and _is_hub_kernel(json.dumps(value)):
            remedy = "remove the key; Transformers then chooses an implementation of its own"
            raise UserError("names a kernel of the hub, which is code", file=file, key=key, remedy=remedy)


def _check_shards(index: Path) -> None:
    content = _read_json(index)
    shards = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise UserError("has no map from weights to files", file=index, key="weight_map", remedy=_SAVE_AGAIN)
    for name in sorted(set(shards.values())):
        if not _is_file_name(name):
            problem = f"names `{name}`, which is no name of a file in this folder"
            raise UserError(problem, file=index, key="weight_map", remedy=_SAVE_AGAIN)
        if not name.endswith(".safetensors"):
            remedy = f"{_SAVE_AGAIN}; pickled weights are refused"
            raise UserError(
                f"names `{name}`, which is no safetensors file", file=index, key="weight_map", remedy=remedy
            )
        if not (index.parent / name).is_file():
            remedy = "copy the missing file into the folder"
            raise UserError(f"names `{name}`, which is not in the folder", file=index, key="weight_map", remedy=remedy)


def _is_hub_kernel(value: str) -> bool:
    """Whether Transformers would download an implementation: `user/repository`, or flash attention that is not installed."""
    return "/" in value or ("flash" in value and importlib.util.find_spec("flash_attn") is None)


def _is_file_name(name: str) -> bool:
    """Whether a name has no folder in it, on any system."""
    return (
        name not in ("", ".", "..")
        and "\0" not in name
        and name == PurePosixPath(name).name == PureWindowsPath(name).name
    )


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Each key of nested objects with its value."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield from item.items()
        stack += item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as e:
        raise UserError(f"is not JSON: {e}", file=file, remedy=_SAVE_AGAIN) from e
