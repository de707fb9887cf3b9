"""Smaller vocabularies: an encoder that keeps only the pieces of the scripts that a run's languages are written in.

Embeddings hold most parameters of a multilingual encoder (96M of 118M in e5-small), so checkpoints and actors shrink by half
for German, Spanish, Dutch and Chinese. Text in those scripts is tokenized exactly as before: the best path over pieces uses
none that are gone. Text in other scripts falls apart into unknown pieces, which is the price.
Unigram and WordPiece tokenizers are trimmed; other kinds are used whole.

One kind of piece goes although text uses it. Chinese has no spaces, and XLM-R has pieces in which a name is one with the particle
beside it: 在中国, 美国的, 中美. A label is a piece's, so no student could say where such a name ends (193 of 3,819 entities of
People's Daily were cut so), and no aligner. Without them the text falls into 在 and 中国, which pre-training saw as well.
"""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from xner_ray.storage.atomic import create_dir_once
from xner_ray.storage.fingerprint import fingerprint, hash_folder
from xner_ray.text.languages import get_language, script_ranges

_SPACE = "\u2581"  # SentencePiece's


def is_needed(piece: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    """Whether each letter of a piece is in a range; digits, punctuation and symbols always are."""
    return all(
        any(low <= ord(c) <= high for low, high in ranges) or unicodedata.category(c)[0] not in "LM" for c in piece
    )


def glued(pieces: Iterable[str], languages: Iterable[str]) -> set[str]:
    """Those of a vocabulary's pieces that hold a word and a particle of one of the languages, with both there as pieces."""
    there, found = set(pieces), set()
    for particles in filter(None, (get_language(x).particles for x in set(languages))):
        for piece in there:
            word = piece.lstrip(_SPACE)
            heads = [x for x in particles.before if word.startswith(x) and len(word) - len(x) > 1]
            tails = [x for x in particles.after if word.endswith(x) and len(word) - len(x) > 1]
            parts = [(x, word[len(x) :]) for x in heads] + [(word[: -len(x)], x) for x in tails]
            if word in particles.compounds or any(a in there and b in there for a, b in parts):
                found.add(piece)
    return found


def trimmed_folder(folder: Path, languages: Iterable[str], cache: Path) -> Path:
    """A copy of an encoder with the vocabulary of these languages; made once in `cache`, atomically.

    Args:
        folder: a Hugging Face folder.
        languages: ISO 639-1, source language included.
        cache: where copies lie, by fingerprint.

    Returns:
        The copy, or `folder` itself where nothing can be trimmed.
    """
    languages = sorted(languages)
    ranges = script_ranges(languages)
    file = Path(folder) / "tokenizer.json"
    if ranges is None or not file.exists():
        return Path(folder)
    kind = json.loads(file.read_text(encoding="utf-8"))["model"].get("type")
    if kind not in ("Unigram", "WordPiece"):
        return Path(folder)
    parts = {"of": hash_folder(folder), "ranges": ranges, "version": 1}
    particles = {
        x: [sorted(words) for words in (known.before, known.after, known.compounds)]
        for x in languages
        if (known := get_language(x).particles) and kind == "Unigram"
    }
    if particles:
        parts["particles"] = particles
    return create_dir_once(
        Path(cache) / fingerprint(parts), lambda made: _write(Path(folder), made, ranges, list(particles))
    )


def _write(folder: Path, out: Path, ranges: tuple[tuple[int, int], ...], without_glued: list[str]) -> None:
    for name in ("tokenizer_config.json", "special_tokens_map.json", "projector.json"):
        if (folder / name).exists():
            shutil.copy(folder / name, out / name)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    kept, size = _trim_tokenizer(tokenizer, ranges, without_glued)
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    # Some tables are padded beyond the tokenizer's last id; no text reaches those rows.
    _trim_weights(folder, out, kept, config["vocab_size"])
    config["vocab_size"] = size
    new = {old: i for i, old in enumerate(kept.tolist())}
    for key in ("pad_token_id", "bos_token_id", "eos_token_id"):
        if config.get(key) is not None:
            config[key] = new[config[key]]
    (out / "config.json").write_text(json.dumps(config, indent=2))  # last: its presence says that all is there


def _trim_tokenizer(
    tokenizer: dict, ranges: tuple[tuple[int, int], ...], without_glued: list[str]
) -> tuple[np.ndarray, int]:
    """Trim in place; the kept old ids in their order, and how many. `without_glued`: languages."""
    model = tokenizer["model"]
    special = {t["id"] for t in tokenizer["added_tokens"]}
    if model["type"] == "Unigram":
        pieces = [p for p, _ in model["vocab"]]
    else:
        pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
    top = max([len(pieces) - 1, *special])
    gone = glued(pieces, without_glued)
    needed = [is_needed(piece, ranges) and piece not in gone for piece in pieces]
    kept = [i for i in range(top + 1) if i in special or (i < len(pieces) and needed[i])]
    new = {old: i for i, old in enumerate(kept)}
    if model["type"] == "Unigram":
        model["vocab"] = [model["vocab"][i] for i in kept if i < len(pieces)]
        model["unk_id"] = new[model["unk_id"]]
    else:
        model["vocab"] = {pieces[i]: new[i] for i in kept if i < len(pieces)}
    for token in tokenizer["added_tokens"]:
        token["id"] = new[token["id"]]
    _renumber(tokenizer.get("post_processor"), new)
    return np.asarray(kept), len(kept)


def _renumber(processor: dict | None, new: dict[int, int]) -> None:
    """Special tokens' ids in a template, in both of the forms that tokenizers write."""
    if not processor:
        return
    for part in processor.get("processors", []):
        _renumber(part, new)
    for token in (processor.get("special_tokens") or {}).values() if isinstance(processor, dict) else []:
        token["ids"] = [new[i] for i in token["ids"]]
    for key in ("sep", "cls"):
        if isinstance(processor.get(key), list):
            processor[key][1] = new[processor[key][1]]


def _trim_weights(folder: Path, out: Path, kept: np.ndarray, vocabulary: int) -> None:
    """Slice every tensor that has one row a piece; file names stay, so an index stays right."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as source:
            tensors = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118 (not a dict)
        for name, tensor in tensors.items():
            if tensor.ndim and tensor.shape[0] == vocabulary:
                tensors[name] = tensor[kept[kept < vocabulary]].contiguous()
        save_file(tensors, out / file.name, metadata={"format": "pt"})
    for index in folder.glob("*.safetensors.index.json"):
        shutil.copy(index, out / index.name)
