"""Status and quarantine of an output folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from xner_ray import schema
from xner_ray.config import RulesConfig
from xner_ray.errors import UserError
from xner_ray.labeling.plan import LabelingPlan
from xner_ray.labeling.quarantine import quarantined_rows, retry_quarantined
from xner_ray.labeling.status import status
from xner_ray.projection.filters import assign_verdicts
from xner_ray.projection.ledger import Ledger
from xner_ray.storage.output_dir import claim_out
from xner_ray.storage.shard_store import ShardStore

ROWS = 10


def labeled(first: int, bad: list[int]) -> pa.Table:
    rows = [
        {"corpus": "c", "domain": "d", "language": "de", "pair_id": first + i, "source": f"a\n{i}", "target": "b",
         "corpus_score": None, "entities": [], "projections": [],
         "fault": "align: killed its process (SIGKILL)" if i in bad else None}
        for i in range(ROWS)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema.ALIGNED)


@pytest.fixture
def out(tmp_path) -> Path:
    """A run with four planned shards. Two are labeled, one of them is filtered, and one is in flight."""
    claim_out(tmp_path, "x", "x.yaml")
    folder, filtered = tmp_path / "label" / "f1", tmp_path / "filter" / "f2"
    folder.mkdir(parents=True)
    filtered.mkdir(parents=True)
    (filtered / "parts.json").write_text('{"label": "f1"}')
    ledger = Ledger()
    ledger.count_read("de", "c", "d", 4 * ROWS + 1)
    ledger.count_dropped("de", "c", "duplicate", 1)
    LabelingPlan(str(folder), {f"de-{i}": ROWS for i in range(4)}, ledger.to_rows()).save(folder)
    store = ShardStore(folder)
    for i, bad in enumerate([[], [3, 4]]):
        store.commit(f"de-{i}", labeled(100 * i, bad), str(i), {"quarantined": len(bad)})
    store.mark_running("de-2")
    filter_shard(tmp_path, "de-1")
    return tmp_path


def filter_shard(out: Path, shard: str) -> None:
    store = ShardStore(out / "label" / "f1")
    sha = store.manifest(shard).sha256
    table, ledger = assign_verdicts(store.read(shard), RulesConfig()), Ledger()
    ledger.count_verdicts(table)
    ShardStore(out / "filter" / "f2").commit(f"{shard}-{sha[:8]}", table, sha, {"ledger": ledger.to_rows()})


def test_status_counts_shards_and_pairs(out):
    report = status(out)
    assert report["name"] == "x"
    assert report["shards"] == {"planned": 4, "done": 2, "in_flight": 1, "missing": 1}
    assert report["pairs"] == {"planned": 40, "done": 20, "quarantined": 2}
    ledger = report["ledger"]
    assert (ledger["read"], ledger["kept_no_entity"], ledger["quarantined"], ledger["not_judged"]) == (41, 8, 2, 30)
    assert ledger["dropped"]["duplicate"] == 1 and ledger["adds_up"]
    json.dumps(report)


def test_lost_pair_is_reported(out):
    folder, plan = LabelingPlan.latest(out)
    plan.ledger[0]["counts"]["read"] += 1
    plan.save(folder)
    assert not status(out)["ledger"]["adds_up"]


def test_quarantined_rows_have_stage_reason_and_excerpt(out):
    rows = quarantined_rows(out).to_pylist()
    assert [row["pair_id"] for row in rows] == [103, 104]
    assert {(row["stage"], row["reason"], row["excerpt"]) for row in rows} == {
        ("align", "killed its process (SIGKILL)", "a\\n3\\tb"),
        ("align", "killed its process (SIGKILL)", "a\\n4\\tb"),
    }


def test_retried_shard_is_missing_and_no_longer_filtered(out):
    assert retry_quarantined(out) == (1, 2)
    assert status(out)["shards"]["missing"] == 2 and status(out)["ledger"]["not_judged"] == 40
    ShardStore(out / "label" / "f1").commit("de-1", labeled(100, []), "1", {"quarantined": 0})
    filter_shard(out, "de-1")
    ledger = status(out)["ledger"]
    assert ledger["kept_no_entity"] == 10 and ledger["quarantined"] == 0 and ledger["adds_up"]
    assert quarantined_rows(out).num_rows == 0 and retry_quarantined(out) == (0, 0)


def test_folder_without_a_labeling_is_an_error(tmp_path):
    with pytest.raises(UserError, match="not the output folder"):
        status(tmp_path)
    claim_out(tmp_path, "x", "x.yaml")
    with pytest.raises(UserError, match="no labeling"):
        status(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"store": 1, "shards": {}, "ledger": []}'])
def test_a_damaged_plan_is_named(out, text):
    file = out / "label" / "f1" / "plan.json"
    file.write_text(text)
    for read in (status, quarantined_rows, retry_quarantined):
        with pytest.raises(UserError) as e:
            read(out)
        assert e.value.file == file and "xner label CONFIG" in e.value.remedy


def test_damaged_lines_of_the_work_log_are_counted(out):
    (out / "work.jsonl").write_text('{"stage": ')
    (out / "filter" / "f2" / "parts.json").write_text("{")  # only the ledger misses these shards
    assert status(out)["damaged_log_lines"] == 1


def test_a_copy_uses_its_own_shards(out, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy") / "out"
    shutil.copytree(out, copy)
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.rglob("*") if p.is_file()}
    assert str(out) not in (copy / "label" / "f1" / "plan.json").read_text()
    assert status(copy)["root"] == str(copy / "label" / "f1") and len(quarantined_rows(copy)) == 2
    assert retry_quarantined(copy) == (1, 2)
    assert status(copy)["shards"]["done"] == 1 and status(out)["shards"]["done"] == 2
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.rglob("*") if p.is_file()} == before
    shutil.rmtree(out)
    assert status(copy)["shards"]["done"] == 1


@pytest.mark.parametrize("store", ["s3://bucket/label/f1", "/elsewhere/label/f1"])
def test_a_store_outside_of_out_is_found_from_a_copy(out, store):
    folder = out / "label" / "f1"
    LabelingPlan(store, {}, []).save(folder)
    assert LabelingPlan.latest(out)[1].store == store
