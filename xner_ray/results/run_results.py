"""The results of a finished run, as reports and exports read them. Only this module knows which file holds which result.

An output folder also holds the results of older configs, so nothing is searched for. results.json names the datasets and models,
and the parts.json of each folder names the folder that it was made from. So reports and exports use what the last finished run
made. They also work in an output folder that was moved or copied. Each file is read on first use: an export needs no
filtered shards, and a report no students.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from xner_ray.config import Config
from xner_ray.corpora.ingest_report import quarantine_files
from xner_ray.errors import UserError
from xner_ray.observability.work_log import read_work
from xner_ray.storage.output_dir import check_format
from xner_ray.storage.shard_store import ShardStore
from xner_ray.storage.stage_dir import check_contents
from xner_ray.text.tags import label_list

CURRENT = "current"  # below OUT/student/LANGUAGE: a link to the student of the last run
RERUN = "run `xner run CONFIG` to its end; finished stages are skipped"


@dataclass(frozen=True)
class Student:
    """A student of a finished run.

    Attributes:
        name: language, then encoder and seed if there are several.
        language: the target language.
        folder: the folder of the model.
    """

    name: str
    language: str
    folder: Path


def find_student(out: str | Path, language: str | None) -> Path:
    """The student of a run: of several encoders and seeds the first one.

    Args:
        out: the output folder of the run.
        language: of the student; None: there is one language.

    Raises:
        UserError: there is no such student, or `language` is None and there are students of several languages.
    """
    out = Path(out)
    check_format(out)
    found = {p.parent.name: p.resolve() for p in sorted(out.glob(f"student/*/{CURRENT}"))}
    if (out / "results.json").is_file():  # a file system without symlinks has no links to students
        for student in RunResults.open(out).students:
            found.setdefault(student.language, student.folder)
    if not found:
        problem = "holds no student" if out.is_dir() else "no such folder"
        raise UserError(problem, file=out, key="--out", remedy="train one with `xner run CONFIG`, or give --model DIR")
    listed = ", ".join(found)
    if language is None and len(found) > 1:
        remedy = f"add --language {next(iter(found))}"
        raise UserError(f"has students of several languages: {listed}", file=out, key="--language", remedy=remedy)
    if language is not None and language not in found:
        raise UserError(f"has no student of {language}", file=out, key="--language", remedy=f"it has {listed}")
    return found[language or next(iter(found))]


class _Folders(BaseModel):
    students: dict[str, str]
    datasets: dict[str, str]


class _Results(BaseModel):
    """What reports and exports need of results.json."""

    config: dict[str, Any] = {}
    folders: _Folders


@dataclass(frozen=True)
class RunResults:
    """The results of a finished run. Each property raises a `UserError` if its file is missing or damaged.

    Args:
        out: the output folder, at its present path.
        results: the content of results.json.
    """

    out: Path
    results: dict[str, Any]

    @classmethod
    def open(cls, out: str | Path) -> RunResults:
        """Read `out/results.json`.

        Args:
            out: the output folder of a finished run.

        Raises:
            UserError: the file is missing or damaged, or another version wrote the folder.
        """
        out = Path(out).absolute()
        if not (out / "results.json").is_file():
            problem = "holds no results.json of a finished run" if out.is_dir() else "no such folder"
            raise UserError(problem, file=out, key="OUT", remedy=RERUN)
        check_format(out)
        results = _read(out / "results.json")
        try:
            _Results.model_validate(results)
        except ValidationError as e:
            first = e.errors()[0]
            problem, key = (
                f"is not the file of a finished run: {first['msg']}",
                ".".join(map(str, first["loc"])) or None,
            )
            raise UserError(problem, file=out / "results.json", key=key, remedy=RERUN) from e
        return cls(out, results)

    @cached_property
    def config(self) -> Config:
        """The config of the run.

        Raises:
            UserError: another version wrote the results, and this version cannot read their config.
        """
        try:
            config = Config.model_validate(self.results.get("config"))
        except ValidationError as e:
            keys = ", ".join(sorted({".".join(map(str, error["loc"])) or "config" for error in e.errors()}))
            problem = f"another version of xner wrote the config of this run: {keys}"
            raise UserError(problem, file=self.out / "results.json", remedy=RERUN) from e
        return config.model_copy(update={"out": str(self.out)})

    @cached_property
    def datasets(self) -> dict[str, Path]:
        """The training file of each language: schema.EXPORTED."""
        return {x: self._checked(self._relocated(path)) for x, path in self.results["folders"]["datasets"].items()}

    @cached_property
    def students(self) -> list[Student]:
        """All students, in the order of results.json."""
        folders = self.results["folders"]["students"]
        return [Student(x, x.partition("-")[0], self._checked(self._relocated(path))) for x, path in folders.items()]

    def labels(self, language: str) -> list[str]:
        """The labels of a language's dataset, in the order of their ids. They equal those of the language's students."""
        labels: list[str] = ["O"]
        for student in self.students:
            if student.language == language:
                labels += _read(student.folder / "config.json")["id2label"].values()
        return label_list(x[2:] for x in labels if x.startswith("B-"))

    def entity_types(self) -> list[str]:
        """The types of all source models and students, sorted."""
        folders = [self._relocated(path) for path in self.results["folders"].get("source_models", {}).values()]
        folders += [student.folder for student in self.students]
        labels = [_read(folder / "config.json")["id2label"].values() for folder in folders if folder.is_dir()]
        return sorted({label[2:] for row in labels for label in row if label != "O"})

    def sets(self, language: str) -> dict[str, Any]:
        """The scores of zero-transfer and students on each evaluation set of a language, by the name of the set."""
        return {name: row for name, row in self.results.get("sets", {}).items() if row["language"] == language}

    @cached_property
    def ledger(self) -> dict[str, Any]:
        """`total`, `by_language`, `cells` (see `projection.ledger`)."""
        return _read(self._filtered / "ledger.json")

    @cached_property
    def summaries(self) -> dict[str, dict[str, Any]]:
        """The summary of each language's training sentences, see `projection.sentence_sampling.sample_sentences`."""
        return {language: _read(path.with_name("summary.json")) for language, path in self.datasets.items()}

    @cached_property
    def filtered_shards(self) -> list[str]:
        """The files of the filtered shards, which were compared with their hashes."""
        shards: dict[str, str] = {}
        for file in self.datasets.values():
            shards |= _read(file.with_name("parts.json"))["shards"]
        return ShardStore(self._filtered).files(shards)

    @cached_property
    def rules(self) -> dict[str, Any]:
        """The rules of the filters."""
        return _read(self._filtered / "parts.json")["rules"]

    @cached_property
    def quarantine(self) -> list[Path]:
        """The files of pairs that ingest could not read."""
        return [file for shards in self._ingest for file in quarantine_files(shards)]

    @cached_property
    def trainings(self) -> dict[str, dict[str, Any]]:
        """The training.json of each model that still exists, by the model's name in the output of the run."""
        folders = self.results["folders"]
        models = dict(folders.get("source_models", {}))  # missing in older results
        models |= {"aligner": folders["aligner"]} if "aligner" in folders else {}
        models |= {f"student {name}": path for name, path in folders["students"].items()}
        files = {name: self._relocated(path) / "training.json" for name, path in models.items()}
        return {name: _read(file) for name, file in files.items() if file.exists()}

    @cached_property
    def work(self) -> list[dict[str, Any]]:
        """The lines of the work log that belong to the folders of these results."""
        label = _read(self._filtered / "parts.json")["label"]
        ingest = [p.name if (p / "collection.json").exists() else p.parent.name for p in self._ingest]
        folders = {self._filtered.name, label, "scores", *ingest}
        return [row for row in read_work(self.out) if row["of"] in folders]

    @property
    def _filtered(self) -> Path:
        """The directory of the stage `filter`."""
        return self._relocated(self.results["folders"]["filtered"])

    @property
    def _ingest(self) -> list[Path]:
        """The folder of each language's ingested shards; the work log names its parent."""
        return [self._relocated(path) for path in self.results["folders"].get("ingest", {}).values()]

    def _checked(self, path: Path) -> Path:
        """A file or folder of a stage directory. Raises: UserError if the directory was changed after its commit."""
        check_contents(path.parent)
        return path

    def _relocated(self, path: str) -> Path:
        """A path of results.json in the present output folder. Paths outside of the output folder stay the same."""
        old = Path(self.results["out"])
        return self.out / Path(path).relative_to(old) if Path(path).is_relative_to(old) else Path(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise UserError(f"cannot be read: {e.strerror}", file=path, remedy=RERUN) from e
    except ValueError as e:
        raise UserError(f"is damaged: {e}", file=path, remedy=RERUN) from e
