"""`configs/paper.yaml` has the numbers of the paper, and the table in docs/method.md names keys that exist."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from xner_ray.config.load import load_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config():
    return load_config(ROOT / "configs" / "paper.yaml", ["data=/d"])


def test_the_aligner_is_trained_as_in_section_4_2(config):
    aligner, training = config.aligner, config.aligner.training
    assert (aligner.num_examples, aligner.negative_ratio) == (30_000, 0.25) and aligner.noun_phrase_ratio
    assert (training.epochs, training.sequences_per_step, training.learning_rate) == (3, 64, 5e-5)
    assert (training.warmup_ratio, training.weight_decay, training.max_grad_norm) == (0, 0, 1)
    assert not training.freeze_embeddings and training.loss == "cross_entropy"
    assert (aligner.max_gap_words, aligner.one_to_one, aligner.threshold) == (0, False, 0.5)
    assert aligner.similarity_weight == aligner.exact_match_score == 0


def test_teacher_and_students_are_trained_as_in_section_4_3(config):
    assert (config.teacher.training.loss, config.teacher.training.epochs) == ("focal", 5)
    student = config.student
    assert (student.training.loss, student.training.gamma, student.training.epochs) == ("reweighted_literal", 4, 1)
    assert len(student.seeds) == 5 and student.source_model_per_seed and not student.mask_unlabeled_capitalized


def test_studies_have_the_sizes_and_runs_of_the_paper(config):
    study = config.study
    assert (min(study.size.sizes), max(study.size.sizes)) == (5_000, 200_000) and 40_000 in study.size.sizes
    assert all(len(part.seeds) == 5 for part in (study.ablation, study.size, study.domain))
    assert set(study.size.override) == {"ingest.max_pairs_per_language"}  # so aligner and labels are reused


def keys_of_the_table() -> list[str]:
    """The keys in the third column."""
    table = (ROOT / "docs" / "method.md").read_text(encoding="utf-8").split("## The paper and")[1]
    rows = [line.split(" | ") for line in table.splitlines()]
    return [key for columns in rows if len(columns) == 4 for key in re.findall(r"`([^`]+)`", columns[2])]


def test_the_table_names_keys_that_exist(config):
    keys = keys_of_the_table()
    assert len(keys) > 40
    for key in keys:
        value = config
        for name in key.split("."):
            if isinstance(value, BaseModel):
                assert name in type(value).model_fields, key
                value = getattr(value, name)
            else:
                value = value[int(name)] if isinstance(value, list) else name  # a source of examples
