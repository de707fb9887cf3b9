"""Does the data that students learn from hold sentences that they are measured on?

Sentences are compared by their letters and digits alone (see `split.text_keys`). That finds copies, not paraphrases and not
two translations of one source, and the cards say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xner_ray.evaluation.conll import read_conll
from xner_ray.export.finished import Finished
from xner_ray.export.split import text_keys


@dataclass(frozen=True)
class Overlap:
    """Gold sentences of an evaluation set that occur in the dataset. `sentences` is None where the file is not there now."""

    name: str
    language: str
    sentences: int | None
    found: int


def overlaps(run: Finished) -> list[Overlap]:
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
        texts = [s.raw()[0] for s in read_conll(path, gold.language, gold.tag_map, gold.types)]
        mine = text_keys(pa.array(texts, pa.string()))
        found.append(Overlap(name, gold.language, len(texts), int(np.isin(mine, keys[gold.language]).sum())))
    return found


def _dataset_keys(path: Path) -> np.ndarray:
    batches = pq.ParquetFile(path).iter_batches(65536, columns=["target"])
    return np.unique(np.concatenate([text_keys(batch.column("target")) for batch in batches]))
