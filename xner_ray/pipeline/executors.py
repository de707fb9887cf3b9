"""Executors run the work of stages: in this process, or on Ray.

A stage calls the executor of its context, and works with each of them. `InProcess` is for unit tests and for code that already
runs in a Ray task, such as the tasks of a study. `RayExecutor` sends work to a cluster or to a local Ray.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from xner_ray.config import RayConfig
from xner_ray.pipeline.running_tasks import RunningTasks
from xner_ray.training.job import TrainJob, TrainResources

T = TypeVar("T")
CHECKPOINT_SECONDS = 120.0  # between checkpoints of a training in this process
MAX_CALLS = 32  # of `concurrently`
MAP_RETRIES = 3  # retries of a task whose process died


class Executor(Protocol):
    """Runs functions and trainings.

    `compute` and `stream` pass the number of CPU threads to the function, as its last argument.
    """

    def connect(self) -> None:
        """Connect to Ray or start it, for code that uses Ray directly. Raises: RuntimeError if this executor has no Ray."""
        ...

    def train(self, jobs: Sequence[TrainJob]) -> None:
        """Train models. Each model is saved and committed as soon as it is trained."""
        ...

    def compute(self, function: Callable[..., T], *args: Any) -> T:
        """Return `function(*args, threads)`. It runs on a GPU if there is one."""
        ...

    def stream(self, function: Callable[..., Iterator[T]], *args: Any) -> Iterator[T]:
        """Yield the items of `function(*args, threads)` as soon as they exist. It runs on a GPU if there is one."""
        ...

    def map(self, function: Callable[[Any], T], items: Iterable[Any], max_running: int | None = None) -> Iterator[T]:
        """Yield `function(item)` for each item, in order. As many items are processed at a time as there are CPUs.

        The first error in the order of the items is raised. Errors of other items that were started are logged.

        Args:
            function: runs in another process, so it is pickled.
            items: the items; they are pickled, too.
            max_running: the maximum number of items that are processed at a time.
        """
        ...

    def concurrently(
        self, function: Callable[[Any], T], items: Sequence[Any], max_running: int | None = None
    ) -> Iterator[T]:
        """Yield `function(item)` for each item, in order. Several calls run at a time in this process, and may use `map`.

        After an error, calls that have not ended are not waited for. Of the errors so far, the first one in the order of the
        items is raised, and the others are logged. The other calls end when they wait for a task of a `map`.

        Args:
            function: need not be picklable.
            items: the items.
            max_running: the maximum number of calls at a time.
        """
        ...

    def nodes(self) -> list[dict[str, float]]:
        """Return the resources of each node, by Ray's names (CPU, GPU)."""
        ...

    def submit(self, function: Callable[..., Any], resources: Mapping[str, float], *args: Any) -> Any:
        """Start a task and return its handle. Arguments may be handles of other tasks."""
        ...

    def finished(self, tasks: Mapping[Any, str]) -> Iterator[tuple[str, Exception | None]]:
        """Yield the title and the error of each task as soon as it ends. The error is None after a success.

        Args:
            tasks: the title of each task, by its handle.
        """
        ...


class InProcess:
    """Runs everything in this process.

    Args:
        threads: CPU threads for torch.
        log: called with progress lines of trainings.
    """

    def __init__(self, threads: int = 1, log: Callable[[str], None] = print):
        self.threads, self.log = threads, log

    def connect(self) -> None:
        raise RuntimeError("this executor has no Ray: label the corpus before")

    def train(self, jobs: Sequence[TrainJob]) -> None:
        from xner_ray.training.backends.local import train_here

        train_here(jobs, self.threads, self.log, CHECKPOINT_SECONDS)

    def compute(self, function: Callable[..., T], *args: Any) -> T:
        return function(*args, self.threads)

    def stream(self, function: Callable[..., Iterator[T]], *args: Any) -> Iterator[T]:
        return function(*args, self.threads)

    def map(self, function: Callable[[Any], T], items: Iterable[Any], max_running: int | None = None) -> Iterator[T]:
        return map(function, items)

    def concurrently(
        self, function: Callable[[Any], T], items: Sequence[Any], max_running: int | None = None
    ) -> Iterator[T]:
        return map(function, items)

    def nodes(self) -> list[dict[str, float]]:
        return [{"CPU": float(self.threads)}]

    def submit(self, function: Callable[..., Any], resources: Mapping[str, float], *args: Any) -> Any:
        return _Done(function(*args))

    def finished(self, tasks: Mapping[Any, str]) -> Iterator[tuple[str, Exception | None]]:
        return ((title, None) for title in tasks.values())


