import json

import pyarrow as pa
import pytest
import torch

from xner_ray import schema
from xner_ray.alignment.decoding import Decoding
from xner_ray.alignment.projector import Projector
from xner_ray.alignment.projector_file import ProjectorSettings, read_projector, save_projector
from xner_ray.config import RulesConfig
from xner_ray.errors import UserError
from xner_ray.projection.filters import assign_verdicts


@pytest.fixture
def table():
    rows = [
        ("Rome and Ann and Rome", "Rom und Anna", [(0, 4, "LOC"), (9, 12, "PER"), (17, 21, "LOC")]),
        ("none", "nichts", []),
        ("Peking", "在北京。", [(0, 6, "LOC")]),
    ]
    lists = [[{"start": a, "end": b, "type": t, "score": 0.9} for a, b, t in e] for _, _, e in rows]
    columns = {"corpus": ["c"] * 3, "domain": ["d"] * 3, "language": ["de"] * 3, "pair_id": [1, 2, 3]}
    columns |= {"source": [r[0] for r in rows], "target": [r[1] for r in rows], "corpus_score": [None] * 3}
    return pa.table({**columns, "entities": pa.array(lists, schema.ENTITIES.type)}).cast(schema.LABELED)


def test_projections_are_input_of_the_filters(folder, table):
    projector = Projector.load(folder, "fp32", 256, "cpu")
    for threshold in (0.0, 0.5, 1.0):
        projector.decoding = Decoding(threshold)
        found = projector.project(table, "de")
        assert found.type == schema.PROJECTIONS.type and len(found) == 3
        rows = found.to_pylist()
        assert rows[1] == [] and {p["entity"] for p in rows[0]} <= {0, 1}
        sound = pa.nulls(len(found), pa.string())
        filtered = assign_verdicts(
            table.append_column(schema.PROJECTIONS, found).append_column(schema.FAULT, sound), RulesConfig()
        )
        assert filtered.column("verdict").to_pylist()[1] == schema.KEPT_NO_ENTITY
    projector.decoding = Decoding(0.0)  # every word: each query has the whole sentence
    rows = projector.project(table, "de").to_pylist()
    assert [(p["entity"], p["start"], p["end"]) for p in rows[0]] == [(0, 0, 12), (1, 0, 12)]


def test_candidates_do_not_depend_on_other_rows_or_shards(folder, table):
    projector = Projector.load(folder, "fp32", 64, "cpu")
    projector.decoding = Decoding(0.45)
    whole = projector.project(table, "de").to_pylist()
    assert [projector.project(table.slice(i, 1), "de").to_pylist()[0] for i in range(3)] == whole
    sources, targets = table["source"].to_pylist(), table["target"].to_pylist()
    entities = [[(e["start"], e["end"], e["type"]) for e in row] for row in table["entities"].to_pylist()]
    found = projector.project_entities(sources, entities, targets, "de")
    assert [[(p["entity"], p["start"], p["end"]) for p in row] for row in whole] == [
        [c[:3] for c in row] for row in found
    ]
    assert projector.project(table.slice(0, 0), "de").to_pylist() == []


def test_probabilities_depend_on_the_name(folder, table):
    """Segment A reaches the model."""
    projector = Projector.load(folder, "fp32", 256, "cpu")
    projector.decoding = Decoding(0.0)
    scores = [p["score"] for p in projector.project(table, "de").to_pylist()[0]]
    assert scores[0] != scores[1]


def test_the_similarity_also_projects_in_languages_without_spaces(folder, tiny):
    """Under random weights, equal tokens of equal sentences have equal states, so the similarity copies names."""
    save_projector(folder, Decoding(similarity_weight=1.0), 1, str(tiny))
    text = "我在北京，你呢"
    entities = pa.array([[{"start": 2, "end": 4, "type": "LOC", "score": 0.9}]], schema.ENTITIES.type)
    pair = pa.table({"source": [text], "target": [text], "entities": entities})
    (row,) = Projector.load(folder, "fp32", 256, "cpu").project(pair, "zh").to_pylist()
    assert [(p["start"], p["end"]) for p in row] == [(2, 4)]


def test_a_projector_with_a_similarity_needs_its_encoder_and_layer(folder):
    with pytest.raises(ValueError, match="encoder and layer"):
        save_projector(folder, Decoding(similarity_weight=0.5))


def test_projector_json_holds_the_decoding(folder):
    assert read_projector(folder) == ProjectorSettings(Decoding(0.3), 0)
    file = folder / "projector.json"
    for content, problem in (
        ("{", "cannot be read"),
        (json.dumps({"version": 9, "kind": "aligner"}), "version 9"),
        (json.dumps({"version": 9, "kind": "x"}), "kind `x`"),
        (None, "no such"),
    ):
        if content is None:
            file.unlink()
        else:
            file.write_text(content)
        with pytest.raises(UserError, match=problem) as e:
            read_projector(folder)
        assert e.value.file == file and e.value.remedy


def test_examples_training_and_projection_work_together(tmp_path, tiny):
    """Names are equal on both sides."""
    from xner_ray.alignment.examples.encode_examples import encode_examples
    from xner_ray.alignment.examples.example import Example
    from xner_ray.alignment.projector import LABELS
    from xner_ray.config import TrainingConfig
    from xner_ray.encoders.tokenizer import Tokenizer
    from xner_ray.training.backends.local import LocalBackend
    from xner_ray.training.checkpoint import save_model
    from xner_ray.training.job import TrainJob
    from xner_ray.training.trainer import train

    # The name is always the first of two words, so its position is enough, which random weights learn in seconds.
    examples = [
        Example(n, f"{n} ab", ((0, len(n)),), "de", "pairs") for n in ("ca", "de", "fi", "go", "hu", "mi") * 20
    ]
    data, _ = encode_examples(Tokenizer(str(tiny)), examples, 128)
    data.save(tmp_path / "data.npz")
    training = TrainingConfig(
        epochs=6,
        learning_rate=5e-3,
        tokens_per_step=256,
        max_micro_batch_tokens=256,
        freeze_embeddings=False,
        precision="fp32",
    )
    job = TrainJob("aligner", str(tiny), LABELS, training, 1, str(tmp_path / "data.npz"), str(tmp_path / "model"))
    model, result = train(job, LocalBackend(log=lambda line: None), "cpu")
    save_model(model, job, result)
    save_projector(job.out, Decoding())
    projector = Projector.load(job.out, "fp32", device="cpu")
    assert projector.project_entities(["go"], [[(0, 2, "LOC")]], ["go ab"], "de")[0][0][:3] == (0, 0, 2)
    assert torch.isfinite(torch.tensor(result.losses)).all()
