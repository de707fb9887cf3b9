"""Actors and shard functions of the label stage that write one JSON line of timings per call to a folder.

On CPUs, seconds are processor time: actors share the cores, and a part's seconds are its share of the cores' time. The rest
is waiting, Ray, and the transfer of shards. On a GPU, seconds are wall time.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xner_ray.encoders.engine_stats import EngineStats
from xner_ray.labeling.actors import CommitShards, PrepareShards, ReadLabelAlignCommit, ReadShards
from xner_ray.labeling.shard_functions import AlignFunction, LabelFunction, LabelingModels

FOLDER, DEVICE = "XNER_BENCH_EVENTS", "XNER_BENCH_DEVICE"


def clock() -> float:
    return time.perf_counter() if os.environ.get(DEVICE) == "cuda" else time.process_time()


def timed(name: str, stats: list[EngineStats], call: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function and write an event: start, end, seconds, seconds of each part, tokens."""
    for engine_stats in stats:
        engine_stats.clock = clock
    before = [(dict(c.seconds), c.tokens, c.padded_tokens) for c in stats]
    began, clock_start = time.monotonic(), clock()
    result = call(*arguments)
    event: dict[str, Any] = {"what": name, "began": began, "seconds": clock() - clock_start, "ended": time.monotonic()}
    event |= {"parts": {}, "tokens": 0, "padded": 0}
    for engine_stats, (seconds, tokens, padded) in zip(stats, before, strict=True):
        for part, value in engine_stats.seconds.items():
            event["parts"][part] = event["parts"].get(part, 0.0) + value - seconds.get(part, 0.0)
        event["tokens"] += engine_stats.tokens - tokens
        event["padded"] += engine_stats.padded_tokens - padded
    with (Path(os.environ[FOLDER]) / f"{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")
    return result


class TimedLabel(LabelFunction):
    """Loads the teachers when it is made, so that loading counts as start-up."""

    def __init__(self, models: LabelingModels):
        super().__init__(models)
        for language in models.teachers:
            self.tagger(language)

    def __call__(self, table, language):
        return timed("label", [t.stats for t in self.taggers.values()], super().__call__, table, language)


class TimedAlign(AlignFunction):
    def __call__(self, table, language):
        similarity = self.projector.similarity
        stats = [self.projector.stats, *([similarity.engine.stats] if similarity else [])]
        return timed("align", stats, super().__call__, table, language)


class TimedRead(ReadShards):
    def __call__(self, shard):
        return timed("read", [], super().__call__, shard)


class TimedPrepare(PrepareShards):
    def __init__(self, job):
        super().__init__(job)
        self.read = TimedRead(job)


class TimedCommit(CommitShards):
    def __call__(self, batch):
        return timed("commit", [], super().__call__, batch)


class TimedWhole(ReadLabelAlignCommit):
    def __init__(self, job):
        super().__init__(job)
        self.read, self.commit = TimedRead(job), TimedCommit(job)


def read_events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]


def account(events: list[dict[str, Any]], slots: int) -> dict[str, Any]:
    """Seconds from the first batch to the last commit, the shares of the parts, and tokens.

    Args:
        slots: number of cores that the actors share, or number of actors on GPUs.
    """
    first = min(e["began"] for e in events if e["what"] == "read")
    last = max(e["ended"] for e in events if e["what"] == "commit")
    events = [e for e in events if e["began"] >= first]  # earlier events are the probes of the preflight
    available = slots * (last - first)
    models = [e for e in events if e["what"] in ("label", "align")]
    parts = {part: sum(e["parts"].get(part, 0.0) for e in models) for part in ("tokenize", "forward")}
    parts["decode"] = sum(e["seconds"] for e in models) - sum(parts.values())
    parts["write"] = sum(e["seconds"] for e in events if e["what"] in ("read", "commit"))
    shares = {name: round(seconds / available, 4) for name, seconds in parts.items()}
    shares["wait"] = round(1 - sum(shares.values()), 4)
    tokens, padded = (sum(e[key] for e in models) for key in ("tokens", "padded"))
    return {
        "first": first,
        "seconds": last - first,
        "shares": shares,
        "tokens": tokens,
        "padding": 1 - tokens / padded,
    }
