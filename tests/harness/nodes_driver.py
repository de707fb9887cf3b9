"""A run on a cluster of nodes with fake GPUs. During the run one node is lost and a new one starts: `nodes_driver CONFIG`."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path


def main() -> None:
    """Run the command."""
    import ray
    from ray.cluster_utils import Cluster

    from xner_ray.config.load import load_config
    from xner_ray.workflows.run import run as run_stages

    store = 150 * 2**20
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": store, "include_dashboard": False}
    )
    nodes = [cluster.add_node(num_cpus=2, num_gpus=1, object_store_memory=store) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    config, errors = load_config(Path(sys.argv[1])), []

    def work() -> None:
        try:
            run_stages(config, sys.argv[1], ["dataset"])
        except BaseException as e:
            errors.append(e)

    # Only the main thread can add nodes, so the run has a thread of its own.
    run = threading.Thread(target=work, daemon=True)
    run.start()
    while run.is_alive() and len(list(Path(config.out).glob("label/*/manifest/*.json"))) < 3:
        time.sleep(0.2)
    assert run.is_alive(), f"the run ended before a node was lost: {errors}"
    cluster.remove_node(nodes[1], allow_graceful=False)
    cluster.add_node(num_cpus=2, num_gpus=1, object_store_memory=store)
    run.join()
    if errors:
        raise errors[0]
    print("a node was lost and a new one started", flush=True)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
