"""Progress: few lines in a job's log, a bar on a terminal, and the last line always counts all shards."""

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
from xner_ray.observability.progress import DEFAULT_SECONDS, VARIABLE, Progress


def test_lines_keep_their_interval_and_the_last_is_always_logged(monkeypatch):
    now, lines = [0.0], []
    monkeypatch.setattr("xner_ray.observability.progress.time.monotonic", lambda: now[0])
    with Progress(lines.append, "label", 100, 1000, bar=False) as progress:
        for _ in range(100):
            now[0] += DEFAULT_SECONDS / 20
            progress.advance(10, 1)
    assert len(lines) == 6  # the first, one for each ten of fifty seconds, the last
    assert lines[0].startswith("[label] 1/100 shards, 10/1,000 pairs, 1 quarantined, 20 pairs/s, 0.8 min left")
    assert lines[-1] == "[label] 100/100 shards, 1,000/1,000 pairs, 100 quarantined, 20 pairs/s, 0.0 min left"


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=20))
def test_interval_0_logs_every_shard(pairs):
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "0")
        with Progress(lines.append, "label", len(pairs), sum(pairs), bar=False) as progress:
            for n in pairs:
                progress.advance(n)
    assert len(lines) == len(pairs) and f"{sum(pairs):,}/{sum(pairs):,} pairs" in lines[-1]


def test_numbers_are_fields_of_the_json_log(monkeypatch, capsys):
    monkeypatch.setenv(logs.VARIABLE, "json")
    monkeypatch.setattr(logs, "log_to_stderr", lambda form: None)
    with Progress(logs.run_logger("nightly"), "label", 1, 10) as progress:
        progress.advance(10, 2)
    record = json.loads(capsys.readouterr().out)
    assert record["shards"] == record["shards_planned"] == 1
    assert record["quarantined"] == 2 and record["stage"] == "label"


@pytest.mark.parametrize("seconds", ["soon", "-1", "nan"])
def test_wrong_interval_is_an_error(monkeypatch, seconds):
    monkeypatch.setenv(VARIABLE, seconds)
    with pytest.raises(UserError, match=VARIABLE):
        Progress(print, "label", 1, 1, bar=False)


def test_bar_on_a_pseudo_terminal():
    script = """
from xner_ray.observability.logs import run_logger
from xner_ray.observability.progress import Progress
log = run_logger("nightly")
with Progress(log, "label", 2, 20) as progress:
    progress.advance(10)
    log("[label] a line meanwhile")
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
        except OSError:  # the terminal is closed
            break
    os.close(ours)
    text = shown.decode()
    assert not done.stderr and "\x1b[" in text
    assert "[label] a line meanwhile" in text and "[label] 2/2 shards, 20/20 pairs" in text
    assert "[label] 1/2 shards" not in text  # the bar shows it
