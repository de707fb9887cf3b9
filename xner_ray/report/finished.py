"""What a finished run left behind, found from its results.json: the one place that knows where which figure lies.

An output folder holds the results of older configs too, so nothing here is searched for: results.json names the data
sets, each folder's parts.json names the folder that it was made from. A folder that was moved is found where it is now.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xner_ray.errors import UserError
from xner_ray.runs.moved import Moved
from xner_ray.runs.work import read_work
from xner_ray.store.shards import ShardStore


@dataclass(frozen=True)
class Finished:
    """What a run ended with.

    Args:
        results: results.json.
        ledger: the books with their cells (language, corpus).
        chosen: what each language's training file holds; `train` is that file.
        judged: the judged shards; `rules`: what they were judged by.
        quarantine: files of the pairs that ingest could not read.
        trainings: the training.json of each model that is still there, by name.
        work: what was done when, with seconds, for the folders of these results.
    """

    out: Path
    results: dict[str, Any]
    ledger: dict[str, Any]
    chosen: dict[str, dict[str, Any]]
    train: dict[str, Path]
    judged: list[str]
    rules: dict[str, Any]
    quarantine: list[Path]
    trainings: dict[str, dict[str, Any]]
    work: list[dict[str, Any]]


def open_run(out: str | Path) -> Finished:
    """Find everything. Raises: UserError where there are no results yet, or a part of them is gone."""
    out = Path(out).absolute()
    if not (out / "results.json").is_file():
        problem = "holds no results.json" if out.is_dir() else "no such folder"
        raise UserError(problem, file=out, remedy="give the output folder of `xner run`, once it came to its end")
    results = _read(out / "results.json")
    here = Moved(Path(results["out"]), out)
    folders = results["folders"]
    train = {language: here(path) for language, path in folders["datasets"].items()}
    dataset = next(iter(train.values())).parent.parent
    parts = _read(dataset / "parts.json")
    judged = out / "judged" / parts["judged"]
    made_of = _read(judged / "parts.json")
    ingest = {language: here(path) for language, path in folders.get("ingest", {}).items()}
    current = {parts["judged"], made_of["label"], "scores", *(path.parent.name for path in ingest.values())}
    return Finished(
        out,
        results,
        _read(dataset / "ledger.json"),
        {language: _read(path.with_name("summary.json")) for language, path in train.items()},
        train,
        ShardStore(judged).files(parts["shards"]),
        made_of["rules"],
        [file for path in ingest.values() if (file := path / "quarantine.parquet").exists()],
        {
            name: _read(file)
            for name, path in _models(folders).items()
            if (file := here(path) / "training.json").exists()
        },
        [row for row in read_work(out) if row["of"] in current],
    )


def _models(folders: dict[str, Any]) -> dict[str, str]:
    """Folders of all models by what they are called in a run's output; older results name the students alone."""
    aligner = {"aligner": folders["aligner"]} if "aligner" in folders else {}
    students = {f"student {name}": path for name, path in folders["students"].items()}
    return {**folders.get("english", {}), **aligner, **students}


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise UserError(
            f"cannot be read: {e}", file=path, remedy="run `xner run` again: it makes what is missing"
        ) from e
