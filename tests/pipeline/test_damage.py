"""Damaged files of an output folder: a reader names the shard, and the next run makes it again. Labeling runs without Ray."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from tests.harness.corpus_files import good_moses
from xner_ray import schema
from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.labeling.actors import read_shard
from xner_ray.labeling.plan import PLAN
from xner_ray.labeling.quarantine import quarantined_rows
from xner_ray.labeling.status import status
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.executors import InProcess
from xner_ray.pipeline.runner import Runner
from xner_ray.pipeline.stages.aligner import TrainAligner
from xner_ray.pipeline.stages.dataset import SampleSentences
from xner_ray.pipeline.stages.filter import Filter
from xner_ray.pipeline.stages.ingest import Ingest
from xner_ray.pipeline.stages.label import Label
from xner_ray.pipeline.stages.source_models import TrainSourceModels
from xner_ray.pipeline.stages.student import TrainStudents
from xner_ray.storage.envelope import unpack
from xner_ray.storage.shard_store import ShardStore
from xner_ray.storage.stage_dir import StageDir


class LabelInProcess(Label):
    """The stage `label` with one entity in each sentence, without models and Ray."""

    needs = ("ingest",)

    def _models(self, ctx, inputs):
        return None

    def _model_parts(self, ctx, inputs):
        return {"teacher": "fixed"}

    def _label(self, ctx, models, shards, root, *others):
        for shard in shards:
            _, _, table = unpack(read_shard(vars(shard), root))
            entity = {"start": 0, "end": 4, "type": "PER", "score": 0.9}
            projection = {"entity": 0, "start": 0, "end": 4, "score": 0.9, "aligner": 0.9, "similarity": None}
            for field, value in (
                (schema.ENTITIES, [entity]),
                (schema.PROJECTIONS, [projection]),
                (schema.FAULT, None),
            ):
                table = table.append_column(field, pa.array([value] * len(table), field.type))
            ShardStore(root).commit(shard.shard, table, shard.input_hash)


def config(tmp_path: Path, **changes) -> Config:
    corpora = [{"name": "a", "format": "moses", "path": str(tmp_path / "a")}]
    ingest = {"max_pairs_per_language": None, "shard_rows": 16} | changes.pop("ingest", {})
    return Config(
        name="t",
        out=str(tmp_path / "out"),
        languages=["de"],
        gold=[{"path": "g"}],
        corpora=corpora,
        ingest=ingest,
        **changes,
    )


def run(made: Config, log=lambda line: None) -> Runner:
    """Run all stages up to the training sentences."""
    ctx = Context.open(made, log=log, executor=InProcess())
    runner = Runner(ctx, [Ingest(), LabelInProcess(null_model=True), Filter(), SampleSentences()])
    runner.result("dataset")
    return runner


@pytest.fixture(params=[False, True], ids=["once", "incremental"])
def done(tmp_path, request):
    """The config of a run that is done, and the content of its files by the part of the name that every run shares."""
    good_moses(tmp_path / "a", [(f"Anna met {n} friends.", f"Anna traf {n} Freunde.") for n in range(40)])
    made = config(tmp_path, ingest={"incremental": request.param})
    run(made)
    return made, contents(made)


def contents(made: Config) -> dict[str, bytes]:
    """The files of the output folder without those that no manifest names, by a name without the attempt."""
    out, found = Path(made.out), {}
    for path in out.rglob("*.parquet"):
        name, is_shard = path.name.split(".")[0], path.parts[len(out.parts)] in ("label", "filter")
        if not is_shard or ShardStore(path.parent).manifest(name).file == path.name:
            found[str(path.parent.relative_to(out) / name)] = path.read_bytes()
    return found


FILES = {
    "ingest": ["ingest/de/*/shards/shard-*.parquet", "corpus/de/*/shard-*.parquet"],
    "label": ["label/*/*.parquet"],
    "filter": ["filter/*/*.parquet"],
    "dataset": ["dataset/de/*/train.parquet"],
}
LISTED = ("dataset/de/*/train.parquet", "dataset/de/*/summary.json", "filter/*/ledger.json", f"label/*/{PLAN}")


def file_of(made: Config, stage: str) -> Path:
    """The first file of a stage."""
    return min(path for pattern in FILES[stage] for path in Path(made.out).glob(pattern))


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("stage", FILES)
def test_a_deleted_file_is_made_again(done, stage):
    made, before = done
    file_of(made, stage).unlink()
    lines: list[str] = []
    run(made, lines.append)
    assert contents(made) == before and any("again" in line for line in lines)


@pytest.mark.parametrize("stage", ["label", "filter", "dataset"])
def test_a_truncated_file_is_made_again(done, stage):
    made, before = done
    file = file_of(made, stage)
    file.write_bytes(file.read_bytes()[:-9])
    run(made)
    assert contents(made) == before


@pytest.mark.parametrize("stage", ["ingest", "label", "filter"])
def test_a_changed_bit_is_an_error_of_its_reader_and_the_next_run_makes_the_shard_again(done, stage):
    made, before = done
    file = file_of(made, stage)
    flip(file)
    changes = {"ingest": ("label", "precision", "bf16"), "label": ("rules", "min_entity_score", 0.1)}
    section, key, value = changes.get(stage, ("dataset", "max_sentences", 9))  # so that the shard is read again
    reader = made.model_copy(update={section: getattr(made, section).model_copy(update={key: value})})
    with pytest.raises(UserError) as e:
        run(reader)
    assert str(e.value.file) == str(file) and e.value.key.startswith("de-") and "xner run" in e.value.remedy
    run(reader)
    run(made)
    assert before.items() <= contents(made).items()


@pytest.mark.parametrize("name", LISTED)
def test_a_changed_bit_of_a_listed_file_is_found_by_the_next_run(done, name):
    made, before = done
    (file,) = Path(made.out).glob(name)
    content = file.read_bytes()
    flip(file)
    lines: list[str] = []
    run(made, lines.append)
    assert file.read_bytes() == content and contents(made) == before
    assert any("damaged" in line and str(file) in line for line in lines)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"files": 7}', '{"items": "", "files": {"a": "b"}}'])
def test_a_corrupt_marker_costs_no_shard(done, text):
    made, before = done
    for marker in Path(made.out).rglob("done.json"):
        marker.write_text(text)
    shards = {p: p.stat().st_mtime_ns for p in Path(made.out).glob("label/*/*.parquet")}
    run(made)
    assert contents(made) == before and {p: p.stat().st_mtime_ns for p in shards} == shards


MODEL_STAGES = (TrainSourceModels, TrainAligner, TrainStudents)


def committed_model(out: Path) -> StageDir:
    directory = StageDir.of(out, "student/de", {"seed": 1}).create()
    (directory.path / "model").mkdir()
    (directory.path / "model" / "model.safetensors").write_bytes(b"weights")
    (directory.path / "model" / "config.json").write_text('{"id2label": {"0": "O"}}')
    directory.commit()
    (directory.path / "model" / "README.md").write_text("a card, which is written later")
    return directory


@pytest.mark.parametrize("stage", MODEL_STAGES)
@pytest.mark.parametrize("edit", ["weights", "longer config"])
def test_a_model_that_was_edited_in_place_is_an_error(tmp_path, stage, edit):
    directory = committed_model(tmp_path)
    file = directory.path / "model" / ("model.safetensors" if edit == "weights" else "config.json")
    if edit == "weights":
        flip(file)
    else:
        file.write_text(file.read_text().replace("O", "B-PERSON"))
    assert directory.problem(sizes_only=stage.sizes_only) is None  # it is not made again without a question
    with pytest.raises(UserError) as e:
        stage().result(None, {}, {"de": directory})
    assert e.value.file == file and f"delete {directory.path}" in e.value.remedy
    shutil.rmtree(directory.path)  # the remedy
    assert directory.problem() == "not started"


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"wei")], ids=["gone", "truncated"])
def test_a_model_that_is_gone_or_truncated_is_trained_again(tmp_path, damage):
    directory = committed_model(tmp_path)
    damage(directory.path / "model" / "model.safetensors")
    assert directory.problem(sizes_only=TrainStudents.sizes_only)
    assert directory.discard_damaged(TrainStudents.sizes_only) and directory.problem() == "unfinished"


def test_a_copied_folder_is_complete_and_never_touches_the_original(done, tmp_path):
    made, before = done
    out, copy = Path(made.out), tmp_path / "copy"
    shutil.copytree(out, copy)
    original = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.rglob("*") if p.is_file()}
    moved = made.model_copy(update={"out": str(copy)})
    shards = {p: p.stat().st_mtime_ns for p in copy.rglob("*.parquet")}
    run(moved)
    assert {p: p.stat().st_mtime_ns for p in copy.rglob("*.parquet")} == shards  # nothing was made again
    assert status(copy)["root"].startswith(str(copy)) and len(quarantined_rows(copy)) == 0
    for stage in FILES:
        file_of(moved, stage).unlink()
    run(moved)
    assert contents(moved) == before
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.rglob("*") if p.is_file()} == original
    out.rename(tmp_path / "gone")
    run(moved.model_copy(update={"rules": made.rules.model_copy(update={"min_entity_score": 0.1})}))
