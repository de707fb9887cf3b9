"""The sources of a dataset: each corpus with its version and license, as far as they are recorded.

An archive that `xner corpus fetch` downloaded has a receipt beside it (`de-en.txt.zip.json`) with both. Without a receipt the
version is taken from a path in OPUS's layout (`NAME/VERSION/moses/FILE`), and the license is unknown.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xner_ray.config import CorpusConfig
from xner_ray.results.run_results import RunResults


@dataclass(frozen=True)
class Source:
    """A corpus in one language. Unknown values are None."""

    corpus: str
    language: str
    domain: str
    format: str
    version: str | None
    license: str | None
    url: str | None


def sources(run: RunResults) -> list[Source]:
    """Return the corpora of a run, by language."""
    return [_source(run, corpus, language) for language in run.datasets for corpus in run.config.corpora_of(language)]


def _source(run: RunResults, corpus: CorpusConfig, language: str) -> Source:
    path = run.config.fill(corpus.path, language)
    receipt = _receipt(Path(path.removeprefix("file://")))
    license = receipt.get("license") or {}
    layout = re.search(r"/([^/]+)/(?:moses|tmx|xml|mono)/[^/]+$", path)
    version = receipt.get("version") or (layout[1] if layout else None)
    url = receipt.get("url") or (path if "://" in path and not path.startswith("file://") else None)
    name = license.get("name") if isinstance(license, dict) else str(license)
    return Source(corpus.name, language, corpus.domain, corpus.format, version, name, url)


def _receipt(archive: Path) -> dict[str, Any]:
    try:
        receipt = json.loads(archive.with_name(archive.name + ".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # no receipt, or another file of this name
    return receipt if isinstance(receipt, dict) else {}
