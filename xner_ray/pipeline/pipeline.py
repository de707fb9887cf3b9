"""Builds the pipeline: the stages that a config needs, in their order.

    sample -> ingest -> teacher -> aligner -> label -> filter -> dataset -> student -> evaluate

Stages import torch and Ray inside their methods, because these imports take seconds and `xner plan` needs neither.
"""

from __future__ import annotations

from xner_ray.config import Config
from xner_ray.labeling.shard_functions import ShardFunctions
from xner_ray.pipeline.stage import Stage
from xner_ray.pipeline.stages.aligner import TrainAligner
from xner_ray.pipeline.stages.dataset import SampleSentences
from xner_ray.pipeline.stages.evaluate import Evaluate
from xner_ray.pipeline.stages.filter import Filter
from xner_ray.pipeline.stages.ingest import Ingest
from xner_ray.pipeline.stages.label import Label
from xner_ray.pipeline.stages.sample import Sample
from xner_ray.pipeline.stages.source_models import TrainSourceModels
from xner_ray.pipeline.stages.student import TrainStudents


def build_pipeline(config: Config, functions: ShardFunctions | None = None) -> list[Stage]:
    """Return the stages of a run.

    Args:
        config: the checked config. Without a section `sample` there is no stage `sample`.
        functions: classes of the functions that the actors of `label` run. Default: teacher and aligner.
    """
    stages: list[Stage] = [Sample()] if config.sample else []
    return [
        *stages,
        Ingest(),
        TrainSourceModels(),
        TrainAligner(),
        Label(config.label.null_model, functions),
        Filter(),
        SampleSentences(),
        TrainStudents(),
        Evaluate(),
    ]


def describe(config: Config) -> list[tuple[str, str]]:
    """Return one line on what each stage does with this config, by the name of the stage."""
    return [(stage.name, stage.describe(config)) for stage in build_pipeline(config)]
