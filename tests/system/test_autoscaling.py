"""Labeling on a cluster that has no GPU yet: nodes come when they are asked for, one is lost, all go; nothing else changes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness.fake_cloud import FakeCloud, Watch, fake_cloud
from tests.harness.ordeal import Ordeal, contents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1000)]
MOST, IDLE = 2, 8.0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The harness, an output that a local Ray without any GPU made, and its contents."""
    ordeal = Ordeal(tmp_path_factory.mktemp("runs"), None, pairs=500, shard_rows=20)
    out = ordeal.new_out()
    ordeal.finish(out)
    return ordeal, out, contents(out)


@pytest.fixture(scope="module")
def cloud():
    with fake_cloud(MOST, IDLE) as cloud:
        yield cloud


def start(out: Path, cloud: FakeCloud) -> subprocess.Popen:
    env = {**os.environ, "RAY_ADDRESS": cloud.address, "RAY_AUTH_MODE": "disabled"}
    command = [
        sys.executable,
        "-m",
        "tests.harness.slow_driver",
        str(out.with_suffix(".yaml")),
        f"ray.max_gpus={MOST}",
    ]
    with out.with_suffix(".log").open("a") as log:
        return subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)


def ended(driver: subprocess.Popen, out: Path) -> None:
    try:
        assert driver.wait(400) == 0, out.with_suffix(".log").read_text()[-3000:]
    finally:
        driver.kill()


def test_from_none_to_two_and_back(undisturbed, cloud):
    ordeal, reference, wanted = undisturbed
    out = ordeal.new_out(reference)
    with Watch(cloud, out) as watch:
        driver = start(out, cloud)
        ended(driver, out)
        done = time.monotonic() - watch.began
        watch.wait(lambda nodes, _: nodes == 0, 120)
        gone = time.monotonic() - watch.began
    log = out.with_suffix(".log").read_text()
    assert "up to 2 GPUs" in log and "a GPU was free after" in log
    assert max(nodes for _, nodes, _ in watch.seen) == MOST
    found = contents(out)
    assert found == wanted and found["ledger"]["adds_up"]
    first, second = (watch.when(lambda nodes, _, n=n: nodes == n) for n in (1, 2))
    print(
        f"\nfirst node after {first:.0f} s, second after {second:.0f} s; first shard after"
        f" {watch.when(lambda _, shards: shards > 0):.0f} s; {watch.shards} shards after {done:.0f} s; no node"
        f" {gone - done:.0f} s later, of which {IDLE:.0f} s are the idle time that was asked for"
    )


def test_a_node_dies_while_it_scales(undisturbed, cloud):
    ordeal, reference, wanted = undisturbed
    out = ordeal.new_out(reference)
    with Watch(cloud, out) as watch:
        driver = start(out, cloud)
        try:
            watch.wait(lambda nodes, shards: nodes == MOST and shards, 240)  # the second came while the first worked
            killed, shards = time.monotonic() - watch.began, watch.shards
            assert driver.poll() is None and shards < len(list(reference.glob("label/*/manifest/*.json"))) - 10
            cloud.raylets()[0].kill()
        except BaseException:
            driver.kill()
            raise
        ended(driver, out)
        done = time.monotonic() - watch.began
    assert contents(out) == wanted
    after = [nodes for seconds, nodes, _ in watch.seen if seconds > killed]
    assert min(after) < MOST, watch.seen
    print(f"\nkilled a node after {killed:.0f} s and {shards} shards; {watch.shards} shards after {done:.0f} s")
