"""Pushing to a hub: what would be sent, what is sent, and what stays. The hub is a real HTTP server on loopback."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from xner_ray.cli.main import app
from xner_ray.errors import UserError
from xner_ray.results.export.dataset import export_run
from xner_ray.results.export.model_card import write_model_cards
from xner_ray.results.export.push import parcel, send


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's API as making a repository and one commit of small files takes."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != "Bearer hf_test":
            return self.answer({"error": "no token"}, 401)
        if self.path == "/api/repos/create":
            told = json.loads(body)
            self.server.made.append(told)
            kind = "datasets/" if told.get("type") == "dataset" else ""
            return self.answer({"url": f"{self.server.url}/{kind}{told['organization']}/{told['name']}"})
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
            where = self.path.removeprefix("/api/").removeprefix("models/").partition("/commit/")[0]
            return self.answer(
                {"commitUrl": f"{self.server.url}/{where}/commit/abc", "commitOid": "abc", "success": True}
            )
        return self.answer({"error": "no such thing"}, 404)

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
    server.made, server.commits = [], {}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


def test_a_model_is_sent_without_what_is_ours(run, hub):
    write_model_cards(run)
    student = run.students[0]
    (student.folder / "notes.txt").write_text("private")
    item = parcel("me/tagger-de", "model", student.folder)
    assert [name for name, _ in item.files] == ["README.md", "config.json", "model.safetensors"]
    assert send([item], private=True, endpoint=hub.url) == [f"{hub.url}/me/tagger-de/commit/abc"]
    assert hub.made[0]["name"] == "tagger-de" and hub.made[0]["visibility"] == "private"
    (files,) = hub.commits.values()
    assert files == {name: (student.folder / name).read_bytes() for name, _ in item.files}


def test_a_dataset_is_sent_with_its_card(run, hub, tmp_path):
    told = export_run(run, tmp_path / "data", "conll", {"train": 0.5, "validation": 0.5}, 1)
    send([parcel("me/data", "dataset", tmp_path / "data")], private=False, endpoint=hub.url)
    ((where, files),) = hub.commits.items()
    assert "/api/datasets/me/data/commit/" in where and set(files) == {"README.md", *told.files}


def test_a_hub_that_says_no(run, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    write_model_cards(run)
    with pytest.raises(UserError, match="did not take it"):
        send([parcel("me/x", "model", run.students[0].folder)], private=False, endpoint=hub.url)


def test_dry_run_tells_and_sends_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")  # nobody listens: sending would fail
    write_model_cards(run)
    export_run(run, tmp_path / "data", "hf", {"train": 1.0}, 1)
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
        ([], "nothing to send"),
        (["--dataset", "me/data"], "no folder given"),
        (["--model", "me/one"], "2 students for one repository"),
        (["--model", "me/{name}"], "holds no model with a card"),
    ],
)
def test_mistakes(run, options, problem):
    result = CliRunner().invoke(app, ["push", str(run.out), *options])
    assert result.exit_code == 2 and problem in result.output
