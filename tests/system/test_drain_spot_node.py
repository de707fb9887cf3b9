"""A spot notice drains its node: nothing new starts there, and what runs goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.harness.own_process import run_in_own_process

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[2] / "cluster" / "drain_spot_node.py"
NOTICE_SECONDS = 90


class Metadata(BaseHTTPRequestHandler):
    """The metadata server of AWS and of Google Cloud. `noticed` is set: the machine is taken back."""

    noticed = threading.Event()

    def do_PUT(self):
        assert self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self.answer("TOKEN")

    def do_GET(self):
        if self.path == "/computeMetadata/v1/instance/preempted" and self.headers["Metadata-Flavor"] == "Google":
            self.answer("TRUE" if self.noticed.is_set() else "FALSE")
        elif self.noticed.is_set() and self.headers["X-aws-ec2-metadata-token"] == "TOKEN":
            end = datetime.now(UTC) + timedelta(seconds=NOTICE_SECONDS)
            self.answer(f'{{"action": "terminate", "time": "{end:%Y-%m-%dT%H:%M:%SZ}"}}')
        else:
            self.send_error(404)

    def answer(self, text: str):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def drain_a_node(cloud: str) -> str:
    """Two nodes, and a notice for the second one while it works. Returns what the script printed."""
    import ray
    from ray.cluster_utils import Cluster

    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = {"object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **options})
    spot = cluster.add_node(num_cpus=2, **options)
    ray.init(address=cluster.address, log_to_driver=False)

    @ray.remote(num_cpus=1)
    class Worker:
        def node(self):
            return ray.get_runtime_context().get_node_id()

    @ray.remote(num_cpus=1)
    def where():
        return ray.get_runtime_context().get_node_id()

    worker = Worker.remote()
    assert ray.get(worker.node.remote()) == ray.get(where.remote()) == spot.node_id
    command = [sys.executable, str(SCRIPT), cloud, "--address", cluster.address, "--node-id", spot.node_id]
    command += ["--metadata", f"http://127.0.0.1:{server.server_port}"]
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "RAY_AUTH_MODE": "disabled"}
    script = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        time.sleep(3)
        assert script.poll() is None  # there is no notice yet
        Metadata.noticed.set()
        output, _ = script.communicate(timeout=60)
        assert script.returncode == 0, output
        task = where.remote()
        assert not ray.wait([task], timeout=3)[0]  # a CPU of the node is free, but the node drains
        assert ray.get(worker.node.remote()) == spot.node_id  # the actor goes on
        other = cluster.add_node(num_cpus=1, **options)
        assert ray.get(task, timeout=60) == other.node_id
    finally:
        script.kill()
        ray.shutdown()
        cluster.shutdown()
    return output


@pytest.mark.parametrize(("cloud", "seconds"), [("aws", NOTICE_SECONDS), ("gcp", 30)])
def test_a_notice_drains_the_node(monkeypatch, cloud, seconds):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    output = run_in_own_process(drain_a_node, cloud)
    (left,) = [int(line.split()[1]) for line in output.splitlines() if line.startswith("notice: ")]
    assert seconds - 10 <= left <= seconds
