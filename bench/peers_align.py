"""SimAlign and AWESOME-align from PyPI with the encoder of the similarity, to compare with the align function.

Each runs in its own environment, on one core with one thread, on the pairs in which the teacher labels an entity. Words are
split at spaces, as their documentation recommends. The time runs from text to word alignments; it does not include the step
from word alignments to entities.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.peer_env import environment

REQUIREMENTS = {"simalign": ["simalign==0.4"], "awesome": ["awesome-align==0.1.7"]}


class Peer:
    """A peer in its own process. Each call is one round.

    Args:
        name: simalign | awesome.
        encoder: folder of the encoder.
        pairs: source and target sentences.
    """

    def __init__(
        self, name: str, encoder: str, layer: int, device: str, core: int, pairs: Sequence[tuple[str, str]], work: Path
    ):
        file = work / "peer_pairs.json"
        file.write_text(json.dumps(list(pairs), ensure_ascii=False), encoding="utf-8")
        worker = Path(__file__).with_name("peer_worker.py")
        command = [environment(name, REQUIREMENTS[name]), worker, name, encoder, layer, device, core, file, work]
        # Without PYTHONPATH the peer does not import modules of this repository.
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            [str(x) for x in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        self._read_reply()

    def __call__(self) -> float:
        """Seconds of one round."""
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self._read_reply())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def _read_reply(self) -> str:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("bench:"):
                return line.removeprefix("bench:").strip()
        raise RuntimeError(f"{self.process.args} ended with exit code {self.process.wait()}")
