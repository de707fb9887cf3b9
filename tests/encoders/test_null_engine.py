"""The null engine: deterministic results that look like real ones, without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from xner_ray.alignment.projector import Projector
from xner_ray.config import RulesConfig
from xner_ray.encoders.ragged import Ragged, hstack
from xner_ray.encoders.testing.null import VERSION, NullEngine
from xner_ray.ner.label_table import label_table
from xner_ray.ner.tagger import Tagger
from xner_ray.projection.filters import assign_verdicts

SOURCE = "Anna Keller of the Ministry went to Vienna with {} colleagues on Monday"
TARGET = "Anna Keller vom Ministerium fuhr am Montag mit {} Kollegen nach Wien"


@pytest.fixture(scope="module")
def pairs() -> pa.Table:
    n = 400
    texts = {"source": [SOURCE.format(i) for i in range(n)], "target": [TARGET.format(i) for i in range(n)]}
    same = {k: [k] * n for k in ("corpus", "domain", "language")}
    return pa.table({**same, "pair_id": range(n), **texts, "corpus_score": pa.nulls(n, pa.float32())})


def results(pairs: pa.Table, folder: Path) -> pa.Table:
    labeled = label_table(Tagger.load_null(folder), pairs, "en")
    return labeled.append_column("projections", Projector.load_null(folder).project(labeled, "de"))


def test_results_look_like_those_of_a_model(pairs, tiny_encoder):
    table = results(pairs, tiny_encoder)
    assert 1.2 < len(table["entities"].combine_chunks().values) / len(table) < 2.2
    verdicts = set(
        assign_verdicts(table.append_column("fault", pa.nulls(len(table), pa.string())), RulesConfig())[
            "verdict"
        ].to_pylist()
    )
    assert verdicts >= {"kept", "kept_no_entity", "unmapped"}


def test_results_of_a_row_do_not_depend_on_other_rows(pairs, tiny_encoder):
    whole = results(pairs, tiny_encoder)
    assert results(pairs.slice(17, 5), tiny_encoder).equals(whole.slice(17, 5))


def test_inside_labels_are_in_the_target_and_probabilities_sum_to_one():
    query, target = Ragged.from_rows([[5, 6], [7]]), Ragged.from_rows([[8, 9, 10], [11, 12]])
    segment_ids = hstack([Ragged.from_rows([[0, 0], [0]]), Ragged.from_rows([[1, 1, 1], [1, 1]])])
    scores = NullEngine(np.ones(20, bool)).probabilities(hstack([query, target]), segment_ids)
    assert np.allclose(scores.sum(axis=1), 1)
    assert not (scores.argmax(axis=1).astype(bool) & (segment_ids.values == 0)).any()
    assert NullEngine(np.ones(20, bool)).probabilities(Ragged.from_rows([])).shape == (0, len(NullEngine.LABELS))


def test_results_belong_to_the_version():
    """A change of these labels needs another VERSION, because fingerprints of labeled shards hold it."""
    ids = Ragged.from_rows([list(range(4, 24)), [7, 9, 11], [30, 31, 32, 33, 34, 35]])
    segment_ids = Ragged((np.arange(len(ids.values)) % 5 > 1).astype(np.int32), ids.offsets)
    engine = NullEngine(np.arange(40) % 2 == 0)
    labels, inside = engine.probabilities(ids).argmax(axis=1), engine.probabilities(ids, segment_ids).argmax(axis=1)
    assert VERSION == 1
    assert {i: engine.LABELS[x] for i, x in enumerate(labels) if x} == {
        **dict.fromkeys([0, 4, 25], "B-PER"),
        **dict.fromkeys([6, 18], "B-LOC"),
    }
    assert np.flatnonzero(inside).tolist() == [9, 22, 27]


def test_null_models_import_no_torch(tiny_encoder):
    code = (
        "import sys; from xner_ray.ner.tagger import Tagger; from xner_ray.alignment.projector import Projector\n"
        "Tagger.load_null(sys.argv[1]), Projector.load_null(sys.argv[1])\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code, str(tiny_encoder)], env=env, check=True)
