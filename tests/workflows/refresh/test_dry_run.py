"""The plan of a refresh: pairs and bytes of the OPUS index, hours from measured rates, and no file written."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.harness.corpus_files import good_moses
from tests.harness.opus_server import serving
from xner_ray.cli.main import app
from xner_ray.config import Config
from xner_ray.corpora.collection import Collection
from xner_ray.corpora.opus.catalog import open_catalog
from xner_ray.corpora.opus.download import HttpClient, ProgressListener, RetryPolicy
from xner_ray.corpora.opus.fetch import fetch_archive
from xner_ray.corpora.readers.corpus_reader import sources_of
from xner_ray.workflows.refresh.change_detection import detect_changes
from xner_ray.workflows.refresh.cost_estimate import estimate_costs, measured_rates
from xner_ray.workflows.refresh.dry_run import plan_refresh, refresh_config

ROOT = Path(__file__).parents[3]
IMPATIENT = RetryPolicy(max_tries=1, first_pause=0.01)


@pytest.fixture
def dry_run(tmp_path):
    def run(*args: str):
        out = tmp_path / "out"
        command = ["refresh", str(ROOT / "configs" / "paper.yaml"), "data=/nowhere", f"out={out}", "--dry-run", *args]
        done = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        assert not list(tmp_path.iterdir())
        return done

    return run


def test_pairs_and_bytes_are_those_of_the_index(dry_run):
    plan = json.loads(dry_run("--json").stdout)
    rows = {(c["language"], c["name"]): c for c in plan["corpora"]}
    assert {language for language, _ in rows} == {"de", "es", "nl", "zh"} and len(rows) == 4 * 7 - 4
    index = open_catalog("package").index._path
    for (language, name), row in rows.items():
        with sqlite3.connect(index) as db:
            query = "SELECT max(alignment_pairs) FROM opusfile WHERE corpus = ? AND version = ? AND preprocessing = 'moses'"
            codes = {"zh": ("zh", "zh_cn", "zh_CN")}.get(language, (language,))
            pair = " OR ".join(
                f"(source = 'en' AND target = '{x}') OR (source = '{x}' AND target = 'en')" for x in codes
            )
            (pairs,) = db.execute(f"{query} AND ({pair})", row["source"].split("/")).fetchone()
        assert row["pairs"] == pairs and row["size"] > 0 and row["state"] == "new", name
    assert plan["total"]["lines_to_read"] == plan["total"]["new_pairs"] == sum(c["pairs"] for c in plan["corpora"])
    assert plan["total"]["bytes"] == sum(c["size"] for c in plan["corpora"])


def test_hours_are_pairs_divided_by_a_measured_rate(dry_run):
    plan = json.loads(dry_run("--json").stdout)
    rates = {(r.stage, r.device): r for r in refresh_config(paper()).refresh.rates}
    known = [c for c in plan["costs"] if c["hours"] is not None]
    assert {c["stage"] for c in known} == {"ingest", "label", "filter"}
    for cost in known:
        rate = rates[cost["stage"], cost["device"]]
        assert cost["hours"] == pytest.approx(cost["pairs"] / rate.pairs_per_second / 3600)
        assert rate.source in cost["source"]
    (unknown,) = [c for c in plan["costs"] if c["hours"] is None]
    assert unknown["stage"] == "label" and "never measured with FacebookAI/xlm-roberta-large" in unknown["source"]


def test_rates_of_the_config_come_from_the_benchmarks():
    rates = {rate.stage: rate.pairs_per_second for rate in paper().refresh.rates if rate.device == "core"}
    moses = json.loads((ROOT / "bench/results/ingest.json").read_text())["moses"]
    assert rates["ingest"] == pytest.approx(moses["pairs"] / moses["cpu_seconds"], rel=0.01)
    scale = json.loads((ROOT / "bench/results/scale.json").read_text())
    last = scale["runs"][-1]
    assert rates["label"] == pytest.approx(last["pairs_per_second"] / scale["cpus"], rel=0.01)
    assert rates["filter"] == pytest.approx(last["pairs"] / last["stages"]["dataset"] / scale["cpus"], rel=0.01)


def test_table_shows_corpora_costs_and_notes(dry_run):
    shown = dry_run().stdout
    assert "OpenSubtitles/v2018" in shown and "22,512,639" in shown and "never measured with" in shown
    assert "opus.limit_gb=1: a refresh stops with an error until you raise it" in shown


def paper() -> Config:
    from xner_ray.config.load import load_config

    return load_config(ROOT / "configs" / "paper.yaml", ["data=/nowhere"])


def config(tmp_path, url: str, **refresh) -> Config:
    return refresh_config(
        Config(
            name="t",
            out=str(tmp_path / "out"),
            data=str(tmp_path),
            languages=["de"],
            gold=[{"path": "g"}],
            corpora=[{"opus": "TED2013"}],
            opus={"base_url": url},
            ingest={"max_pairs_per_language": None, "shard_rows": 16},
            refresh=refresh,
        )
    )


def test_states_of_a_corpus(tmp_path):
    """A corpus is new, unchanged after ingest, changed after a change on the server, and then unchanged again."""
    path = "/TED2013/v1.1/moses/de-en.txt.zip"
    with serving() as site, HttpClient(IMPATIENT, allow_private_hosts=True) as http:
        site.files[path] = good_moses(tmp_path / "x").read_bytes()
        refreshed, lines = config(tmp_path, site.url), []

        def detect():
            changes = detect_changes(refreshed, http, ProgressListener(), lines.append)
            (corpus,) = changes.corpora
            return changes, corpus

        def fetch_and_ingest(changes):
            for item in changes.items:
                fetch_archive(item, http, ProgressListener(), "here")
            Collection(tmp_path / "out/corpus/de").add(sources_of(changes.resolved(lines.append), "de"))

        changes, corpus = detect()
        assert (corpus.state, corpus.size, corpus.lines_read) == ("new", len(site.files[path]), 0)
        fetch_and_ingest(changes)
        changes, corpus = detect()
        assert (corpus.state, corpus.size, corpus.lines_read, changes.items, corpus.new_pairs) == (
            "unchanged",
            0,
            40,
            [],
            0,
        )

        site.files[path] = good_moses(tmp_path / "x", [("a", "b")] * 50).read_bytes()
        changes, corpus = detect()
        assert (corpus.state, corpus.size, corpus.lines_read) == ("changed", len(site.files[path]), 40)
        assert corpus.new_pairs == corpus.pairs - 40
        fetch_archive(changes.items[0], http, ProgressListener(), "here")
        changes, corpus = detect()
        assert (corpus.state, changes.items) == ("changed", [])  # fetched, but not in the collection yet
        fetch_and_ingest(changes)
        assert detect()[1].state == "unchanged" and detect()[1].lines_read == 50

    plan = plan_refresh(refreshed, lines.append, IMPATIENT)  # the server is stopped
    assert plan.corpora[0].state == "unchanged" and "cannot check whether it changed" in lines[-1]


def test_date_is_compared_if_there_is_no_etag(tmp_path):
    path = "/TED2013/v1.1/moses/de-en.txt.zip"
    with serving() as site, HttpClient(IMPATIENT, allow_private_hosts=True) as http:
        site.etag, site.date = (lambda data: None), (lambda data: "Mon, 01 Jan 2024 00:00:00 GMT")
        site.files[path] = good_moses(tmp_path / "x").read_bytes()
        refreshed = config(tmp_path, site.url)
        fetch_archive(
            detect_changes(refreshed, http, ProgressListener(), print).items[0], http, ProgressListener(), "here"
        )
        assert not detect_changes(refreshed, http, ProgressListener(), print).items
        site.date = lambda data: "Tue, 02 Jan 2024 00:00:00 GMT"
        assert detect_changes(refreshed, http, ProgressListener(), print).items


def test_rates_come_from_the_largest_earlier_refresh(tmp_path):
    """For each device the refresh with the most pairs counts. Speeds of other models are not used."""

    def report(number: int, pairs: int, seconds: float, models: str = "embedded + embedded", device: str = "2 CPUs"):
        work = [{"stage": "label", "seconds": seconds, "amount": {"pairs": pairs}}]
        return {"number": number, "started": "2026-01-02T01:30:00", "models": models, "device": device, "work": work}

    reports = [
        report(1, 1000, 10.0),
        report(2, 10, 5.0),
        report(3, 5000, 10.0, "other + other"),
        report(4, 9, 1.0, device="1 GPUs (V100)"),
    ]
    rates = {(r.device, r.model): r.pairs_per_second for r in measured_rates(reports)}
    assert rates == {
        ("2 CPUs", "embedded + embedded"): 100.0,
        ("2 CPUs", "other + other"): 500.0,
        ("1 GPUs (V100)", "embedded + embedded"): 9.0,
    }
    with serving() as site, HttpClient(IMPATIENT, allow_private_hosts=True) as http:
        changes = detect_changes(config(tmp_path, site.url), http, ProgressListener(), print, dry_run=True)
    costs = estimate_costs(config(tmp_path, "http://x"), changes, reports).costs
    pairs = changes.corpora[0].pairs
    assert {(c.device, c.hours) for c in costs if c.stage == "label"} == {
        ("2 CPUs", pairs / 100 / 3600),
        ("1 GPUs (V100)", pairs / 9 / 3600),
    }
