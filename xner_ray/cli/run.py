"""`xner run`, `xner plan`, and a command for each stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from xner_ray.cli.console import echo, logs_json, report_user_errors, show
from xner_ray.cli.options import ConfigFile, Overrides, Wait

STAGES = {
    "ingest": "Read, clean and sample the corpora into shards",
    "teacher": "Train the source-language tagger",
    "aligner": "Train the model that finds a source entity in a target sentence",
    "label": "Tag the source side and project its entities to the target side",
    "dataset": "Filter the labeled sentences, select training sentences, and export tokens and tags",
    "student": "Train the target-language taggers",
}


def run(config: ConfigFile, overrides: Overrides = None, wait: Wait = False) -> None:
    """Run all stages of a config and print a table of results. Finished stages are skipped.

    `xner preflight` runs first, and its problems stop the run.

    Example: [cyan]xner run configs/demo.yaml out=out/mine[/]
    """
    run_stages(config, overrides, wait=wait)


def plan(
    config: ConfigFile,
    overrides: Overrides = None,
    cpu_price: Annotated[float | None, typer.Option(min=0, help="Price of an hour of a CPU core.")] = None,
    gpu_price: Annotated[float | None, typer.Option(min=0, help="Price of an hour of a GPU.")] = None,
) -> None:
    """Check a config and print what each stage of a run would do, with hours, disk and cost. Nothing is started.

    Hours come from measured speeds: of earlier runs in the output folder, of `refresh.rates`, or of this machine.

    Example: [cyan]xner plan configs/paper.yaml data=/corpora --gpu-price 2.5[/]
    """
    from xner_ray.config.load import load_config

    loaded = load_config(config, overrides or ())
    from xner_ray.results.report.plan_costs_table import costs_table, disk_and_cost
    from xner_ray.results.report.table import plan_table
    from xner_ray.workflows.plan import plan_run

    result = plan_run(loaded, config, echo, cpu_price, gpu_price)
    show(plan_table(result.stages, loaded.out))
    if result.costs and result.costs.stages:
        show(costs_table(result.costs.stages))
        echo(disk_and_cost(result.costs.disk_bytes, result.costs.free_bytes, result.costs.price))
        for note in result.costs.notes:
            echo(f"note: {note}")
    echo(f"languages: {result.languages}")
    for warning in result.warnings:
        echo(f"warning: {warning.removeprefix('warning: ')}", "yellow")
    for problem in result.problems:
        echo(f"error: {problem}", "red")
    if result.problems:
        raise SystemExit(2)


def stage_command(name: str) -> Callable[..., None]:
    """The command of one stage."""

    def command(config: ConfigFile, overrides: Overrides = None, wait: Wait = False) -> None:
        run_stages(config, overrides, [name], wait=wait)

    command.__name__ = name
    command.__doc__ = (
        f"{STAGES[name]}.\n\nUnfinished stages that it needs run first, and `xner preflight` before them.\n\n"
        f"Example: [cyan]xner {name} configs/demo.yaml[/]"
    )
    return command


def run_stages(
    config_file: Path, overrides: Sequence[str] | None, stages: Sequence[str] | None = None, *, wait: bool = False
) -> dict[str, Any]:
    """Run the preflight and then stages of a config, and print the results.

    Args:
        config_file: the YAML file.
        overrides: `key=value`, see `load_config`.
        stages: names of stages; None: all.
        wait: wait for another run on the same output folder instead of an error.

    Returns:
        The content of `results.json`; empty if the evaluation did not run.

    Raises:
        SystemExit: 2 after a UserError or a problem that the preflight found; 130 after Ctrl-C.
    """
    with report_user_errors(resumable=True):
        from xner_ray.config.load import load_config

        config = load_config(config_file, overrides or ())
        from xner_ray.cli.preflight import run_preflight
        from xner_ray.workflows.run import run

        run_preflight(config, config_file, stages=stages)
        results = run(config, config_file, stages=stages, wait=wait)
        if results and not logs_json():
            from xner_ray.results.report.table import results_table

            show(results_table(results, config.out))
        else:
            echo(f"done: {', '.join(stages or ['all stages'])}; the results are in {config.out}", "green")
            if "student" in (stages or ()):
                echo(f"next: xner tag --out {config.out} --language {config.languages[0]} TEXT")
        return results
