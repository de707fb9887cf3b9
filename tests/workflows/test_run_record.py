"""run.json holds what a bug report needs, without secrets, and no failure of it ends a run."""

from __future__ import annotations

import json

import pytest

from xner_ray.config.load import load_config
from xner_ray.errors import UserError
from xner_ray.storage.output_dir import RUN, claim_out, run_name
from xner_ray.workflows.run_record import LAST_RUN, recorded_run

SECRET = "hf_" + "a" * 30


@pytest.fixture
def config(tmp_path):
    url = "opus.base_url=https://user:hunter2secret@mirror.example/"
    return load_config(
        "configs/tiny.yaml", [f"out={tmp_path / 'out'}", url, f"label.output_uri=s3://b/?token={SECRET}"]
    )


def record(config) -> dict:
    return json.loads((claimed(config) / RUN).read_text())[LAST_RUN]


def claimed(config):
    from pathlib import Path

    claim_out(config.out, config.name, "c.yaml")
    return Path(config.out)


def test_record_has_config_versions_and_machine(config):
    with recorded_run(claimed(config), config, ["label"], print):
        assert record(config)["error"] is None and "ended" not in record(config)
    found = record(config)
    assert found["config"]["languages"] == config.languages and found["config"]["seed"] == config.seed
    assert {"xner_ray", "python", "ray", "torch"} <= set(found["versions"]) and found["machine"]["cpus"] >= 1
    assert found["error"] is None and found["ended"] and found["stages"] == ["label"]
    assert run_name(config.out) == config.name


def test_record_has_the_last_error_and_no_secret(config, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "opensesame99")
    with pytest.raises(UserError), recorded_run(claimed(config), config, ["label"], print):
        raise UserError(f"no access with {SECRET} and opensesame99", file="x", remedy="log in")
    assert "no access" in record(config)["error"]["traceback"] and record(config)["error"]["type"] == "UserError"
    text = (claimed(config) / RUN).read_text()
    assert not any(secret in text for secret in (SECRET, "hunter2secret", "opensesame99"))
    with recorded_run(claimed(config), config, ["label"], print):
        pass
    assert record(config)["error"] is None


def test_record_that_cannot_be_written_hides_no_error(config):
    lines: list[str] = []
    file = claimed(config) / RUN

    def fail() -> None:
        with recorded_run(file.parent, config, [], lines.append):
            file.unlink()
            file.mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert len(lines) == 1 and "was not updated" in lines[0]
