"""report.html: all results of a run in one file that any browser opens without a network.

Observable Plot and d3 draw the charts in the browser (`assets/vendor`, half a megabyte; Plotly would be five). The charts fit
the width, follow the light or dark theme through CSS, and keep their labels as text. Each chart has a table with its numbers,
which needs no script.

Text from corpora never becomes markup: Jinja escapes it, the JSON contains no `<`, and the scripts only create text nodes. A
content security policy allows these scripts alone, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray import schema
from xner_ray.corpora.sampling import BottomK, pair_hash, quotas
from xner_ray.results.report.examples import VERDICTS, example_from_quarantine, example_from_row
from xner_ray.results.report.filtered_rows import Cell, StratifiedSample, Tally, read_batches
from xner_ray.results.report.statistics import run_statistics
from xner_ray.results.run_results import RunResults
from xner_ray.storage.atomic import write_text
from xner_ray.text.cldr import display_name
from xner_ray.text.sentence_keys import splitmix64

EXAMPLES = 2000  # about a megabyte
SEED = 1
_SCRIPTS = ("vendor/d3.min.js", "vendor/d3-sankey.min.js", "vendor/plot.umd.min.js", "charts.js", "examples.js")

PairKey = tuple[str, str, int]  # language, corpus, pair id


def write_report(out: str | Path, examples: int = EXAMPLES) -> Path:
    """Write `report.html` into the output folder of a finished run, atomically.

    Args:
        out: the output folder.
        examples: about how many example pairs the page holds.

    Returns:
        the path of the file.

    Raises:
        UserError: the folder holds no finished run, or the file cannot be written.
    """
    run = RunResults.open(out)
    page = render_page(page_data(run, examples))
    write_text(run.out / "report.html", page)
    return run.out / "report.html"


def page_data(run: RunResults, examples: int = EXAMPLES) -> dict[str, Any]:
    """The data of the page, as JSON types.

    Args:
        run: a finished run.
        examples: about how many example pairs; each cell (language, corpus, verdict) gets its part.
    """
    tally, sample = Tally(), StratifiedSample(_sample_sizes(run, examples), SEED)
    for batch in read_batches(run.filtered_shards):
        tally.add(batch)
        sample.add(batch)
    rows = sample.rows()
    selected = pairs_in_training(rows, run.datasets.values())
    shown = [example_from_row(row, run.rules, pair_key(row) in selected) for row in rows]
    shown += _quarantined_examples(run.quarantine, max(1, examples // 10))
    return {
        **run_statistics(run, tally),
        "verdicts": VERDICTS,
        "examples": _shuffled(shown),
        "languages": {code: display_name(code) for code in run.datasets},
    }


def render_page(data: Mapping[str, Any]) -> str:
    """The HTML of `page_data`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("xner_ray.results.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    scripts = [_asset(name) for name in _SCRIPTS]
    hashes = " ".join(f"'sha256-{_sha256(text)}'" for text in scripts)
    return environment.get_template("report.html.j2").render(
        data=data,
        json_data=json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        style=_asset("report.css"),
        scripts=scripts,
        licenses=_asset("vendor/LICENSES"),
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src {hashes}; base-uri 'none'; form-action 'none'",
    )


def _asset(name: str) -> str:
    return (resources.files("xner_ray.results.report") / "assets" / name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _sample_sizes(run: RunResults, examples: int) -> dict[Cell, int]:
    """The number of examples of each cell: equal parts; what a small cell lacks goes to the others."""
    pairs = {
        (row["language"], row["corpus"], verdict): n
        for row in run.ledger["cells"]
        for verdict, n in row["counts"].items()
        if verdict in schema.VERDICTS
    }
    sizes = quotas({"\0".join(cell): n for cell, n in pairs.items()}, examples)
    return {cell: sizes["\0".join(cell)] for cell in pairs}


def pair_key(row: Mapping[str, Any]) -> PairKey:
    """The key that identifies a pair within a run."""
    return row["language"], row["corpus"], row["pair_id"]


def pairs_in_training(rows: Iterable[Mapping[str, Any]], files: Iterable[Path]) -> set[PairKey]:
    """The keys of those rows that are in a training file.

    Args:
        rows: filtered rows.
        files: training files.
    """
    ids_by_cell: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        ids_by_cell[row["language"], row["corpus"]].append(row["pair_id"])
    keys: set[PairKey] = set()
    for file in files:
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(columns=["language", "corpus", "pair_id"]):
                for (language, corpus), ids in ids_by_cell.items():
                    mask = pc.and_(pc.equal(batch["language"], language), pc.equal(batch["corpus"], corpus))
                    mask = pc.and_(mask, pc.is_in(batch["pair_id"], value_set=pa.array(ids, pa.int64())))
                    keys |= {(language, corpus, i) for i in batch["pair_id"].filter(mask).to_pylist()}
    return keys


def _quarantined_examples(files: Iterable[Path], most: int) -> list[dict[str, Any]]:
    """A sample of the pairs that ingest could not read."""
    sample = BottomK(most)
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                sample.add(pa.table(batch), pair_hash(SEED, str(path.parent), "", batch["pair_id"].to_numpy()))
    table = sample.result()
    return [example_from_quarantine(row) for row in table.to_pylist()] if table else []


def _shuffled(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The examples in a fixed random order, so that the first page shows all kinds."""
    order = np.argsort(splitmix64(np.arange(len(examples), dtype=np.uint64)))
    return [examples[i] for i in order]
