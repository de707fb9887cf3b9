"""Students that learn projected sentences of other languages, too."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xner_ray import schema
from xner_ray.config_file import load_config
from xner_ray.projection.export import export
from xner_ray.projection.ledger import Ledger
from xner_ray.runs.folders import open_stage
from xner_ray.stages.dataset import Dataset
from xner_ray.stages.pipeline import sample
from xner_ray.stages.student import students_of
from xner_ray.study.lane import LaneRun

TINY = Path(__file__).parents[2] / "configs" / "tiny.yaml"
TEXTS = {
    "de": ("In Bonn sind {} Leute.", 8),
    "nl": ("In Gent zijn {} mensen.", 6),
    "es": ("En Lugo hay {} personas.", 4),
}


def exported(language: str) -> pa.Table:
    text, n = TEXTS[language]
    span = {"start": 3, "end": 7, "type": "LOC", "score": 0.9}
    made = {
        "corpus": "c",
        "domain": "d",
        "language": language,
        "verdict": "kept",
        "entities": [span],
        "projections": [],
    }
    rows = [made | {"pair_id": i, "source": "x", "target": text.format(i), "spans": [span]} for i in range(n)]
    return export(
        pa.Table.from_pylist([dict.fromkeys(schema.JUDGED.names) | row for row in rows], schema=schema.JUDGED)
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function: the students of given neighbours, as their folders by language, and the lines that were told."""
    out = tmp_path_factory.mktemp("neighbours")
    train = {language: out / f"{language}.parquet" for language in TEXTS}
    for language, file in train.items():
        pq.write_table(exported(language), file)

    def students(neighbours: str, languages=tuple(TEXTS)):
        overrides = [f"out={out / 'run'}", "languages=[de, nl, es]", f"student.neighbours={neighbours}"]
        lines: list[str] = []
        run = LaneRun(load_config(TINY, overrides), lines.append, 1)
        sample(run)
        data = {language: train[language] for language in languages}
        run.results["dataset"] = Dataset(data, Ledger(), {}, open_stage(run.out, "judged", {"made": 1}))
        return {s.language: s.folder for s in students_of(run, languages)}, lines

    return students


def tokens(folder: Path) -> int:
    return json.loads((folder / "training.json").read_text())["tokens"]


def test_a_student_learns_its_neighbours_sentences(trained):
    alone, _ = trained("{}")
    along, lines = trained("{nl: [de]}")
    assert (along["de"], along["es"]) == (alone["de"], alone["es"]) and along["nl"] != alone["nl"]
    assert tokens(along["nl"]) == tokens(alone["nl"]) + tokens(alone["de"])
    assert [line for line in lines if line.startswith("[student de+nl] 14 sentences")]


def test_languages_with_the_same_neighbours_share_a_student(trained):
    along, lines = trained("{de: [nl], nl: [de]}")
    assert along["de"] == along["nl"] == trained("{nl: [de]}")[0]["nl"]
    assert not [line for line in lines if line.startswith("[student")]  # it is there already


def test_what_is_not_in_the_run(trained):
    alone, _ = trained("{}")
    assert trained("{nl: [de]}", ["nl"])[0] == {"nl": alone["nl"]}  # a study's task has one language's data
    others, lines = trained("{es: [fr, it]}")
    assert others == alone and "[student es] learns without fr and it, which this run leaves out" in lines
