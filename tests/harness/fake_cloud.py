"""An autoscaling cluster on this machine: a head with CPUs, and nodes with a fake GPU that boot for some time.

Ray's own `AutoscalingCluster` needs a file that the wheels do not have, and it kills every Ray on the machine. This module runs
`ray start --head` with a subclass of the same node provider. The raylets of its nodes are processes on this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.harness.null_runs import ROOT, free_port, ray_head

HEAD_ID, HEAD_TYPE = "f" * 51 + "00000", "ray.head.default"  # names that the node provider expects
STORE = 100 * 2**20
PROVIDER = "tests.harness.booting_nodes.BootingNodeProvider"


class FakeCloud:
    """The cluster.

    Args:
        address: of its head, for drivers.
    """

    def __init__(self, address: str):
        self.address = address

    def gpu_nodes(self) -> int:
        """The number of nodes with a GPU that the head knows."""
        from ray.autoscaler.v2.sdk import get_cluster_status

        status = get_cluster_status(self.address)
        return sum(n.ray_node_type_name == "gpu" for n in [*status.active_nodes, *status.idle_nodes])

    def raylets(self) -> list[psutil.Process]:
        """The raylet processes of the nodes with a GPU, the oldest first."""
        raylets = []
        for process in psutil.process_iter(["name", "cmdline", "create_time"]):
            command = " ".join(process.info["cmdline"] or [])
            if process.info["name"] == "raylet" and self.address in command and "GPU,1" in command:
                raylets.append(process)
        return sorted(raylets, key=lambda p: p.info["create_time"])


@contextlib.contextmanager
def fake_cloud(
    max_nodes: int = 2,
    idle_seconds: float = 8.0,
    boot_seconds: float = 0.0,
    boot_log: Path | None = None,
    upscaling_speed: float = 1.0,
) -> Iterator[FakeCloud]:
    """Start a head with 2 CPUs and an autoscaler. Its nodes have 2 CPUs and a GPU each.

    Args:
        max_nodes: the autoscaler starts up to this number of nodes.
        idle_seconds: an idle node is removed after this time.
        boot_seconds: from the request of a node to the start of its raylet.
        boot_log: file for the boots, see `booting_nodes.Boot`.
        upscaling_speed: of the autoscaler's config: nodes that are started at once for each node that is up.
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
        provider = {"boot_seconds": boot_seconds, "boot_log": str(boot_log) if boot_log else None}
        json.dump(_config(address, max_nodes, idle_seconds, provider, upscaling_speed), config)
        config.flush()
        options = [f"--autoscaling-config={config.name}", f"--object-store-memory={STORE}"]
        with ray_head(2, *options, port=port, env=env) as head:
            try:
                yield FakeCloud(address)
            finally:
                _end_nodes(str(head.folder), address)


def _config(
    address: str, max_nodes: int, idle_seconds: float, provider: dict[str, Any], upscaling_speed: float
) -> dict[str, Any]:
    lists = ["initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"]
    lists += ["head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude"]
    provider |= {"type": "external", "module": PROVIDER, "gcs_address": address, "head_node_id": HEAD_ID}
    provider |= dict.fromkeys(
        ("use_node_id_as_ip", "disable_node_updaters", "disable_launch_config_check", "launch_multiple"), True
    )
    node = {"CPU": 2, "GPU": 1, "object_store_memory": STORE}
    return {
        **{name: [] for name in [*lists, "rsync_filter"]},
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        "cluster_name": "fake",
        "max_workers": max_nodes,
        "provider": provider,
        "head_node_type": HEAD_TYPE,
        "available_node_types": {
            HEAD_TYPE: {"resources": {"CPU": 2}, "node_config": {}, "max_workers": 0},
            "gpu": {"resources": node, "node_config": {}, "min_workers": 0, "max_workers": max_nodes},
        },
        "upscaling_speed": upscaling_speed,
        "idle_timeout_minutes": idle_seconds / 60,
        "file_mounts_sync_continuously": False,
    }


def _end_nodes(folder: str, address: str) -> None:
    """Kill all processes of the nodes, which are not in the process group of the head, and the head."""
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if process.pid != os.getpid() and (folder in command or address in command):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


class ClusterMonitor:
    """Counts the nodes with a GPU and the committed shards in a thread, until the block ends.

    Args:
        cloud: the cluster.
        out: output folder of a run.

    Attributes:
        history: (seconds since the start, nodes, shards), one tuple for each change.
    """

    def __init__(self, cloud: FakeCloud, out: Path):
        self.cloud, self.out, self.history = cloud, out, [(0.0, 0, 0)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> ClusterMonitor:
        self.start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            counts = (self.cloud.gpu_nodes(), len(list(self.out.glob("label/*/manifest/*.json"))))
            if counts != self.history[-1][1:]:
                self.history.append((round(time.monotonic() - self.start, 1), *counts))

    @property
    def nodes(self) -> int:
        """Nodes with a GPU now."""
        return self.history[-1][1]

    @property
    def shards(self) -> int:
        """Committed shards now."""
        return self.history[-1][2]

    def first_time(self, test: Callable[[int, int], bool]) -> float:
        """Seconds from the start until `test(nodes, shards)` was true."""
        return next(seconds for seconds, nodes, shards in self.history if test(nodes, shards))

    def wait_until(self, test: Callable[[int, int], bool], timeout: float) -> None:
        """Wait until `test(nodes, shards)` is true.

        Raises:
            AssertionError: it is not true in `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not test(self.nodes, self.shards):
            assert time.monotonic() < deadline, self.history
            time.sleep(0.2)