class RayExecutor:
    """Runs functions as Ray tasks, and trainings as Ray tasks or Ray Train worker groups.

    Args:
        settings: the section `ray` of the config.
        out: output directory. Checkpoints of trainings are below it.
        log: called with progress lines.
    """

    def __init__(self, settings: RayConfig, out: Path, log: Callable[[str], None]):
        self.settings, self.out, self.log = settings, out, log
        self._tasks = RunningTasks(log, _wait_for, _get)

    def connect(self) -> None:
        from xner_ray.preflight.ray_session import connect

        connect(self.settings)

    def train(self, jobs: Sequence[TrainJob]) -> None:
        if not jobs:
            return
        from xner_ray.training.backends.dispatch import train_on_ray

        self.connect()
        settings = self.settings
        resources = TrainResources(settings.train_workers, settings.min_train_workers, settings.max_gpus)
        train_on_ray(jobs, self.out / "ray_train", resources, self.log)

    def compute(self, function: Callable[..., T], *args: Any) -> T:
        import ray

        options, threads = self._one_worker()
        return ray.get(ray.remote(**options)(function).remote(*args, threads))

    def stream(self, function: Callable[..., Iterator[T]], *args: Any) -> Iterator[T]:
        import ray

        options, threads = self._one_worker()
        for reference in ray.remote(num_returns="streaming", **options)(function).remote(*args, threads):
            yield ray.get(reference)

    def map(self, function: Callable[[Any], T], items: Iterable[Any], max_running: int | None = None) -> Iterator[T]:
        import ray

        self.connect()
        shared = ray.put(function)  # sent to the workers once, not with each item
        task = ray.remote(num_cpus=1, max_retries=MAP_RETRIES)(_call)
        with self._tasks.queue() as waiting:
            for item in items:
                waiting.append(task.remote(shared, item))
                # The number of CPUs is read each time, because an autoscaler adds nodes for waiting tasks.
                while len(waiting) >= min(2 * self._cpus(), max_running or sys.maxsize):
                    yield self._tasks.next_result(waiting)
            while waiting:
                yield self._tasks.next_result(waiting)

    def concurrently(
        self, function: Callable[[Any], T], items: Sequence[Any], max_running: int | None = None
    ) -> Iterator[T]:
        # Not as many as there are CPUs, because an autoscaler adds nodes for waiting tasks.
        calls = min(len(items), max_running or MAX_CALLS)
        if calls <= 1:
            yield from map(function, items)
            return
        self.connect()
        with ThreadPoolExecutor(calls, "xner-call") as pool:
            futures = [pool.submit(function, item) for item in items]
            try:
                for future in futures:
                    yield self._tasks.next_call(future, futures)
            except BaseException as e:
                self._tasks.stop(futures, e)
                raise

    @staticmethod
    def _cpus() -> int:
        import ray

        return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def nodes(self) -> list[dict[str, float]]:
        from xner_ray.training.backends.nodes import nodes_up

        self.connect()
        return nodes_up()

    def submit(self, function: Callable[..., Any], resources: Mapping[str, float], *args: Any) -> Any:
        import ray

        # By default each GPU task gets a new process. These tasks free the memory of their GPU, so processes are reused.
        options: dict[str, Any] = {**resources, "max_retries": MAP_RETRIES, "max_calls": 0}
        return ray.remote(**options)(function).remote(*args)

    def finished(self, tasks: Mapping[Any, str]) -> Iterator[tuple[str, Exception | None]]:
        import ray

        waiting = list(tasks)
        while waiting:
            (ready,), waiting = ray.wait(waiting, num_returns=1)
            try:
                ray.get(ready)
                yield tasks[ready], None
            except ray.exceptions.RayError as e:
                yield tasks[ready], e

    def _one_worker(self) -> tuple[dict[str, Any], int]:
        """Return Ray options and threads of a task that runs a model: one GPU, or else the CPUs of a node."""
        from xner_ray.training.resource_split import cpus_per_worker

        nodes = self.nodes()
        gpu = bool(self.settings.max_gpus) or any(node.get("GPU", 0) >= 1 for node in nodes)
        threads = 1 if gpu else cpus_per_worker(nodes, 1)
        return {"num_cpus": threads, "num_gpus": int(gpu)}, threads


def _wait_for(tasks: list[Any], seconds: float) -> list[Any]:
    import ray

    return ray.wait(tasks, num_returns=len(tasks), timeout=seconds)[0]


def _get(task: Any) -> Any:
    import ray

    return ray.get(task)


class _Done:
    """The handle of a task that ran in this process."""

    def __init__(self, value: Any):
        self.value = value


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)
