"""The hours of a run on CPUs: what counts, what is refused, and that the constants are those of bench/results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xner_ray.config.load import load_config
from xner_ray.errors import UserError
from xner_ray.preflight import workload
from xner_ray.preflight.checks import require_cpus
from xner_ray.preflight.workload import (
    LABEL_EFFICIENCY,
    TRAINING_EFFICIENCY,
    check_hours,
    count_pairs,
    encoder_size,
    estimate_workload,
    measure_matrix_flops,
)

LARGE = "FacebookAI/xlm-roberta-large"
RESULTS = Path(__file__).parents[2] / "bench" / "results"


class TwoCpus:
    nodes = ({"CPU": 2.0, "GPU": 0.0},)


class OneGpu:
    nodes = ({"CPU": 2.0, "GPU": 1.0},)


@pytest.fixture(autouse=True)
def core(monkeypatch):
    """A core of 90 GFLOP/s, as that of bench/results."""
    monkeypatch.setattr(workload, "measure_matrix_flops", lambda: 90e9)


def large(tmp_path, *overrides: str):
    """The demo with XLM-R-large over real corpora of many pairs."""
    keys = [f"{section}.encoder={LARGE}" for section in ("teacher", "aligner", "student")]
    corpora = f"corpora=[{{name: A, format: moses, path: '{tmp_path}/none-{{language}}.zip'}}]"
    pairs = ["ingest.max_pairs_per_language=400000", "sample=null", f"data={tmp_path}"]
    return load_config("configs/demo.yaml", [*keys, corpora, *pairs, *overrides])


def test_xlm_r_large_on_two_cpus_is_refused_with_a_remedy_that_works(tmp_path):
    with pytest.raises(UserError) as e:
        check_hours(large(tmp_path), TwoCpus())
    assert e.value.key == "ray.max_cpu_hours" and "hours on 2 CPUs" in e.value.problem and "label" in e.value.problem
    (anyway,) = [word for word in e.value.remedy.split() if word.startswith("ray.max_cpu_hours=")]
    assert "h on 2 CPUs" in check_hours(large(tmp_path, anyway), TwoCpus())
    assert check_hours(large(tmp_path, "ingest.max_pairs_per_language=2000"), TwoCpus())
    smaller = [f"{section}.encoder=embedded" for section in ("teacher", "aligner", "student")]
    assert check_hours(large(tmp_path, "ingest.max_pairs_per_language=80000", *smaller), TwoCpus())


def test_a_folder_of_the_same_shape_counts_the_same(tmp_path):
    config = {"model_type": "xlm-roberta", "hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096}
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 250_002}))
    (tmp_path / "tokenizer.json").write_text("{}")
    from safetensors.numpy import save_file

    save_file({}, tmp_path / "model.safetensors")
    assert encoder_size(str(tmp_path)) == encoder_size(LARGE)
    assert encoder_size(LARGE).layers == 24 * 12 * 1024**2 and encoder_size("no/such-model") is None


@pytest.mark.parametrize("name", ["demo", "tiny", "real"])
def test_configs_for_cpus_are_accepted(name, tmp_path):
    assert "h on 2 CPUs" in check_hours(load_config(f"configs/{name}.yaml", [f"data={tmp_path}"]), TwoCpus())


def test_gpus_are_not_limited(tmp_path):
    assert "GPU" in check_hours(large(tmp_path), OneGpu())
    assert "GPU" in check_hours(large(tmp_path, "ray.max_gpus=8"), TwoCpus())


def test_stages_that_are_done_do_not_count(tmp_path):
    assert "label 0.0 h" in check_hours(large(tmp_path), TwoCpus(), lambda: {"ingest": 1.0, "teacher": 1.0})
    with pytest.raises(UserError):
        check_hours(large(tmp_path), TwoCpus(), lambda: {"label": 0.9})


def test_a_stage_that_may_be_done_in_part_is_a_note(tmp_path):
    text = check_hours(large(tmp_path), TwoCpus(), lambda: {"label": None, "student": 0.001})
    assert "without label" in text and "label 0" not in text and "student 0" in text
    with pytest.raises(UserError):
        check_hours(large(tmp_path), TwoCpus(), lambda: {"label": 1.0, "student": None})


def test_pairs_are_counted_from_files_where_the_config_has_no_limit(tmp_path):
    config = large(tmp_path)
    assert count_pairs(config, "de") == 400_000
    no_limit = large(tmp_path, "ingest.max_pairs_per_language=null")
    assert count_pairs(no_limit, "de") is None
    assert any("ingest.max_pairs_per_language" in note for note in estimate_workload(no_limit).notes)
    assert set(estimate_workload(no_limit).flop) == {"teacher", "aligner"}
    for language in config.languages:
        (tmp_path / f"none-{language}.zip").write_bytes(bytes(80_000))
    assert count_pairs(config, "de") == count_pairs(no_limit, "de") == 1000
    assert check_hours(no_limit, TwoCpus())


def test_the_known_part_of_a_stage_is_a_lower_bound(tmp_path):
    whole = estimate_workload(large(tmp_path))
    part = estimate_workload(large(tmp_path, "aligner.encoder=no/such-model"))
    assert 0 < part.flop["label"] < whole.flop["label"] and {"label", "aligner"} == part.at_least
    assert not whole.at_least and part.flop["student"] == whole.flop["student"] and "aligner" not in part.flop
    with pytest.raises(UserError) as e:
        check_hours(large(tmp_path, "aligner.encoder=no/such-model"), TwoCpus())
    assert e.value.problem.startswith("at least ")
    unknown_teacher = large(tmp_path, "teacher.model=spacy:no_such_model", "aligner.encoder=embedded")
    assert estimate_workload(unknown_teacher).flop["label"] > 0


def test_a_null_model_has_no_hours_of_labeling(tmp_path):
    assert "label" not in estimate_workload(large(tmp_path, "label.null_model=true")).flop


def test_efficiency_is_that_of_bench_results():
    """Embedded: 12 layers of width 384, on cores of 91 GFLOP/s by a matrix product in fp32."""
    weights, core = encoder_size("embedded").layers, 91e9
    labeling = json.loads((RESULTS / "throughput.json").read_text())
    assert 2 * weights * labeling["xner"]["tokens_per_second"] / (2 * core) == pytest.approx(
        LABEL_EFFICIENCY, rel=0.05
    )
    pairs = labeling["counts"]["pairs"]
    tokens = (workload.TEACHER_TOKENS + workload.ALIGNER_TOKENS) * pairs
    assert labeling["counts"]["tokens_of_xner"] == pytest.approx(tokens, rel=0.02)
    training = json.loads((RESULTS / "training.json").read_text())["loop"]["tokens_per_second"]
    assert 6 * weights * training / core == pytest.approx(TRAINING_EFFICIENCY, rel=0.05)
    ingest = json.loads((RESULTS / "ingest.json").read_text())["moses"]
    assert ingest["mb"] * 1e6 / ingest["pairs"] == pytest.approx(workload.BYTES_PER_PAIR, rel=0.01)


def test_the_speed_of_a_core_is_measured():
    assert 1e8 < measure_matrix_flops() < 1e13


def test_a_cluster_whose_head_has_no_cpus_needs_an_autoscaler():
    with pytest.raises(UserError) as e:
        require_cpus([{"CPU": 0.0, "GPU": 0.0}], 0)
    assert e.value.key == "ray.max_gpus" and e.value.remedy
    require_cpus([{"memory": 1.0}], 8)
    require_cpus([{"memory": 1.0}, {"CPU": 1.0}], 0)
