"""The loop under Ray Train: a worker group that trains a list of models.

Starting a worker group costs 20 to 40 seconds (it imports torch and transformers), so models that belong together share one.
All workers train one model after another. On CPUs where nobody asked for several workers there is no group, see `tasks.py`.
A finished model is a folder, and finished ones are skipped; inside a model the loop goes on at the step of the last checkpoint.
Workers read their TrainSet and write their result on storage that all nodes see.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import ray
import ray.train
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, WorkerGroupError

from xner_ray.errors import UserError
from xner_ray.observability.log_follower import append_line, follow_log
from xner_ray.storage.fingerprint import fingerprint
from xner_ray.training.backends.local import LocalBackend
from xner_ray.training.backends.nodes import nodes_up
from xner_ray.training.backends.ray_tasks import train_in_tasks
from xner_ray.training.job import TrainJob, TrainResources
from xner_ray.training.resource_split import cpus_each

CHECKPOINT_SECONDS = 300.0
FAILURES = 3  # workers lost without notice; a bug is tried as often, at half a minute each


class RayHooks:
    """What the loop needs, from Ray Train."""

    def __init__(self, progress: Path, every: float = CHECKPOINT_SECONDS):
        self.progress = progress
        context = ray.train.get_context()
        self.rank, self.world = context.get_world_rank(), context.get_world_size()
        self.every, self.last, self.calls = every, time.monotonic(), 0

    def prepare(self, model):
        from ray.train.torch import prepare_model

        return prepare_model(model)

    def load(self, job: TrainJob) -> Path | None:
        """The last checkpoint, if it is of this job; or the one of a worker that had this model for itself."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return LocalBackend().load(job)
        folder = Path(checkpoint.to_directory())
        same = json.loads((folder / "job.json").read_text()) == job.identity()
        return folder if same else None

    def save(self, job: TrainJob, write: Callable[[Path], None]) -> None:
        """Report a checkpoint; a barrier, so all ranks call it."""
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if self.rank == 0:
                write(Path(folder))
                (Path(folder) / "job.json").write_text(json.dumps(job.identity()))
                checkpoint = Checkpoint.from_directory(folder)
            ray.train.report({"job": job.name}, checkpoint=checkpoint)
        self.last = time.monotonic()

    def due(self) -> bool:
        """Rank 0's clock decides for all; asked every 10th step, because asking others costs an exchange."""
        self.calls += 1
        if self.calls % 10:
            return False
        late = time.monotonic() - self.last >= self.every
        if self.world == 1:
            return late
        import torch
        import torch.distributed as dist

        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        flag = torch.tensor([int(late)], device=device)
        dist.broadcast(flag, src=0)
        return bool(flag.item())

    def total(self, value):
        """The sum of a number over all ranks."""
        if self.world > 1:
            import torch.distributed as dist

            dist.all_reduce(value)
        return value

    def log(self, line: str) -> None:
        append_line(self.progress, line)


def _worker(config: dict) -> None:
    """What each worker of the group does: the jobs, with the others."""
    import torch

    from xner_ray.training.checkpoint import is_trained, save_model
    from xner_ray.training.trainer import train

    torch.set_num_threads(config["threads"])
    hooks = RayHooks(Path(config["progress"]), config["checkpoint_seconds"])
    for job in map(TrainJob.from_dict, config["jobs"]):
        if is_trained(job):
            continue
        model, result = train(job, hooks)
        if hooks.rank == 0:
            save_model(model, job, result)
        # Nobody starts the next model, or ends, before this one lies on the disk.
        ray.train.report({"job": job.name, "loss": sum(result.losses[-50:]) / max(1, len(result.losses[-50:]))})


def fit(
    jobs: Sequence[TrainJob],
    storage: str | Path,
    resources: TrainResources = TrainResources(),  # noqa: B008 - frozen
    log: Callable[[str], None] = print,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> None:
    """Train the models that are not trained yet. Returns when all of them are saved.

    Each model is saved, and its stage folder committed (`TrainJob.marker`), by its worker as soon as it is trained. So a
    driver that is killed loses no finished model.

    Args:
        jobs: models to train. None of them needs another one.
        storage: folder for Ray Train's own state and checkpoints, seen by all nodes.
        resources: of the cluster.
        log: called with each progress line.
        checkpoint_seconds: between checkpoints. An elastic group tries to grow as often, which costs the work since the last
            checkpoint.

    Raises:
        UserError: a worker raised one. Any other error of a worker arrives as Ray reports it.
    """
    from xner_ray.training.checkpoint import is_trained

    todo = [replace(job, out=str(Path(job.out).absolute())) for job in jobs if not is_trained(job)]
    if not todo:
        return
    nodes, workers = nodes_up(), resources.workers
    fewest = resources.min_workers or workers
    gpu = max(resources.max_gpus, sum(node.get("GPU", 0) for node in nodes)) >= fewest
    storage = Path(storage).absolute()
    storage.mkdir(parents=True, exist_ok=True)
    # The same jobs go on where they stopped; Ray finds their checkpoints by this name.
    name = f"train-{fingerprint({'jobs': [job.identity() for job in jobs]})}"
    progress = storage / f"{name}.log"
    progress.write_text("")
    if not gpu and workers == 1:
        train_in_tasks(todo, nodes, progress, log, checkpoint_seconds)
        return
    from ray.train.torch import TorchTrainer

    cpus = 1 if gpu else cpus_each(nodes, workers)
    trainer = TorchTrainer(
        _worker,
        train_loop_config={
            "jobs": [job.to_dict() for job in todo],
            "threads": cpus,
            "checkpoint_seconds": checkpoint_seconds,
            "progress": str(progress),
        },
        scaling_config=ScalingConfig(  # type: ignore[call-arg]  # Ray's types are those of its older Train
            num_workers=workers if fewest == workers else (fewest, workers),  # type: ignore[arg-type]
            elastic_resize_monitor_interval_s=checkpoint_seconds,
            use_gpu=gpu,
            resources_per_worker={"CPU": cpus, **({"GPU": 1} if gpu else {})},
        ),
        run_config=RunConfig(
            name=name,
            storage_path=str(storage),
            failure_config=FailureConfig(max_failures=FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    )
    many = "s" if len(todo) > 1 else ""
    group = f"{fewest} to {workers}" if fewest < workers else f"{workers}"
    log(f"[{todo[0].name}] {len(todo)} model{many} to train; Ray Train starts {group} worker{'s'[: workers > 1]}")
    with follow_log(progress, log):
        try:
            trainer.fit()
        except WorkerGroupError as e:
            raise next((x for x in e.worker_failures.values() if isinstance(x, UserError)), e) from None
