"""A run: the stages of the pipeline, and its results.

`xner run`, the commands of single stages and the scripts in `jobs/` call `run`. It holds the lock of the output directory while
it works. A second run on the same directory stops with an error that names the holder of the lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xner_ray import __version__
from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.labeling.shard_functions import ShardFunctions
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.pipeline import build_pipeline, describe
from xner_ray.pipeline.runner import Runner
from xner_ray.results.run_results import CURRENT
from xner_ray.storage.atomic import replace_symlink, write_json
from xner_ray.storage.lock import hold_output
from xner_ray.workflows.model_warnings import model_warnings
from xner_ray.workflows.run_record import recorded_run, versions

RESULTS = "results.json"


def run(
    config: Config,
    config_file: str | Path = "",
    stages: Sequence[str] | None = None,
    log: Callable[[str], None] | None = None,
    wait: bool = False,
    functions: ShardFunctions | None = None,
) -> dict[str, Any]:
    """Run stages, by default all.

    Args:
        config: the checked config.
        config_file: for messages.
        stages: names of stages; those that they need run before them.
        log: called with progress lines; default: standard output.
        wait: wait for another run that holds the output directory, instead of an error.
        functions: what the actors of `label` run on a shard; default: teacher and aligner.

    Returns:
        the content of `results.json`: languages, ledger, seconds, sets, source_sets, out, folders, config, made_with, and
        warnings. It is empty unless `evaluate` ran, which also writes `report.html`.

    Raises:
        UserError: something in the input is wrong, or another run holds the output directory.
    """
    known = [stage.name for stage in build_pipeline(config)]
    if unknown := [name for name in stages or () if name not in known]:
        raise UserError(f"`{unknown[0]}` is not a stage", remedy=f"one of {', '.join(known)}")
    ctx = Context.open(config, config_file, log)
    with hold_output(ctx.out, ctx.log, wait):
        runner = Runner(ctx, build_pipeline(ctx.config, functions))
        names = list(stages or runner.stages)
        if "sample" in runner.stages and "sample" not in names:
            names.insert(0, "sample")
        with recorded_run(ctx.out, config, names, ctx.log):
            runner.run(names)
            if "evaluate" in names:
                return finalize(runner)
            link_models(runner)
            return {}


def link_models(runner: Runner) -> None:
    """Let OUT/student/LANGUAGE/current and OUT/aligner/current point to the models of this run, so that their paths are stable.

    Of several encoders and seeds, the first student of a language is the current one.

    Args:
        runner: of the run. Stages that it has not completed are left alone.
    """
    out, models = runner.ctx.out, {}
    if runner.has_result("aligner"):
        models[out / "aligner" / CURRENT] = Path(runner.result("aligner"))
    if runner.has_result("student"):
        for student in runner.result("student"):
            models.setdefault(out / "student" / student.language / CURRENT, student.folder)
    for link, folder in models.items():
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            replace_symlink(link, os.path.relpath(folder, link.parent))
        except OSError as e:  # a file system without symlinks, or a folder has the name
            runner.ctx.log(f"warning: {link} does not point to {folder}: {e.strerror}")


def finalize(runner: Runner) -> dict[str, Any]:
    """Write model cards, links to models, `results.json` and `report.html` of a run whose stages are done.

    Returns:
        the content of `results.json`.
    """
    from xner_ray.results.export.model_card import write_model_cards
    from xner_ray.results.report.page import write_report
    from xner_ray.results.run_results import RunResults

    ctx = runner.ctx
    results = collect(runner)
    results["warnings"] = model_warnings(runner, results)
    link_models(runner)
    write_json(ctx.out / RESULTS, results)
    write_model_cards(RunResults(ctx.out, results))
    ctx.log(f"[report] {write_report(ctx.out)}")
    return results


def collect(runner: Runner) -> dict[str, Any]:
    """The content of `results.json`."""
    ctx = runner.ctx
    ingested, models, filtered = (runner.result(name) for name in ("ingest", "teacher", "filter"))
    dataset, evaluated = runner.result("dataset"), runner.result("evaluate")
    return {
        "name": ctx.config.name,
        "version": __version__,
        **evaluated,
        "ledger": filtered.ledger.to_json(),
        "held_out_gold": len(ctx.excluded_gold),
        "seconds": {**ctx.seconds, "total": round(sum(ctx.seconds.values()), 1)},
        "out": str(ctx.out),
        "folders": {
            "students": _student_folders(runner),
            "datasets": {language: str(file) for language, file in dataset.train.items()},
            "filtered": str(filtered.path),
            "ingest": {language: str(folder) for language, folder in ingested.folders.items()},
            "aligner": str(runner.result("aligner")),
            "source_models": {name: str(folder) for name, folder in models.named().items()},
        },
        "plan": describe(ctx.config),
        "config": ctx.config.model_dump(mode="json"),
        "made_with": _made_with(),
    }


def _student_folders(runner: Runner) -> dict[str, str]:
    """The folder of each student, by its name: the language, then encoder and seed if there are several."""
    student, folders = runner.ctx.config.student, {}
    for trained in runner.result("student"):
        parts = [trained.language]
        parts += [Path(trained.encoder).name] if isinstance(student.encoder, list) else []
        parts += [str(trained.seed)] if len(student.seeds) > 1 else []
        folders["-".join(parts)] = str(trained.folder)
    return folders


def _made_with() -> dict[str, str]:
    """The time at which the run finished, and the versions on which the results depend."""
    return {"finished": datetime.now(UTC).isoformat(timespec="minutes"), **versions()}
