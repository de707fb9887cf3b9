"""Environments of peers: made once, and again when what they need changes. No index is asked here."""

import subprocess

from bench import peer_env


def test_an_environment_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr(peer_env, "FOLDER", tmp_path)
    python = peer_env.environment("none", ["numpy"])  # which the base has: nothing is installed
    made = (tmp_path / "none" / "installed.txt").stat().st_mtime_ns
    assert peer_env.environment("none", ["numpy"]) == python
    assert (tmp_path / "none" / "installed.txt").stat().st_mtime_ns == made
    told = subprocess.run([python, "-c", "import numpy, sys; print(sys.prefix)"], capture_output=True, text=True)
    assert told.stdout.strip() == str(tmp_path / "none")
