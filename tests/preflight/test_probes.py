"""All checks of a preflight, on this machine and on a Ray cluster, and the command `xner preflight`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xner_ray.cli.main import app
from xner_ray.cli.run import run_stages
from xner_ray.config import RayConfig
from xner_ray.config.load import load_config
from xner_ray.errors import UserError
from xner_ray.preflight.cluster import LocalMachine, RayCluster
from xner_ray.preflight.probes import check_model, check_storage, run_checks, storage_problem, token_source


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


def xner(*args: object):
    result = CliRunner().invoke(app, ["preflight", *map(str, args)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_sound_config_passes_every_check(tmp_path):
    result = xner("configs/tiny.yaml", f"out={tmp_path / 'out'}")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and all(line.startswith("ok ") for line in lines)
    names = [line.split()[1].rstrip(":") for line in lines]
    assert {"auth", "cluster", "labeling", "training", "out", "teacher.encoder", "student.encoder"} <= set(names)
    assert list((tmp_path / "out").iterdir()) == []  # the files of the checks are deleted


def test_problems_exit_with_2_and_have_remedies(tmp_path):
    (tmp_path / "file").write_text("")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}")
    args = [
        "configs/tiny.yaml",
        f"out={tmp_path / 'file' / 'out'}",
        f"aligner.encoder={pickled}",
        "ray.train_workers=64",
    ]
    result = xner(*args)
    assert result.exit_code == 2
    assert "problem  out: " in result.stdout and "problem  aligner.encoder: " in result.stdout
    assert "has no *.safetensors" in result.stdout
    assert "ok       teacher.encoder: " in result.stdout  # the checks go on after a problem
    report = json.loads(xner("--json", *args).stdout)
    bad = {c["name"]: c for c in report["checks"] if not c["ok"]}
    assert report["ok"] is False and {"out", "aligner.encoder", "training"} <= set(bad)
    assert all(c["remedy"] for c in bad.values())


def test_run_with_a_problem_does_not_start(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as e:
        run_stages(Path("configs/tiny.yaml"), [f"out={tmp_path / 'file' / 'out'}"])
    output = capsys.readouterr().out
    assert e.value.code == 2 and "problem  out: " in output and "[sample]" not in output


def test_wrong_config_is_an_error(tmp_path):
    result = xner("configs/tiny.yaml", "labl.max_actors=2")
    assert result.exit_code == 2 and "did you mean `label`?" in result.stderr


def test_cluster_is_not_checked_without_its_token(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("HOME", str(tmp_path))
    results = list(run_checks(load_config("configs/tiny.yaml", [f"out={tmp_path / 'out'}"])))
    assert (results[0].name, results[0].ok) == ("auth", False)
    assert "ray get-auth-token" in results[0].remedy
    assert "cluster" not in {result.name for result in results} and "out" in {result.name for result in results}


def test_token_is_found_where_ray_finds_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert token_source() is None
    default = tmp_path / ".ray" / "auth_token"
    default.parent.mkdir()
    default.write_text("secret")
    assert token_source() == str(default)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "nope"))
    assert token_source() is None  # like Ray, which does not fall back
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    assert token_source() == "RAY_AUTH_TOKEN"


class TwoDisks(LocalMachine):
    """Two nodes. On the second one, the path of the folder is another local folder."""

    def __init__(self, other):
        super().__init__(RayConfig(num_cpus=1))
        self.other = str(other)

    def on_each_node(self, task, *args):
        return {"10.0.0.1": task(*args), "10.0.0.2": task(self.other, *args[1:])}


def test_folder_that_is_not_shared_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"node 10\.0\.0\.2: does not see what the driver wrote") as e:
        check_storage(str(tmp_path / "mine"), TwoDisks(tmp_path / "theirs"))
    assert "NFS" in e.value.remedy
    assert list((tmp_path / "mine").iterdir()) == [] and not (tmp_path / "theirs").exists()
    assert "2 nodes can write" in check_storage(str(tmp_path / "mine"), TwoDisks(tmp_path / "mine"))


def test_storage_that_cannot_hold_models_is_an_error(tmp_path):
    with pytest.raises(UserError, match="models need a file system"):
        check_storage("s3://bucket/run", None, models=True)
    with pytest.raises(UserError, match="cannot commit to ftp"):
        check_storage("ftp://host/run", None)
    assert storage_problem(str(tmp_path), "nothing") == "does not see what the driver wrote there"


def test_model_is_local_or_on_the_hub(monkeypatch, tmp_path):
    assert check_model("teacher.encoder", "tiny") == "tiny is available locally"
    with pytest.raises(UserError, match="holds no tagger"):  # an encoder cannot label
        check_model("teacher.model", "tiny")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(UserError, match="the hub does not show it") as e:
        check_model("student.encoder", "nobody/nothing")
    assert e.value.key == "student.encoder"


def test_ray_cluster_is_checked_on_each_node(ray_session, tmp_path):
    machines = RayCluster(RayConfig(), "auto")  # the Ray of the test session, which is initialized already
    assert [node["CPU"] for node in machines.nodes] == [2.0]
    assert machines.gpus() == []
    assert "1 node can write" in check_storage(str(tmp_path / "out"), machines)
    problems = machines.on_each_node(storage_problem, str(tmp_path / "elsewhere"), "nothing")
    assert list(problems.values()) == ["does not see what the driver wrote there"]
