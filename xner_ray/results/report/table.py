"""Terminal tables: the results of a run, the plan of a run, the scores of a model.

All functions take the dicts that are also written as JSON, so every number on the terminal is in a file, too.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xner_ray.pipeline.runner import StagePlan

MAX_REASONS = 4  # lines of a stage in the plan
METRICS = ("precision", "recall", "f1")
# Without frames a table fits 80 columns and can be pasted into an issue.
_PLAIN: dict[str, Any] = {"title_justify": "left", "caption_justify": "left", "box": None, "pad_edge": False}
_NO_SETS = (
    "No evaluation set, so the students have no scores. The key `evaluation` names gold of the target languages."
)
_NO_WRAP: dict[str, Any] = {"no_wrap": True, "overflow": "ignore"}  # keeps a command on one line, so it can be copied


def results_table(results: Mapping[str, Any], out: str | None = None) -> RenderableType:
    """What `xner run` prints at its end.

    Args:
        results: the content of results.json: `sets` (evaluation set -> language, zero_transfer, student, sentences), or
            without it `languages` (language -> the same of its first set). Both are empty without evaluation sets.
            `source_sets`, `ledger`, `seconds` and `folders` are optional.
        out: the run's output folder; None omits the next steps.
    """
    sets = results.get("sets") or results["languages"]
    parts: list[RenderableType] = [_gains(sets) if sets else Text(_NO_SETS)]
    parts += [Text(_teacher(name, row)) for name, row in results.get("source_sets", {}).items()]
    if _fits_temperature(results):
        parts.append(Text("The temperature is fitted on these sentences. On others the error can be larger."))
    if errors := [
        f"{name} {row['student']['ece']:.1f}" for name, row in sets.items() if row["student"].get("ece") is not None
    ]:
        parts.append(Text(f"Calibration error of the students in points: {', '.join(errors)}"))
    if not sets and not results.get("source_sets"):
        parts.append(Text("The teacher has no score. The key `dev` names gold of the source language."))
    if results.get("held_out_gold"):
        parts.append(
            Text(f"{results['held_out_gold']:,} gold sentences were excluded, because evaluation files contain them")
        )
    if results.get("ledger"):
        parts += ["", _ledger(results["ledger"])]
    if results.get("seconds"):
        parts += ["", _seconds(results["seconds"])]
    if out:
        parts += [Text(f"Output folder: {out}. These numbers: {out}/results.json."), _next_steps(results, out)]
    return Group(*parts)


def _gains(sets: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(title="Entity scores in percent, before (zero-transfer) and after (student)", **_PLAIN)
    for header in ("", "evaluation set"):
        table.add_column(header, vertical="bottom")
    has_text = all("text" in row["student"] for row in sets.values())  # results of older versions lack it
    if has_text:
        table.caption = "text: F1 of the student on raw text, as `xner tag` reads it"
    text_header = ("\ntext",) if has_text else ()
    for header in ("before\nP", "\nR", "\nF1", "after\nP", "\nR", "\nF1", *text_header, "\ngain", "sen-\ntences"):
        table.add_column(header, justify="right", no_wrap=True)
    for name, row in sets.items():
        before, after = row["zero_transfer"], row["student"]
        cells = [f"{side[metric]:.1f}" for side in (before, after) for metric in METRICS]
        if after.get("runs", 1) > 1:
            cells[-1] += f" ±{after['std']['f1']:.1f}"
        cells += [f"{after['text']['f1']:.1f}"] if has_text else []
        gain = _gain(after["f1"] - before["f1"])
        table.add_row(row.get("language", ""), Text(name), *cells, gain, f"{row['sentences']:,}")
    return table


def _teacher(name: str, row: Mapping[str, Any]) -> str:
    text = f", {row['text']['f1']:.1f} on raw text" if "text" in row else ""
    error = f"; calibration error {row['ece']:.1f} points" if row.get("ece") is not None else ""
    return f"Teacher on {name}: F1 {row['f1']:.1f}{text}{error}"


def _fits_temperature(results: Mapping[str, Any]) -> bool:
    """Whether a calibration error of the teacher is of the gold that its temperature was fitted on."""
    config = results.get("config", {})
    is_measured = any(row.get("ece") is not None for row in results.get("source_sets", {}).values())
    return is_measured and "teacher" in config and not config["teacher"].get("model")


def _gain(points: float) -> Text:
    shown = f"{points:+.1f}"
    return Text(shown, "bold green" if points >= 0.05 else "bold red" if points <= -0.05 else "dim")


def _ledger(ledger: Mapping[str, Any]) -> Group:
    outcomes = {"kept": ledger["kept"], "kept, no entity": ledger["kept_no_entity"]}
    outcomes |= {f"dropped: {reason}": n for reason, n in ledger.get("dropped", {}).items()}
    outcomes["quarantined"] = ledger["quarantined"]
    total = sum(outcomes.values())
    table = Table(title="Ledger of the projection", **_PLAIN)
    table.add_column("")
    table.add_column("pairs", justify="right")
    table.add_column("share", justify="right")
    table.add_row("read", f"{ledger['read']:,}", "")
    for name, n in outcomes.items():
        table.add_row(name, f"{n:,}", f"{100 * n / ledger['read']:.1f}%" if ledger["read"] else "")
    if total == ledger["read"]:
        verdict = Text("The ledger adds up: every pair that was read has one outcome.", "green")
    else:
        verdict = Text(
            f"The ledger does NOT add up: {total:,} of {ledger['read']:,} pairs have an outcome; please report this.",
            "bold red",
        )
    return Group(table, verdict)


def _seconds(seconds: Mapping[str, float]) -> Text:
    stages = {stage: s for stage, s in seconds.items() if stage != "total"}
    total = seconds.get("total", sum(stages.values()))
    return Text(f"Time: {', '.join(f'{k} {duration(s)}' for k, s in stages.items())}; total {duration(total)}.")


def duration(seconds: float) -> str:
    """`42 s`, `3 min 05 s`, `2 h 07 min`."""
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    return f"{s // 3600} h {s % 3600 // 60:02d} min"


def _next_steps(results: Mapping[str, Any], out: str) -> Text:
    languages = list(dict.fromkeys(name.partition("-")[0] for name in results.get("folders", {}).get("students", {})))
    folder = shlex.quote(str(out))
    lines = [f"Student of {language}: {out}/student/{language}/current\n" for language in languages]
    tag = (
        f"  xner tag --out {folder} --language {languages[0] if languages else 'CODE'} 'A sentence of its language.'\n"
    )
    score = f"  xner evaluate --out {folder} --language {languages[0] if languages else 'CODE'} --data GOLD.conll\n"
    if results.get("sets") or results.get("languages"):
        own = [
            ("  cp configs/demo.yaml mine.yaml  # remove `sample`, add your gold, corpora, evaluation\n", "cyan"),
            ("  xner plan mine.yaml data=DIR && xner run mine.yaml data=DIR", "cyan"),
        ]
        steps = "try a student, then run on your own data. README.md describes the file formats."
    else:
        own = [(score.rstrip("\n"), "cyan")]
        steps = "try a student, look at projected sentences, and measure a student on sentences that you label."
        own.insert(0, (f"  xner show {folder}\n", "cyan"))
    return Text.assemble("\n", *lines, f"\nNext steps: {steps}\n", (tag, "cyan"), *own, **_NO_WRAP)


def plan_table(stages: Iterable[StagePlan], out: str) -> Table:
    """The plan of a run.

    Args:
        stages: each stage with its work and state, see `pipeline.runner`.
        out: the run's output folder.
    """
    table = Table(title=f"Plan for {out}", **_PLAIN)
    table.add_column("stage", style="bold")
    table.add_column("work")
    table.add_column("state")
    for stage in stages:
        table.add_row(stage.stage, Text(stage.description), Text("\n".join(_state(stage))))
    return table


def _state(stage: StagePlan) -> list[str]:
    if stage.error is not None:
        return [f"error: {stage.error.problem}"]
    if stage.is_done:
        return ["done"]
    count = f"{stage.done} of {stage.total} done; " if stage.done and stage.total else ""
    shown = stage.reasons[:MAX_REASONS]
    more = [f"and {len(stage.reasons) - len(shown)} more"] if len(stage.reasons) > len(shown) else []
    return [f"{count}to do: {shown[0]}", *shown[1:], *more] if shown else [f"{count}to do"]


def scores_table(scores: Mapping[str, Any], title: str) -> Table:
    """Precision, recall, F1 and support, overall and by type.

    Args:
        scores: `precision`, `recall`, `f1`, `support` or `gold`, and optionally `types` and `sentences`.
        title: what was scored.
    """
    table = Table(title=f"{title}: entity scores in percent", **_PLAIN)
    table.add_column("type")
    for column in ("precision", "recall", "F1", "gold"):
        table.add_column(column, justify="right")
    rows = [*scores.get("types", {}).items(), ("all", scores)]
    for name, row in rows:
        support = row.get("support", row.get("gold", ""))
        table.add_row(name, *(f"{row[m]:.2f}" for m in METRICS), str(support))
    captions = [f"{scores['sentences']:,} sentences"] if "sentences" in scores else []
    if "text" in scores:
        captions.append(f"F1 {scores['text']['f1']:.2f} on raw text")
    if "pipeline" in scores:
        captions.append(f"F1 {scores['pipeline']['f1']:.2f} with transformers.pipeline")
    if scores.get("ece") is not None:
        captions.append(f"expected calibration error {scores['ece']:.1f} points")
    table.caption = ", ".join(captions) or None
    return table
