"""Section of the config for training: the same keys for source models, aligner and students."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from xner_ray.config.base import Fraction, PositiveInt, Precision, StrictModel


class TrainingConfig(StrictModel):
    """Hyperparameters of a training. A section that sets only some keys has the defaults below for the others."""

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True)  # hashable: part of dict keys

    epochs: PositiveInt = Field(3, description="Passes over the training data.")
    learning_rate: float = Field(
        2e-4,
        gt=0,
        le=1,
        description="Peak learning rate of AdamW. The schedule is linear warm-up, then linear decay to 0.",
    )
    warmup_ratio: Fraction = Field(0.1, description="Fraction of all steps that are warm-up.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW. Biases and norms have none.")
    tokens_per_step: PositiveInt = Field(
        1024, description="Batch size: maximum padded tokens per optimizer step, over all workers."
    )
    sequences_per_step: PositiveInt | None = Field(
        None,
        description="Batch size in sequences per optimizer step, over all workers, instead of `tokens_per_step`. A batch is"
        " then a random sample of the data, whatever its lengths are. Default: batches are counted in tokens.",
    )
    max_micro_batch_tokens: PositiveInt = Field(
        1024,
        description="Maximum padded tokens per forward pass of one worker. Lower values need less memory and give the"
        " same gradients.",
    )
    loss: Literal["cross_entropy", "focal", "reweighted", "reweighted_literal"] = Field(
        "cross_entropy",
        description="Loss per token. focal gives uncertain tokens more weight, for clean data. reweighted gives them"
        " less, for noisy data; their weight is a constant for the gradient. reweighted_literal is the paper's formula: its"
        " gradient passes through the weight.",
    )
    gamma: float = Field(
        2.0,
        ge=0,
        description="Exponent of the weight: focal (1-p)^gamma, reweighted ((1+p)/2)^gamma, reweighted_literal"
        " (1+p)^gamma. 0: cross entropy.",
    )
    head_bias: Literal["frequencies", "zero"] | None = Field(
        None,
        description="Bias of a new head before the first step. frequencies: that of the labels' frequencies, so the model"
        " begins with the right fraction of each label. zero: as in Transformers; if most tokens have one label, a high"
        " learning rate can then lead to a model that gives every token the same label. Default: frequencies for the"
        " aligner, zero for teacher and students.",
    )
    freeze_embeddings: bool = Field(True, description="Do not train the embedding tables.")
    num_frozen_layers: int = Field(0, ge=0, description="Number of lowest transformer layers that are not trained.")
    layerwise_lr_decay: float = Field(
        1.0, gt=0, le=1, description="Learning rate of a layer divided by that of the layer above. 1: equal rates."
    )
    precision: Precision = Field(
        "auto",
        description="Number format of forward and backward passes. Weights stay fp32. auto: see `label.precision`.",
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Maximum gradient norm. Larger gradients are scaled down.")

    def fingerprint(self) -> dict[str, Any]:
        """What a trained model depends on. A key that is null is left out, so models of versions without the key stay valid."""
        return self.model_dump(exclude_none=True)
