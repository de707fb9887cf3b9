"""An autoscaling cluster on this machine: a CPU head, and nodes with a GPU that is only said to be there, from none to some.

Ray's own `AutoscalingCluster` needs a file that no wheel has and ends every Ray of the machine; this starts `ray start --head`
with the same provider of pretended machines, whose raylets are processes here.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.harness.ordeal import ROOT, free_port, ray_head

HEAD_ID, HEAD_TYPE = "f" * 51 + "00000", "ray.head.default"  # names that the provider knows
STORE = 100 * 2**20
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"


class FakeCloud:
    """`address`: for drivers. Nodes are counted as the head knows them."""

    def __init__(self, address: str):
        self.address = address

    def gpu_nodes(self) -> int:
        """Nodes with a GPU that are up."""
        from ray.autoscaler.v2.sdk import get_cluster_status

        status = get_cluster_status(self.address)
        return sum(n.ray_node_type_name == "gpu" for n in [*status.active_nodes, *status.idle_nodes])

    def raylets(self) -> list[psutil.Process]:
        """Of the GPU nodes, the oldest first."""
        found = []
        for process in psutil.process_iter(["name", "cmdline", "create_time"]):
            command = " ".join(process.info["cmdline"] or [])
            if process.info["name"] == "raylet" and self.address in command and "GPU,1" in command:
                found.append(process)
        return sorted(found, key=lambda p: p.info["create_time"])


@contextlib.contextmanager
def fake_cloud(most: int = 2, idle_seconds: float = 8.0) -> Iterator[FakeCloud]:
    """A head with 2 CPUs and an autoscaler that brings up to `most` nodes with 2 CPUs and a GPU.

    Args:
        idle_seconds: after which a node that does nothing is taken down.
    """
    import ray

    port = free_port()
    address = f"{ray.util.get_node_ip_address()}:{port}"
    env = {
        "PYTHONPATH": str(ROOT),
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        json.dump(_config(address, most, idle_seconds), config)
        config.flush()
        options = [f"--autoscaling-config={config.name}", f"--object-store-memory={STORE}"]
        with ray_head(2, *options, port=port, env=env) as head:
            try:
                yield FakeCloud(address)
            finally:
                _end_nodes(str(head.folder), address)


def _config(address: str, most: int, idle_seconds: float) -> dict[str, Any]:
    lists = ["initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"]
    lists += ["head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude"]
    provider = {"type": "external", "module": PROVIDER, "gcs_address": address, "head_node_id": HEAD_ID}
    provider |= dict.fromkeys(
        ("use_node_id_as_ip", "disable_node_updaters", "disable_launch_config_check", "launch_multiple"), True
    )
    node = {"CPU": 2, "GPU": 1, "object_store_memory": STORE}
    return {
        **{name: [] for name in [*lists, "rsync_filter"]},
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        "cluster_name": "fake",
        "max_workers": most,
        "provider": provider,
        "head_node_type": HEAD_TYPE,
        "available_node_types": {
            HEAD_TYPE: {"resources": {"CPU": 2}, "node_config": {}, "max_workers": 0},
            "gpu": {"resources": node, "node_config": {}, "min_workers": 0, "max_workers": most},
        },
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": idle_seconds / 60,
        "file_mounts_sync_continuously": False,
    }


def _end_nodes(folder: str, address: str) -> None:
    """End whatever was started for nodes: no children of the head's process group. The head goes with them."""
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if process.pid != os.getpid() and (folder in command or address in command):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


class Watch:
    """Counts the GPU nodes and the shards that are committed, from a thread, until the block ends.

    Attributes:
        seen: (seconds since the block began, nodes, shards), one each time that either changed.
    """

    def __init__(self, cloud: FakeCloud, out: Path):
        self.cloud, self.out, self.seen = cloud, out, [(0.0, 0, 0)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self.began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            now = (self.cloud.gpu_nodes(), len(list(self.out.glob("label/*/manifest/*.json"))))
            if now != self.seen[-1][1:]:
                self.seen.append((round(time.monotonic() - self.began, 1), *now))

    @property
    def nodes(self) -> int:
        return self.seen[-1][1]

    @property
    def shards(self) -> int:
        return self.seen[-1][2]

    def when(self, test: Any) -> float:
        """Seconds until the first time that `test(nodes, shards)` held."""
        return next(seconds for seconds, nodes, shards in self.seen if test(nodes, shards))

    def wait(self, test: Any, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not test(self.nodes, self.shards):
            assert time.monotonic() < deadline, self.seen
            time.sleep(0.2)
