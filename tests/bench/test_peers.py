"""Environments of the peers. Nothing is installed."""

import subprocess

from bench import peer_env


def test_environment_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr(peer_env, "FOLDER", tmp_path)
    python = peer_env.environment("none", ["numpy"])  # the current environment has numpy, so pip installs nothing
    installed_at = (tmp_path / "none" / "installed.txt").stat().st_mtime_ns
    assert peer_env.environment("none", ["numpy"]) == python
    assert (tmp_path / "none" / "installed.txt").stat().st_mtime_ns == installed_at
    done = subprocess.run([python, "-c", "import numpy, sys; print(sys.prefix)"], capture_output=True, text=True)
    assert done.stdout.strip() == str(tmp_path / "none")
