"""The node provider of the fake cloud: Ray's fake provider, with nodes that boot for some time before their raylet starts.

The autoscaler imports it in a process of the head.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider
from ray.autoscaler.tags import NODE_KIND_WORKER, TAG_RAY_NODE_KIND, TAG_RAY_NODE_NAME


@dataclass(frozen=True)
class Boot:
    """The boot of one node.

    Attributes:
        requested: time at which the autoscaler asked for the node, seconds since 1970.
        booted: time at which its raylet began to start.
    """

    requested: float
    booted: float


class BootingNodeProvider(FakeMultiNodeProvider):
    """Keys of its config: `boot_seconds`, and `boot_log`, a file that gets a `Boot` as JSON in each line."""

    def create_node_with_resources_and_labels(
        self, node_config: Any, tags: dict[str, str], count: int, resources: Any, labels: Any
    ) -> None:
        """Request nodes. They are in the list of nodes at once, as in a cloud, but do not run yet."""
        requested = time.time()
        for _ in range(count):
            with self.lock:
                node_id = self._next_hex_node_id()
                names = {TAG_RAY_NODE_KIND: NODE_KIND_WORKER, TAG_RAY_NODE_NAME: node_id}
                self._nodes[node_id] = {"tags": {**names, **tags}}
                arguments = (self._next_node_id, requested, node_config, tags, resources, labels)
            timer = threading.Timer(self.provider_config["boot_seconds"], self._boot, (node_id, *arguments))
            timer.daemon = True
            timer.start()

    def is_running(self, node_id: str) -> bool:
        with self.lock:
            return "node" in self._nodes.get(node_id, {})

    def _boot(self, node_id: str, number: int, requested: float, *arguments: Any) -> None:
        """Start the raylet of a node, if the node was not terminated meanwhile."""
        booted = time.time()
        node_config, tags, resources, labels = arguments
        with self.lock:
            if node_id not in self._nodes:
                return
            last, self._next_node_id = self._next_node_id, number - 1  # the base class counts up to the number
            self._create_node_with_resources_and_labels(node_config, tags, 1, resources, labels)
            self._next_node_id = last
        if log := self.provider_config["boot_log"]:
            with Path(log).open("a") as file:
                file.write(json.dumps(asdict(Boot(requested, booted))) + "\n")

    def _terminate_node(self, node: dict[str, Any]) -> None:
        if "node" in node:
            super()._terminate_node(node)
