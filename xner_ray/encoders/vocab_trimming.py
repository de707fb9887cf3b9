"""Vocabulary trimming: an encoder that keeps only the pieces in the scripts of a run's languages.

A piece is an entry of a subword vocabulary (the term of SentencePiece). Embeddings hold most parameters of a multilingual
encoder (96M of 118M in e5-small). Without unused pieces, checkpoints and actors shrink by half for German, Spanish, Dutch and
Chinese. Text in the kept scripts is tokenized as before, because its best segmentation uses no removed piece. Text in other
scripts becomes unknown tokens. Unigram and WordPiece tokenizers are trimmed; encoders with other tokenizers are used whole.

Trimming also removes Chinese pieces that join a name with a particle, such as 在中国, 美国的 and 中美. Chinese has no spaces, and
XLM-R's vocabulary has many such pieces. Labels belong to tokens, so a model cannot label the name alone; this affected 193 of
3,819 entities of People's Daily. Without these pieces the text is tokenized as 在 and 中国, which pre-training used as well.
"""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from xner_ray.storage.atomic import create_dir_once
from xner_ray.storage.fingerprint import fingerprint, hash_folder
from xner_ray.text.languages import get_language, script_ranges

_METASPACE = "\u2581"  # the mark of SentencePiece for a space


def in_scripts(piece: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    """Return whether each letter and mark of a piece is in one of the ranges. Digits, punctuation and symbols always pass."""
    return all(
        any(low <= ord(c) <= high for low, high in ranges) or unicodedata.category(c)[0] not in "LM" for c in piece
    )


def pieces_fused_with_particles(pieces: Iterable[str], languages: Iterable[str]) -> set[str]:
    """Return the pieces that consist of a word and a particle, both of which are in the vocabulary themselves.

    Args:
        pieces: the vocabulary.
        languages: ISO 639-1 codes; only languages with particles in `text.languages` have such pieces.
    """
    vocabulary, fused = set(pieces), set()
    for particles in filter(None, (get_language(x).particles for x in set(languages))):
        for piece in vocabulary:
            text = piece.lstrip(_METASPACE)
            splits = [(x, text[len(x) :]) for x in particles.before if text.startswith(x) and len(text) - len(x) > 1]
            splits += [(text[: -len(x)], x) for x in particles.after if text.endswith(x) and len(text) - len(x) > 1]
            if text in particles.compounds or any(a in vocabulary and b in vocabulary for a, b in splits):
                fused.add(piece)
    return fused


def vocabulary_identity(languages: Iterable[str]) -> str:
    """What `trimmed_folder` keeps for these languages, as a hash."""
    chosen = sorted(languages)
    particles = {x: asdict(p) for x in chosen if (p := get_language(x).particles)}
    return fingerprint({"ranges": script_ranges(chosen), "particles": particles})


def trimmed_folder(folder: Path, languages: Iterable[str], cache: Path) -> Path:
    """Return a copy of an encoder with the vocabulary of some languages. The first call writes it, atomically.

    Args:
        folder: a Hugging Face folder.
        languages: ISO 639-1 codes, the source language included.
        cache: folder of the copies; a copy's name is a fingerprint.

    Returns:
        The copy. It is whole if the vocabulary cannot be trimmed: workers on other nodes see `cache`, but not a hub cache in the
        home folder of this machine.
    """
    languages = sorted(languages)
    ranges = script_ranges(languages)
    file = Path(folder) / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"model": {}}
    kind = tokenizer["model"].get("type")
    if ranges is None or kind not in ("Unigram", "WordPiece"):
        whole = fingerprint({"of": hash_folder(folder), "whole": True})
        return create_dir_once(Path(cache) / whole, lambda out: _copy_files(Path(folder), out))
    parts = {"of": hash_folder(folder), "ranges": ranges, "version": 1}
    particles = {
        x: [sorted(group) for group in (known.before, known.after, known.compounds)]
        for x in languages
        if (known := get_language(x).particles) and kind == "Unigram"
    }
    if particles:
        parts["particles"] = particles
    return create_dir_once(
        Path(cache) / fingerprint(parts), lambda out: _write_trimmed(Path(folder), out, ranges, list(particles))
    )


def _copy_files(folder: Path, out: Path) -> None:
    for file in folder.iterdir():
        if file.is_file():
            shutil.copyfile(file, out / file.name)


def _write_trimmed(
    folder: Path, out: Path, ranges: tuple[tuple[int, int], ...], particle_languages: list[str]
) -> None:
    for name in ("tokenizer_config.json", "special_tokens_map.json", "projector.json"):
        if (folder / name).exists():
            shutil.copy(folder / name, out / name)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    kept = _trim_tokenizer(tokenizer, ranges, particle_languages)
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    _trim_weights(folder, out, kept, config["vocab_size"])
    config["vocab_size"] = len(kept)
    new_ids = {old: i for i, old in enumerate(kept.tolist())}
    for key in ("pad_token_id", "bos_token_id", "eos_token_id"):
        if config.get(key) is not None:
            config[key] = new_ids[config[key]]
    # The last file: a folder with a config.json is complete.
    (out / "config.json").write_text(json.dumps(config, indent=2))


def _trim_tokenizer(tokenizer: dict, ranges: tuple[tuple[int, int], ...], particle_languages: list[str]) -> np.ndarray:
    """Trim the content of a tokenizer.json in place. Returns the old ids that are kept, ascending."""
    model = tokenizer["model"]
    special = {t["id"] for t in tokenizer["added_tokens"]}
    if model["type"] == "Unigram":
        pieces = [p for p, _ in model["vocab"]]
    else:
        pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
    max_id = max([len(pieces) - 1, *special])
    fused = pieces_fused_with_particles(pieces, particle_languages)
    keep = [in_scripts(piece, ranges) and piece not in fused for piece in pieces]
    kept = [i for i in range(max_id + 1) if i in special or (i < len(pieces) and keep[i])]
    new_ids = {old: i for i, old in enumerate(kept)}
    if model["type"] == "Unigram":
        model["vocab"] = [model["vocab"][i] for i in kept if i < len(pieces)]
        model["unk_id"] = new_ids[model["unk_id"]]
    else:
        model["vocab"] = {pieces[i]: new_ids[i] for i in kept if i < len(pieces)}
    for token in tokenizer["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    _renumber(tokenizer.get("post_processor"), new_ids)
    return np.asarray(kept)


def _renumber(processor: dict | None, new_ids: dict[int, int]) -> None:
    """Replace the ids of special tokens in a post-processor, in both formats that `tokenizers` writes."""
    if not processor:
        return
    for part in processor.get("processors", []):
        _renumber(part, new_ids)
    for token in (processor.get("special_tokens") or {}).values():
        token["ids"] = [new_ids[i] for i in token["ids"]]
    for key in ("sep", "cls"):
        if isinstance(processor.get(key), list):
            processor[key][1] = new_ids[processor[key][1]]


def _trim_weights(folder: Path, out: Path, kept: np.ndarray, vocab_size: int) -> None:
    """Write the weights with the kept rows of each tensor that has one row for each piece. File names stay the same."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as source:
            tensors = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118 (not a dict)
        for name, tensor in tensors.items():
            # Some tables are padded behind the last id of the tokenizer. Those rows are dropped, because no text uses them.
            if tensor.ndim and tensor.shape[0] == vocab_size:
                tensors[name] = tensor[kept[kept < vocab_size]].contiguous()
        save_file(tensors, out / file.name, metadata={"format": "pt"})
    for index in folder.glob("*.safetensors.index.json"):
        shutil.copy(index, out / index.name)
