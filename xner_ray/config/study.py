"""Section of the config for `xner study`: the grids of the paper's studies, as far as its text gives them.

Runs do not read this section, so no fingerprint holds it. `override` changes other keys of the config for one study, e.g.
more pairs or other corpora. Keys on the command line win over `override`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from xner_ray.config.base import Distinct, Fraction, LanguageCode, PositiveInt, Seed, StrictModel


class AblationStudy(StrictModel):
    """Sequential and mixed training, with and without source gold, with two losses each, and zero-transfer."""

    seeds: Annotated[list[Seed], Distinct] = Field(
        [1, 2, 3], min_length=1, description="Seeds. Each setting is trained once per seed."
    )
    languages: Annotated[list[LanguageCode], Distinct] | None = Field(
        None, description="Target languages of the study. Default: all languages of the config."
    )
    override: dict[str, Any] = Field(
        {},
        description="Other keys of the config for this study alone, dotted as on the command line:"
        " {ingest.max_pairs_per_language: 400000}.",
    )


class SizeStudy(AblationStudy):
    """F1 against the number of projected sentences."""

    sizes: Annotated[list[PositiveInt], Distinct] = Field(
        [1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000, 200000],
        min_length=1,
        description="Numbers of sentences, with and without entities. A size above what a language has is replaced by"
        " all that it has.",
    )
    one_seed_above: PositiveInt = Field(10000, description="Larger sizes are trained with the first seed only.")


class DomainStudy(AblationStudy):
    """F1 by the domain of the parallel text, with equal numbers of sentences with and without entities."""

    domains: dict[str, list[str]] = Field(
        {}, description="Names of the corpora of each domain. Default: the `domain` of each corpus."
    )


class LossStudy(AblationStudy):
    """The exponent of the reweighted loss against the number of frozen layers."""

    seeds: Annotated[list[Seed], Distinct] = Field(
        [1], min_length=1, description="Seeds. Each setting is trained once per seed."
    )
    gammas: Annotated[list[Annotated[float, Field(ge=0)]], Distinct] = Field(
        [0, 1, 2, 3, 4, 5], min_length=1, description="Exponents. 0 is cross entropy."
    )
    frozen: Annotated[list[Annotated[int, Field(ge=0)]], Distinct] = Field(
        [0, 3, 6, 9], min_length=1, description="Numbers of frozen layers."
    )


class StudyConfig(StrictModel):
    """What `xner study` trains. A run ignores this section."""

    encoder: str | None = Field(
        None, description="Encoder of the studies' students. Default: the first of `student.encoder`."
    )
    num_gpus_per_student: Fraction = Field(
        1.0, gt=0, description="Fraction of a GPU per student. Ignored without GPUs."
    )
    num_cpus_per_student: PositiveInt | None = Field(
        None, description="CPUs per student on nodes without GPU. Default: all CPUs of a node."
    )
    ablation: AblationStudy = AblationStudy()
    size: SizeStudy = SizeStudy()
    domain: DomainStudy = DomainStudy()
    loss: LossStudy = LossStudy()
