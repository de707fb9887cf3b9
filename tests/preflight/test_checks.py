"""The checks of a preflight, over facts of machines that the tests do not have."""

from __future__ import annotations

import pytest

from xner_ray.config.load import load_config
from xner_ray.errors import UserError
from xner_ray.preflight.checks import (
    CheckResult,
    Gpu,
    check_auth,
    check_gpu,
    check_model_files,
    check_precision,
    check_training,
    committed_precision,
    configured_models,
    configured_precisions,
    first_unplaced,
    run_check,
)

CU126 = ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")
CU130 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")
V100, A100, H100, B300 = (7, 0), (8, 0), (9, 0), (10, 3)


def gpu(capability, kernels, name="a GPU", torch="2.13.0+cu126") -> Gpu:
    return Gpu(name, capability, kernels, torch)


def test_wheel_without_kernels_for_v100_is_an_error():
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
def test_kernels_run_on_the_right_architectures(capability, kernels, runs):
    assert run_check("gpu", lambda: check_gpu(gpu(capability, kernels))).ok is runs


def test_old_wheels_are_not_the_remedy_for_new_gpus():
    with pytest.raises(UserError) as e:
        check_gpu(gpu(B300, CU126))
    assert "cu126" not in e.value.remedy


def test_gpu_that_torch_does_not_see_is_an_error():
    with pytest.raises(UserError, match=r"torch 2\.13\.0\+cpu sees no GPU on a node that has V100"):
        check_gpu(gpu(None, (), "V100", "2.13.0+cpu"))


def test_precision_of_committed_shards_is_not_blamed_on_the_config():
    """`auto` was bf16 on the A100 of the first night, and the second night has a V100."""
    with pytest.raises(UserError, match="committed shards") as e, committed_precision("bf16"):
        check_precision(gpu(V100, CU126), {"label.precision": "bf16"})
    assert e.value.key == "label.accelerator_type" and "auto" not in e.value.remedy
    with pytest.raises(UserError) as e, committed_precision("bf16", "A100"):
        check_precision(gpu(V100, CU126), {"label.precision": "bf16"})
    assert e.value.remedy.startswith("set label.accelerator_type=A100")
    with pytest.raises(UserError) as e, committed_precision(None):
        check_precision(gpu(V100, CU126), {"label.precision": "bf16"})
    assert e.value.key == "label.precision"
    other = UserError("the aligner's weights overflow in torch.float16", key="label.precision", remedy="x")
    with pytest.raises(UserError) as e, committed_precision("bf16"):
        raise other
    assert e.value is other


def test_auto_precision_depends_on_the_architecture():
    auto = {"label.precision": "auto", "student.training.precision": "auto"}
    assert check_precision(gpu(V100, CU126), auto) == "auto is fp16, with loss scaling in training"
    assert check_precision(gpu(A100, CU126), auto) == "auto is bf16"
    assert "label.precision=bf16" in check_precision(gpu(A100, CU126), {"label.precision": "bf16"})
    with pytest.raises(UserError, match="has no bf16") as e:
        check_precision(gpu(V100, CU126), auto | {"student.training.precision": "bf16"})
    assert e.value.key == "student.training.precision"


def test_check_and_engine_choose_the_same_precision():
    """The rule is in two places: the check returns text, the engine a dtype."""
    from unittest.mock import patch

    import torch

    from xner_ray.encoders.torch_engine import choose_precision

    for capability, dtype in ((V100, torch.float16), ((7, 5), torch.float16), (A100, torch.bfloat16)):
        with patch("torch.cuda.get_device_capability", return_value=capability):
            chosen = choose_precision("auto", torch.device("cuda"))
        message = check_precision(gpu(capability, CU126), {"label.precision": "auto"})
        assert chosen == dtype
        assert ("bf16" in message) is (dtype == torch.bfloat16)


def test_every_precision_of_a_config_is_checked():
    config = load_config("configs/tiny.yaml", ["student.source_training={precision: fp16}", "label.precision=bf16"])
    by_key = configured_precisions(config)
    assert by_key["student.source_training.precision"] == "fp16"
    assert by_key["label.precision"] == "bf16"
    assert set(by_key) > {"teacher.training.precision", "aligner.training.precision", "student.training.precision"}


