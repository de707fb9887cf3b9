"""The plan of a labeling: the shards that it will label. `xner status` and `xner quarantine` compare it with the manifests."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from xner_ray.errors import UserError
from xner_ray.storage.atomic import write_json
from xner_ray.storage.output_dir import RUN, check_format

PLAN = "plan.json"


@dataclass(frozen=True)
class LabelingPlan:
    """The file `plan.json` in the folder of the label stage, which writes it whenever it starts.

    Attributes:
        store: folder or URL of the shard store. The file holds a folder below `out` relative to `out`, so `out` can move.
        shards: number of rows of each shard, by its name.
        ledger: the counts of ingest, see `Ledger.to_rows`.
        quarantine_files: Parquet files with the rows that ingest quarantined, relative to the output folder.
    """

    store: str
    shards: dict[str, int]
    ledger: list[dict[str, Any]]
    quarantine_files: list[str] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write the file into the folder of a label stage, OUT/label/FINGERPRINT."""
        out, store = folder.parent.parent, self.store
        if Path(store).is_relative_to(out):
            store = Path(store).relative_to(out).as_posix()
        write_json(folder / PLAN, asdict(replace(self, store=store)))

    @classmethod
    def latest(cls, out: Path) -> tuple[Path, LabelingPlan]:
        """The plan that was written last.

        Args:
            out: output folder of a run.

        Returns:
            The folder of the label stage, and its plan.

        Raises:
            UserError: the folder is no output folder, another version wrote it, no labeling was started, or the plan is damaged.
        """
        if not (out / RUN).is_file():
            raise UserError("is not the output folder of a run", file=out, remedy="give the `out` of a config")
        check_format(out)
        plans = sorted(out.glob(f"label/*/{PLAN}"), key=lambda path: (path.stat().st_mtime_ns, path))
        if not plans:
            raise UserError("no labeling was started here", file=out, remedy="start one with `xner label CONFIG`")
        try:
            plan = _PLAN.validate_json(plans[-1].read_bytes())
        except ValidationError as e:
            error = e.errors()[0]
            key = ".".join(map(str, error["loc"])) or None
            remedy = "run `xner label CONFIG`: it writes this file again, and labels nothing twice"
            raise UserError(f"is damaged: {error['msg']}", file=plans[-1], key=key, remedy=remedy) from e
        # `out / store` is `store` where it is an absolute path.
        return plans[-1].parent, plan if "://" in plan.store else replace(plan, store=str(out / plan.store))


_PLAN = TypeAdapter(LabelingPlan)
