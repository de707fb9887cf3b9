"""A finished run as the rooms after it see it, found from its results.json: the one place that knows where which figure lies.

An output folder holds the results of older configs too, so nothing here is searched for: results.json names data sets and
models, each folder's parts.json names the folder that it was made from. So what is reported and exported is what the last
finished run made, and a folder that was moved or copied is found where it is now. All but results.json is read when it is
asked for: an export needs no judged shards, a report no students.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from xner_ray.config import Config
from xner_ray.corpora.ingest_report import quarantine_files
from xner_ray.errors import UserError
from xner_ray.observability.work_log import read_work
from xner_ray.storage.shard_store import ShardStore
from xner_ray.text.tags import label_list

AGAIN = "run `xner run CONFIG` to its end; what is done already is skipped"


@dataclass(frozen=True)
class Student:
    """A student of a finished run. `name`: language, then encoder and seed where there are several."""

    name: str
    language: str
    folder: Path


@dataclass(frozen=True)
class RunResults:
    """What a run ended with.

    Args:
        out: its folder, where it lies now.
        results: results.json.

    Raises:
        UserError: by every property whose file is gone or damaged.
    """

    out: Path
    results: dict[str, Any]

    @classmethod
    def open(cls, out: str | Path) -> RunResults:
        """Read `out/results.json`.

        Raises:
            UserError: there is none, or it is damaged.
        """
        out = Path(out).absolute()
        if not (out / "results.json").is_file():
            problem = "holds no results.json of a finished run" if out.is_dir() else "no such folder"
            raise UserError(problem, file=out, key="OUT", remedy=AGAIN)
        return cls(out, _read(out / "results.json"))

    @cached_property
    def config(self) -> Config:
        """Raises: UserError where a version that did not keep the config wrote the results."""
        if "config" not in self.results:
            problem = "does not tell its config: an older version wrote it"
            raise UserError(problem, file=self.out / "results.json", remedy=AGAIN)
        return Config.model_validate(self.results["config"]).model_copy(update={"out": str(self.out)})

    @cached_property
    def datasets(self) -> dict[str, Path]:
        """The training file of each language: schema.EXPORTED."""
        return {k: self._here(v) for k, v in self.results["folders"]["datasets"].items()}

    @cached_property
    def students(self) -> list[Student]:
        found = self.results["folders"]["students"]
        return [Student(name, name.partition("-")[0], self._here(folder)) for name, folder in found.items()]

    def labels(self, language: str) -> list[str]:
        """Labels of a language's dataset: those of its students, so that ids mean the same in data and models."""
        labels: list[str] = ["O"]
        for student in self.students:
            if student.language == language:
                labels += _read(student.folder / "config.json")["id2label"].values()
        return label_list(x[2:] for x in labels if x.startswith("B-"))

    def sets(self, language: str) -> dict[str, Any]:
        """Scores of zero-transfer and students on each evaluation set of a language, by name."""
        return {name: row for name, row in self.results.get("sets", {}).items() if row["language"] == language}

    @cached_property
    def ledger(self) -> dict[str, Any]:
        """`total`, `by_language`, `cells` (see `projection.ledger`)."""
        return _read(self._dataset / "ledger.json")

    @cached_property
    def summaries(self) -> dict[str, dict[str, Any]]:
        """What was chosen of each language (see `projection.select`)."""
        return {language: _read(path.with_name("summary.json")) for language, path in self.datasets.items()}

    @cached_property
    def judged(self) -> list[str]:
        """Files of the judged shards."""
        return ShardStore(self._judged).files(_read(self._dataset / "parts.json")["shards"])

    @cached_property
    def rules(self) -> dict[str, Any]:
        """What the shards were judged by."""
        return _read(self._judged / "parts.json")["rules"]

    @cached_property
    def quarantine(self) -> list[Path]:
        """Files of the pairs that ingest could not read."""
        return [file for shards in self._ingest for file in quarantine_files(shards)]

    @cached_property
    def trainings(self) -> dict[str, dict[str, Any]]:
        """The training.json of each model that is still there, by what the run's output calls it."""
        folders = self.results["folders"]
        models = dict(folders.get("english", {}))  # older results name the students alone
        models |= {"aligner": folders["aligner"]} if "aligner" in folders else {}
        models |= {f"student {name}": path for name, path in folders["students"].items()}
        files = {name: self._here(path) / "training.json" for name, path in models.items()}
        return {name: _read(file) for name, file in files.items() if file.exists()}

    @cached_property
    def work(self) -> list[dict[str, Any]]:
        """What was done when, with seconds, for the folders of these results."""
        label = _read(self._judged / "parts.json")["label"]
        mine = {self._judged.name, label, "scores", *(shards.parent.name for shards in self._ingest)}
        return [row for row in read_work(self.out) if row["of"] in mine]

    @property
    def _dataset(self) -> Path:
        return next(iter(self.datasets.values())).parents[1]

    @cached_property
    def _judged(self) -> Path:
        return self.out / "judged" / _read(self._dataset / "parts.json")["judged"]

    @property
    def _ingest(self) -> list[Path]:
        """The shards of each language; the folder above is what the work was for."""
        return [self._here(path) for path in self.results["folders"].get("ingest", {}).values()]

    def _here(self, path: str) -> Path:
        """A path of results.json as it is now; what lies outside of the output folder stays."""
        old = Path(self.results["out"])
        return self.out / Path(path).relative_to(old) if Path(path).is_relative_to(old) else Path(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise UserError(f"cannot be read: {e.strerror}", file=path, remedy=AGAIN) from e
    except ValueError as e:
        raise UserError(f"is damaged: {e}", file=path, remedy=AGAIN) from e
