"""Does the data that students learn from hold sentences that they are measured on?

Sentences are compared by their letters and digits alone (see `evaluation/decontamination.py`). That finds copies, not
paraphrases and not two translations of one source, and the cards say so. The dataset stage keeps them out, so this finds
some only where a dataset and its evaluation files no longer fit each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from xner_ray.evaluation.decontamination import keys_of, sentence_keys
from xner_ray.results.run_results import RunResults
from xner_ray.text.conll import read_gold_file


@dataclass(frozen=True)
class Overlap:
    """Gold sentences of an evaluation set that occur in the dataset. `sentences` is None where the file is not there now."""

    name: str
    language: str
    sentences: int | None
    found: int


def overlaps(run: RunResults) -> list[Overlap]:
    """One for each evaluation set of a run."""
    keys: dict[str, np.ndarray] = {}
    found = []
    for gold in run.config.evaluation:
        path, name = Path(run.config.fill(gold.path)), gold.name or Path(gold.path).name
        if gold.language not in run.datasets or not path.is_file():
            found.append(Overlap(name, gold.language, None, 0))
            continue
        if gold.language not in keys:
            keys[gold.language] = _dataset_keys(run.datasets[gold.language])
        mine = sentence_keys(read_gold_file(gold, path))
        found.append(Overlap(name, gold.language, len(mine), int(np.isin(mine, keys[gold.language]).sum())))
    return found


def _dataset_keys(path: Path) -> np.ndarray:
    batches = pq.ParquetFile(path).iter_batches(65536, columns=["target"])
    return np.unique(np.concatenate([keys_of(batch.column("target")) for batch in batches]))
