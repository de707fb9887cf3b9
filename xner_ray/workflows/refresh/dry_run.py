"""What a night would do and what it would cost: all of it without torch or Ray, so that a dry run answers at once."""

from __future__ import annotations

from pathlib import Path

from xner_ray.config import Config
from xner_ray.corpora.opus.download import HttpClient, ProgressListener, RetryPolicy
from xner_ray.corpora.opus.resolve import Log
from xner_ray.preflight.checks import refuse_url
from xner_ray.storage.blob_store import open_blob_store
from xner_ray.workflows.refresh.change_detection import look
from xner_ray.workflows.refresh.cost_estimate import Plan, estimate
from xner_ray.workflows.refresh.refresh_report import RefreshReports


def nightly(config: Config) -> Config:
    """The config as a refresh takes it: every pair, in collections that grow, and one student a language to promote."""
    first = config.student.encoder if isinstance(config.student.encoder, str) else config.student.encoder[0]
    student = config.student.model_copy(update={"encoder": first, "seeds": config.student.seeds[:1]})
    ingest = config.ingest.model_copy(update={"max_pairs_per_language": None, "incremental": True})
    return config.model_copy(update={"ingest": ingest, "student": student})


def shelf_root(config: Config) -> str:
    """Where promoted students go."""
    return config.refresh.publish or str(Path(config.out).absolute() / "published")


def plan_night(config: Config, log: Log, patience: RetryPolicy | None = None) -> Plan:
    """What a night would do and cost; nothing is written, no lock is taken, no Ray is started."""
    config = nightly(config)
    refuse_url(config.out)
    with HttpClient(patience) as http:
        seen = look(config, http, ProgressListener(), log, dry=True)
    return estimate(config, seen, RefreshReports(open_blob_store(shelf_root(config))).all())
