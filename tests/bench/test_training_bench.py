"""The bare side runs the loop's own micro-batches, and the start-up bench tells what was imported."""

import numpy as np

from bench import startup, training
from xner_ray.training.data import TrainSet


def test_both_sides_of_the_loop(tiny_encoder, tmp_path):
    data = training.write_data(str(tiny_encoder), 3000, tmp_path)
    told = training.compare_loop(str(tiny_encoder), data, {"epochs": 1, "precision": "fp32"}, 1, tmp_path)
    assert told["ratio"] > 0 and 0 <= told["padding"] < 0.5
    seen = told["loop"]["tokens_per_second"] * told["loop"]["seconds"][0]
    assert abs(seen - len(TrainSet.load(data).ids.values)) < 100


def test_lengths_are_those_of_sentences(tiny_encoder, tmp_path):
    lengths = TrainSet.load(training.write_data(str(tiny_encoder), 20_000, tmp_path)).ids.lengths
    assert 20 < np.median(lengths) < 36 and lengths.min() >= 4


def test_startup_of_the_help():
    told = startup.measure({"help": ["--help"]}, 1)
    assert told["help"]["imports"] == [] and 0 < told["help"]["median"] < 60
