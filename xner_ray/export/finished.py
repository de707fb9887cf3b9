"""A finished run as the rooms after it see it: read from `results.json` alone, so that an output folder may be moved.

What is exported is what the last finished run of the folder made, never a half-trained model or a dataset of other rules.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.runs.moved import Moved
from xner_ray.tags import label_list


@dataclass(frozen=True)
class Student:
    """A student of a finished run. `name`: language, then encoder and seed where there are several."""

    name: str
    language: str
    folder: Path


@dataclass(frozen=True)
class Finished:
    """The results of a run. `out`: its folder, where it lies now."""

    out: Path
    results: dict[str, Any]

    @classmethod
    def open(cls, out: str | Path) -> Finished:
        """Read `out/results.json`.

        Raises:
            UserError: there is none, it is damaged, or a version without `config` in it wrote it.
        """
        out = Path(out)
        again = "run `xner run CONFIG` to its end; what is done already is skipped"
        try:
            results = json.loads((out / "results.json").read_text(encoding="utf-8"))
        except OSError:
            raise UserError("holds no results.json of a finished run", file=out, key="OUT", remedy=again) from None
        except ValueError as e:
            raise UserError(f"is damaged: {e}", file=out / "results.json", remedy=again) from e
        if "config" not in results:
            raise UserError(
                "does not tell its config: an older version wrote it", file=out / "results.json", remedy=again
            )
        return cls(out.absolute(), results)

    @cached_property
    def config(self) -> Config:
        return Config.model_validate(self.results["config"]).model_copy(update={"out": str(self.out)})

    @property
    def datasets(self) -> dict[str, Path]:
        """The training file of each language: schema.EXPORTED."""
        return {k: self._here(v) for k, v in self.results["folders"]["datasets"].items()}

    @property
    def students(self) -> list[Student]:
        found = self.results["folders"]["students"]
        return [Student(name, name.partition("-")[0], self._here(folder)) for name, folder in found.items()]

    def labels(self, language: str) -> list[str]:
        """Labels of a language's dataset: those of its students, so that ids mean the same in data and models."""
        labels: list[str] = ["O"]
        for student in self.students:
            if student.language == language:
                told = json.loads((student.folder / "config.json").read_text(encoding="utf-8"))["id2label"]
                labels += told.values()
        return label_list(x[2:] for x in labels if x.startswith("B-"))

    def ledger(self) -> dict[str, Any]:
        """`total`, `by_language`, `cells` (see `projection.ledger`)."""
        return self._beside("ledger.json", next(iter(self.datasets.values())).parents[1])

    def summary(self, language: str) -> dict[str, Any]:
        """What was chosen of a language (see `projection.select`)."""
        return self._beside("summary.json", self.datasets[language].parent)

    def sets(self, language: str) -> dict[str, Any]:
        """Scores of zero-transfer and students on each evaluation set of a language, by name."""
        return {name: row for name, row in self.results.get("sets", {}).items() if row["language"] == language}

    def _beside(self, name: str, folder: Path) -> dict[str, Any]:
        return json.loads((folder / name).read_text(encoding="utf-8"))

    def _here(self, path: str) -> Path:
        return Moved(Path(self.results["out"]), self.out)(path)
