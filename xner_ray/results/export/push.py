"""Sending a dataset folder and students to a Hugging Face hub, or saying what would be sent.

What goes out is listed by name here, so that nothing else that lies in a folder (logs, checkpoints, local paths in
`training.json`) goes along. Logging in is the hub client's own affair: `hf auth login`, or HF_TOKEN.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xner_ray.errors import UserError

MODEL_FILES = (
    *("README.md", "config.json", "*.safetensors", "*.safetensors.index.json", "*.onnx", "*.onnx.data"),
    *("tokenizer*", "special_tokens_map.json", "vocab*", "merges*", "*.model"),
)
DATASET_FILES = ("README.md", "*/*.parquet", "*/*.conll", "*/*.txt", "*/*.json", "*/*.spacy")


@dataclass(frozen=True)
class Upload:
    """What goes to one repository. `files`: (name in the repository, bytes)."""

    repo: str
    kind: str
    folder: Path
    files: tuple[tuple[str, int], ...]

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.files)


def parcel(repo: str, kind: str, folder: Path) -> Upload:
    """What of a folder would be sent.

    Raises:
        UserError: no such folder, or it holds no card.
    """
    if not (folder / "README.md").is_file():
        made = (
            "`xner export OUT --out DIR` makes one"
            if kind == "dataset"
            else "`xner run` writes one beside each student"
        )
        raise UserError(f"holds no {kind} with a card (README.md)", file=folder, remedy=made)
    patterns: Iterable[str] = DATASET_FILES if kind == "dataset" else MODEL_FILES
    names = sorted({p.relative_to(folder).as_posix() for x in patterns for p in folder.glob(x) if p.is_file()})
    return Upload(repo, kind, folder, tuple((name, (folder / name).stat().st_size) for name in names))


def send(parcels: Iterable[Upload], private: bool, endpoint: str | None = None) -> list[str]:
    """Make the repositories that are missing and upload, one commit each.

    Returns:
        the addresses of the commits.

    Raises:
        UserError: the hub cannot be reached or says no.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api, commits = HfApi(endpoint=endpoint), []
    for item in parcels:
        try:
            api.create_repo(item.repo, repo_type=item.kind, private=private, exist_ok=True)
            commit: Any = api.upload_folder(
                repo_id=item.repo,
                repo_type=item.kind,
                folder_path=item.folder,
                allow_patterns=[name for name, _ in item.files],
                commit_message=f"{item.kind} made by xner_ray",
            )
        except (HFValidationError, HfHubHTTPError, OSError) as e:
            remedy = "log in with `hf auth login` or HF_TOKEN, and check the name; --dry-run sends nothing"
            raise UserError(f"the hub did not take it: {str(e).splitlines()[0]}", key=item.repo, remedy=remedy) from e
        commits.append(str(commit.commit_url))
    return commits
