"""The labeling stage's own actors and works with a stopwatch: what each shard took lands as a line of JSON in a folder.

Seconds are those of the process, not of the wall, where actors share cores: a part's share is then its share of the
cores, and what is left over is waiting, Ray, and moving shards about. On a GPU they are those of the wall.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xner_ray.encoders.engine_stats import EngineStats
from xner_ray.labeling.actors import CommitShards, ReadLabelAlignCommit, ReadShards
from xner_ray.labeling.shard_functions import AlignFunction, LabelFunction, LabelingModels

FOLDER, DEVICE = "XNER_BENCH_EVENTS", "XNER_BENCH_DEVICE"


def clock() -> float:
    return time.perf_counter() if os.environ.get(DEVICE) == "cuda" else time.process_time()


def timed(what: str, counts: list[EngineStats], call: Callable[..., Any], *arguments: Any) -> Any:
    """Call, and write down when, how long, in which parts, and how many tokens."""
    for account in counts:
        account.clock = clock
    before = [(dict(c.seconds), c.tokens, c.padded_tokens) for c in counts]
    began, used = time.monotonic(), clock()
    answer = call(*arguments)
    event: dict[str, Any] = {"what": what, "began": began, "seconds": clock() - used, "ended": time.monotonic()}
    event |= {"parts": {}, "tokens": 0, "padded": 0}
    for account, (seconds, tokens, padded) in zip(counts, before, strict=True):
        for part, value in account.seconds.items():
            event["parts"][part] = event["parts"].get(part, 0.0) + value - seconds.get(part, 0.0)
        event["tokens"] += account.tokens - tokens
        event["padded"] += account.padded_tokens - padded
    with (Path(os.environ[FOLDER]) / f"{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")
    return answer


class TimedLabel(LabelFunction):
    """Teachers are loaded at the start: loading is start-up."""

    def __init__(self, models: LabelingModels):
        super().__init__(models)
        for language in models.teachers:
            self.tagger(language)

    def __call__(self, table, language):
        return timed("label", [t.stats for t in self.taggers.values()], super().__call__, table, language)


class TimedAlign(AlignFunction):
    def __call__(self, table, language):
        other = self.projector.similarity
        counts = [self.projector.stats, *([other.engine.stats] if other else [])]
        return timed("align", counts, super().__call__, table, language)


class TimedRead(ReadShards):
    def __call__(self, batch):
        return timed("read", [], super().__call__, batch)


class TimedCommit(CommitShards):
    def __call__(self, batch):
        return timed("commit", [], super().__call__, batch)


class TimedWhole(ReadLabelAlignCommit):
    def __init__(self, job):
        super().__init__(job)
        self.read, self.commit = TimedRead(job), TimedCommit(job)


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]


def account(found: list[dict[str, Any]], slots: int) -> dict[str, Any]:
    """Seconds from the first batch to the last commit, the shares of the parts, and tokens.

    Args:
        slots: cores that the actors share, or actors on GPUs.
    """
    first = min(e["began"] for e in found if e["what"] == "read")
    last = max(e["ended"] for e in found if e["what"] == "commit")
    found = [e for e in found if e["began"] >= first]  # before it the preflight tries the models
    whole = slots * (last - first)
    models = [e for e in found if e["what"] in ("label", "align")]
    parts = {part: sum(e["parts"].get(part, 0.0) for e in models) for part in ("tokenize", "forward")}
    parts["decode"] = sum(e["seconds"] for e in models) - sum(parts.values())
    parts["write"] = sum(e["seconds"] for e in found if e["what"] in ("read", "commit"))
    shares = {name: round(seconds / whole, 4) for name, seconds in parts.items()}
    shares["wait"] = round(1 - sum(shares.values()), 4)
    tokens, padded = (sum(e[key] for e in models) for key in ("tokens", "padded"))
    return {
        "first": first,
        "seconds": last - first,
        "shares": shares,
        "tokens": tokens,
        "padding": 1 - tokens / padded,
    }
