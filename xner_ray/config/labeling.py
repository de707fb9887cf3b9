"""Sections of the config for inference over the corpora, and for the Ray cluster."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from xner_ray.config.base import Fraction, PositiveInt, Precision, StrictModel


class LabelConfig(StrictModel):
    """Inference of teacher and aligner over all pairs."""

    max_batch_tokens: PositiveInt | Literal["auto"] = Field(
        "auto",
        description="Maximum padded tokens per forward pass. auto: 16,384 to 65,536 on GPUs by their free memory, 4,096 on"
        " CPUs. If the memory of a device is exhausted, its budget is halved for the rest of the run.",
    )
    precision: Precision = Field(
        "auto",
        description="Number format of forward passes. auto: bf16 on GPUs from Ampere on and on CPUs with bf16"
        " instructions, fp16 on other GPUs, fp32 on other CPUs.",
    )
    max_actors: PositiveInt | None = Field(
        None,
        description="Maximum number of actors with models. Each one runs teacher and aligner. Default: as many as GPUs or"
        " CPU cores allow.",
    )
    num_gpus_per_actor: float = Field(
        0.5, gt=0, le=1, description="Fraction of a GPU per actor. Ignored without GPUs."
    )
    accelerator_type: str | None = Field(
        None,
        min_length=1,
        description="Kind of GPU that labeling uses, by Ray's name, such as H100 or A10G. Other nodes get no actor with"
        " models. Default: the kind with most GPUs, or that of the first node if no GPU is up.",
    )
    output_uri: str | None = Field(
        None, description="Folder or URL, such as s3://bucket/prefix, for labeled shards. Default: `out`."
    )
    max_quarantined: Fraction = Field(
        0.01, description="Maximum fraction of a shard's rows on which the models fail. More is an error."
    )
    null_model: bool = Field(
        False, description="Invent entities and projections instead of running models. For tests of the pipeline."
    )


class RayConfig(StrictModel):
    """Ray cluster and its resources."""

    address: str | None = Field(
        None,
        description="Address of the cluster to join. Default: RAY_ADDRESS, which Ray sets in a submitted job. Without"
        " either, or with `local`, a local Ray is started.",
    )
    num_cpus: PositiveInt | None = Field(
        None, description="CPUs of a local cluster. Default: all CPUs of the machine."
    )
    max_gpus: int = Field(
        0, ge=0, description="GPUs that the cluster may reach by autoscaling. 0: no autoscaling of GPUs."
    )
    max_cpu_hours: float = Field(
        48,
        gt=0,
        description="Hours that a run may take on CPUs alone, by an estimate. `xner preflight` and `xner run` refuse a longer"
        " one, and `xner plan` warns of it. It has no effect on a run with GPUs.",
    )
    train_workers: PositiveInt = Field(
        1,
        description="Ray Train workers that train one model together. With 1, each model is a Ray task on one GPU or on CPUs,"
        " and several are trained at a time.",
    )
    min_train_workers: PositiveInt | None = Field(
        None,
        description="Minimum workers for elastic training: training goes on with fewer workers while nodes are"
        " missing. Default: `train_workers`.",
    )

    @model_validator(mode="after")
    def _check(self) -> RayConfig:
        if (self.min_train_workers or 0) > self.train_workers:
            raise ValueError(f"`min_train_workers` is more than `train_workers` ({self.train_workers})")
        return self
