"""report.html: everything that a run ended with in one file that opens anywhere, for ever, without a network.

Charts are drawn in the browser by Observable Plot and d3 (`page/vendor`, half a megabyte; Plotly would be five): they fit
the width, follow light and dark through CSS, and stay text that can be selected and read aloud. Each has its figures in a
table that needs no script. Text from corpora never becomes markup: Jinja escapes it, JSON holds no `<`, the scripts write
text nodes alone, and a content security policy lets nothing run but these scripts, by their hashes.
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
from xner_ray.corpora.sampling import BottomK, mix, pair_hash, quotas
from xner_ray.results.report.examples import VERDICTS, example, quarantined
from xner_ray.results.report.figures import figures
from xner_ray.results.report.rows import Cell, Sample, Tally, batches
from xner_ray.results.run_results import RunResults
from xner_ray.storage.atomic import write_text
from xner_ray.text.languages import display_name

EXAMPLES = 2000  # about a megabyte; the page says how many of how many
SEED = 1
_SCRIPTS = ("vendor/d3.min.js", "vendor/d3-sankey.min.js", "vendor/plot.umd.min.js", "charts.js", "examples.js")


def write_report(out: str | Path, examples: int = EXAMPLES) -> Path:
    """Write `report.html` into the output folder of a finished run, whole or not at all.

    Args:
        examples: about how many pairs its browser shows; every kind of pair gets its part.

    Raises:
        UserError: the folder holds no finished run, or cannot be written.
    """
    run = RunResults.open(out)
    page = render(page_data(run, examples))
    write_text(run.out / "report.html", page)
    return run.out / "report.html"


def page_data(run: RunResults, examples: int = EXAMPLES) -> dict[str, Any]:
    """All that the page shows, as JSON."""
    tally, sample = Tally(), Sample(_wanted(run, examples), SEED)
    for batch in batches(run.judged):
        tally.add(batch)
        sample.add(batch)
    rows = sample.rows()
    chosen = in_training(rows, run.datasets.values())
    shown = [example(row, run.rules, _key(row) in chosen) for row in rows]
    shown += _quarantined(run.quarantine, max(1, examples // 10))
    return {
        **figures(run, tally),
        "verdicts": VERDICTS,
        "examples": _mixed(shown),
        "languages": {code: display_name(code) for code in run.datasets},
    }


def render(data: Mapping[str, Any]) -> str:
    """The page of `page_data`."""
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


def _wanted(run: RunResults, examples: int) -> dict[Cell, int]:
    """How many examples of each (language, corpus, verdict): equal parts, and what a rare one lacks goes to the others."""
    there = {
        (row["language"], row["corpus"], verdict): n
        for row in run.ledger["cells"]
        for verdict, n in row["counts"].items()
        if verdict in schema.VERDICTS
    }
    parts = quotas({"\0".join(cell): n for cell, n in there.items()}, examples)
    return {cell: parts["\0".join(cell)] for cell in there}


def _key(row: Mapping[str, Any]) -> tuple[str, str, int]:
    return row["language"], row["corpus"], row["pair_id"]


def in_training(rows: Iterable[Mapping[str, Any]], files: Iterable[Path]) -> set[tuple[str, str, int]]:
    """Which of the rows are in a training file, by language, corpus and id."""
    asked: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        asked[row["language"], row["corpus"]].append(row["pair_id"])
    found: set[tuple[str, str, int]] = set()
    for file in files:
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(columns=["language", "corpus", "pair_id"]):
                for (language, corpus), ids in asked.items():
                    mine = pc.and_(pc.equal(batch["language"], language), pc.equal(batch["corpus"], corpus))
                    mine = pc.and_(mine, pc.is_in(batch["pair_id"], value_set=pa.array(ids, pa.int64())))
                    found |= {(language, corpus, i) for i in batch["pair_id"].filter(mine).to_pylist()}
    return found


def _quarantined(files: Iterable[Path], most: int) -> list[dict[str, Any]]:
    """Some of the pairs that ingest could not read."""
    pool = BottomK(most)
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                pool.add(pa.table(batch), pair_hash(SEED, str(path.parent), "", batch["pair_id"].to_numpy()))
    table = pool.result()
    return [quarantined(row) for row in table.to_pylist()] if table else []


def _mixed(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In a fixed order without meaning, so that the first page shows all kinds."""
    order = np.argsort(mix(np.arange(len(examples), dtype=np.uint64)))
    return [examples[i] for i in order]
