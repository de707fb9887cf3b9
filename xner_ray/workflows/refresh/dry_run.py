"""`xner refresh --dry-run`: the plan of a refresh and its cost. It imports neither torch nor Ray, so it is fast."""

from __future__ import annotations

from pathlib import Path

from xner_ray.config import Config
from xner_ray.corpora.opus.download import HttpClient, ProgressListener, RetryPolicy
from xner_ray.corpora.opus.resolve import Log
from xner_ray.preflight.checks import refuse_url
from xner_ray.storage.blob_store import open_blob_store
from xner_ray.storage.output_dir import check_format
from xner_ray.workflows.refresh.change_detection import detect_changes
from xner_ray.workflows.refresh.cost_estimate import RefreshPlan, estimate_costs
from xner_ray.workflows.refresh.refresh_report import RefreshReports


def refresh_config(config: Config) -> Config:
    """The config of a refresh: all pairs, incremental collections, and one student per language."""
    student = config.student.model_copy(
        update={"encoder": config.student.encoders[0], "seeds": config.student.seeds[:1]}
    )
    ingest = config.ingest.model_copy(update={"max_pairs_per_language": None, "incremental": True})
    return config.model_copy(update={"ingest": ingest, "student": student})


def registry_root(config: Config) -> str:
    """The address of the model registry: `refresh.publish`, by default a folder in the output folder."""
    return config.refresh.publish or str(Path(config.out).absolute() / "published")


def plan_refresh(config: Config, log: Log, retry_policy: RetryPolicy | None = None) -> RefreshPlan:
    """The plan of a refresh and its cost. Nothing is written, no lock is taken, Ray is not started.

    Args:
        config: the checked config.
        log: receives warnings.
        retry_policy: of requests.

    Raises:
        UserError: another version wrote the output folder, or the catalog lacks a corpus.
    """
    config = refresh_config(config)
    refuse_url(config.out)
    check_format(config.out)
    with HttpClient(retry_policy, config.ingest.allow_private_hosts) as http:
        changes = detect_changes(config, http, ProgressListener(), log, dry_run=True)
    return estimate_costs(config, changes, RefreshReports(open_blob_store(registry_root(config))).all())
