"""A trained model as an ordinary Hugging Face folder that appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from xner_ray.encoders.load import save_tokenizer
from xner_ray.training.job import Result, TrainJob


def is_trained(job: TrainJob) -> bool:
    """`training.json` is the last file of a trained folder."""
    return (Path(job.out) / "training.json").exists()


def save_model(model, job: TrainJob, result: Result) -> None:
    """Write weights (safetensors), tokenizer and `training.json` beside `job.out`, then rename."""
    out = Path(job.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=out.name + ".", dir=out.parent))
    try:
        model.save_pretrained(made)
        if not list(made.glob("*.safetensors")):
            raise RuntimeError(f"Transformers wrote no weights for {out}")
        save_tokenizer(job.start, made)
        told = {"job": {**asdict(job), "training": job.training.model_dump()}, "steps": len(result.losses)}
        told |= {"tokens": result.tokens, "seconds": round(result.seconds, 1)}
        told["losses"] = [round(x, 5) for x in result.losses]
        (made / "training.json").write_text(json.dumps(told, indent=1))
        made.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)  # a half-finished folder of an older version; trained ones are never trained again
        os.rename(made, out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    shutil.rmtree(str(out) + ".checkpoint", ignore_errors=True)
