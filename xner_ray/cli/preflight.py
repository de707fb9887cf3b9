"""`xner preflight`: is all there that a run needs? A line for each check, and exit code 2 where one is a problem."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from xner_ray.cli.options import AsJson, ConfigFile, Overrides
from xner_ray.observability.logs import json_line, log_format

if TYPE_CHECKING:
    from xner_ray.preflight.checks import CheckResult


def preflight(config: ConfigFile, overrides: Overrides = None, json_out: AsJson = False) -> None:
    """Check cluster, GPUs, storage, models and Ray's token against a config; nothing is trained, claimed or downloaded.

    It joins the Ray of `ray.address` or RAY_ADDRESS; without one it says what a local Ray would have.

    Example: [cyan]xner preflight configs/paper.yaml data=/corpora out=/shared/paper[/]
    """
    look(config, overrides, json_out)


def look(config_file: Path, overrides: Sequence[str] | None, as_json: bool = False) -> None:
    """Print every finding on stdout as it is made; with `as_json` all of them at the end, as one object.

    Raises:
        SystemExit: 2, where one of them is a problem.
        UserError: the config is wrong.
    """
    from xner_ray.config.load import load_config

    config = load_config(config_file, overrides or ())
    from xner_ray.preflight.probes import run_checks

    findings = []
    for found in run_checks(config):
        findings.append(found)
        if not as_json:
            typer.echo(line(found))
    ok = all(found.ok for found in findings)
    if as_json:
        typer.echo(json.dumps({"ok": ok, "checks": [asdict(f) for f in findings]}, ensure_ascii=False))
    if not ok:
        raise SystemExit(2)


def line(found: CheckResult) -> str:
    """`ok       auth: ...`, or `problem  auth: ...` with the remedy below it; JSON where XNER_LOG asks for it."""
    if log_format() == "json":
        fields = {"stage": "preflight", "check": found.name, "ok": found.ok, "remedy": found.remedy or None}
        return json_line("info" if found.ok else "error", found.message, **fields)
    head = f"{'ok' if found.ok else 'problem':<8} {found.name}: {found.message}"
    return head if found.ok or not found.remedy else f"{head}\n         remedy: {found.remedy}"
