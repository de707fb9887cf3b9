"""Progress: few lines in a job's log, a bar on a terminal, and never a shard that is not told at the end."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.errors import UserError
from xner_ray.observability import logs
from xner_ray.observability.progress import EVERY, VARIABLE, Progress


def test_lines_come_at_most_every_so_often_and_the_last_always(monkeypatch):
    now, told = [0.0], []
    monkeypatch.setattr("xner_ray.observability.progress.time.monotonic", lambda: now[0])
    with Progress(told.append, "label", 100, 1000, bar=False) as progress:
        for _ in range(100):
            now[0] += EVERY / 20
            progress.advance(10, 1)
    assert len(told) == 6  # the first, one each ten seconds of fifty, the last
    assert told[0].startswith("[label] 1/100 shards, 10/1,000 pairs, 1 quarantined, 20 pairs/s, 0.8 min left")
    assert told[-1] == "[label] 100/100 shards, 1,000/1,000 pairs, 100 quarantined, 20 pairs/s, 0.0 min left"


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=20))
def test_every_shard_where_asked_for(pairs):
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "0")
        with Progress(told.append, "label", len(pairs), sum(pairs), bar=False) as progress:
            for n in pairs:
                progress.advance(n)
    assert len(told) == len(pairs) and f"{sum(pairs):,}/{sum(pairs):,} pairs" in told[-1]


def test_figures_are_fields_of_json(monkeypatch, capsys):
    monkeypatch.setenv(logs.VARIABLE, "json")
    monkeypatch.setattr(logs, "log_to_stderr", lambda form: None)
    with Progress(logs.teller("night"), "label", 1, 10) as progress:
        progress.advance(10, 2)
    told = json.loads(capsys.readouterr().out)
    assert told["shards"] == told["shards_planned"] == 1 and told["quarantined"] == 2 and told["stage"] == "label"


@pytest.mark.parametrize("seconds", ["soon", "-1", "nan"])
def test_no_number_of_seconds(monkeypatch, seconds):
    monkeypatch.setenv(VARIABLE, seconds)
    with pytest.raises(UserError, match="is no number of seconds"):
        Progress(print, "label", 1, 1, bar=False)


def test_a_bar_on_a_real_terminal():
    script = """
from xner_ray.observability.logs import teller
from xner_ray.observability.progress import Progress
say = teller("night")
with Progress(say, "label", 2, 20) as progress:
    progress.advance(10)
    say("[label] a line meanwhile")
    progress.advance(10)
"""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120", VARIABLE: "0"}
    env.pop(logs.VARIABLE, None)
    done = subprocess.run([sys.executable, "-c", script], stdout=theirs, stderr=subprocess.PIPE, env=env, check=True)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    text = shown.decode()
    assert not done.stderr and "\x1b[" in text
    assert "[label] a line meanwhile" in text and "[label] 2/2 shards, 20/20 pairs" in text
    assert "[label] 1/2 shards" not in text  # the bar says it
