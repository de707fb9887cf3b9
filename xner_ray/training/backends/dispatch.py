"""Trains models on Ray, with the backend that fits the hardware."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from xner_ray.storage.fingerprint import fingerprint
from xner_ray.training.job import TrainJob, TrainResources

CHECKPOINT_SECONDS = 300.0


def train_on_ray(
    jobs: Sequence[TrainJob],
    storage: str | Path,
    resources: TrainResources = TrainResources(),  # noqa: B008 - frozen
    log: Callable[[str], None] = print,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> None:
    """Train the models that are not trained yet. Returns when all of them are saved.

    With several workers per model they are trained in a Ray Train worker group (`ray_train.py`), otherwise in Ray tasks
    (`ray_tasks.py`), on a GPU each where there are GPUs. Each model is saved, and its stage folder committed
    (`TrainJob.marker`), by its worker as soon as it is trained. So a driver that is killed loses no finished model.

    Args:
        jobs: models to train. None of them needs another one.
        storage: folder for checkpoints and progress lines, seen by all nodes.
        resources: workers and GPUs of the training.
        log: called with each progress line.
        checkpoint_seconds: time between checkpoints.

    Raises:
        UserError: a worker raised one. Any other error of a worker arrives as Ray reports it.
    """
    from xner_ray.training.backends.nodes import nodes_up
    from xner_ray.training.checkpoint import is_trained

    todo = [replace(job, out=str(Path(job.out).absolute())) for job in jobs if not is_trained(job)]
    if not todo:
        return
    storage, nodes = Path(storage).absolute(), nodes_up()
    storage.mkdir(parents=True, exist_ok=True)
    # Ray Train finds its checkpoints by this name, so the same jobs continue where they stopped.
    name = f"train-{fingerprint({'jobs': [job.identity() for job in jobs]})}"
    progress = storage / f"{name}.log"
    progress.write_text("")
    if resources.workers == 1:
        from xner_ray.training.backends.ray_tasks import train_in_tasks

        train_in_tasks(todo, nodes, progress, log, checkpoint_seconds, resources.use_gpu(nodes))
    else:
        from xner_ray.training.backends.ray_train import train_in_worker_group

        train_in_worker_group(todo, nodes, resources, name, progress, log, checkpoint_seconds)
