"""The numbers of the report equal plain counts over the shards; samples are bounded and contain every verdict."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.harness.finished_run import MARKUP, make_run, pair, pairs
from xner_ray import schema
from xner_ray.cli.main import app
from xner_ray.errors import UserError
from xner_ray.results.report.examples import example_from_row
from xner_ray.results.report.filtered_rows import RowFilter, Tally, read_batches, sample_rows
from xner_ray.results.report.page import page_data, write_report
from xner_ray.results.report.show import find_examples, render_examples
from xner_ray.results.run_results import RunResults


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return RunResults.open(make_run(tmp_path_factory.mktemp("run") / "out", pairs()))


@pytest.fixture(scope="module")
def data(run):
    return page_data(run)


@pytest.fixture(scope="module")
def rows(run):
    return [row for file in run.filtered_shards for row in pq.read_table(file).to_pylist()]


def test_tally_equals_a_plain_count(run, rows):
    tally = Tally()
    for batch in read_batches(run.filtered_shards):
        tally.add(batch)
    for column, counts in (("entities", tally.teacher), ("spans", tally.kept)):
        assert counts == Counter((r["language"], r["corpus"], e["type"]) for r in rows for e in r[column])
    for model, column in (("teacher", "entities"), ("aligner", "projections")):
        for kept in (True, False):
            elements = [x for r in rows if (r["verdict"] == schema.KEPT) == kept for x in r[column]]
            assert tally.scores[model, kept].sum() == len(elements)
    assert tally.scores["teacher", False][4] == 1, "the 0.2 of Oslo is below the threshold"


def test_every_verdict_has_examples(data):
    verdicts = {example["verdict"] for example in data["examples"]}
    assert verdicts == {*schema.DROPPED, schema.KEPT, schema.KEPT_NO_ENTITY}
    assert len(data["examples"]) == len(pairs()), "a small run is shown completely"


def test_sample_is_bounded_and_keeps_rare_verdicts(run):
    few = page_data(run, examples=20)["examples"]
    assert len(few) == 20
    assert {example["verdict"] for example in few} >= set(schema.DROPPED), "each has a share below 1/20"
    assert few == page_data(run, examples=20)["examples"]


def reason(data, number: int) -> str:
    return next(example["reason"] for example in data["examples"] if example["id"] == number)


def test_reasons_name_the_entities(data):
    assert reason(data, 1) == "Every entity is aligned."
    assert reason(data, 2).startswith("The teacher found no entity")
    assert reason(data, 3) == "Not found in the target: “Kit” (PER)."
    assert reason(data, 4) == "Aligned to different words: “Korea” (LOC) as “Korea”, “韩国”."
    assert reason(data, 5) == "Aligned to the same words: “AI Lab” (ORG) and “KI” (MISC)."
    assert reason(data, 6) == "Score below the threshold: “Oslo” (LOC) 0.20 by the teacher."


def test_surplus_projections_are_linked_to_the_last_mention():
    row = pair(1, "Rome, Rome, Rome", "Rom Rom", [("Rome", "LOC", 0.9)], [(0, "Rom", 0.9)])
    row["entities"] += [{"start": a, "end": a + 4, "type": "LOC", "score": 0.8} for a in (6, 12)]
    row["projections"] += [{"entity": 0, "start": 4, "end": 7, "score": 0.7}]
    shown = example_from_row({**row, "verdict": schema.KEPT}, {}, selected=True)
    assert shown["spans"] == [[0, 3, "LOC", 0.9], [4, 7, "LOC", 0.7]]
    assert shown["links"] == [[0, 0], [1, 1], [2, 1]], "in order; surplus mentions are linked to the last projection"
    assert shown["score"] == 0.7


def test_flow_sums_to_the_ledger(data, run):
    for name, links in data["flow"].items():
        read = run.ledger["total"]["read"] if name == "all" else run.ledger["by_language"][name]["read"]
        corpora = {row["name"] for row in data["corpora"]}
        assert sum(link["value"] for link in links if link["source"] in corpora) == read
        trained = sum(link["value"] for link in links if link["target"] == "training data")
        summaries = run.summaries.values() if name == "all" else [run.summaries[name]]
        assert trained == sum(summary["sentences"] for summary in summaries)
    assert data["ledger"]["adds_up"]


@pytest.mark.parametrize(
    ("row_filter", "numbers"),
    [
        (RowFilter(verdict="overlap"), {5}),
        (RowFilter(type="ORG"), {5}),
        (RowFilter(corpus="news", language="de", type="LOC"), {4, 6, 7}),
        (RowFilter(corpus="news", max_score=0.6), {4, 5, 6}),
        (RowFilter(corpus="news", min_score=0.9), {7}),
        (RowFilter(language="zh", corpus="news"), set()),
    ],
)
def test_row_filters(run, row_filter, numbers):
    rows, total = sample_rows(run.filtered_shards, row_filter, 100, 1)
    assert {row["pair_id"] for row in rows} == numbers and total == len(numbers)


def test_examples_show_nested_spans_and_reason(run):
    examples, total = find_examples(run.out, RowFilter(corpus="news", verdict="overlap"), 20, 1)
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render_examples(examples, total))
    text = console.export_text()
    assert "[AI Lab ORG 0.80] and [KI MISC 0.60]" in text and "[[KI MISC 0.80]-Labor ORG 0.90]" in text
    assert "Aligned to the same words" in text and "1 of 1 pairs" in text


def test_show_and_report_commands(run):
    shown = CliRunner().invoke(app, ["show", str(run.out), "--language", "zh", "-n", "3"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0 and "3 of 40 pairs; another --seed" in shown.stdout
    built = CliRunner().invoke(app, ["report", str(run.out), "--examples", "5"])
    assert built.exit_code == 0 and (run.out / "report.html").stat().st_size > 400_000
    for arguments in (["show", str(run.out), "--verdict", "odd"], ["report", str(run.out / "judged")]):
        assert CliRunner().invoke(app, arguments).exit_code == 2


def test_moved_run_gives_the_same_page(run, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(run.out, moved)
    moved_run = RunResults.open(moved)
    assert all(file.is_relative_to(moved) for file in moved_run.datasets.values())
    assert page_data(moved_run)["corpora"] == page_data(run)["corpora"]


def test_results_without_intervals_and_calibration_are_shown(tmp_path):
    row = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1, "types": {}, "sentences": 3}
    old = {"language": "de", "encoder": "x", "zero_transfer": row, "student": row, "sentences": 3, "seeds": [1]}
    out = make_run(tmp_path / "old", pairs()[:8], sets={"old": old}, source_sets={})
    results = json.loads((out / "results.json").read_text())
    for key in ("plan", "config", "made_with"):
        del results[key]
    (out / "results.json").write_text(json.dumps(results))
    assert "These results have no calibration" in write_report(out).read_text(encoding="utf-8")


def test_warnings_are_shown_without_the_folder_of_this_machine(tmp_path):
    out = make_run(tmp_path / "run", pairs()[:8])
    results = json.loads((out / "results.json").read_text())
    results["warnings"] = [f"a <b>loss</b>. The better model: {out}/teacher/f/model"]
    (out / "results.json").write_text(json.dumps(results))
    page = write_report(out).read_text(encoding="utf-8")
    assert (
        "Warning:</b> a &lt;b&gt;loss&lt;/b&gt;. The better model: teacher/f/model<" in page and str(out) not in page
    )


def test_corpus_text_is_escaped(run):
    page = write_report(run.out).read_text(encoding="utf-8")
    for part in ("<script>document", "</script> </script>", "<!-- <img", "<img"):
        assert part in MARKUP and part not in page
    assert page.count("<script>") == 5 and page.count("</script>") == 6


def test_missing_results_are_an_error(tmp_path):
    with pytest.raises(UserError, match=r"results\.json"):
        RunResults.open(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        RunResults.open(tmp_path / "nowhere")
