"""Training in a Ray Train worker group: with several workers per model.

A worker group takes 20 to 40 seconds to start, because each worker imports torch and transformers. So all models of a call share
one group: its workers train one model after another, together. A model that was interrupted continues at the step of its last
checkpoint. Workers read training data and write models on storage that all nodes see.
"""

from __future__ import annotations

import ipaddress
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
import ray.train
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, WorkerGroupError

from xner_ray.errors import UserError
from xner_ray.observability.log_follower import append_line, follow_log
from xner_ray.training.backends.local import LocalBackend
from xner_ray.training.job import TrainJob, TrainResources
from xner_ray.training.resource_split import cpus_per_worker

if TYPE_CHECKING:
    import torch

MAX_FAILURES = 3  # restarts of a group; Ray Train counts exceptions in the loop as well, half a minute each
DUE_EVERY = 10  # steps between checks whether a checkpoint is due, because each check is a message to all ranks


class RayTrainBackend:
    """A `TrainBackend` for the workers of a Ray Train group.

    Args:
        progress: file for progress lines, seen by all nodes.
        checkpoint_seconds: time between checkpoints.
    """

    def __init__(self, progress: Path, checkpoint_seconds: float):
        self.progress, self.checkpoint_seconds = progress, checkpoint_seconds
        context = ray.train.get_context()
        self.rank, self.world_size = context.get_world_rank(), context.get_world_size()
        self.saved_at, self.steps = time.monotonic(), 0

    def prepare_model(self, model: torch.nn.Module) -> torch.nn.Module:
        from ray.train.torch import prepare_model

        # The model is on the trainer's device already. Ray would move it to a GPU by its own count, even if torch finds none.
        return prepare_model(model, move_to_device=False)

    def load_checkpoint(self, job: TrainJob) -> Path | None:
        """Return the group's last checkpoint if it is of this job, or else the checkpoint of an earlier Ray task."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return LocalBackend().load_checkpoint(job)
        folder = Path(checkpoint.to_directory())
        same_job = json.loads((folder / "job.json").read_text()) == job.identity()
        return folder if same_job else None

    def save_checkpoint(self, job: TrainJob, write: Callable[[Path], None]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if self.rank == 0:
                write(Path(folder))
                (Path(folder) / "job.json").write_text(json.dumps(job.identity()))
                checkpoint = Checkpoint.from_directory(folder)
            ray.train.report({"job": job.name}, checkpoint=checkpoint)  # a barrier
        self.saved_at = time.monotonic()

    def checkpoint_due(self) -> bool:
        """Rank 0 decides by its clock and sends the answer to the others."""
        self.steps += 1
        if self.steps % DUE_EVERY:
            return False
        due = time.monotonic() - self.saved_at >= self.checkpoint_seconds
        if self.world_size == 1:
            return due
        import torch
        import torch.distributed as dist

        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        flag = torch.tensor([int(due)], device=device)
        dist.broadcast(flag, src=0)
        return bool(flag.item())

    def sum_over_ranks(self, value: torch.Tensor) -> torch.Tensor:
        if self.world_size > 1:
            import torch.distributed as dist

            dist.all_reduce(value)
        return value

    def log(self, line: str) -> None:
        append_line(self.progress, line)


def _train_worker(config: dict[str, Any]) -> None:
    """One worker of the group: all jobs, one after another."""
    import torch

    from xner_ray.training.checkpoint import is_trained, save_model
    from xner_ray.training.trainer import train

    torch.set_num_threads(config["threads"])
    backend = RayTrainBackend(Path(config["progress"]), config["checkpoint_seconds"])
    if backend.rank == 0 and config["use_gpu"] and not torch.cuda.is_available():
        backend.log(
            f"[{config['jobs'][0]['name']}] Ray gives each worker a GPU, but torch finds none: training on CPUs"
        )
    for job in map(TrainJob.from_dict, config["jobs"]):
        if is_trained(job):
            continue
        model, result = train(job, backend)
        if backend.rank == 0:
            save_model(model, job, result, backend.log)
        recent = result.losses[-50:]
        # A barrier: no worker starts the next model, or ends, before this one is saved.
        ray.train.report({"job": job.name, "loss": sum(recent) / max(1, len(recent))})


def train_in_worker_group(
    jobs: Sequence[TrainJob],
    nodes: Sequence[Mapping[str, float]],
    resources: TrainResources,
    name: str,
    progress: Path,
    log: Callable[[str], None],
    checkpoint_seconds: float,
) -> None:
    """Train models one after another, each with all workers of a group. Returns when all of them are saved.

    Args:
        jobs: models to train, with absolute paths.
        nodes: resources of each node, by Ray's names.
        resources: workers and GPUs of the group.
        name: name of the group. A group with the same name continues at the last checkpoint.
        progress: file for progress lines, seen by all nodes. Ray Train writes its state and checkpoints beside it.
        log: called with each progress line.
        checkpoint_seconds: time between checkpoints. An elastic group tries to grow as often, which costs the work since the
            last checkpoint.

    Raises:
        UserError: a worker raised one. Any other error of a worker arrives as Ray reports it.
    """
    from ray.train.torch import TorchTrainer

    from xner_ray.training.backends.loopback_group import LoopbackTorchConfig
    from xner_ray.training.backends.process_group import GroupTorchConfig

    workers, min_workers = resources.workers, resources.min_workers or resources.workers
    use_gpu = resources.use_gpu(nodes)
    cpus = 1 if use_gpu else cpus_per_worker(nodes, workers)
    trainer = TorchTrainer(
        _train_worker,
        train_loop_config={
            "jobs": [job.to_dict() for job in jobs],
            "threads": cpus,
            "use_gpu": use_gpu,
            "checkpoint_seconds": checkpoint_seconds,
            "progress": str(progress),
        },
        torch_config=LoopbackTorchConfig() if _is_local() else GroupTorchConfig(),
        scaling_config=ScalingConfig(  # type: ignore[call-arg]  # Ray's types are those of its older Train
            num_workers=workers if min_workers == workers else (min_workers, workers),  # type: ignore[arg-type]
            elastic_resize_monitor_interval_s=checkpoint_seconds,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": cpus, **({"GPU": 1} if use_gpu else {})},
        ),
        run_config=RunConfig(
            name=name,
            storage_path=str(progress.parent),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    )
    group = f"{min_workers} to {workers}" if min_workers < workers else f"{workers}"
    models = f"{len(jobs)} model{'s'[: len(jobs) > 1]} to train"
    log(f"[{jobs[0].name}] {models}; Ray Train starts {group} worker{'s'[: workers > 1]}")
    with follow_log(progress, log):
        try:
            trainer.fit()
        except WorkerGroupError as e:
            raise next((x for x in e.worker_failures.values() if isinstance(x, UserError)), e) from None


def _is_local() -> bool:
    """Whether Ray listens on the loopback interface only, see `preflight.ray_session`."""
    return ipaddress.ip_address(ray.util.get_node_ip_address()).is_loopback
