"""Checks whether the training data contains sentences of the evaluation sets.

Sentences are compared by their letters and digits, see `text/decontamination.py`. This finds copies, but no paraphrases and
no second translation of a source; the cards state this limit. The dataset stage already excludes such sentences, so the check
finds some only if an evaluation file changed after the dataset was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from xner_ray.results.run_results import RunResults
from xner_ray.text.conll import read_gold_file
from xner_ray.text.decontamination import sentence_keys
from xner_ray.text.sentence_keys import text_keys


@dataclass(frozen=True)
class ContaminationCheck:
    """The result for one evaluation set.

    Attributes:
        name: of the evaluation set.
        language: its language.
        sentences: gold sentences of the set; None if its file does not exist.
        in_dataset: those of the sentences that are in the dataset.
    """

    name: str
    language: str
    sentences: int | None
    in_dataset: int


def check_contamination(run: RunResults) -> list[ContaminationCheck]:
    """Check each evaluation set of a run against the dataset of its language."""
    dataset_keys: dict[str, np.ndarray] = {}
    checks = []
    for gold in run.config.evaluation:
        path, name = Path(run.config.fill(gold.path)), gold.name or Path(gold.path).name
        if gold.language not in run.datasets or not path.is_file():
            checks.append(ContaminationCheck(name, gold.language, None, 0))
            continue
        if gold.language not in dataset_keys:
            dataset_keys[gold.language] = _dataset_keys(run.datasets[gold.language])
        gold_keys = sentence_keys(read_gold_file(gold, path))
        in_dataset = int(np.isin(gold_keys, dataset_keys[gold.language]).sum())
        checks.append(ContaminationCheck(name, gold.language, len(gold_keys), in_dataset))
    return checks


def _dataset_keys(path: Path) -> np.ndarray:
    batches = pq.ParquetFile(path).iter_batches(65536, columns=["target"])
    return np.unique(np.concatenate([text_keys(batch.column("target"), nfkc=True) for batch in batches]))
