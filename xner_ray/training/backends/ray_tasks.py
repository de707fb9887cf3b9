"""Training in Ray tasks, with one worker per model: on CPUs, or on one GPU each.

A Ray Train group starts five processes besides its workers, which takes half a minute of CPU time. A task needs one process,
which Ray keeps for the next task, with torch imported. If the process of a task dies, the task runs again and continues at the
last checkpoint of its model. Tries are counted from the last checkpoint, so a training on spot nodes may be interrupted often.

On CPUs there are as many tasks as models fit at the same time, and each trains its part of the models. On GPUs there is a task
for each model, so that Ray places it on whichever GPU is free, and an autoscaler sees how many are missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from xner_ray.errors import UserError
from xner_ray.observability.log_follower import append_line, follow_log
from xner_ray.storage.atomic import write_json
from xner_ray.training.backends.local import train_here
from xner_ray.training.checkpoint import checkpoint_steps, is_trained
from xner_ray.training.job import TrainJob
from xner_ray.training.resource_split import balanced_split, cpus_per_worker, max_parallel_jobs

MAX_TRIES = 4  # of a task that comes no further
MAX_RETRIES = 100  # by Ray: a spot node may die often, and the task comes further each time


def train_in_tasks(
    jobs: Sequence[TrainJob],
    nodes: Sequence[Mapping[str, float]],
    progress: Path,
    log: Callable[[str], None],
    checkpoint_seconds: float,
    use_gpu: bool = False,
) -> None:
    """Train models, several at the same time. Returns when all of them are saved.

    Args:
        jobs: models to train, with absolute paths.
        nodes: resources of each node, by Ray's names.
        progress: file for progress lines, seen by all nodes. Files beside it count tries.
        log: called with each progress line.
        checkpoint_seconds: time between checkpoints.
        use_gpu: each model trains on one GPU.

    Raises:
        UserError: a task raised one, or its process died too often without progress. Any other error of a task arrives as it is.
            After an error the other tasks are canceled.
    """
    import ray

    count = len(jobs) if use_gpu else max_parallel_jobs(nodes, len(jobs), max(map(_memory_bytes, jobs)))
    parts = [[jobs[i] for i in part] for part in balanced_split([_cost(job) for job in jobs], count)]
    cpus = 1 if use_gpu else cpus_per_worker(nodes, count)
    for number in range(count):
        _tries_file(progress, number).unlink(missing_ok=True)
    models = f"{len(jobs)} model{'s'[: len(jobs) > 1]} to train"
    where = "one GPU each" if use_gpu else f"{count} at a time on {cpus} CPU{'s'[: cpus > 1]}"
    log(f"[{jobs[0].name}] {models}, {where}")
    task = ray.remote(num_cpus=cpus, num_gpus=int(use_gpu), max_retries=MAX_RETRIES)(_train_part)
    running = [
        task.options(name=f"train:{part[0].name}").remote(part, progress, number, cpus, checkpoint_seconds)
        for number, part in enumerate(parts)
    ]
    with follow_log(progress, log):
        try:
            while running:
                done, running = ray.wait(running)
                ray.get(done)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def _train_part(jobs: list[TrainJob], progress: Path, number: int, threads: int, checkpoint_seconds: float) -> None:
    """One task: its models, one after another. Counts its tries in a file, because the process may die."""
    tries_file, progress_now = _tries_file(progress, number), _progress(jobs)
    tries = 0
    if tries_file.exists():
        before = json.loads(tries_file.read_text())
        # A try that came further counts alone.
        tries = before["tries"] if before["progress"] == progress_now else 1
    job = next((job for job in jobs if not is_trained(job)), jobs[0])
    if tries == MAX_TRIES:
        raise UserError(
            f"its process died {MAX_TRIES} times in the same part of the training; the most likely reason is too little memory",
            file=job.out,
            key=f"{job.section}.max_micro_batch_tokens",
            remedy="set it lower, or train fewer models at a time with ray.num_cpus",
        )
    if tries:
        append_line(progress, f"[{job.name}] its process died; try {tries + 1} of {MAX_TRIES}")
    write_json(tries_file, {"tries": tries + 1, "progress": progress_now})
    train_here(jobs, threads, partial(append_line, progress), checkpoint_seconds)


def _progress(jobs: Sequence[TrainJob]) -> list[int]:
    """The number of trained models, and the steps of the checkpoint of the next one."""
    left = [job for job in jobs if not is_trained(job)]
    return [len(jobs) - len(left), checkpoint_steps(left[0].checkpoint_folder) if left else 0]


def _tries_file(progress: Path, number: int) -> Path:
    """A file with the number of tries of a task, and how far it was at the last one."""
    return progress.with_name(f"{progress.stem}.{number}.tries")


def _memory_bytes(job: TrainJob) -> float:
    """Memory of a training on CPUs: weights, gradients, two moments and a bf16 copy, plus 1.5 GB for everything else."""
    weights = sum(file.stat().st_size for file in Path(job.start).glob("*.safetensors"))
    return 5 * weights + 1.5e9


def _cost(job: TrainJob) -> float:
    """Relative duration of a training: the bytes that it reads."""
    return Path(job.data).stat().st_size * job.training.epochs
