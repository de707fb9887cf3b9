"""Drivers that die at each step of the commit path and at random moments, actors that die, rows that are poison.

All runs share one Ray, so that a dead driver's workers outlive it for a while, as on a cluster; every output that was
disturbed must in the end be that of an undisturbed run, in rows, ledger and bytes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time

import pytest

from tests.harness.ordeal import (
    ROOT,
    Ordeal,
    contents,
    kill_an_actor,
    lost_and_doubled,
    planted_rows,
    quarantined_rows,
    ray_head,
)
from xner_ray.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
STEPS = ("opened", "half", "written", "synced", "named", "durable")
RANDOM_KILLS = 8


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    with ray_head() as head:
        yield head


@pytest.fixture(scope="module")
def undisturbed(head, tmp_path_factory):
    """The harness, an output that nothing disturbed, its contents, and the seconds that it took."""
    ordeal = Ordeal(tmp_path_factory.mktemp("runs"), head.address)
    out = ordeal.new_out()
    ordeal.finish(out)
    again = ordeal.new_out(out)
    seconds = ordeal.finish(again)
    assert contents(again) == contents(out)
    return ordeal, out, contents(out), seconds


def test_the_undisturbed_run_is_worth_comparing_with(undisturbed):
    _, _, wanted, _ = undisturbed
    assert len(wanted["bytes"]) >= 20 and len(wanted["rows"]) == len(set(wanted["rows"]))
    assert wanted["ledger"]["adds_up"] and wanted["ledger"]["not_judged"] == 0
    assert min(wanted["ledger"][k] for k in ("kept", "kept_no_entity")) > 0
    assert sum(wanted["ledger"]["dropped"].values()) > 0


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_of_the_data_then_of_the_manifest(undisturbed, step):
    ordeal, reference, wanted, _ = undisturbed
    out = ordeal.new_out(reference)
    for part in ("data", "manifest"):
        ordeal.killed_at(out, f"{part}.{step}")
    ordeal.finish(out)
    assert contents(out) == wanted


@pytest.mark.parametrize("turn", range(RANDOM_KILLS // 2))
def test_killed_twice_at_random_moments(undisturbed, turn):
    ordeal, reference, wanted, seconds = undisturbed
    choice, out = random.Random(turn), ordeal.new_out(reference)
    for _ in range(2):
        ordeal.killed_after(out, choice.uniform(0.3, 0.95) * seconds)
    ordeal.finish(out)
    assert contents(out) == wanted


def test_two_drivers_at_once(undisturbed):
    ordeal, reference, wanted, _ = undisturbed
    out = ordeal.new_out(reference)
    drivers = [ordeal.start(out, "--local") for _ in range(2)]  # each with a Ray of its own, as on two clusters
    assert [d.wait(600) for d in drivers] == [0, 0], out.with_suffix(".log").read_text()[-3000:]
    assert contents(out) == wanted


def test_poison_and_killed_actors(undisturbed, head, tmp_path):
    _, reference, _, _ = undisturbed
    ordeal, choice = Ordeal(tmp_path, head.address, poison=True), random.Random(0)
    calm, out = ordeal.new_out(reference), ordeal.new_out(reference)
    ordeal.finish(calm)
    driver, kills, deadline = ordeal.start(out), 0, time.monotonic() + 600
    while driver.poll() is None and time.monotonic() < deadline:
        try:
            driver.wait(2)
        except subprocess.TimeoutExpired:
            kills += kills < 4 and kill_an_actor(head, choice)
    assert driver.returncode == 0, out.with_suffix(".log").read_text()[-3000:]
    assert kills
    found, planted = contents(out), planted_rows(out)
    assert planted and quarantined_rows(out) == planted
    assert found["ledger"]["quarantined"] == len(planted) and found["ledger"]["adds_up"]
    assert found == contents(calm)
    assert lost_and_doubled(found["rows"], contents(reference)["rows"]) == (0, 0)


def test_quarantine_is_listed_and_tried_again(undisturbed, head, tmp_path):
    _, reference, wanted, _ = undisturbed
    ordeal = Ordeal(tmp_path, head.address, pairs=300, poison=True)
    out = ordeal.new_out(reference)
    ordeal.finish(out)
    bad = quarantined_rows(out)
    xner = [sys.executable, "-m", "xner_ray.cli"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def call(*arguments: str) -> str:
        return subprocess.run([*xner, *arguments], env=env, capture_output=True, text=True, check=True).stdout

    listed = [json.loads(line) for line in call("quarantine", "list", str(out), "--json").splitlines()]
    assert len(listed) == len(bad) and {r["stage"] for r in listed} == {"label", "align"}
    call("quarantine", "retry", str(out))
    assert json.loads(call("status", str(out), "--json"))["shards"]["missing"] > 0
    sound = Ordeal(tmp_path, head.address)
    sound.finish(out)  # the rows are no poison any more
    assert quarantined_rows(out) == []
    told = json.loads(call("status", str(out), "--json"))
    assert told["shards"]["missing"] == 0 and told["ledger"] == wanted["ledger"]
    assert call("status", str(out))


def test_only_what_is_missing_is_done(undisturbed):
    ordeal, reference, wanted, _ = undisturbed
    out = ordeal.new_out(reference)
    ordeal.finish(out)
    log = out.with_suffix(".log")
    gone = sorted((out / "label").glob("*/manifest/*.json"))[:2]
    for manifest in gone:
        manifest.unlink()
    log.unlink()
    ordeal.finish(out)
    assert "[label] 2/2 shards" in log.read_text()
    assert contents(out) == wanted
    log.unlink()
    ordeal.finish(out, "label.batch_tokens=2048")
    assert "changed: label.batch_tokens: 4096 -> 2048" in log.read_text()
    assert len(list((out / "label").iterdir())) == 2


def test_too_much_poison_is_loud(head, tmp_path):
    # Few bad rows of a shard are never too many, so it takes larger shards than the other tests'.
    ordeal = Ordeal(tmp_path, head.address, pairs=1200, shard_rows=600, poison=True)
    out = ordeal.new_out()
    driver = ordeal.start(out, "label.max_quarantined=0")
    assert driver.wait(600) == 2
    assert "label.max_quarantined" in out.with_suffix(".log").read_text()


def test_a_full_disk(undisturbed):
    ordeal, reference, wanted, _ = undisturbed
    out = ordeal.new_out(reference)
    (out / "label").mkdir()

    def mount(*options: str) -> int:
        return subprocess.run(
            ["mount", "-t", "tmpfs", *options, "tmpfs", str(out / "label")], capture_output=True
        ).returncode

    # Files run out and not bytes, which the preflight would have counted: 18 are enough to begin, 30 to come to the end.
    if mount("-o", "size=50m,nr_inodes=24"):
        pytest.skip("may not mount a tmpfs here")
    try:
        assert ordeal.start(out).wait(600) == 2
        assert "free space" in out.with_suffix(".log").read_text()
        half = list((out / "label").rglob("*.tmp"))
        assert half == [] and list((out / "label").glob("*/manifest/*.json"))
        assert mount("-o", "remount,size=50m,nr_inodes=1000") == 0
        ordeal.finish(out)
        assert contents(out) == wanted
    finally:
        subprocess.run(["umount", str(out / "label")], check=True)


def test_no_room_is_seen_before_the_first_shard(tmp_path):
    from xner_ray.preflight.labeling_checks import check_disk

    with pytest.raises(UserError, match="GB are free"):
        check_disk(str(tmp_path), 1e18)
