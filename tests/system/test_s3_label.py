"""Labeling into a real S3 server that is killed and started again in the middle of the run."""

from __future__ import annotations

import time

import pytest

from tests.harness.ordeal import Ordeal, contents, ray_head
from tests.harness.s3_server import KEYS, Server, weed

pytest.importorskip("obstore")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(weed() is None, reason="the test server is not installed"),
]


def test_a_server_that_restarts_and_a_driver_that_dies(tmp_path, monkeypatch):
    folder = tmp_path / "s3"
    folder.mkdir()
    server = Server(folder)
    lines = {"XNER_LOG_EVERY": "0"}  # one for each shard
    for key, value in {**KEYS, "AWS_ENDPOINT_URL": server.url, **lines}.items():
        monkeypatch.setenv(key, value)
    try:
        with ray_head() as head:
            ordeal = Ordeal(tmp_path, head.address)
            local = ordeal.new_out()
            ordeal.finish(local)
            out = ordeal.new_out(local)
            store = "label.output_uri=s3://bucket/runs"
            ordeal.killed_at(out, "manifest.opened", store)
            driver = ordeal.start(out, store)
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
