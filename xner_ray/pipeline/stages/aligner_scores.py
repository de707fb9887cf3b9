"""The score maps of the projector: both models run on pairs of the run's own text, and their agreement is counted."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray import schema

if TYPE_CHECKING:
    from xner_ray.alignment.projector import Projector

PAIRS_FILE = "score_pairs.parquet"  # beside the training data
MAX_PAIRS = 250  # with an entity, of each language


def choose_pairs(labeled: pa.Table, language: str) -> pa.Table:
    """The first pairs with an entity. The rows of a shard are in random order.

    Args:
        labeled: columns `source`, `target` and `entities`.
        language: of the targets.
    """
    has_entity = pc.greater(pc.list_value_length(labeled["entities"]), 0)
    pairs = labeled.select(["source", "target", "entities"]).filter(has_entity).slice(0, MAX_PAIRS)
    return pairs.append_column("language", pa.array([language] * len(pairs), pa.string()))


def write_pairs(tables: list[pa.Table], file: Path) -> None:
    """Write the pairs of all languages."""
    pq.write_table(pa.concat_tables(tables), file)


def fit_scores(folder: str, pairs: str, threads: int) -> dict[str, Any]:
    """Fit the score maps to pairs, and store them in the folder of a projector, in a worker.

    Args:
        folder: of the projector.
        pairs: file of `write_pairs`.
        threads: number of CPU threads.

    Returns:
        by language `names`, the number of names that were compared, `agreement`, the part on which both models agree, and
        `map`: whether the language has a map of its own.
    """
    import torch

    from xner_ray.alignment.projector import Projector
    from xner_ray.alignment.projector_file import add_score_maps
    from xner_ray.alignment.score_map import fit_score_maps
    from xner_ray.encoders.row_guard import without_failing_rows

    torch.set_num_threads(threads)
    projector, table = Projector.load(folder), pq.read_table(pairs)
    samples = {}
    for language in pc.unique(table["language"]).to_pylist():
        rows = table.filter(pc.equal(table["language"], language)).combine_chunks()
        run = partial(_agreement, projector, rows, language)
        samples[language] = without_failing_rows(run, rows.num_rows).result
    maps = fit_score_maps(samples)
    add_score_maps(folder, maps)
    return {
        x: {"names": len(agrees), "agreement": float(agrees.mean()), "map": x in maps}
        for x, (_, agrees) in samples.items()
        if len(agrees)
    }


def _agreement(
    projector: Projector, table: pa.Table, language: str, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    chosen = table.take(pa.array(rows))
    return projector.agreement(
        chosen.set_column(2, schema.ENTITIES, chosen["entities"].cast(schema.ENTITIES.type)), language
    )
