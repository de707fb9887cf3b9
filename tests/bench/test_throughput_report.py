"""What the throughput bench reports from the seconds of its sides; nothing is run."""

from types import SimpleNamespace

from bench import throughput
from bench.inputs import Text
from xner_ray.encoders.ragged import Ragged


def test_report():
    ids = Ragged.from_rows([[1] * 900])
    every = SimpleNamespace(tokens=1000, ids={"teacher": ids}, entities=8, queries=["a", "b", "c", "d", "e", "f"])
    fewer = SimpleNamespace(tokens=900, ids={"teacher": ids}, entities=8, queries=["a", "b"])
    bare = SimpleNamespace(every=every, fewer=fewer, pairs=10, padding=0.01)
    rounds = [
        {"padding": 0.02, "startup": 9.0, "tokens": 900, "quarantined": 0, "shares": {"forward": 0.9, "wait": 0.1}}
        for _ in range(3)
    ]
    seconds = {"limit": [1.0, 2.0, 1.0], "xner": [1.25, 2.5, 1.25], "pipeline": [2.5, 5.0, 2.5]}
    seconds |= {"pipeline_default": [5.0, 10.0, 5.0], "asked": [0.9, 1.8, 0.9]}
    projection = {"pairs": 8, "seconds": {"align": [0.5] * 3, "simalign": [4.0] * 3}}
    told = throughput.report(Text([], {"pairs": 0.2}), bare, SimpleNamespace(rounds=rounds), seconds, projection)
    assert told["limit"] == {"pairs_per_second": 10.0, "tokens_per_second": 1000.0, "seconds": seconds["limit"]}
    assert told["asked"]["tokens_per_second"] == 1000.0 and told["xner"]["tokens_per_second"] == 720.0
    assert told["ratios"] == {
        "xner/limit": 0.8, "xner/asked": 0.72, "xner/pipeline": 2.0, "xner/pipeline_default": 4.0, "align/simalign": 8.0
    }  # fmt: skip
    assert told["padding"] == 0.02 and told["shares"] == {"forward": 0.9, "wait": 0.1}
    assert told["repeats"]["mentions asked with another"] == 0.25
    assert told["simalign"]["pairs_per_second"] == 2.0 and told["counts"]["entities_a_pair"] == 0.8
    throughput.show({**told, "machine": {"load_before": [0.1, 0.1, 0.1]}})
