"""Training state to continue from, and the trained model as a Hugging Face folder that appears complete or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xner_ray.encoders.load import save_tokenizer
from xner_ray.encoders.model_languages import store_languages
from xner_ray.encoders.temperature import store_temperature
from xner_ray.storage.atomic import replace_dir
from xner_ray.storage.stage_dir import MARKER, commit_dir
from xner_ray.training.job import Result, TrainJob

if TYPE_CHECKING:
    import torch

    from xner_ray.training.random_state import RandomState


def is_trained(job: TrainJob) -> bool:
    """Whether the job is done: its stage folder is committed or, for a job without a marker, its model folder is complete."""
    out = Path(job.out)
    return (out.parent / MARKER if job.marker is not None else out / "training.json").exists()


def checkpoint_steps(folder: Path) -> int:
    """The steps of the checkpoint in a folder; 0: there is none."""
    file = folder / "state.json"
    return len(json.loads(file.read_text())["result"]["losses"]) if file.exists() else 0


def save_model(model, job: TrainJob, result: Result, log: Callable[[str], None] = print) -> None:
    """Write weights (safetensors), tokenizer, temperature and `training.json`.

    Then the stage folder is committed if the job has a marker.

    The checkpoint of the job is deleted.

    Args:
        model: the trained model, not wrapped.
        job: names the folder and the marker.
        result: figures for `training.json`.
        log: called with a line if the scores of a tagger are not calibrated.
    """
    from xner_ray.training.calibration import MIN_ENTITIES, calibrate  # imports torch

    out = Path(job.out)

    def write(folder: Path) -> None:
        for key in [key for key in vars(model.config) if key.startswith("xner_")]:
            # Of the model that the training started from, such as the labels of an adopted one.
            delattr(model.config, key)
        model.save_pretrained(folder)
        if not list(folder.glob("*.safetensors")):
            raise RuntimeError(f"Transformers wrote no weights for {out}")
        store_languages(folder, job.languages)
        temperature = calibrate(model, job)
        store_temperature(folder, temperature)
        if job.languages and temperature is None:
            few = f"the model finds fewer than {MIN_ENTITIES} entities in `dev`"
            reason = few if job.calibration else "`dev` names no gold of the source language"
            log(f"[{job.name}] scores are not calibrated: {reason}")
        save_tokenizer(job.start, folder)
        summary = {"job": job.identity(), "steps": result.steps, "tokens": result.tokens}
        summary |= {"seconds": round(result.seconds, 1), "losses": [round(x, 5) for x in result.losses]}
        (folder / "training.json").write_text(json.dumps(summary, indent=1))

    replace_dir(out, write)
    shutil.rmtree(job.checkpoint_folder, ignore_errors=True)  # before the marker, which lists all files
    if job.marker is not None:
        commit_dir(out.parent, job.marker)


@dataclass
class TrainState:
    """What changes from step to step.

    Attributes:
        model: not wrapped.
        optimizer, schedule, scaler, random: of the loop.
        result: figures so far.
    """

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    scaler: torch.amp.GradScaler
    random: RandomState
    result: Result

    def save(self, folder: Path) -> None:
        """Write trained weights, optimizer moments and random states as safetensors, counters and the result as JSON."""
        from safetensors.torch import save_file

        tensors = {f"model.{name}": _copy(p) for name, p in self.model.named_parameters() if p.requires_grad}
        for i, parameter in enumerate(self._parameters()):
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{i}.{key}"] = _copy(value).cpu()
        save_file(tensors | self.random.tensors(), folder / "state.safetensors")
        counters = {"schedule": self.schedule.last_epoch, "scaler": self.scaler.state_dict()}
        counters["random"] = self.random.counters()
        (folder / "state.json").write_text(json.dumps({**counters, "result": asdict(self.result)}))

    def load(self, folder: Path) -> None:
        """Read what `save` wrote: into model, optimizer, schedule and scaler in place, and a new `result`."""
        import torch
        from safetensors.torch import load_file

        tensors = load_file(folder / "state.safetensors")
        counters: dict[str, Any] = json.loads((folder / "state.json").read_text())
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(tensors[f"model.{name}"])
        for i, parameter in enumerate(self._parameters()):
            for key in ("step", "exp_avg", "exp_avg_sq"):
                # `step` too: a fused optimizer on a GPU takes no counter that is on the CPU.
                self.optimizer.state[parameter][key] = tensors[f"optimizer.{i}.{key}"].to(parameter.device)
        self.schedule.last_epoch = counters["schedule"]
        groups = zip(self.optimizer.param_groups, self.schedule.base_lrs, self.schedule.lr_lambdas, strict=True)
        for group, base, factor in groups:
            group["lr"] = base * factor(counters["schedule"])
        if counters["scaler"]:
            self.scaler.load_state_dict(counters["scaler"])
        self.result = Result(**counters["result"])
        self.random.load(tensors, counters["random"], self.result.steps)

    def _parameters(self) -> Iterator[torch.nn.Parameter]:
        for group in self.optimizer.param_groups:
            yield from group["params"]


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().clone()
