"""The configuration of a run: the schema by section, loading with overrides, and the generated reference."""

from xner_ray.config.data import Corpus, Gold, Ingest
from xner_ray.config.dataset import DatasetConfig, Rules
from xner_ray.config.schema import Aligner, Config, Label, RayConfig, Teacher, Training

__all__ = [
    "Aligner",
    "Config",
    "Corpus",
    "DatasetConfig",
    "Gold",
    "Ingest",
    "Label",
    "RayConfig",
    "Rules",
    "Teacher",
    "Training",
]
