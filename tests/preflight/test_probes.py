"""The whole preflight, on this machine and over a shared Ray; and `xner preflight` as users see it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from xner_ray.cli.common import run_job
from xner_ray.cli.main import app
from xner_ray.config import RayConfig
from xner_ray.config.load import load_config
from xner_ray.errors import UserError
from xner_ray.preflight.cluster import LocalMachine, RayCluster
from xner_ray.preflight.probes import check_model, check_storage, sees, survey, token_source


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


def xner(*args: object):
    result = CliRunner().invoke(app, ["preflight", *map(str, args)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_all_is_well(tmp_path):
    result = xner("configs/tiny.yaml", f"out={tmp_path / 'out'}")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and all(line.startswith("ok ") for line in lines)
    names = [line.split()[1].rstrip(":") for line in lines]
    assert {"auth", "cluster", "labeling", "training", "out", "teacher.encoder", "student.encoder"} <= set(names)
    assert list((tmp_path / "out").iterdir()) == []  # what was written is gone


def test_problems_end_in_2_and_each_has_its_remedy(tmp_path):
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
    assert "ok       teacher.encoder: " in result.stdout  # one problem does not hide what comes after it
    told = json.loads(xner("--json", *args).stdout)
    bad = {c["name"]: c for c in told["checks"] if not c["ok"]}
    assert told["ok"] is False and {"out", "aligner.encoder", "training"} <= set(bad)
    assert all(c["remedy"] for c in bad.values())


def test_a_job_does_not_start_where_there_is_a_problem(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as e:
        run_job(["jobs/pipeline.py", "configs/tiny.yaml", f"out={tmp_path / 'file' / 'out'}"], "")
    said = capsys.readouterr().out
    assert e.value.code == 2 and "problem  out: " in said and "[sample]" not in said


def test_a_config_that_is_wrong(tmp_path):
    result = xner("configs/tiny.yaml", "labl.max_actors=2")
    assert result.exit_code == 2 and "did you mean `label`?" in result.stderr


def test_a_token_that_is_missing_ends_the_question_about_the_cluster(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = list(survey(load_config("configs/tiny.yaml", [f"out={tmp_path / 'out'}"])))
    assert (found[0].name, found[0].ok) == ("auth", False)
    assert "ray get-auth-token" in found[0].remedy
    assert "cluster" not in {f.name for f in found} and "out" in {f.name for f in found}


def test_where_tokens_come_from(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert token_source() is None
    default = tmp_path / ".ray" / "auth_token"
    default.parent.mkdir()
    default.write_text("secret")
    assert token_source() == str(default)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "nope"))
    assert token_source() is None  # as Ray: it does not fall back
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    assert token_source() == "RAY_AUTH_TOKEN"


class TwoDisks(LocalMachine):
    """A second node, to which the folder is a local disk of its own."""

    def __init__(self, other):
        super().__init__(RayConfig(num_cpus=1))
        self.other = str(other)

    def everywhere(self, task, *args):
        return {"10.0.0.1": task(*args), "10.0.0.2": task(self.other, *args[1:])}


def test_a_folder_that_is_not_shared(tmp_path):
    with pytest.raises(UserError, match=r"node 10\.0\.0\.2: does not see what was written") as e:
        check_storage(str(tmp_path / "mine"), TwoDisks(tmp_path / "theirs"))
    assert "NFS" in e.value.remedy
    assert list((tmp_path / "mine").iterdir()) == [] and not (tmp_path / "theirs").exists()
    assert "2 nodes can write" in check_storage(str(tmp_path / "mine"), TwoDisks(tmp_path / "mine"))


def test_storage_that_cannot_hold_models(tmp_path):
    with pytest.raises(UserError, match="models need a file system"):
        check_storage("s3://bucket/run", None, models=True)
    with pytest.raises(UserError, match="cannot commit to ftp"):
        check_storage("ftp://host/run", None)
    assert sees(str(tmp_path), "nothing") == "does not see what was written there from the driver"


def test_models_that_are_here_and_one_that_is_nowhere(monkeypatch, tmp_path):
    assert check_model("teacher.encoder", "tiny") == "tiny is here"
    with pytest.raises(UserError, match="holds no tagger"):  # an encoder cannot label
        check_model("teacher.model", "tiny")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(UserError, match="the hub does not show it") as e:
        check_model("student.encoder", "nobody/nothing")
    assert e.value.key == "student.encoder"


def test_a_ray_that_is_joined(ray_session, tmp_path):
    machines = RayCluster(RayConfig(), "auto")  # the session's own: it is initialized already
    assert [node["CPU"] for node in machines.nodes] == [2.0]
    assert machines.gpus() == []
    assert "1 node can write" in check_storage(str(tmp_path / "out"), machines)
    answers = machines.everywhere(sees, str(tmp_path / "elsewhere"), "nothing")
    assert list(answers.values()) == ["does not see what was written there from the driver"]
