"""Labeling on a cluster without nodes: the autoscaler starts nodes with GPUs, one is lost, and idle nodes are removed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness.fake_cloud import ClusterMonitor, FakeCloud, fake_cloud
from tests.harness.null_runs import NullRuns, contents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1000)]
MAX_NODES, IDLE_SECONDS = 2, 8.0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The runs, the output of a run without GPUs, and its contents."""
    runs = NullRuns(tmp_path_factory.mktemp("runs"), None, pairs=500, shard_rows=20)
    out = runs.new_out()
    runs.finish(out)
    return runs, out, contents(out)


@pytest.fixture(scope="module")
def cloud():
    with fake_cloud(MAX_NODES, IDLE_SECONDS) as cloud:
        yield cloud


def start(out: Path, cloud: FakeCloud) -> subprocess.Popen:
    env = {**os.environ, "RAY_ADDRESS": cloud.address, "RAY_AUTH_MODE": "disabled"}
    command = [
        sys.executable,
        "-m",
        "tests.harness.slow_driver",
        str(out.with_suffix(".yaml")),
        f"ray.max_gpus={MAX_NODES}",
    ]
    with out.with_suffix(".log").open("a") as log:
        return subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)


def wait_for_end(driver: subprocess.Popen, out: Path) -> None:
    try:
        assert driver.wait(400) == 0, out.with_suffix(".log").read_text()[-3000:]
    finally:
        driver.kill()


def test_nodes_are_started_for_labeling_and_removed_when_idle(undisturbed, cloud):
    runs, reference, expected = undisturbed
    out = runs.new_out(reference)
    with ClusterMonitor(cloud, out) as monitor:
        driver = start(out, cloud)
        wait_for_end(driver, out)
        done = time.monotonic() - monitor.start
        monitor.wait_until(lambda nodes, _: nodes == 0, 120)
        removed = time.monotonic() - monitor.start
    log = out.with_suffix(".log").read_text()
    assert "up to 2 GPUs" in log and "a GPU was free after" in log
    assert max(nodes for _, nodes, _ in monitor.history) == MAX_NODES
    actual = contents(out)
    assert actual == expected and actual["ledger"]["adds_up"]
    first, second = (monitor.first_time(lambda nodes, _, n=n: nodes == n) for n in (1, 2))
    print(
        f"\nfirst node after {first:.0f} s, second after {second:.0f} s; first shard after"
        f" {monitor.first_time(lambda _, shards: shards > 0):.0f} s; {monitor.shards} shards after {done:.0f} s; no node"
        f" {removed - done:.0f} s later, of which {IDLE_SECONDS:.0f} s are the configured idle time"
    )


def test_node_lost_while_scaling_changes_nothing(undisturbed, cloud):
    runs, reference, expected = undisturbed
    out = runs.new_out(reference)
    with ClusterMonitor(cloud, out) as monitor:
        driver = start(out, cloud)
        try:
            # The second node started while the first one worked.
            monitor.wait_until(lambda nodes, shards: nodes == MAX_NODES and shards > 0, 240)
            killed, shards = time.monotonic() - monitor.start, monitor.shards
            assert driver.poll() is None and shards < len(list(reference.glob("label/*/manifest/*.json"))) - 10
            cloud.raylets()[0].kill()
        except BaseException:
            driver.kill()
            raise
        wait_for_end(driver, out)
        done = time.monotonic() - monitor.start
    assert contents(out) == expected
    after = [nodes for seconds, nodes, _ in monitor.history if seconds > killed]
    assert min(after) < MAX_NODES, monitor.history
    print(f"\nkilled a node after {killed:.0f} s and {shards} shards; {monitor.shards} shards after {done:.0f} s")
