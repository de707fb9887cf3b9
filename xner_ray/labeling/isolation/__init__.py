"""Isolation of rows that make a shard function raise an error or kill its process.

A function runs in a child process of its actor (`subprocess_worker.py`). If a shard fails, the actor bisects it at once
(`bisection.py`). A row that fails alone gets a fault, which is its reason. The other rows then run again as one table, so their
results do not depend on the bisection.

A child that gives no answer before a deadline (`deadline.py`) is killed. The shard is tried once more, and only then bisected.

Only the death of a child under a living actor counts against a row. A killed actor, a lost node or a preempted machine takes the
child and its parent along, and leaves no record. The price is one light process for each actor, and one start of a child for each
death.
"""

from xner_ray.labeling.isolation.bisection import Bisection
from xner_ray.labeling.isolation.devices import DeviceLostError, device_id, device_name
from xner_ray.labeling.isolation.subprocess_worker import ChildStartError, ShardFunction, SubprocessWorker

__all__ = [
    "Bisection",
    "ChildStartError",
    "DeviceLostError",
    "ShardFunction",
    "SubprocessWorker",
    "device_id",
    "device_name",
]
