"""What a preflight asks, over facts of machines that no test has."""

from __future__ import annotations

import pytest

from xner_ray.config.load import load_config
from xner_ray.errors import UserError
from xner_ray.preflight.checks import (
    Finding,
    Gpu,
    check_auth,
    check_gpu,
    check_model_files,
    check_precision,
    check_training,
    finding,
    models_of,
    precisions,
    unplaced,
)

CU126 = ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")
CU130 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")
V100, A100, H100, B300 = (7, 0), (8, 0), (9, 0), (10, 3)


def gpu(capability, kernels, name="a GPU", torch="2.13.0+cu126") -> Gpu:
    return Gpu(name, capability, kernels, torch)


def test_v100_and_a_wheel_that_dropped_it():
    assert "sm_70" in check_gpu(gpu(V100, CU126, "Tesla V100-SXM2-16GB"))
    with pytest.raises(UserError, match=r"2\.13\.0\+cu130, has no kernels for Tesla V100-SXM2-16GB \(sm_70\)") as e:
        check_gpu(gpu(V100, CU130, "Tesla V100-SXM2-16GB", "2.13.0+cu130"))
    assert "torch==2.13.0 from https://download.pytorch.org/whl/cu126" in e.value.remedy


@pytest.mark.parametrize(
    ("capability", "kernels", "runs"),
    [
        (A100, CU126, True),
        (H100, CU130, True),
        ((8, 9), ("sm_80",), True),  # binary kernels run on later minors
        ((9, 0), ("sm_80",), False),  # but not on the next major
        ((9, 0), ("compute_80",), True),  # PTX does
        ((7, 0), ("compute_75",), False),  # and never on an older one
        (B300, CU130, True),
        ((10, 0), ("sm_103",), False),
        ((9, 0), ("sm_90a",), True),
        ((9, 1), ("sm_90a",), False),  # an `a` is for its own architecture alone
        (A100, (), False),
        (A100, ("gfx90a",), False),
    ],
)
def test_which_kernels_run_where(capability, kernels, runs):
    assert finding("gpu", lambda: check_gpu(gpu(capability, kernels))).ok is runs


def test_a_new_gpu_is_not_sent_to_the_old_index():
    with pytest.raises(UserError) as e:
        check_gpu(gpu(B300, CU126))
    assert "cu126" not in e.value.remedy


def test_a_gpu_that_torch_does_not_see():
    with pytest.raises(UserError, match=r"torch 2\.13\.0\+cpu sees no GPU on a node that has V100"):
        check_gpu(gpu(None, (), "V100", "2.13.0+cpu"))


def test_precision_by_architecture():
    auto = {"label.precision": "auto", "student.training.precision": "auto"}
    assert check_precision(gpu(V100, CU126), auto) == "auto is fp16, with loss scaling in training"
    assert check_precision(gpu(A100, CU126), auto) == "auto is bf16"
    assert "label.precision=bf16" in check_precision(gpu(A100, CU126), {"label.precision": "bf16"})
    with pytest.raises(UserError, match="has no bf16") as e:
        check_precision(gpu(V100, CU126), auto | {"student.training.precision": "bf16"})
    assert e.value.key == "student.training.precision"


def test_the_engine_chooses_what_the_check_says():
    """One rule in two places: the words here and the dtype there."""
    from unittest.mock import patch

    import torch

    from xner_ray.encoders.torch_engine import choose_precision

    for capability, dtype in ((V100, torch.float16), ((7, 5), torch.float16), (A100, torch.bfloat16)):
        with patch("torch.cuda.get_device_capability", return_value=capability):
            chosen = choose_precision("auto", torch.device("cuda"))
        told = check_precision(gpu(capability, CU126), {"label.precision": "auto"})
        assert chosen == dtype
        assert ("bf16" in told) is (dtype == torch.bfloat16)


def test_every_precision_of_a_config_is_asked():
    config = load_config("configs/tiny.yaml", ["student.source_training={precision: fp16}", "label.precision=bf16"])
    found = precisions(config)
    assert found["student.source_training.precision"] == "fp16"
    assert found["label.precision"] == "bf16"
    assert set(found) > {"teacher.training.precision", "aligner.training.precision", "student.training.precision"}


