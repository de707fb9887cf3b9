"""One refresh, from the catalog to the pointer. The package's docstring lists its files.

Stages skip what is done, so the cost of a refresh depends on what is new, and a refresh continues where a failed one stopped.
The promotion is the only step that readers of the students see. It comes after all steps that can fail.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

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
from xner_ray.storage.blob_store import check_create_if_absent, open_blob_store
from xner_ray.storage.fingerprint import describe_change
from xner_ray.storage.lock import Lock, hold_output
from xner_ray.storage.output_dir import claim_out
from xner_ray.training.backends.nodes import describe_resources
from xner_ray.workflows.model_warnings import model_warnings
from xner_ray.workflows.refresh.change_detection import DetectedChanges, detect_changes
from xner_ray.workflows.refresh.compare import compare_students
from xner_ray.workflows.refresh.cost_estimate import model_names
from xner_ray.workflows.refresh.dry_run import refresh_config, registry_root
from xner_ray.workflows.refresh.model_registry import ModelRegistry
from xner_ray.workflows.refresh.promotion import (
    Comparison,
    Decision,
    comparison_rows,
    decide_promotion,
    reasons_to_train,
)
from xner_ray.workflows.refresh.refresh_report import RefreshReports
from xner_ray.workflows.refresh.silver import draw_silver_sets, silver_evaluation_sets
from xner_ray.workflows.run import finalize

STATE = "state.json"


def run_refresh(
    config: Config,
    config_file: str | Path,
    log: Log,
    listener: ProgressListener | None = None,
    retry_policy: RetryPolicy | None = None,
) -> dict[str, Any]:
    """Fetch, ingest and label what is new; train and promote where the rules say so.

    Args:
        config: the checked config; `dry_run.refresh_config` adapts it.
        config_file: for messages.
        log: receives progress lines.
        listener: receives the progress of downloads.
        retry_policy: of downloads.

    Returns:
        the report, which is also in PUBLISH/reports.

    Raises:
        UserError: another refresh runs, or an error of a stage. The current students are unchanged.
    """
    config = refresh_config(config)
    refuse_url(config.out)
    claim_out(config.out, config.name, config_file)
    store = open_blob_store(registry_root(config))
    check_create_if_absent(store, "refresh.publish")
    last = ModelRegistry(store).last_number()
    with Lock(store, config.refresh.lock_timeout_s, name="refresh", log=log, after=last) as lock:
        reports = RefreshReports(store)
        report = reports.begin(lock.number, config.name, model_names(config))
        started = time.monotonic()
        try:
            with hold_output(config.out, log, name="refresh"):
                refresh = _Refresh(config, str(config_file), log, lock, report)
                refresh.run(listener or ProgressListener(), retry_policy)
        except BaseException as e:
            report |= {"status": "failed", "error": str(e) or type(e).__name__}
            raise
        finally:
            report["seconds"] = round(time.monotonic() - started, 1)
            reports.write(report, log)
    return report


@dataclass(frozen=True)
class State:
    """The content of `state.json`: what the last training used.

    Attributes:
        trained: candidate sentences by language.
        recipe: its config.
        used: folders of OUT, with the number of the last refresh that used each.
    """

    trained: dict[str, int] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)


_STATE = TypeAdapter(State)


class _Refresh:
    """A running refresh. It fills in `report`."""

    def __init__(self, config: Config, config_file: str, log: Log, lock: Lock, report: dict[str, Any]):
        self.config, self.config_file, self.log, self.lock, self.report = config, config_file, log, lock, report
        self.registry = ModelRegistry(lock.store)
        self.out = Path(config.out).absolute()

    def run(self, listener: ProgressListener, retry_policy: RetryPolicy | None) -> None:
        self.registry.update_pointer()
        before, state = self.registry.current(), self._state()
        self.report["current"] = before and before["version"]
        if self.config.sample:
            complete(Context.open(self.config, self.config_file, self.log), Sample(), {})
        with HttpClient(retry_policy, self.config.ingest.allow_private_hosts) as http:
            changes = detect_changes(self.config, http, listener, self.log)
            self.report["corpora"] = [c.to_json() for c in changes.corpora if c.state != "unchanged"]
            self._fetch(changes, http, listener)
        ctx = Context.open(changes.resolved(self.log), self.config_file, self.log)
        runner = Runner(ctx, build_pipeline(ctx.config))
        done = len(read_work(self.out))
        try:
            data = self._label(runner)
            self._train(runner, data, before, state)
        finally:
            self.report |= {"work": read_work(self.out)[done:], "device": describe_resources()}

    def _fetch(self, changes: DetectedChanges, http: HttpClient, listener: ProgressListener) -> None:
        """Fetch new and changed archives. An archive gets its name after it was read to its end."""
        items = changes.items
        remaining, limit = sum(x.remaining for x in items), self.config.opus.limit_gb
        if remaining > limit * 1e9:
            problem = f"{remaining:,} bytes are to be fetched, and the limit is {limit:g} GB"
            raise UserError(problem, key="opus.limit_gb", remedy="check `xner refresh --dry-run`, and raise the limit")
        check_disk_space(items, Path(self.config.fill(self.config.opus.folder)))
        for item in items:
            self.log(f"[fetch] {item.archive}: {item.remaining:,} bytes")
            fetch_archive(item, http, listener, changes.catalog or "")
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
        self.lock.check()
        runner.result("label")
        self.lock.check()
        draw_silver_sets(ctx, runner.result("filter"), self.config.refresh.silver_sentences)
        data = runner.result("dataset")
        # The next stages evaluate on the silver sets. The stages before must not see them.
        ctx.config = ctx.config.model_copy(
            update={"evaluation": [*ctx.config.evaluation, *silver_evaluation_sets(ctx)]}
        )
        keys = ("sentences", "entities", "available")
        self.report["dataset"] = {x: {k: summary[k] for k in keys} for x, summary in data.summary.items()}
        return data

    def _train(self, runner: Runner, data: Dataset, before: dict[str, Any] | None, state: dict[str, Any]) -> None:
        """Train if there is a reason, compare, and promote."""
        available = {x: summary["available"] for x, summary in data.summary.items()}
        recipe = _recipe(runner.ctx.config)
        changed = describe_change(state["recipe"], recipe) if state["recipe"] else []
        reasons = reasons_to_train(available, state["trained"], self.config.refresh.min_growth, changed)
        used = dict.fromkeys((train.parent for train in data.train.values()), self.lock.number)
        self.report["reasons"] = reasons
        if reasons and (pinned := self.registry.pinned()) is not None:
            # The state stays as it is, so that the first refresh without a pin has the same reasons.
            self.report |= {"status": "not trained", "reasons": [], "pinned": pinned}
            self.log(f"[refresh] version {pinned} is pinned: nothing is trained until `xner refresh CONFIG --unpin`")
        elif not reasons:
            grew = any(self.report["ingested"].values())
            self.report["status"] = "not trained" if grew else "nothing new"
        else:
            for reason in reasons:
                self.log(f"[refresh] training, because {reason}")
            trained = runner.result("student")
            used |= dict.fromkeys((s.folder.parent for s in trained), self.lock.number)
            self._decide(runner, trained, before, list(used))
            if "pinned" not in self.report:
                state |= {"trained": available, "recipe": recipe}
        state["used"] |= {str(folder.relative_to(self.out)): number for folder, number in used.items()}
        self.lock.check()
        self._delete_unused(state)

    def _decide(self, runner: Runner, trained: list[Student], before: dict[str, Any] | None, used: list[Path]) -> None:
        """Compare the new students with the current ones, and promote them if no language loses too much."""
        models = {s.language: {"identity": model_identity(s.folder), "folder": s.folder} for s in trained}
        if before and {k: m["identity"] for k, m in models.items()} == _identities(before):
            self.report["status"] = "trained, unchanged"
            return
        with timed(runner.ctx, "evaluate"):
            comparisons = compare_students(runner.ctx, trained, before)
        decision = decide_promotion(comparisons, self.config.refresh.max_f1_drop)
        if (pinned := self.registry.pinned()) is not None:  # by a rollback while this refresh ran
            self.report["pinned"] = pinned
            decision = Decision(False, [f"version {pinned} was pinned meanwhile", *decision.reasons])
        self.report |= {"comparisons": comparison_rows(comparisons), "decision": decision.reasons}
        self.report["status"] = "promoted" if decision.promote else "not promoted"
        for reason in decision.reasons:
            self.log(f"[refresh] {self.report['status']}: {reason}")
        if decision.promote:
            # Model cards, results.json and report.html describe what is promoted.
            self.report["warnings"] = finalize(runner)["warnings"]
            self._promote(comparisons, models, used)
        else:
            self.report["warnings"] = model_warnings(runner, runner.result("evaluate"))

    def _promote(self, comparisons: list[Comparison], models: dict[str, dict[str, Any]], used: list[Path]) -> None:
        self.lock.check()
        for language, model in models.items():
            if model_identity(model["folder"]) != model["identity"]:
                remedy = "run `xner refresh` again: it names the file that differs, and what to do"
                raise UserError(
                    f"the student of `{language}` was changed meanwhile", file=model["folder"], remedy=remedy
                )
        folders = self.registry.upload(self.lock.number, {language: m["folder"] for language, m in models.items()})
        rows = {row["language"]: row for row in comparison_rows(comparisons)}
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
        self.lock.check()
        self.registry.commit(self.lock.number, record)
        current = self.registry.current()
        self.report["current"] = current and current["version"]

    def _state(self) -> dict[str, Any]:
        """The last training: `trained` (candidate sentences by language), `recipe` (its config), and `used` (folders of OUT)."""
        data = self.lock.store.read(STATE)
        try:
            return asdict(_STATE.validate_json(data)) if data else asdict(State())
        except ValidationError as e:
            remedy = "delete this file: the next refresh then trains anew"
            raise UserError("is damaged", file=self.lock.store.path(STATE), remedy=remedy) from e

    def _delete_unused(self, state: dict[str, Any]) -> None:
        """Delete the folders of earlier refreshes that no kept version was made from, and write the state."""
        self.registry.delete_old_versions(self.config.refresh.keep_versions, self.lock.number)
        kept = {folder for number in self.registry.versions() for folder in self.registry.version(number)["made_of"]}
        unused = [x for x, number in state["used"].items() if number < self.lock.number and x not in kept]
        for folder in unused:
            shutil.rmtree(self.out / folder, ignore_errors=True)
            del state["used"][folder]
        self.lock.store.write(STATE, (json.dumps(state, indent=1) + "\n").encode(), "state")


def _identities(version: dict[str, Any]) -> dict[str, str]:
    return {language: student["identity"] for language, student in version["students"].items()}


def _recipe(config: Config) -> dict[str, Any]:
    """The config that determines the students. The corpora are not in it, because another corpus counts as growth."""
    keys = ("languages", "seed", "gold", "teacher", "aligner", "rules", "dataset", "student")
    return config.model_dump(mode="json", include=set(keys))
