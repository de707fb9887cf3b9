"""Poison: rows that make inference raise, or kill its process, found without a run stopping and without a neighbor lost.

A shard runs in a child process that its actor supervises (`child.py`). A run that raises or dies is bisected at once, and a
row that fails alone is set aside with its reason (`guard.py`); the rest of the shard runs again as one, so its results are
the same whatever was tried in between.

Why a child and no journal: whoever supervises knows who died. A killed actor, a lost node or a preempted machine take the
supervisor along, so they leave no record and count against nobody; only the death of a child under a living supervisor
does. It costs a light process an actor, and a start of the child for each death.
"""

from xner_ray.labeling.isolation.bisection import Bisection
from xner_ray.labeling.isolation.subprocess_worker import SubprocessWorker

__all__ = ["Bisection", "SubprocessWorker"]
