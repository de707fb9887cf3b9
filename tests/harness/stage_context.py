"""A context over a few sentences, for tests of single stages in this process."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from xner_ray.config import Config
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.executors import InProcess

PLACES = ["Germany Deutschland", "France Frankreich", "Spain Spanien", "Italy Italien", "Norway Norwegen"]
TRAINING = {"epochs": 1, "learning_rate": 1e-3, "precision": "fp32", "freeze_embeddings": False}


def write_gold(path: Path, sentences: int = 10, verb: str = "likes") -> Path:
    """Write a CoNLL file whose sentences have a person and a place. Files with another verb share no sentence."""
    lines = []
    for i in range(sentences):
        lines += ["Anna\tB-PER", f"{verb}{i}\tO", f"{PLACES[i % len(PLACES)].split()[0]}\tB-LOC", ".\tO", ""]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_corpus(path: Path, pairs: int = 40) -> Path:
    """Write a Moses archive of English and German lines with names of countries."""
    sides: dict[str, list[str]] = {"en": [], "de": []}
    for i in range(pairs):
        english, german = PLACES[i % len(PLACES)].split()
        sides["en"].append(f"Anna saw {i} birds in {english} today.")
        sides["de"].append(f"Anna sah heute {i} Vögel in {german}.")
    with zipfile.ZipFile(path, "w") as archive:
        for language, lines in sides.items():
            archive.writestr(f"N.{language}", "".join(f"{line}\n" for line in lines))
    return path


def stage_context(folder: Path, encoder: Path, **sections: Any) -> Context:
    """A context of a run with gold, dev, evaluation and one corpus, which runs in this process.

    Args:
        folder: where the input files are written, if they are missing.
        encoder: folder of the encoder of all models.
        sections: sections of the config; a dict is merged into the default section.

    Returns:
        the context. Its log lines are in `ctx.lines`.
    """
    verbs = {"en.train": "likes", "en.dev": "leaves", "de.eval": "mag"}
    files = {name: folder / f"{name}.conll" for name in verbs}
    for name, file in files.items():
        if not file.exists():
            write_gold(file, verb=verbs[name])
    corpus = folder / "N.zip"
    if not corpus.exists():
        write_corpus(corpus)
    defaults: dict[str, Any] = {
        "name": "t",
        "out": str(folder / "out"),
        "languages": ["de"],
        "gold": [{"path": str(files["en.train"])}],
        "dev": [{"path": str(files["en.dev"]), "name": "dev"}],
        "evaluation": [{"path": str(files["de.eval"]), "name": "german", "language": "de"}],
        "corpora": [{"name": "News", "format": "moses", "path": str(corpus)}],
        "ingest": {"shard_rows": 16},
        "teacher": {"encoder": str(encoder), "training": {**TRAINING, "loss": "cross_entropy"}},
        "aligner": {
            "encoder": str(encoder),
            "similarity_layer": 1,
            "num_examples": 20,
            "example_sources": {"lexicon": 1.0},
            "training": TRAINING,
        },
        "student": {"encoder": str(encoder), "training": TRAINING},
    }
    for key, value in sections.items():
        defaults[key] = {**defaults.get(key, {}), **value} if isinstance(value, dict) else value
    lines: list[str] = []
    ctx = Context.open(Config(**defaults), log=lines.append, executor=InProcess(log=lines.append))
    ctx.lines = lines  # type: ignore[attr-defined]
    return ctx
