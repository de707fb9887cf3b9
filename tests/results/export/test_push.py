"""Uploads to a hub: which files are sent, and which are not. The hub is an HTTP server on the loopback interface."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from xner_ray.cli.main import app
from xner_ray.errors import UserError
from xner_ray.results.export.dataset import export_run
from xner_ray.results.export.export_types import ExportOptions
from xner_ray.results.export.model_card import write_model_cards
from xner_ray.results.export.push import prepare_upload, upload_all


class Hub(BaseHTTPRequestHandler):
    """The part of the hub's API that creates a repository and commits small files."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != "Bearer hf_test":
            return self.answer({"error": f"refused: {self.headers.get('Authorization')}"}, 401)
        if self.path == "/api/repos/create":
            request = json.loads(body)
            self.server.created.append(request)
            kind = "datasets/" if request.get("type") == "dataset" else ""
            return self.answer({"url": f"{self.server.url}/{kind}{request['organization']}/{request['name']}"})
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            return self.answer({"files": files})
        if "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            files = {x["value"]["path"]: base64.b64decode(x["value"]["content"]) for x in lines if x["key"] == "file"}
            self.server.commits[self.path] = files
            repo = self.path.removeprefix("/api/").removeprefix("models/").partition("/commit/")[0]
            return self.answer(
                {"commitUrl": f"{self.server.url}/{repo}/commit/abc", "commitOid": "abc", "success": True}
            )
        return self.answer({"error": "not found"}, 404)

    def do_GET(self):
        allowed = self.headers.get("Authorization") == "Bearer hf_test"
        self.answer(
            {"sha": "abc", "id": "me/x", "siblings": []} if allowed else {"error": "no token"}, 200 if allowed else 401
        )

    def answer(self, tree, status=200):
        data = json.dumps(tree).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.created, server.commits = [], {}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


def test_only_listed_files_of_a_model_are_uploaded(run, hub):
    write_model_cards(run)
    student = run.students[0]
    (student.folder / "notes.txt").write_text("private")
    upload = prepare_upload("me/tagger-de", "model", student.folder)
    assert [name for name, _ in upload.files] == ["README.md", "config.json", "model.safetensors"]
    assert upload_all([upload], private=True, endpoint=hub.url) == [f"{hub.url}/me/tagger-de/commit/abc"]
    assert hub.created[0]["name"] == "tagger-de" and hub.created[0]["visibility"] == "private"
    (files,) = hub.commits.values()
    assert files == {name: (student.folder / name).read_bytes() for name, _ in upload.files}


def test_dataset_is_uploaded_with_its_card(run, hub, tmp_path):
    summary = export_run(run, tmp_path / "data", ExportOptions("conll", {"train": 0.5, "validation": 0.5}, 1))
    upload_all([prepare_upload("me/data", "dataset", tmp_path / "data")], private=False, endpoint=hub.url)
    ((path, files),) = hub.commits.items()
    assert "/api/datasets/me/data/commit/" in path and set(files) == {"README.md", *summary.files}


def test_rejected_upload_is_an_error(run, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    write_model_cards(run)
    with pytest.raises(UserError, match="me/x"):
        upload_all([prepare_upload("me/x", "model", run.students[0].folder)], private=False, endpoint=hub.url)


def test_an_error_of_the_hub_does_not_show_the_token(run, hub, monkeypatch):
    """The hub quotes the header, and the address of the hub has a password."""
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    write_model_cards(run)
    upload = prepare_upload("me/x", "model", run.students[0].folder)
    for endpoint in (hub.url, hub.url.replace("//", "//me:hf_wrong@"), "http://me:hf_wrong@127.0.0.1:1"):
        with pytest.raises(UserError) as error:
            upload_all([upload], private=False, endpoint=endpoint)
        assert "hf_wrong" not in str(error.value), str(error.value)


def test_dry_run_lists_files_and_sends_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")  # no server: an upload would fail
    write_model_cards(run)
    export_run(run, tmp_path / "data", ExportOptions("hf", {"train": 1.0}, 1))
    options = ["--dataset", "me/data", "--from", str(tmp_path / "data"), "--model", "me/tagger-{name}", "--dry-run"]
    result = CliRunner().invoke(app, ["push", str(run.out), *options])
    assert result.exit_code == 0, result.output
    for part in (
        "dataset me/data: 3 files",
        "de/train.parquet",
        "model me/tagger-de: 3 files",
        "model me/tagger-zh",
        "dry run",
    ):
        assert part in result.output


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "nothing to upload"),
        (["--dataset", "me/data"], "no folder given"),
        (["--model", "me/one"], "2 students for one repository"),
        (["--model", "me/{name}"], "has no model card"),
    ],
)
def test_wrong_arguments_are_errors(run, options, problem):
    result = CliRunner().invoke(app, ["push", str(run.out), *options])
    assert result.exit_code == 2 and problem in result.output