@pytest.mark.parametrize(
    ("address", "mode", "token", "told"),
    [
        (None, None, None, "local Ray needs no token"),
        ("auto", "token", "RAY_AUTH_TOKEN", "token, from RAY_AUTH_TOKEN"),
        ("auto", "TOKEN", "RAY_AUTH_TOKEN", "token, from RAY_AUTH_TOKEN"),
        ("auto", "disabled", None, "disabled"),
        ("auto", None, None, "takes it as disabled"),
        ("auto", None, "/home/x/.ray/auth_token", "takes it as token, since there is /home/x/.ray/auth_token"),
    ],
)
def test_auth_modes(address, mode, token, told):
    assert told in check_auth(address, mode, token)


@pytest.mark.parametrize(("mode", "told"), [("token", "there is none here"), ("on", "`on` is no mode")])
def test_auth_that_cannot_work(mode, told):
    with pytest.raises(UserError, match=told) as e:
        check_auth("auto", mode, None)
    assert e.value.key == "RAY_AUTH_MODE"


def test_training_finds_its_place():
    assert check_training([{"CPU": 4}, {"CPU": 8, "GPU": 4}], 2) == "2 training workers with a GPU each"
    assert check_training([{"CPU": 4.0}, {"CPU": 4.0}], 2) == "2 training workers with 4 CPUs each"
    with pytest.raises(UserError, match="4 workers and 2 GPUs: they would train on CPUs") as e:
        check_training([{"CPU": 8, "GPU": 2}], 4)
    assert "ray.train_workers=2" in e.value.remedy
    assert check_training([{"CPU": 4}, {"CPU": 3}], 1) == "1 training worker with 4 CPUs each"  # not 7: on one node
    assert check_training([{"CPU": 4}, {"CPU": 3}], 3) == "3 training workers with 2 CPUs each"
    with pytest.raises(UserError, match="wait for ever"):
        check_training([{"CPU": 1}, {"CPU": 1}], 3)
    with pytest.raises(UserError, match="1 CPU and 1 GPU"):
        check_training([{"CPU": 8}, {"CPU": 1, "GPU": 2}], 2)


def test_training_that_grows():
    assert check_training([{"CPU": 1}], 2, 1) == "1 to 2 training workers with 1 CPUs each"
    assert check_training([{"CPU": 8, "GPU": 2}], 4, 2) == "2 to 4 training workers with a GPU each"
    later = "once the autoscaler brings them"
    assert check_training([{"CPU": 8}], 4, max_gpus=4) == f"4 training workers with a GPU each, {later}"
    assert check_training([{"CPU": 8}], 4, 2, 3) == f"2 to 4 training workers with a GPU each, {later}"
    with pytest.raises(UserError, match="4 workers and 3 GPUs"):
        check_training([{"CPU": 8}], 4, max_gpus=3)


def test_unplaced_is_the_first_that_finds_nothing():
    small, large = {"CPU": 1.0}, {"CPU": 3.0}
    assert unplaced([large, small], [{"CPU": 4.0}]) is None
    assert unplaced([small, small, large], [{"CPU": 4.0}]) == large
    assert unplaced([{"CPU": 0.7}] * 10, [{"CPU": 7.0}]) is None  # sums of tenths are not exact


def test_models_of_a_config():
    config = load_config("configs/paper.yaml", ["data=/corpora"])
    found = models_of(config)
    assert found["teacher.encoder"] == found["aligner.encoder"] == "FacebookAI/xlm-roberta-large"
    assert found["student.encoder.0"] == "google-bert/bert-base-multilingual-cased"
    assert found["aligner.translator (de)"] == "/corpora/translator/de-en"
    adopted = models_of(load_config("configs/tiny.yaml", ["teacher.model=spacy:en_core_web_sm"]))
    assert adopted["teacher.model"] == "spacy:en_core_web_sm" and "teacher.encoder" not in adopted
    assert adopted["student.encoder"] == "tiny"


def test_what_a_hub_must_hold():
    assert "safetensors" in check_model_files("k", "org/model", ["config.json", "model.safetensors", "README.md"])
    with pytest.raises(UserError, match=r"no \*\.safetensors"):
        check_model_files("k", "org/model", ["config.json", "pytorch_model.bin", "onnx/model.safetensors"])
    with pytest.raises(UserError, match=r"no config\.json"):
        check_model_files("k", "org/model", ["model.safetensors"])


def test_a_finding_says_where():
    def check() -> str:
        raise UserError("is full", file="/shared", key="out", remedy="free space")

    assert finding("out", check) == Finding("out", False, "/shared, key 'out': is full", "free space")
    with pytest.raises(ZeroDivisionError):  # a bug is no finding
        finding("out", lambda: str(1 / 0))
