"""Labeling into a real S3 server that is restarted during the run."""

from __future__ import annotations

import time

import pytest

from tests.harness.null_runs import NullRuns, contents, ray_head
from tests.harness.s3_server import KEYS, Server, weed

pytest.importorskip("obstore")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(weed() is None, reason="the test server is not installed"),
]


def test_killed_driver_and_restarted_server_change_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "s3"
    folder.mkdir()
    server = Server(folder)
    log = {"XNER_LOG_EVERY": "0"}  # a line for each shard
    for key, value in {**KEYS, "AWS_ENDPOINT_URL": server.url, **log}.items():
        monkeypatch.setenv(key, value)
    try:
        with ray_head() as head:
            runs = NullRuns(tmp_path, head.address)
            local = runs.new_out()
            runs.finish(local)
            out = runs.new_out(local)
            store = "label.output_uri=s3://bucket/runs"
            runs.kill_at(out, "manifest.opened", store)
            driver = runs.start(out, store)
            deadline = time.monotonic() + 300
            while "[label] 2/" not in out.with_suffix(".log").read_text() and driver.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            server.stop()
            time.sleep(3)
            server.start()
            assert driver.wait(600) == 0, out.with_suffix(".log").read_text()[-3000:]
            assert contents(out) == contents(local)
            assert not list((out / "label").glob("*/manifest"))
    finally:
        server.stop()
