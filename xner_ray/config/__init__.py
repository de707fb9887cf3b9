"""The configuration of a run: the schema by section, loading with overrides, and the generated reference."""

from xner_ray.config.corpora import CleanConfig, CorpusConfig, IngestConfig, OpusConfig, SampleConfig
from xner_ray.config.dataset import DatasetConfig, RulesConfig
from xner_ray.config.gold import GoldConfig, TagScheme
from xner_ray.config.labeling import LabelConfig, RayConfig
from xner_ray.config.models import AlignerConfig, StudentConfig, TeacherConfig
from xner_ray.config.refresh import RateConfig, RefreshConfig
from xner_ray.config.schema import Config
from xner_ray.config.study import AblationStudy, StudyConfig
from xner_ray.config.training import TrainingConfig

__all__ = [
    "AblationStudy",
    "AlignerConfig",
    "CleanConfig",
    "Config",
    "CorpusConfig",
    "DatasetConfig",
    "GoldConfig",
    "IngestConfig",
    "LabelConfig",
    "OpusConfig",
    "RateConfig",
    "RayConfig",
    "RefreshConfig",
    "RulesConfig",
    "SampleConfig",
    "StudentConfig",
    "StudyConfig",
    "TagScheme",
    "TeacherConfig",
    "TrainingConfig",
]
