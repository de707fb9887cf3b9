"""One night, from the catalog to the pointer; see the room's docstring for the order and for what lies where.

Every step is a stage that skips what is done, so a night costs what is new, and one that died is gone on with by the next. The
only step that anybody outside sees is the last, the promotion; it comes after everything that can fail.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xner_ray.config import Config
from xner_ray.corpora.collection import Collection
from xner_ray.corpora.opus.download import HttpClient, ProgressListener, RetryPolicy
from xner_ray.corpora.opus.fetch import check_disk_space, fetch_archive
from xner_ray.corpora.opus.resolve import Log
from xner_ray.errors import UserError
from xner_ray.observability.work_log import read_work
from xner_ray.pipeline.context import Context, model_identity
from xner_ray.pipeline.pipeline import build_pipeline
from xner_ray.pipeline.runner import Runner, complete, timed
from xner_ray.pipeline.stages.dataset import Dataset
from xner_ray.pipeline.stages.ingest import collection_folder
from xner_ray.pipeline.stages.sample import Sample
from xner_ray.pipeline.stages.student import Student
from xner_ray.preflight.checks import refuse_url
from xner_ray.storage.blob_store import open_blob_store
from xner_ray.storage.fingerprint import describe_change
from xner_ray.storage.lock import Lock, hold_output
from xner_ray.storage.stage_dir import claim_out
from xner_ray.training.backends.nodes import describe_resources
from xner_ray.workflows.refresh.change_detection import Look, look
from xner_ray.workflows.refresh.compare import compare
from xner_ray.workflows.refresh.cost_estimate import models_told
from xner_ray.workflows.refresh.dry_run import nightly, shelf_root
from xner_ray.workflows.refresh.model_registry import ModelRegistry
from xner_ray.workflows.refresh.promotion import Compared, as_rows, decide, reasons_to_train
from xner_ray.workflows.refresh.refresh_report import RefreshReports
from xner_ray.workflows.refresh.silver import draw_silver_sets, silver_gold
from xner_ray.workflows.run import finalize

STATE = "state.json"


def refresh(
    config: Config,
    config_file: str | Path,
    log: Log,
    watch: ProgressListener | None = None,
    patience: RetryPolicy | None = None,
) -> dict[str, Any]:
    """Go through a night.

    Args:
        config: the checked config; see `nightly` for what of it counts.
        watch: looks on while archives are fetched.

    Returns:
        the night's report, as it lies in PUBLISH/nights.

    Raises:
        UserError: another refresh runs, or anything that a stage finds wrong; `current` is what it was then.
    """
    config = nightly(config)
    refuse_url(config.out)
    claim_out(config.out, config.name, config_file)
    place = open_blob_store(shelf_root(config))
    with Lock(place, config.refresh.lock_timeout_s, name="refresh", log=log) as lease:
        nights = RefreshReports(place)
        report = nights.begin(lease.number, config.name, models_told(config))
        began = time.monotonic()
        try:
            with hold_output(config.out, log, name="refresh"):
                _Night(config, str(config_file), log, lease, report).go(watch or ProgressListener(), patience)
        except BaseException as e:
            report |= {"status": "failed", "error": str(e) or type(e).__name__}
            raise
        finally:
            report["seconds"] = round(time.monotonic() - began, 1)
            nights.write(report, log)
    return report


class _Night:
    """A night on its way; `report` is filled in as it goes."""

    def __init__(self, config: Config, config_file: str, log: Log, lease: Lock, report: dict[str, Any]):
        self.config, self.config_file, self.log, self.lease, self.report = config, config_file, log, lease, report
        self.shelf = ModelRegistry(lease.store)
        self.out = Path(config.out).absolute()

    def go(self, watch: ProgressListener, patience: RetryPolicy | None) -> None:
        self.shelf.point()
        before, state = self.shelf.current(), self._state()
        self.report["current"] = before and before["version"]
        if self.config.sample:
            complete(Context.open(self.config, self.config_file, self.log), Sample(), {})
        with HttpClient(patience) as http:
            seen = look(self.config, http, watch, self.log)
            self.report["corpora"] = [c.to_json() for c in seen.corpora if c.state != "held"]
            self._fetch(seen, http, watch)
        ctx = Context.open(seen.resolved(self.log), self.config_file, self.log)
        runner = Runner(ctx, build_pipeline(ctx.config))
        done = len(read_work(self.out))
        try:
            data = self._label(runner)
            self._train(runner, data, before, state)
        finally:
            self.report |= {"work": read_work(self.out)[done:], "device": describe_resources()}

    def _fetch(self, seen: Look, http: HttpClient, watch: ProgressListener) -> None:
        """Get archives that are new or another one by now; an archive appears when it is whole and was read to its end."""
        items = seen.items
        left, limit = sum(x.remaining for x in items), self.config.opus.limit_gb
        if left > limit * 1e9:
            problem = f"{left:,} bytes are to be fetched, and the limit is {limit:g} GB"
            raise UserError(problem, key="opus.limit_gb", remedy="look at `xner refresh --dry-run`, and raise it")
        check_disk_space(items, Path(self.config.fill(self.config.opus.folder)))
        for item in items:
            self.log(f"[fetch] {item.archive}: {item.remaining:,} bytes")
            fetch_archive(item, http, watch, seen.catalog or "")
        self.report["fetched"] = {str(x.archive): x.remaining for x in items}

    def _label(self, runner: Runner) -> Dataset:
        """Ingest, label and filter what is new, and sample the datasets."""
        ctx = runner.ctx
        collections = {x: Collection(collection_folder(self.out, x)) for x in ctx.config.languages}
        before = {x: len(collection.generations()) for x, collection in collections.items()}
        runner.result("ingest")
        self.report["ingested"] = {
            x: {
                label: asdict(count)
                for report in collection.reports()[before[x] :]
                for label, count in report.corpora.items()
            }
            for x, collection in collections.items()
        }
        self.lease.check()
        runner.result("label")
        self.lease.check()
        draw_silver_sets(ctx, runner.result("filter"), self.config.refresh.silver_sentences)
        data = runner.result("dataset")
        # Only the stages after this one evaluate, and silver sets are for them.
        ctx.config = ctx.config.model_copy(update={"evaluation": [*ctx.config.evaluation, *silver_gold(ctx)]})
        keys = ("sentences", "entities", "available")
        self.report["dataset"] = {x: {k: summary[k] for k in keys} for x, summary in data.summary.items()}
        return data

    def _train(self, runner: Runner, data: Dataset, before: dict[str, Any] | None, state: dict[str, Any]) -> None:
        """Train where it is worth it, compare, and promote."""
        available = {x: summary["available"] for x, summary in data.summary.items()}
        recipe = _recipe(runner.ctx.config)
        changed = describe_change(state["recipe"], recipe) if state["recipe"] else []
        why = reasons_to_train(available, state["trained"], self.config.refresh.min_growth, changed)
        used = dict.fromkeys((train.parent for train in data.train.values()), self.lease.number)
        self.report["why"] = why
        if not why:
            grew = any(self.report["ingested"].values())
            self.report["status"] = "not trained" if grew else "nothing new"
        else:
            for line in why:
                self.log(f"[refresh] training, because {line}")
            trained = runner.result("student")
            used |= dict.fromkeys((s.folder.parent for s in trained), self.lease.number)
            state |= {"trained": available, "recipe": recipe}
            self._decide(runner, trained, before, list(used))
        state["used"] |= {str(folder.relative_to(self.out)): number for folder, number in used.items()}
        self.lease.check()
        self._tidy(state)

    def _decide(self, runner: Runner, trained: list[Student], before: dict[str, Any] | None, used: list[Path]) -> None:
        """Compare the new students with the current ones, and promote them where the rule says so."""
        models = {s.language: {"identity": model_identity(s.folder), "folder": s.folder} for s in trained}
        if before and {k: m["identity"] for k, m in models.items()} == _identities(before):
            self.report["status"] = "trained anew, the same"
            return
        with timed(runner.ctx, "evaluate"):
            compared = compare(runner.ctx, trained, before)
        decision = decide(compared, self.config.refresh.max_f1_drop)
        self.report |= {"compared": as_rows(compared), "decision": decision.why}
        self.report["status"] = "promoted" if decision.promote else "not promoted"
        for line in decision.why:
            self.log(f"[refresh] {self.report['status']}: {line}")
        if decision.promote:
            finalize(runner)  # model cards, results.json and report.html describe what is promoted
            self._promote(compared, models, used)

    def _promote(self, compared: list[Compared], models: dict[str, dict[str, Any]], used: list[Path]) -> None:
        self.lease.check()
        folders = self.shelf.upload(self.lease.number, {language: m["folder"] for language, m in models.items()})
        rows = {row["language"]: row for row in as_rows(compared)}
        record = {
            "name": self.config.name,
            "promoted": datetime.now(UTC).isoformat(timespec="seconds"),
            "students": {
                language: {
                    "path": folders[language],
                    "identity": m["identity"],
                    "trained_in": str(m["folder"].relative_to(self.out)),
                    "f1": rows[language]["after"],
                    "sets": rows[language]["sets"],
                }
                for language, m in models.items()
            },
            "made_of": [str(folder.relative_to(self.out)) for folder in used],
        }
        self.lease.check()
        self.shelf.commit(self.lease.number, record)
        self.report["current"] = self.lease.number

    def _state(self) -> dict[str, Any]:
        """What the last training saw: `trained` (sentences to choose from, by language), `recipe`, and `used`, folders of OUT."""
        data = self.lease.store.read(STATE)
        return json.loads(data) if data else {"trained": {}, "recipe": {}, "used": {}}

    def _tidy(self, state: dict[str, Any]) -> None:
        """Write the state, and delete what no kept version is made of; only folders that nights made are touched."""
        self.shelf.keep(self.config.refresh.keep_versions, self.lease.number)
        kept = {folder for number in self.shelf.versions() for folder in self.shelf.version(number)["made_of"]}
        gone = [x for x, night in state["used"].items() if night < self.lease.number and x not in kept]
        for folder in gone:
            shutil.rmtree(self.out / folder, ignore_errors=True)
            del state["used"][folder]
        self.lease.store.write(STATE, (json.dumps(state, indent=1) + "\n").encode(), "state")


def _identities(version: dict[str, Any]) -> dict[str, str]:
    return {language: student["identity"] for language, student in version["students"].items()}


def _recipe(config: Config) -> dict[str, Any]:
    """What of a config makes other students; a corpus more is growth, no change."""
    keys = ("languages", "seed", "gold", "teacher", "aligner", "rules", "dataset", "student")
    return config.model_dump(mode="json", include=set(keys))
