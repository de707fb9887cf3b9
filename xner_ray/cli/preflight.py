"""`xner preflight`: one line for each check of cluster, storage, models and files, and exit code 2 if one found a problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from xner_ray.cli.console import show_json, show_line
from xner_ray.cli.options import AsJson, ConfigFile, Overrides
from xner_ray.observability.logs import json_line, log_format

if TYPE_CHECKING:
    from xner_ray.config import Config
    from xner_ray.preflight.checks import CheckResult


def preflight(config: ConfigFile, overrides: Overrides = None, json_out: AsJson = False) -> None:
    """Check cluster, GPUs, storage, models and Ray's token for a config. Nothing is trained, reserved or downloaded.

    It joins the cluster of `ray.address` or RAY_ADDRESS. Without an address it checks this machine and starts no Ray.

    Example: [cyan]xner preflight configs/paper.yaml data=/corpora out=/shared/paper[/]
    """
    from xner_ray.config.load import load_config

    loaded = load_config(config, overrides or ())
    if not json_out:
        run_preflight(loaded, config)
        return
    from xner_ray.preflight.probes import run_checks
    from xner_ray.workflows.plan import shares_to_do

    results = list(run_checks(loaded, config, lambda: shares_to_do(loaded, config)))
    ok = all(result.ok for result in results)
    show_json({"ok": ok, "checks": [asdict(x) for x in results]})
    if not ok:
        raise SystemExit(2)


def run_preflight(
    config: Config, config_file: str | Path = "", to_stderr: bool = False, stages: Sequence[str] | None = None
) -> None:
    """Run all checks and print each result as soon as it is known.

    Args:
        config: the checked config.
        config_file: for messages.
        to_stderr: print to stderr, because stdout holds JSON.
        stages: that will run, with those that they need; None: all.

    Raises:
        SystemExit: 2, if a check found a problem.
    """
    from xner_ray.preflight.probes import run_checks
    from xner_ray.workflows.plan import shares_to_do

    ok = True
    for result in run_checks(config, config_file, lambda: shares_to_do(config, config_file, stages)):
        show_line(format_result(result), to_stderr)
        ok = ok and result.ok
    if not ok:
        raise SystemExit(2)


def format_result(result: CheckResult) -> str:
    """`ok       NAME: MESSAGE`, or `problem  NAME: MESSAGE` with a line for the remedy. With XNER_LOG=json it is JSON."""
    if log_format() == "json":
        fields = {"stage": "preflight", "check": result.name, "ok": result.ok, "remedy": result.remedy or None}
        return json_line("info" if result.ok else "error", result.message, **fields)
    line = f"{'ok' if result.ok else 'problem':<8} {result.name}: {result.message}"
    return line if result.ok or not result.remedy else f"{line}\n         remedy: {result.remedy}"
