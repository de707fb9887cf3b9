"""Drivers are killed at each step of a commit and at random times, actors are killed, and rows are poisoned.

Every disturbed run must end with the rows, the ledger and the bytes of an undisturbed run. All runs share one Ray, so that the
workers of a dead driver live on for a while, as on a cluster.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time

import pytest

from tests.harness.null_runs import (
    ROOT,
    NullRuns,
    contents,
    count_lost_and_doubled,
    kill_an_actor,
    poisoned_keys,
    quarantined_keys,
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
    """The runs, the output of an undisturbed run, its contents, and the seconds of a second undisturbed run."""
    runs = NullRuns(tmp_path_factory.mktemp("runs"), head.address)
    out = runs.new_out()
    runs.finish(out)
    again = runs.new_out(out)
    seconds = runs.finish(again)
    assert contents(again) == contents(out)
    return runs, out, contents(out), seconds


def test_undisturbed_run_has_enough_shards_and_verdicts(undisturbed):
    _, _, expected, _ = undisturbed
    assert len(expected["bytes"]) >= 20 and len(expected["rows"]) == len(set(expected["rows"]))
    assert expected["ledger"]["adds_up"] and expected["ledger"]["not_judged"] == 0
    assert min(expected["ledger"][k] for k in ("kept", "kept_no_entity")) > 0
    assert sum(expected["ledger"]["dropped"].values()) > 0


@pytest.mark.parametrize("step", STEPS)
def test_kill_at_each_step_of_a_commit_changes_nothing(undisturbed, step):
    runs, reference, expected, _ = undisturbed
    out = runs.new_out(reference)
    for part in ("data", "manifest"):
        runs.kill_at(out, f"{part}.{step}")
    runs.finish(out)
    assert contents(out) == expected


@pytest.mark.parametrize("turn", range(RANDOM_KILLS // 2))
def test_kills_at_random_times_change_nothing(undisturbed, turn):
    runs, reference, expected, seconds = undisturbed
    rng, out = random.Random(turn), runs.new_out(reference)
    for _ in range(2):
        runs.kill_after(out, rng.uniform(0.3, 0.95) * seconds)
    runs.finish(out)
    assert contents(out) == expected


def test_two_drivers_on_one_store_change_nothing(undisturbed, tmp_path):
    runs, reference, expected, _ = undisturbed
    outs = [runs.new_out(reference) for _ in range(2)]
    store = f"label.output_uri={tmp_path / 'store'}"
    drivers = [runs.start(out, "--local", store) for out in outs]  # each starts a local Ray, as on two clusters
    for driver, out in zip(drivers, outs, strict=True):
        assert driver.wait(600) == 0, out.with_suffix(".log").read_text()[-3000:]
    assert [contents(out) for out in outs] == [expected, expected]


def test_second_run_on_one_output_folder_is_an_error(undisturbed):
    runs, reference, expected, _ = undisturbed
    out = runs.new_out(reference)
    drivers = [runs.start(out, "--local") for _ in range(2)]
    assert sorted(driver.wait(600) for driver in drivers) == [0, 2]
    log = out.with_suffix(".log").read_text()
    assert "another run is running: process " in log and socket.gethostname() in log and "--wait" in log
    assert contents(out) == expected


def test_killed_actors_quarantine_no_row(undisturbed, head, tmp_path):
    _, reference, _, _ = undisturbed
    runs, rng = NullRuns(tmp_path, head.address, poison=True), random.Random(0)
    undisturbed_out, out = runs.new_out(reference), runs.new_out(reference)
    runs.finish(undisturbed_out)
    driver, kills, deadline = runs.start(out), 0, time.monotonic() + 600
    while driver.poll() is None and time.monotonic() < deadline:
        try:
            driver.wait(2)
        except subprocess.TimeoutExpired:
            kills += kills < 4 and kill_an_actor(head, rng)
    assert driver.returncode == 0, out.with_suffix(".log").read_text()[-3000:]
    assert kills
    actual, poisoned = contents(out), poisoned_keys(out)
    assert poisoned and quarantined_keys(out) == poisoned
    assert actual["ledger"]["quarantined"] == len(poisoned) and actual["ledger"]["adds_up"]
    assert actual == contents(undisturbed_out)
    assert count_lost_and_doubled(actual["rows"], contents(reference)["rows"]) == (0, 0)


def test_quarantined_rows_are_listed_and_retried(undisturbed, head, tmp_path):
    _, reference, expected, _ = undisturbed
    runs = NullRuns(tmp_path, head.address, pairs=300, poison=True)
    out = runs.new_out(reference)
    runs.finish(out)
    quarantined = quarantined_keys(out)
    xner = [sys.executable, "-m", "xner_ray.cli"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def call(*arguments: str) -> str:
        return subprocess.run([*xner, *arguments], env=env, capture_output=True, text=True, check=True).stdout

    listed = [json.loads(line) for line in call("quarantine", "list", str(out), "--json").splitlines()]
    assert len(listed) == len(quarantined) and {row["stage"] for row in listed} == {"label", "align"}
    call("quarantine", "retry", str(out))
    assert json.loads(call("status", str(out), "--json"))["shards"]["missing"] > 0
    sound = NullRuns(tmp_path, head.address)
    sound.finish(out)  # its functions accept every row
    assert quarantined_keys(out) == []
    report = json.loads(call("status", str(out), "--json"))
    assert report["shards"]["missing"] == 0 and report["ledger"] == expected["ledger"]
    assert call("status", str(out))


def test_only_missing_shards_are_labeled(undisturbed):
    runs, reference, expected, _ = undisturbed
    out = runs.new_out(reference)
    runs.finish(out)
    log = out.with_suffix(".log")
    manifests = sorted((out / "label").glob("*/manifest/*.json"))[:2]
    for manifest in manifests:
        manifest.unlink()
    log.unlink()
    runs.finish(out)
    assert "[label] 2/2 shards" in log.read_text()
    assert contents(out) == expected
    log.unlink()
    runs.finish(out, "label.precision=fp32")
    assert 'changed: label.precision: "auto" -> "fp32"' in log.read_text()
    assert len(list((out / "label").iterdir())) == 2


def test_too_many_poisoned_rows_are_an_error(head, tmp_path):
    # Eight bad rows of a shard are always accepted, so that this test needs larger shards than the others.
    runs = NullRuns(tmp_path, head.address, pairs=1200, shard_rows=600, poison=True)
    out = runs.new_out()
    driver = runs.start(out, "label.max_quarantined=0")
    assert driver.wait(600) == 2
    assert "label.max_quarantined" in out.with_suffix(".log").read_text()


def test_full_disk_is_an_error_and_the_run_resumes(undisturbed):
    runs, reference, expected, _ = undisturbed
    out = runs.new_out(reference)
    (out / "label").mkdir()

    def mount(*options: str) -> int:
        return subprocess.run(
            ["mount", "-t", "tmpfs", *options, "tmpfs", str(out / "label")], capture_output=True
        ).returncode

    # The inodes run out, not the bytes, which the preflight checks: 18 are enough to start, 30 to finish.
    if mount("-o", "size=50m,nr_inodes=24"):
        pytest.skip("this user cannot mount a tmpfs")
    try:
        assert runs.start(out).wait(600) == 2
        assert "free space" in out.with_suffix(".log").read_text()
        temporary = list((out / "label").rglob("*.tmp"))
        assert temporary == [] and list((out / "label").glob("*/manifest/*.json"))
        assert mount("-o", "remount,size=50m,nr_inodes=1000") == 0
        runs.finish(out)
        assert contents(out) == expected
    finally:
        subprocess.run(["umount", str(out / "label")], check=True)


def test_full_disk_is_found_before_the_first_shard(tmp_path):
    from xner_ray.preflight.labeling_checks import check_disk

    with pytest.raises(UserError, match="GB are free"):
        check_disk(str(tmp_path), 1e18)
