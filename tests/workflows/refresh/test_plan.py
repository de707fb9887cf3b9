"""The plan of a night: pairs and bytes as the index of OPUS has them, hours by measured rates, and nothing written."""

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
from xner_ray.workflows.refresh.change_detection import look
from xner_ray.workflows.refresh.cost_estimate import estimate, measured
from xner_ray.workflows.refresh.dry_run import nightly, plan_night

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


def test_the_corpora_of_the_paper_in_four_languages(dry_run):
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
            (pairs,) = db.execute(f"{query} AND ({pair})", row["what"].split("/")).fetchone()
        assert row["pairs"] == pairs and row["size"] > 0 and row["state"] == "new", name
    assert plan["total"]["read"] == plan["total"]["more"] == sum(c["pairs"] for c in plan["corpora"])
    assert plan["total"]["bytes"] == sum(c["size"] for c in plan["corpora"])


def test_hours_are_pairs_by_a_measured_rate(dry_run):
    plan = json.loads(dry_run("--json").stdout)
    rates = {(r.stage, r.device): r for r in nightly(paper()).refresh.rates}
    known = [c for c in plan["costs"] if c["hours"] is not None]
    assert {c["stage"] for c in known} == {"ingest", "label", "filter"}
    for cost in known:
        rate = rates[cost["stage"], cost["device"]]
        assert cost["hours"] == pytest.approx(cost["pairs"] / rate.pairs_per_second / 3600)
        assert rate.source in cost["source"]
    (unknown,) = [c for c in plan["costs"] if c["hours"] is None]
    assert unknown["stage"] == "label" and "never measured with FacebookAI/xlm-roberta-large" in unknown["source"]


def test_rates_of_the_config_are_those_of_the_benches():
    rates = {rate.stage: rate.pairs_per_second for rate in paper().refresh.rates if rate.device == "core"}
    moses = json.loads((ROOT / "bench/results/ingest.json").read_text())["moses"]
    assert rates["ingest"] == pytest.approx(moses["pairs"] / moses["cpu_seconds"], rel=0.01)
    scale = json.loads((ROOT / "bench/results/scale.json").read_text())
    last = scale["runs"][-1]
    assert rates["label"] == pytest.approx(last["pairs_per_second"] / scale["cpus"], rel=0.01)
    # The file is of a version in which the stage `dataset` filtered.
    assert rates["filter"] == pytest.approx(last["pairs"] / last["stages"]["dataset"] / scale["cpus"], rel=0.01)


def test_as_a_table(dry_run):
    shown = dry_run().stdout
    assert "OpenSubtitles/v2018" in shown and "22,512,639" in shown and "never measured with" in shown
    assert "opus.limit_gb=1 would be fetched: a night refuses until it is raised" in shown


def paper() -> Config:
    from xner_ray.config.load import load_config

    return load_config(ROOT / "configs" / "paper.yaml", ["data=/nowhere"])


def config(tmp_path, url: str, **refresh) -> Config:
    return nightly(
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


def test_what_is_new_changed_and_held(tmp_path):
    """One corpus through its life, as a night would see it before and after each step."""
    path = "/TED2013/v1.1/moses/de-en.txt.zip"
    with serving() as site, HttpClient(IMPATIENT) as http:
        site.files[path] = good_moses(tmp_path / "x").read_bytes()
        made, said = config(tmp_path, site.url), []

        def seen():
            found = look(made, http, ProgressListener(), said.append)
            (corpus,) = found.corpora
            return found, corpus

        def take_in(found):
            for item in found.items:
                fetch_archive(item, http, ProgressListener(), "here")
            Collection(tmp_path / "out/corpus/de").add(sources_of(found.resolved(said.append), "de"))

        found, corpus = seen()
        assert (corpus.state, corpus.size, corpus.held) == ("new", len(site.files[path]), 0)
        take_in(found)
        found, corpus = seen()
        assert (corpus.state, corpus.size, corpus.held, found.items, corpus.more) == ("held", 0, 40, [], 0)

        site.files[path] = good_moses(tmp_path / "x", [("a", "b")] * 50).read_bytes()
        found, corpus = seen()
        assert (corpus.state, corpus.size, corpus.held) == ("changed", len(site.files[path]), 40)
        assert corpus.more == corpus.pairs - 40
        fetch_archive(found.items[0], http, ProgressListener(), "here")
        found, corpus = seen()
        assert (corpus.state, found.items) == ("changed", [])  # fetched, but not in the collection yet
        take_in(found)
        assert seen()[1].state == "held" and seen()[1].held == 50

    told = plan_night(made, said.append, IMPATIENT)  # the server is gone
    assert told.corpora[0].state == "held" and "not asked whether it changed" in said[-1]


def test_a_date_tells_where_there_is_no_etag(tmp_path):
    path = "/TED2013/v1.1/moses/de-en.txt.zip"
    with serving() as site, HttpClient(IMPATIENT) as http:
        site.etag, site.date = (lambda data: None), (lambda data: "Mon, 01 Jan 2024 00:00:00 GMT")
        site.files[path] = good_moses(tmp_path / "x").read_bytes()
        made = config(tmp_path, site.url)
        fetch_archive(look(made, http, ProgressListener(), print).items[0], http, ProgressListener(), "here")
        assert not look(made, http, ProgressListener(), print).items
        site.date = lambda data: "Tue, 02 Jan 2024 00:00:00 GMT"
        assert look(made, http, ProgressListener(), print).items


def test_earlier_nights_are_rates(tmp_path):
    """The night that did most counts, of each device; other models' speed is not ours."""

    def night(number: int, pairs: int, seconds: float, models: str = "embedded + embedded", device: str = "2 CPUs"):
        work = [{"stage": "label", "seconds": seconds, "amount": {"pairs": pairs}}]
        return {"night": number, "began": "2026-01-02T01:30:00", "models": models, "device": device, "work": work}

    nights = [
        night(1, 1000, 10.0),
        night(2, 10, 5.0),
        night(3, 5000, 10.0, "other + other"),
        night(4, 9, 1.0, device="1 GPUs (V100)"),
    ]
    found = {(r.device, r.model): r.pairs_per_second for r in measured(nights)}
    assert found == {
        ("2 CPUs", "embedded + embedded"): 100.0,
        ("2 CPUs", "other + other"): 500.0,
        ("1 GPUs (V100)", "embedded + embedded"): 9.0,
    }
    with serving() as site, HttpClient(IMPATIENT) as http:
        seen = look(config(tmp_path, site.url), http, ProgressListener(), print, dry=True)
    costs = estimate(config(tmp_path, "http://x"), seen, nights).costs
    pairs = seen.corpora[0].pairs
    assert {(c.device, c.hours) for c in costs if c.stage == "label"} == {
        ("2 CPUs", pairs / 100 / 3600),
        ("1 GPUs (V100)", pairs / 9 / 3600),
    }