@pytest.mark.parametrize(
    ("address", "mode", "token", "message"),
    [
        (None, None, None, "local Ray has a token of its own"),
        ("auto", "token", "RAY_AUTH_TOKEN", "token, from RAY_AUTH_TOKEN"),
        ("auto", "TOKEN", "RAY_AUTH_TOKEN", "token, from RAY_AUTH_TOKEN"),
        ("auto", "disabled", None, "disabled"),
        ("auto", None, None, "uses disabled"),
        ("auto", None, "/home/x/.ray/auth_token", "uses token, since there is /home/x/.ray/auth_token"),
    ],
)
def test_auth_mode_is_reported(address, mode, token, message):
    assert message in check_auth(address, mode, token)


@pytest.mark.parametrize(
    ("mode", "message"), [("token", "there is no token"), ("on", "unknown authentication mode `on`")]
)
def test_wrong_auth_settings_are_an_error(mode, message):
    with pytest.raises(UserError, match=message) as e:
        check_auth("auto", mode, None)
    assert e.value.key == "RAY_AUTH_MODE"


def test_training_workers_must_fit_on_nodes():
    assert check_training([{"CPU": 4}, {"CPU": 8, "GPU": 4}], 2) == "2 training workers with a GPU each"
    assert check_training([{"CPU": 4.0}, {"CPU": 4.0}], 2) == "2 training workers with 4 CPUs each"
    with pytest.raises(UserError, match="4 workers and 2 GPUs: they would train on CPUs") as e:
        check_training([{"CPU": 8, "GPU": 2}], 4)
    assert "ray.train_workers=2" in e.value.remedy
    assert check_training([{"CPU": 4}, {"CPU": 3}], 1) == "1 training worker with 4 CPUs each"  # not 7: on one node
    assert check_training([{"CPU": 4}, {"CPU": 3}], 3) == "3 training workers with 2 CPUs each"
    with pytest.raises(UserError, match="wait forever"):
        check_training([{"CPU": 1}, {"CPU": 1}], 3)
    with pytest.raises(UserError, match="1 CPU and 1 GPU"):
        check_training([{"CPU": 8}, {"CPU": 1, "GPU": 2}], 2)


def test_autoscaled_training_workers_need_no_node_yet():
    assert check_training([{"CPU": 1}], 2, 1) == "1 to 2 training workers with 1 CPUs each"
    assert check_training([{"CPU": 8, "GPU": 2}], 4, 2) == "2 to 4 training workers with a GPU each"
    later = "once the autoscaler brings them"
    assert check_training([{"CPU": 8}], 4, max_gpus=4) == f"4 training workers with a GPU each, {later}"
    assert check_training([{"CPU": 8}], 4, 2, 3) == f"2 to 4 training workers with a GPU each, {later}"
    with pytest.raises(UserError, match="4 workers and 3 GPUs"):
        check_training([{"CPU": 8}], 4, max_gpus=3)


def test_first_unplaced_request_is_returned():
    small, large = {"CPU": 1.0}, {"CPU": 3.0}
    assert first_unplaced([large, small], [{"CPU": 4.0}]) is None
    assert first_unplaced([small, small, large], [{"CPU": 4.0}]) == large
    assert first_unplaced([{"CPU": 0.7}] * 10, [{"CPU": 7.0}]) is None  # sums of tenths are not exact


def test_every_model_of_a_config_is_found():
    config = load_config("configs/paper.yaml", ["data=/corpora"])
    models = configured_models(config)
    assert models["teacher.encoder"] == models["aligner.encoder"] == "FacebookAI/xlm-roberta-large"
    assert models["student.encoder.0"] == "google-bert/bert-base-multilingual-cased"
    assert models["aligner.translator (de)"] == "/corpora/translator/de-en"
    external = configured_models(load_config("configs/tiny.yaml", ["teacher.model=spacy:en_core_web_sm"]))
    assert external["teacher.model"] == "spacy:en_core_web_sm" and "teacher.encoder" not in external
    assert external["student.encoder"] == "tiny"


def test_hub_repository_must_have_config_and_safetensors():
    assert "safetensors" in check_model_files("k", "org/model", ["config.json", "model.safetensors", "README.md"])
    with pytest.raises(UserError, match=r"has no \*\.safetensors"):
        check_model_files("k", "org/model", ["config.json", "pytorch_model.bin", "onnx/model.safetensors"])
    with pytest.raises(UserError, match=r"has no config\.json"):
        check_model_files("k", "org/model", ["model.safetensors"])


def test_result_of_a_failed_check_names_file_and_key():
    def check() -> str:
        raise UserError("is full", file="/shared", key="out", remedy="free space")

    assert run_check("out", check) == CheckResult("out", False, "/shared, key 'out': is full", "free space")
    with pytest.raises(ZeroDivisionError):  # a bug is raised
        run_check("out", lambda: str(1 / 0))
