"""Records the results of finished runs, and compares two records. A redesign must not change them.

    python -m tests.harness.record_results record --run demo=OUT --run tiny=OUT \\
        --parallel DIR/europarl-dev --parallel DIR/sample --work DIR --out record.json
    python -m tests.harness.record_results compare OLD.json NEW.json [--rename old_column=new_column ...]

A record contains, for each finished run, the scores, the ledger, and a digest of every column of its tables. For each parallel
file pair it contains the spans of `xner project`. This module does not import xner_ray: it reads the outputs as files and runs
the command as a process. The constants below are the names that a redesign may change.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

# Names in the outputs. Of several names in a tuple, the first existing one is used. Add a new name after the old one.
RESULTS = "results.json"
SETS = ("sets", "languages")
SCORED = {"zero_transfer": ("zero_transfer",), "student": ("student",)}
SCORES = ("precision", "recall", "f1")
LEDGER_FILE, LEDGER_CELLS, LEDGER_LANGUAGES = "ledger.json", ("cells",), ("by_language",)
ALIGNER = ("aligner",)  # in `folders` of results.json
TABLES = {"training": ("ner_tags",), "judged": ("verdict",), "labelled": ("projections",), "pairs": ("source",)}
TABLE_KEY = (("language",), ("corpus",), ("pair_id",))  # of a table's first row: its name in the record
MANIFESTS, MANIFEST_FILE = "manifest/*.json", ("file",)  # beside judged and labelled shards
COMMITTED = ("judged", "labelled")

Record = dict[str, Any]


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def first_of(names: Sequence[str], existing: Iterable[str]) -> str:
    """The first of `names` that is in `existing`.

    Raises:
        SystemExit: none of them is.
    """
    if matches := [name for name in names if name in existing]:
        return matches[0]
    raise SystemExit(f"none of {', '.join(names)} is in {', '.join(existing)}: add the new name to the table of names")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def columns_of(table: pa.Table) -> dict[str, list[Any]]:
    """Values of each column. A list of structs becomes one column per field, `column.field`."""
    columns: dict[str, list[Any]] = {}
    for field in table.schema:
        values = table.column(field.name).to_pylist()
        if pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
            for part in field.type.value_type:
                rows = [None if row is None else [item and item[part.name] for item in row] for row in values]
                columns[f"{field.name}.{part.name}"] = rows
        else:
            columns[field.name] = values
    return columns


def record_table(file: Path) -> Record:
    """Number of rows, and two digests of each column: one of the values in order, and one that does not depend on the order."""
    table = pq.ParquetFile(file).read()
    columns = {
        name: {"digest": digest(values), "digest_in_any_order": digest(sorted(map(digest, values)))}
        for name, values in columns_of(table).items()
    }
    return {"rows": table.num_rows, "columns": columns}


def tables_in(out: Path) -> Iterator[tuple[str, str, Path]]:
    """Kind, name and file of each table of a run; the kind follows from the columns, the name from the first row."""
    seen: dict[tuple[str, str], Path] = {}
    for file in sorted(out.rglob("*.parquet")):
        columns = pq.read_schema(file).names
        kind = next((kind for kind, names in TABLES.items() if set(names) & set(columns)), None)
        if kind is None or (kind in COMMITTED and file.name not in committed_files(file.parent)):
            continue
        row = pq.ParquetFile(file).read().slice(0, 1).to_pylist()
        name = "/".join(str(row[0][first_of(names, columns)]) for names in TABLE_KEY) if row else "empty"
        if (kind, name) in seen:
            raise SystemExit(f"{file} and {seen[kind, name]} begin with the same row: is this folder of one run?")
        seen[kind, name] = file
        yield kind, name, file


def committed_files(folder: Path) -> set[str]:
    """Names of the files that the manifests of a shard folder name."""
    manifests = [read_json(path) for path in folder.glob(MANIFESTS)]
    if not manifests:
        raise SystemExit(f"no {MANIFESTS} in {folder}: correct MANIFESTS in the table of names")
    return {manifest[first_of(MANIFEST_FILE, manifest)] for manifest in manifests}


def record_run(out: Path) -> Record:
    """Scores, ledger and tables of a finished run."""
    results = read_json(out / RESULTS)
    sets = results[first_of(SETS, results)]
    scores = {
        name: {
            model_name: {score: row[first_of(names, row)][score] for score in SCORES}
            for model_name, names in SCORED.items()
        }
        for name, row in sets.items()
    }
    files = list(out.rglob(LEDGER_FILE))
    if len(files) != 1:
        raise SystemExit(f"{len(files)} files {LEDGER_FILE} in {out}, not one: use a new folder for each run")
    ledger_json = read_json(files[0])
    cells = {f"{cell['language']}/{cell['corpus']}": cell for cell in ledger_json[first_of(LEDGER_CELLS, ledger_json)]}
    ledger = {
        "total": results["ledger"],
        "by_language": ledger_json[first_of(LEDGER_LANGUAGES, ledger_json)],
        "cells": cells,
    }
    tables: Record = {}
    for kind, name, file in tables_in(out):
        tables.setdefault(kind, {})[name] = record_table(file)
    return {"scores": scores, "ledger": ledger, "tables": tables}


def aligner_of(out: Path) -> Path:
    """The aligner of a finished run, also after the folder was moved. A folder without results is itself an aligner."""
    if not (out / RESULTS).exists():
        return out
    results = read_json(out / RESULTS)
    path = Path(results["folders"][first_of(ALIGNER, results["folders"])])
    old = Path(results["out"])
    return out / path.relative_to(old) if path.is_relative_to(old) else path


def spans_in(file: Path) -> list[list[Any]]:
    """Spans of a BIO2 file: sentence, first token, end token, type. Numbers start at 0; the end is exclusive."""
    spans: list[list[Any]] = []
    sentence = token = 0
    for line in file.read_text(encoding="utf-8").split("\n"):
        if not line:
            sentence, token = sentence + 1, 0
            continue
        prefix, _, kind = line.split("\t")[-1].partition("-")
        if prefix == "B":
            spans.append([sentence, token, token + 1, kind])
        elif prefix == "I":
            spans[-1][2] = token + 1
        token += 1
    return spans


def record_projection(command: Sequence[str], model: Path, prefix: str, languages: str, work: Path) -> Record:
    """The spans of `xner project` from PREFIX.en.conll to each existing PREFIX.LANGUAGE.conll.

    Args:
        command: command line of `xner`.
        model: the aligner's folder.
        prefix: path of the files without language and suffix.
        languages: of the targets, ISO 639-1, separated by commas.
        work: folder for the outputs.
    """
    projections: Record = {}
    source = Path(f"{prefix}.en.conll")
    for language in languages.split(","):
        target = Path(f"{prefix}.{language}.conll")
        if not target.exists():
            continue
        out, scores_file = work / target.name, work / f"{target.name}.json"
        options = {"--model": model, "--source": source, "--target": target, "--language": language}
        options |= {"--out": out, "--json": scores_file}
        subprocess.run([*command, "project", *(str(x) for pair in options.items() for x in pair)], check=True)
        scores = read_json(scores_file)
        projections[target.name] = {
            "file": hashlib.sha256(out.read_bytes()).hexdigest(),
            "scores": {score: scores[score] for score in SCORES},
            "spans": spans_in(out),
        }
    if not projections:
        raise SystemExit(f"no {prefix}.XX.conll, XX one of {languages}")
    return projections


def renamed(name: str, names: dict[str, str]) -> str:
    """The new name of a column. Fields of a renamed column are renamed too: `old.field` becomes `new.field`."""
    column, dot, field = name.partition(".")
    return names.get(name) or names.get(column, column) + dot + field


def differences(old: Any, new: Any, names: dict[str, str], at: str = "") -> tuple[int, list[str]]:
    """The number of compared values, and a line for each difference.

    Args:
        old, new: records or parts of them.
        names: old and new names of columns.
        at: path of this part in the record.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        if at.endswith("/columns"):
            old = {renamed(key, names): value for key, value in old.items()}
        lines = [f"missing: {at}/{key}" for key in old if key not in new]
        lines += [f"new: {at}/{key}" for key in new if key not in old]
        parts = [differences(old[key], new[key], names, f"{at}/{key}") for key in old if key in new]
        return sum(n for n, _ in parts) + len(lines), lines + [line for _, part in parts for line in part]
    if isinstance(old, list) and isinstance(new, list):
        before, after = Counter(map(json.dumps, old)), Counter(map(json.dumps, new))
        lines = [f"missing: {at} {item}" for item in (before - after).elements()]
        lines += [f"new: {at} {item}" for item in (after - before).elements()]
        if not lines and old != new:
            lines = [f"another order: {at}"]
        return len(old), lines
    return 1, [] if old == new else [f"changed: {at}: {json.dumps(old)} -> {json.dumps(new)}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 where records differ."""
    args = _parser().parse_args(arguments)
    if args.mode == "record":
        args.work.mkdir(parents=True, exist_ok=True)
        record: Record = {"projections": {}}
        outs = {name: Path(out) for name, _, out in (run.partition("=") for run in args.run)}
        record["runs"] = {name: record_run(out) for name, out in outs.items()}
        command, aligner = shlex.split(args.xner), aligner_of(args.aligner or next(iter(outs.values())))
        for prefix in args.parallel:
            record["projections"] |= record_projection(command, aligner, prefix, args.languages, args.work)
        args.out.write_text(json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        count, _ = differences(record, record, {})
        print(f"{count} values recorded in {args.out}")
        return 0
    names = dict(pair.split("=", 1) for pair in args.rename)
    count, lines = differences(read_json(args.old), read_json(args.new), names)
    print("\n".join([*lines, f"{count} values compared, {len(lines)} differences"]))
    return 1 if lines else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    add = modes.add_parser("record", help="write the results of finished runs to one JSON file").add_argument
    add("--run", action="append", required=True, metavar="NAME=OUT", help="a finished run; repeatable")
    add(
        "--aligner",
        type=Path,
        metavar="DIR",
        help="folder of an aligner, or of a run with one; default: the first run",
    )
    add(
        "--parallel",
        action="append",
        default=[],
        metavar="PREFIX",
        help="prefix of PREFIX.en.conll and PREFIX.XX.conll; repeatable",
    )
    add("--languages", default="de,es,nl,zh", metavar="XX,...", help="target languages of the parallel files")
    add("--work", type=Path, default=Path("out/record"), metavar="DIR", help="folder for the output of `xner project`")
    add("--xner", default=f"{sys.executable} -m xner_ray.cli", metavar="COMMAND", help="command line of xner")
    add("--out", type=Path, required=True, metavar="FILE.json")
    add = modes.add_parser("compare", help="print every difference of two records").add_argument
    add("old", type=Path)
    add("new", type=Path)
    add("--rename", nargs="+", action="extend", default=[], metavar="OLD=NEW", help="columns, or column.field")
    return parser


if __name__ == "__main__":
    sys.exit(main())
