"""Models trained in Ray tasks: on CPUs, where nobody asked for several workers a model.

A worker group of Ray Train is five processes beside its workers, half a minute of CPU each time; a task is one, which Ray keeps
for the run's next task, with torch imported. A task whose process dies is run again, and goes on at its model's last checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from xner_ray.errors import UserError
from xner_ray.observability.log_follower import append_line, follow_log
from xner_ray.training.backends.local import train_here
from xner_ray.training.job import TrainJob
from xner_ray.training.resource_split import beside, cpus_each, split

TRIES = 4  # of a task; Ray itself would try one that is out of memory for ever


def train_in_tasks(
    jobs: Sequence[TrainJob],
    nodes: Sequence[Mapping[str, float]],
    progress: Path,
    log: Callable[[str], None],
    checkpoint_seconds: float,
) -> None:
    """Train models, as many at a time as the cluster has room for; returns when all folders are there.

    Args:
        jobs: with absolute paths.
        nodes: what each node has, by Ray's names.
        progress: a file that all nodes see; others beside it count tries.
        say: called with progress lines.

    Raises:
        UserError: a task met one, or died too often. Any other error of a task as it is, and then no other one goes on.
    """
    import ray

    count = beside(nodes, len(jobs), max(map(_memory, jobs)))
    shares = [[jobs[i] for i in part] for part in split([_size(job) for job in jobs], count)]
    cpus = cpus_each(nodes, count)
    for number in range(count):
        _tries(progress, number).unlink(missing_ok=True)
    log(
        f"[{jobs[0].name}] {len(jobs)} model{'s'[: len(jobs) > 1]} to train, {count} at a time on {cpus} CPU{'s'[: cpus > 1]}"
    )
    task = ray.remote(num_cpus=cpus, max_retries=TRIES)(_train)
    running = [
        task.options(name=f"train:{share[0].name}").remote(share, progress, number, cpus, checkpoint_seconds)
        for number, share in enumerate(shares)
    ]
    with follow_log(progress, log):
        try:
            while running:
                done, running = ray.wait(running)
                ray.get(done)
        finally:
            for one in running:
                ray.cancel(one, force=True)


def _train(jobs: list[TrainJob], progress: Path, number: int, threads: int, checkpoint_seconds: float) -> None:
    """One task: its share of the models, one after another."""
    tries = _tries(progress, number)
    tried = tries.stat().st_size if tries.exists() else 0
    if tried == TRIES:
        raise UserError(
            f"its process died {TRIES} times, most likely for want of memory",
            file=jobs[0].out,
            key="student.training.max_micro_batch_tokens",
            remedy="set it lower, or train fewer models at a time with ray.num_cpus",
        )
    if tried:
        append_line(progress, f"[{jobs[0].name}] its process died; try {tried + 1} of {TRIES}")
    tries.write_bytes(bytes(tried + 1))
    train_here(jobs, threads, partial(append_line, progress), checkpoint_seconds)


def _tries(progress: Path, number: int) -> Path:
    """A file of one byte for each time that a task began."""
    return progress.with_name(f"{progress.stem}.{number}.tries")


def _memory(job: TrainJob) -> float:
    """Bytes that training a model takes on CPUs: weights, gradients, two moments, a copy in bf16; and 1.5 GB around them."""
    weights = sum(file.stat().st_size for file in Path(job.start).glob("*.safetensors"))
    return 5 * weights + 1.5e9


def _size(job: TrainJob) -> float:
    """What a training costs beside others: the bytes that it reads."""
    return Path(job.data).stat().st_size * job.training.epochs
