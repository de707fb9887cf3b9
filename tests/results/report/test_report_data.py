"""What the report tells is what the shards hold: counts against a plain count, samples that are bounded and fair."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.harness.finished_run import EVIL, make_run, pair, pairs
from xner_ray import schema
from xner_ray.cli.main import app
from xner_ray.errors import UserError
from xner_ray.results.report.examples import example
from xner_ray.results.report.page import page_data, write_report
from xner_ray.results.report.rows import Filter, Tally, batches, find
from xner_ray.results.report.show import examples_of, examples_text
from xner_ray.results.run_results import RunResults


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return RunResults.open(make_run(tmp_path_factory.mktemp("run") / "out", pairs()))


@pytest.fixture(scope="module")
def data(run):
    return page_data(run)


@pytest.fixture(scope="module")
def rows(run):
    return [row for file in run.judged for row in pq.read_table(file).to_pylist()]


def test_counts(run, rows):
    tally = Tally()
    for batch in batches(run.judged):
        tally.add(batch)
    for column, counts in (("entities", tally.found), ("spans", tally.kept)):
        assert counts == Counter((r["language"], r["corpus"], e["type"]) for r in rows for e in r[column])
    for model, column in (("teacher", "entities"), ("aligner", "projections")):
        for kept in (True, False):
            here = [x for r in rows if (r["verdict"] == schema.KEPT) == kept for x in r[column]]
            assert tally.scores[model, kept].sum() == len(here)
    assert tally.scores["teacher", False][4] == 1, "the 0.2 of Oslo, which is below the threshold"


def test_every_verdict_has_examples(data):
    verdicts = {one["verdict"] for one in data["examples"]}
    assert verdicts == {*schema.DROPPED, schema.KEPT, schema.KEPT_NO_ENTITY}
    assert len(data["examples"]) == len(pairs()), "a small run is shown whole"


def test_a_sample_is_bounded_and_keeps_the_rare(run):
    few = page_data(run, examples=20)["examples"]
    assert len(few) == 20
    assert {one["verdict"] for one in few} >= set(schema.DROPPED), "each is rarer than one in twenty"
    assert few == page_data(run, examples=20)["examples"]


def reason(data, number: int) -> str:
    return next(one["reason"] for one in data["examples"] if one["id"] == number)


def test_reasons(data):
    assert reason(data, 1) == "Every entity has its place."
    assert reason(data, 2).startswith("The teacher found no entity")
    assert reason(data, 3) == "Found nowhere in the target: “Kit” (PER)."
    assert reason(data, 4) == "Found as different words: “Korea” (LOC) as “Korea”, “韩国”."
    assert reason(data, 5) == "Reach for the same words: “AI Lab” (ORG) and “KI” (MISC)."
    assert reason(data, 6) == "Below a threshold: “Oslo” (LOC) with 0.20 by the teacher."


def test_links():
    row = pair(1, "Rome, Rome, Rome", "Rom Rom", [("Rome", "LOC", 0.9)], [(0, "Rom", 0.9)])
    row["entities"] += [{"start": a, "end": a + 4, "type": "LOC", "score": 0.8} for a in (6, 12)]
    row["projections"] += [{"entity": 0, "start": 4, "end": 7, "score": 0.7}]
    shown = example({**row, "verdict": schema.KEPT}, {}, chosen=True)
    assert shown["spans"] == [[0, 3, "LOC", 0.9], [4, 7, "LOC", 0.7]]
    assert shown["links"] == [[0, 0], [1, 1], [2, 1]], "in order, and what is left over to the last"
    assert shown["score"] == 0.7


def test_flow_adds_up(data, run):
    for name, links in data["flow"].items():
        read = run.ledger["total"]["read"] if name == "all" else run.ledger["by_language"][name]["read"]
        corpora = {row["name"] for row in data["corpora"]}
        assert sum(link["value"] for link in links if link["source"] in corpora) == read
        trained = sum(link["value"] for link in links if link["target"] == "training data")
        chosen = run.summaries.values() if name == "all" else [run.summaries[name]]
        assert trained == sum(one["sentences"] for one in chosen)
    assert data["ledger"]["adds_up"]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Filter(verdict="overlap"), {5}),
        (Filter(type="ORG"), {5}),
        (Filter(corpus="news", language="de", type="LOC"), {4, 6, 7}),
        (Filter(corpus="news", max_score=0.6), {4, 5, 6}),
        (Filter(corpus="news", min_score=0.9), {7}),
        (Filter(language="zh", corpus="news"), set()),
    ],
)
def test_filters(run, wanted, numbers):
    rows, there = find(run.judged, wanted, 100, 1)
    assert {row["pair_id"] for row in rows} == numbers and there == len(numbers)


def test_show(run):
    examples, there = examples_of(run.out, Filter(corpus="news", verdict="overlap"), 20, 1)
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(examples_text(examples, there))
    text = console.export_text()
    assert "[AI Lab ORG 0.80] and [KI MISC 0.60]" in text and "[[KI MISC 0.80]-Labor ORG 0.90]" in text
    assert "Reach for the same words" in text and "1 of 1 pairs" in text


def test_commands(run):
    shown = CliRunner().invoke(app, ["show", str(run.out), "--language", "zh", "-n", "3"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0 and "3 of 40 pairs; another --seed" in shown.stdout
    built = CliRunner().invoke(app, ["report", str(run.out), "--examples", "5"])
    assert built.exit_code == 0 and (run.out / "report.html").stat().st_size > 400_000
    for arguments in (["show", str(run.out), "--verdict", "odd"], ["report", str(run.out / "judged")]):
        assert CliRunner().invoke(app, arguments).exit_code == 2


def test_a_folder_that_moved(run, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(run.out, moved)
    found = RunResults.open(moved)
    assert all(file.is_relative_to(moved) for file in found.datasets.values())
    assert page_data(found)["corpora"] == page_data(run)["corpora"]


def test_results_from_before_intervals(tmp_path):
    row = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1, "types": {}, "sentences": 3}
    old = {"language": "de", "encoder": "x", "zero_transfer": row, "student": row, "sentences": 3, "seeds": [1]}
    out = make_run(tmp_path / "old", pairs()[:8], sets={"old": old}, english={})
    results = json.loads((out / "results.json").read_text())
    for key in ("plan", "config", "made_with"):
        del results[key]
    (out / "results.json").write_text(json.dumps(results))
    assert "These results hold no calibration" in write_report(out).read_text(encoding="utf-8")


def test_corpus_text_is_no_markup(run):
    page = write_report(run.out).read_text(encoding="utf-8")
    for part in ("<script>document", "</script> </script>", "<!-- <img", "<img"):
        assert part in EVIL and part not in page
    assert page.count("<script>") == 5 and page.count("</script>") == 6


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match=r"holds no results\.json"):
        RunResults.open(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        RunResults.open(tmp_path / "nowhere")
