"""bench.training and bench.startup."""

import numpy as np

from bench import startup, training
from xner_ray.training.data import TrainSet


def test_loop_and_bare_see_the_same_tokens(tiny_encoder, tmp_path):
    data = training.write_data(str(tiny_encoder), 3000, tmp_path)
    results = training.compare_loop(str(tiny_encoder), data, {"epochs": 1, "precision": "fp32"}, 1, tmp_path)
    assert results["ratio"] > 0 and 0 <= results["padding"] < 0.5
    tokens = results["loop"]["tokens_per_second"] * results["loop"]["seconds"][0]
    assert abs(tokens - len(TrainSet.load(data).ids.values)) < 100


def test_data_has_the_lengths_of_sentences(tiny_encoder, tmp_path):
    lengths = TrainSet.load(training.write_data(str(tiny_encoder), 20_000, tmp_path)).ids.lengths
    assert 20 < np.median(lengths) < 36 and lengths.min() >= 4


def test_help_imports_nothing_slow():
    results = startup.measure({"help": ["--help"]}, 1)
    assert results["help"]["imports"] == [] and 0 < results["help"]["median"] < 60
