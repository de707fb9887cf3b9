"""Uploads of a dataset folder and of students to the Hugging Face hub.

The files to upload are listed here by name, so that other files of a folder (logs, checkpoints, local paths in `training.json`)
stay private. The hub client does the login: `hf auth login`, or HF_TOKEN.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xner_ray.errors import UserError
from xner_ray.observability.safe_text import redact

MODEL_FILES = (
    *("README.md", "config.json", "*.safetensors", "*.safetensors.index.json", "*.onnx", "*.onnx.data"),
    *("tokenizer*", "special_tokens_map.json", "vocab*", "merges*", "*.model"),
)
DATASET_FILES = ("README.md", "*/*.parquet", "*/*.conll", "*/*.txt", "*/*.json", "*/*.spacy")


@dataclass(frozen=True)
class Upload:
    """The files for one repository.

    Attributes:
        repo: the repository, `user/name`.
        kind: `dataset` or `model`.
        folder: the folder with the files.
        files: (name in the folder and the repository, size in bytes).
    """

    repo: str
    kind: str
    folder: Path
    files: tuple[tuple[str, int], ...]

    @property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(size for _, size in self.files)


def prepare_upload(repo: str, kind: str, folder: Path) -> Upload:
    """List the files of a folder that an upload sends.

    Args:
        repo: the repository, `user/name`.
        kind: `dataset` or `model`.
        folder: an exported dataset, or a student.

    Raises:
        UserError: no such folder, or it has no card.
    """
    if not (folder / "README.md").is_file():
        remedy = (
            "`xner export OUT --out DIR` writes a dataset with its card"
            if kind == "dataset"
            else "`xner run` writes the card of each student"
        )
        raise UserError(f"has no {kind} card (README.md)", file=folder, remedy=remedy)
    patterns: Iterable[str] = DATASET_FILES if kind == "dataset" else MODEL_FILES
    names = sorted({p.relative_to(folder).as_posix() for x in patterns for p in folder.glob(x) if p.is_file()})
    return Upload(repo, kind, folder, tuple((name, (folder / name).stat().st_size) for name in names))


def upload_all(uploads: Iterable[Upload], private: bool, endpoint: str | None = None) -> list[str]:
    """Upload to the hub, one commit per repository. Missing repositories are created.

    Args:
        uploads: see `prepare_upload`.
        private: whether new repositories are private.
        endpoint: the address of the hub; None is the hub client's default.

    Returns:
        the URLs of the commits.

    Raises:
        UserError: the hub cannot be reached, or it rejects an upload.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # OSError, and all errors of the client's HTTP library, whose name depends on its version.
    http_errors: Any = HfHubHTTPError.__bases__
    api, commits = HfApi(endpoint=endpoint), []
    for upload in uploads:
        try:
            api.create_repo(upload.repo, repo_type=upload.kind, private=private, exist_ok=True)
            commit: Any = api.upload_folder(
                repo_id=upload.repo,
                repo_type=upload.kind,
                folder_path=upload.folder,
                allow_patterns=[name for name, _ in upload.files],
                commit_message=f"{upload.kind} from xner_ray",
            )
        except (HFValidationError, *http_errors) as e:
            remedy = "log in with `hf auth login` or HF_TOKEN, and check the name; --dry-run sends nothing"
            reason = redact(next(iter(str(e).splitlines()), type(e).__name__), {"TOKEN": get_token() or ""})
            raise UserError(f"the hub rejected the upload: {reason}", key=upload.repo, remedy=remedy) from e
        commits.append(str(commit.commit_url))
    return commits
