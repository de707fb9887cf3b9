"""Rows of the OPUS index, from the copy in the PyPI package `opustools` or from the live API.

The copy is read without importing the package, which would also import a YAML parser. It is 18 MB of gzipped SQLite and
is unpacked once into the user's cache (132 MB, one to two seconds). It works offline and knows what existed when the
package was made. The API knows more but is often out of reach, so it gets only seconds to respond.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import importlib.util
import json
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from xner_ray.errors import UserError
from xner_ray.storage.user_cache import create_file_once

API = "https://opus.nlpl.eu/opusapi/"
_MAX_RESPONSE_BYTES = 256 << 20
_COLUMNS = ("corpus", "version", "source", "target", "url", "size", "alignment_pairs", "latest")
Row = dict[str, Any]


class PackageIndex:
    """The index in the package `opustools`. Raises: UserError if the package is missing or its index cannot be read."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("opustools")
        folder = next(iter(spec.submodule_search_locations or ()), None) if spec else None
        packed = Path(folder) / "opusdata.db.gz" if folder else None
        if packed is None or not packed.is_file():
            raise UserError(
                "the catalog of OPUS is not installed (PyPI package `opustools`)",
                remedy="pip install 'xner_ray[opus]', or `pip install opustools`",
            )
        version = importlib.metadata.version("opustools")
        self.name = f"opustools {version}"
        # The size is in the name so that a package that was patched in place gets a new copy.
        self._path = create_file_once(
            f"opus-{version}-v1-{packed.stat().st_size}.db", lambda out: _unpack(packed, out)
        )

    def rows(self, sources: list[str], targets: list[str], format: str) -> list[Row]:
        """Archives between two languages, in either direction.

        Args:
            sources: spellings of one language code.
            targets: spellings of the other one.
            format: `moses` or `tmx`.
        """
        one, other = (",".join("?" * len(x)) for x in (sources, targets))
        select = f"SELECT {', '.join(_COLUMNS)} FROM opusfile WHERE preprocessing = ?"
        query = f"{select} AND source IN ({one}) AND target IN ({other})"
        query += f" UNION {select} AND target IN ({one}) AND source IN ({other})"
        return self._query(query, [format, *sources, *targets, format, *sources, *targets])

    def corpora(self) -> set[str]:
        """The names of all corpora."""
        return {x["corpus"] for x in self._query("SELECT DISTINCT corpus FROM opusfile", [])}

    def _query(self, query: str, values: list[str]) -> list[Row]:
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as db:
                cursor = db.execute(query, values)
                keys = [x[0] for x in cursor.description]
                return [dict(zip(keys, row, strict=True)) for row in cursor]
        except sqlite3.Error as e:
            remedy = "remove the file; if that does not help, install the version of opustools in constraints.txt"
            raise UserError(f"is not the catalog of {self.name}: {e}", file=self._path, remedy=remedy) from e


def _unpack(packed: Path, out: Path) -> None:
    with gzip.open(packed) as file, out.open("wb") as db:
        shutil.copyfileobj(file, db, 1 << 20)
    with closing(sqlite3.connect(out)) as index, index:
        index.execute("PRAGMA journal_mode = OFF")  # no other process uses the file yet
        index.execute("CREATE INDEX by_pair ON opusfile (source, target, preprocessing)")
        index.execute("CREATE INDEX by_corpus ON opusfile (corpus)")


def _read(response: Any) -> bytes:
    """The body, which a server must not make larger than memory."""
    body = bytearray()
    for chunk in response.iter_content(1 << 16):
        body += chunk
        if len(body) > _MAX_RESPONSE_BYTES:
            raise ValueError(f"more than {_MAX_RESPONSE_BYTES:,} bytes")
    return bytes(body)


class LiveIndex:
    """The API of OPUS, or of a mirror with the same API.

    Args:
        url: of the API.
        timeout: seconds to connect, seconds without data.
        allow_private_hosts: connect to private and loopback addresses, too.
    """

    def __init__(self, url: str = API, timeout: tuple[float, float] = (2.0, 10.0), allow_private_hosts: bool = False):
        self.name, self._timeout, self._allow_private_hosts = url, timeout, allow_private_hosts

    def rows(self, sources: list[str], targets: list[str], format: str) -> list[Row]:
        """As `PackageIndex.rows`. Raises: UserError if the API cannot be reached or returns unexpected data."""
        by_url: dict[str, Row] = {}
        for source in sources:
            for target in targets:
                rows = self._get({"source": source, "target": target, "preprocessing": format}, "corpora")
                # The API may also return monolingual files.
                by_url.update({x["url"]: x for x in map(self._validated, rows) if x["source"] and x["target"]})
        return list(by_url.values())

    def corpora(self) -> set[str]:
        """The names of all corpora."""
        return set(map(str, self._get({"corpora": "True"}, "corpora")))

    def _get(self, query: dict[str, str], key: str) -> Iterable[Any]:
        import requests

        from xner_ray.corpora.public_hosts import PrivateAddressError, public_session

        try:
            with (
                public_session(self._allow_private_hosts) as session,
                session.get(self.name, params=query, timeout=self._timeout, stream=True) as response,
            ):
                response.raise_for_status()
                items = json.loads(_read(response))[key]
        except PrivateAddressError as e:
            raise e.user_error(self.name) from e
        except (requests.ConnectionError, requests.Timeout) as e:
            raise self._error("cannot be reached") from e
        except (requests.RequestException, ValueError, KeyError, TypeError) as e:
            raise self._error(f"cannot be queried: {e or type(e).__name__}") from e
        if not isinstance(items, list):
            raise self._error(f"returned no list `{key}`")
        return items

    def _validated(self, row: Any) -> Row:
        if not isinstance(row, dict) or any(x not in row for x in _COLUMNS):
            raise self._error(f"returned a row without the columns {', '.join(_COLUMNS)}")
        return row

    def _error(self, problem: str) -> UserError:
        remedy = "use the catalog of the package (--catalog package), or check the address"
        return UserError(problem, file=self.name, remedy=remedy)
