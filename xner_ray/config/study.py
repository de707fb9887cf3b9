"""The part of the config that says what `xner study` trains: the paper's grids, as far as its text tells them.

Nothing here changes a run, so nothing of it is in a fingerprint. Other keys of a study's config (more pairs, other corpora)
stand under its `override`, and what is given on the command line goes before them.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from xner_ray.config.data import Model, Positive, Share


class Ablation(Model):
    """Sequential or mixed training, with and without English, each with two losses, beside zero-transfer."""

    seeds: list[int] = Field([1, 2, 3], min_length=1, description="Each setting is trained once with each.")
    languages: list[str] | None = Field(None, description="Target languages of the study; default: all of the config.")
    override: dict[str, Any] = Field(
        {},
        description="Other keys for this study alone, dotted as on the command line: {ingest.max_pairs_per_language: 400000}.",
    )


class SizeStudy(Ablation):
    """F1 against the number of projected sentences."""

    sizes: list[Positive] = Field(
        [1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000, 200000],
        min_length=1,
        description="Sentences, those without entities included; what a language does not have becomes all it has.",
    )
    one_seed_above: Positive = Field(10000, description="Larger sizes are trained with the first seed alone.")


class DomainStudy(Ablation):
    """F1 by the domain of the parallel text, with as many sentences and as many without entity in each."""

    domains: dict[str, list[str]] = Field(
        {}, description="The corpora of each domain, by name; default: as the corpora's own `domain` has it."
    )


class LossStudy(Ablation):
    """The exponent of the reweighted loss against the number of frozen layers."""

    seeds: list[int] = Field([1], min_length=1, description="Each cell is trained once with each.")
    gammas: list[float] = Field([0, 1, 2, 3, 4, 5], min_length=1, description="Exponents; 0 is cross entropy.")
    frozen: list[int] = Field([0, 3, 6, 9], min_length=1, description="Numbers of frozen layers.")


class Study(Model):
    """What `xner study` trains; a run does not read it."""

    encoder: str | None = Field(None, description="Encoder of the studies' students; default: the first of `student`.")
    gpu_share: Share = Field(1.0, gt=0, description="GPU that one student takes, where there are GPUs.")
    cpus: Positive | None = Field(
        None, description="CPUs that one student takes where there is no GPU; default: those of a node."
    )
    ablation: Ablation = Ablation()
    size: SizeStudy = SizeStudy()
    domain: DomainStudy = DomainStudy()
    loss: LossStudy = LossStudy()
