"""Tables of studies without a training: the results are artificial, the code is that of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from xner_ray.config import Config
from xner_ray.config.load import load_config
from xner_ray.workflows.study.config import load_study_config
from xner_ray.workflows.study.grid import Cell, cells, with_changes
from xner_ray.workflows.study.table import cell_rows, table_of

TINY = Path(__file__).parents[2] / "configs" / "tiny.yaml"
KEPT_SENTENCES = {"de": {"SampleNews": (3000, 1000), "SampleTalks": (800, 600)}, "zh": {"SampleNews": (50, 5)}}


def tiny(*overrides: str, study: str | None = None) -> Config:
    return load_study_config(study, TINY, overrides) if study else load_config(TINY, overrides)


def cell_result(cell: Cell, sentences: int = 1000) -> dict[str, Any]:
    """The result that `study_task.train_cell` writes, with an F1 that depends on setting, seed and type."""
    f1 = float(50 + len(cell.setting) + cell.seed)
    types = {
        kind: {"precision": f1 + i, "recall": f1, "f1": f1 + i / 2, "support": 10 + i}
        for i, kind in enumerate(("LOC", "ORG", "PER"))
    }
    scores = {"precision": f1, "recall": f1, "f1": f1, "support": 33, "types": types, "sentences": 20}
    data = {"sentences": sentences, "without_entity": 200, "entities": {"LOC": 700, "PER": 300}}
    is_zero_transfer = cell.changes.get("student.schedule") == "source_only"
    return {
        "data": None if is_zero_transfer else data,
        "sets": {f"{cell.language} news": scores, f"{cell.language} web": scores},
    }


def table(study: str, *overrides: str, kept_sentences=KEPT_SENTENCES) -> pa.Table:
    """The table of a study with artificial results."""
    config = tiny(*overrides)
    rows = []
    for cell in cells(study, config, kept_sentences):
        of_cell = with_changes(config, cell.changes)
        rows += cell_rows(study, cell, of_cell, cell_result(cell, of_cell.dataset.max_sentences))
    return table_of(rows)
