"""What a listing of a folder says about a file."""

from __future__ import annotations

from typing import NamedTuple


class FileEntry(NamedTuple):
    """A file of a blob store.

    Attributes:
        size: in bytes.
        age: seconds since it was written.
        stamp: a text that differs after the file was replaced: time and size, or the ETag of an object store.
    """

    size: int
    age: float
    stamp: str
