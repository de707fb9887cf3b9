"""The table of a study as Markdown tables in the form of the paper, with the paper's own results beside ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from xner_ray.results.export.markdown import escaped
from xner_ray.results.export.markdown import table as markdown
from xner_ray.workflows.study import paper_results as paper
from xner_ray.workflows.study.grid import ALL, ZERO_TRANSFER
from xner_ray.workflows.study.table import means, values

Rows = list[dict[str, Any]]


def _constants(table: pa.Table) -> str:
    """Return the encoder and the seeds, which are the same for the whole study."""
    encoders, seeds = values(table, "encoder"), sorted(values(table, "seed"))
    listed = ", ".join(f"`{x}`" for x in encoders)
    if len(seeds) == 1:
        return f"Encoder {listed}; seed {seeds[0]}.\n"
    return (
        f"Encoder {listed}; mean ± standard deviation over seeds {', '.join(map(str, seeds))}, if a row has several.\n"
    )


def _f1(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    return f"{row['f1']:.1f}" + (f" ± {row['f1_std']:.1f}" if row["f1_std"] is not None else "")


def _cell(rows: Rows, **keys: str) -> dict[str, Any] | None:
    return next((row for row in rows if all(row[k] == v for k, v in keys.items())), None)


def _ablation(table: pa.Table) -> list[str]:
    rows, parts = means(table), [_constants(table)]
    for language, name in _sets(table):
        german = language == "de"
        head = ["setting", "seeds", "sentences", "P", "R", "F1", *(["paper: P", "R", "F1"] if german else [])]
        lines = []
        for setting in values(table, "setting"):
            row = _cell(rows, setting=setting, eval_set=name, type=ALL)
            if row:
                line = [setting, row["seeds"], _integer(row["train_sentences"])]
                line += [f"{row['precision']:.1f}", f"{row['recall']:.1f}", _f1(row)]
                line += [f"{x:.1f}" for x in paper.ABLATION.get(setting, ())] if german else []
                lines.append(line)
        beside = " beside the paper's German test with mBERT" if german else ""
        parts += [f"{escaped(name)} ({language}){beside}:\n", markdown(head, lines) + "\n"]
    return parts


def _size(table: pa.Table) -> list[str]:
    rows, sets = means(table), [name for _, name in _sets(table)]
    sizes = sorted({row["setting"] for row in rows if row["setting"] != ZERO_TRANSFER}, key=int)
    lines = []
    for setting in [ZERO_TRANSFER, *sizes]:
        of_setting = [_cell(rows, setting=setting, eval_set=name, type=ALL) for name in sets]
        seeds = max(row["seeds"] for row in of_setting if row)
        lines.append([setting if setting == ZERO_TRANSFER else int(setting), seeds, *map(_f1, of_setting)])
    return [_constants(table), "F1:\n", markdown(["projected sentences", "seeds", *map(escaped, sets)], lines) + "\n"]


def _domain(table: pa.Table) -> list[str]:
    rows, parts = means(table), [_constants(table)]
    for language in values(table, "language"):
        sets = [name for other, name in _sets(table) if other == language]
        settings = [
            s for s in values(table, "setting") if any(_cell(rows, setting=s, eval_set=n, type=ALL) for n in sets)
        ]
        kinds = sorted({r["type"] for r in rows if r["eval_set"] in sets and r["type"] != ALL})
        lines = [_entities(rows, setting, sets[0], kinds) for setting in settings if setting != ZERO_TRANSFER]
        parts.append(f"{language}: entities in the training data; the paper's (Chinese) in parentheses:\n")
        parts.append(markdown(["domain", "sentences", *kinds, ALL], lines) + "\n")
        lines = [[s, *(_f1(_cell(rows, setting=s, eval_set=n, type=ALL)) for n in sets)] for s in settings]
        parts += [f"{language}: F1 by domain:\n", markdown(["domain", *map(escaped, sets)], lines) + "\n"]
        lines = [[s, *(_f1(_cell(rows, setting=s, eval_set=sets[0], type=k)) for k in kinds)] for s in settings]
        parts += [f"{language}: F1 by type on {escaped(sets[0])}:\n", markdown(["domain", *kinds], lines) + "\n"]
    return parts


def _entities(rows: Rows, setting: str, eval_set: str, kinds: list[str]) -> list[Any]:
    """Return a row of the paper's Table 2."""
    of_paper, line = paper.DOMAINS.get(setting, {}), [setting]
    for kind in [*kinds, ALL]:
        row = _cell(rows, setting=setting, eval_set=eval_set, type=kind)
        ours = "" if row is None else f"{row['train_entities']:,.0f}"
        line.append(ours + (f" ({of_paper[kind]:,})" if kind in of_paper else ""))
    all_types = _cell(rows, setting=setting, eval_set=eval_set, type=ALL)
    return [line[0], _integer(all_types["train_sentences"]) if all_types else "", *line[1:]]


def _loss(table: pa.Table) -> list[str]:
    rows, parts = means(table), [_constants(table)]
    cells = {(r["gamma"], r["frozen_layers"]): r["setting"] for r in table.to_pylist() if r["gamma"] is not None}
    gammas, frozen = (sorted({key[i] for key in cells}) for i in (0, 1))
    for language, name in _sets(table):
        zero = _cell(rows, setting=ZERO_TRANSFER, eval_set=name, type=ALL)
        lines = [
            [
                f"{n} frozen",
                *(_f1(_cell(rows, setting=cells.get((g, n), ""), eval_set=name, type=ALL)) for g in gammas),
            ]
            for n in frozen
        ]
        parts.append(f"{escaped(name)} ({language}), F1; zero-transfer {_f1(zero)}:\n")
        parts.append(markdown(["layers", *(f"gamma {g:g}" for g in gammas)], lines) + "\n")
    return parts


def _sets(table: pa.Table) -> list[tuple[str, str]]:
    """(language, evaluation set) in the order of the table."""
    return list(dict.fromkeys(zip(*(table.column(c).to_pylist() for c in ("language", "eval_set")), strict=True)))


def _integer(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}"


SECTIONS: dict[str, Callable[[pa.Table], list[str]]] = {
    "ablation": _ablation,
    "size": _size,
    "domain": _domain,
    "loss": _loss,
}
