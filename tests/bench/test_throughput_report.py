"""The report of bench.throughput from given seconds."""

from types import SimpleNamespace

from bench import throughput
from bench.inputs import Text
from xner_ray.encoders.ragged import Ragged


def test_rates_and_ratios_of_the_report():
    ids = Ragged.from_rows([[1] * 900])
    all_rows = SimpleNamespace(tokens=1000, ids={"teacher": ids}, entities=8, queries=["a", "b", "c", "d", "e", "f"])
    queried_rows = SimpleNamespace(tokens=900, ids={"teacher": ids}, entities=8, queries=["a", "b"])
    bare = SimpleNamespace(all_rows=all_rows, queried_rows=queried_rows, pairs=10, padding=0.01)
    rounds = [
        {"padding": 0.02, "startup": 9.0, "tokens": 900, "quarantined": 0, "shares": {"forward": 0.9, "wait": 0.1}}
        for _ in range(3)
    ]
    seconds = {"limit": [1.0, 2.0, 1.0], "xner": [1.25, 2.5, 1.25], "pipeline": [2.5, 5.0, 2.5]}
    seconds |= {"pipeline_default": [5.0, 10.0, 5.0], "asked": [0.9, 1.8, 0.9]}
    projection = {"pairs": 8, "seconds": {"align": [0.5] * 3, "simalign": [4.0] * 3}}
    results = throughput.report(Text([], {"pairs": 0.2}), bare, SimpleNamespace(rounds=rounds), seconds, projection)
    assert results["limit"] == {"pairs_per_second": 10.0, "tokens_per_second": 1000.0, "seconds": seconds["limit"]}
    assert results["asked"]["tokens_per_second"] == 1000.0 and results["xner"]["tokens_per_second"] == 720.0
    assert results["ratios"] == {
        "xner/limit": 0.8, "xner/asked": 0.72, "xner/pipeline": 2.0, "xner/pipeline_default": 4.0, "align/simalign": 8.0
    }  # fmt: skip
    assert results["padding"] == 0.02 and results["shares"] == {"forward": 0.9, "wait": 0.1}
    assert results["repeats"]["mentions asked with another"] == 0.25
    assert results["simalign"]["pairs_per_second"] == 2.0 and results["counts"]["entities_a_pair"] == 0.8
    throughput.show({**results, "machine": {"load_before": [0.1, 0.1, 0.1]}})
