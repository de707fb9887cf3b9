"""A trained model as a Hugging Face folder that appears complete or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from xner_ray.encoders.load import save_tokenizer
from xner_ray.storage.atomic import replace_dir
from xner_ray.training.job import Result, TrainJob


def is_trained(job: TrainJob) -> bool:
    """Whether the job is done: its stage folder is committed or, for a job without a marker, its model folder is complete."""
    out = Path(job.out)
    return (out.parent / "done.json" if job.marker is not None else out / "training.json").exists()


def save_model(model, job: TrainJob, result: Result) -> None:
    """Write weights (safetensors), tokenizer and `training.json`, then commit the stage folder if the job has a marker.

    The folder `job.out` appears whole. The last checkpoint is deleted at the end.
    """
    out = Path(job.out)

    def write(folder: Path) -> None:
        model.save_pretrained(folder)
        if not list(folder.glob("*.safetensors")):
            raise RuntimeError(f"Transformers wrote no weights for {out}")
        save_tokenizer(job.start, folder)
        summary = {"job": job.identity(), "steps": len(result.losses), "tokens": result.tokens}
        summary |= {"seconds": round(result.seconds, 1), "losses": [round(x, 5) for x in result.losses]}
        (folder / "training.json").write_text(json.dumps(summary, indent=1))

    replace_dir(out, write)
    if job.marker is not None:
        from xner_ray.storage import stage_dir

        getattr(stage_dir, "commit_dir")(out.parent, job.marker)  # noqa: B009
    shutil.rmtree(str(out) + ".checkpoint", ignore_errors=True)
