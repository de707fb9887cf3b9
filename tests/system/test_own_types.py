"""Own types with general text beside: the teacher labels what is no entity there, and the run says so and names the remedy.

The teacher is trained on 330 sentences about dishes and chefs. The first run labels general text, too. The second one has the
threshold that the first one names. Of 200 general pairs, 158 are kept with labels without a threshold, and 12 with 0.92.
Both runs take two minutes on one core.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.harness.local_run import run_here
from tests.harness.own_types import GENERAL, OWN, write_own_types
from xner_ray.config.load import load_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CONFIG = """
name: own types
out: out
data: DIR
seed: 2
languages: [de]
gold: [{path: "{data}/train.conll"}]
dev: [{path: "{data}/dev.conll", name: english}]
corpora:
  - {name: Kitchen, format: tsv, path: "{data}/Kitchen.tsv"}
  - {name: General, format: tsv, path: "{data}/General.tsv"}
teacher:
  training: {epochs: 2, learning_rate: 3.0e-4, loss: focal, tokens_per_step: 192}
aligner:
  num_examples: 40
  similarity_weight: 1
student:
  seeds: [2]
  training: {epochs: 2, learning_rate: 1.5e-4, loss: reweighted, gamma: 4, num_frozen_layers: 3, tokens_per_step: 192}
evaluation:
  - {name: kitchen, language: de, path: "{data}/de.conll"}
  - {name: mixed, language: de, path: "{data}/mixed.conll"}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Results and log lines of a run, and of a second one with the threshold that the first one names."""
    data = tmp_path_factory.mktemp("own")
    write_own_types(data, "2")
    file = data / "config.yaml"
    file.write_text(CONFIG, encoding="utf-8")
    done: list[tuple[dict[str, Any], list[str]]] = []
    remedy: list[str] = []
    for _ in range(2):
        lines: list[str] = []
        config = load_config(file, [f"out={data / 'out'}", f"data={data}", *remedy])
        done.append((run_here(config, lines.append), lines))
        remedy = re.findall(r"rules\.min_entity_score=[\d.]+", " ".join(_label_warnings(lines)))
        assert len(remedy) <= 1
    return done


def _label_warnings(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("[label] warning")]


def _labeled_pairs(results: dict[str, Any], corpus: str) -> int:
    """The number of pairs of a corpus that are kept with labels."""
    shards = Path(results["folders"]["filtered"]).rglob("*.parquet")
    rows = [row for file in shards for row in pq.read_table(file, columns=["corpus", "spans"]).to_pylist()]
    return sum(row["corpus"] == corpus and bool(row["spans"]) for row in rows)


def test_the_run_names_the_general_corpus_and_a_threshold(runs):
    (_, before), (_, after) = runs
    (line,) = _label_warnings(before)
    assert f"de, {GENERAL}: " in line and OWN not in line
    assert "entities in a sentence" in line and "rules.min_entity_score=0." in line
    assert not _label_warnings(after)


def test_the_threshold_drops_wrong_labels_and_keeps_the_own_ones(runs):
    (before, _), (after, _) = runs
    assert _labeled_pairs(before, GENERAL) > 120  # of 200: there is something to remedy
    assert _labeled_pairs(after, GENERAL) < 25
    assert _labeled_pairs(after, OWN) >= 0.95 * _labeled_pairs(before, OWN) > 90


def test_the_student_of_the_second_run_is_better_where_general_text_is(runs):
    """Labels in general text count as errors in the set `mixed`."""
    before, after = (results["sets"]["mixed"] for results, _ in runs)
    assert after["student"]["f1"] > before["student"]["f1"] + 3
    assert after["student"]["f1"] > after["zero_transfer"]["f1"]


def test_each_student_below_zero_transfer_is_a_warning_with_the_better_model(runs):
    for results, lines in runs:
        for name, row in results["sets"].items():
            warned = [line for line in lines if f"below zero-transfer on {name} " in line]
            assert len(warned) == (row["student"]["f1"] < row["zero_transfer"]["f1"])
            for line in warned:
                assert line.endswith(results["folders"]["source_models"]["source"])
                assert line.removeprefix("[evaluate] warning: ") in results["warnings"]
