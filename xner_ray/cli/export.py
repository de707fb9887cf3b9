"""`xner export`, `xner export-model` and `xner push`: results of a finished run for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xner_ray.cli.console import echo, show
from xner_ray.cli.options import FinishedRun, TagMap, language_code, model_folder
from xner_ray.errors import UserError


def export(
    run_folder: FinishedRun,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder to write to.", show_default=False)],
    format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="hf, conll, flair, gliner or spacy.")
    ] = "hf",
    split: Annotated[
        str, typer.Option("--split", metavar="A,B,C", help="Fractions of train, validation and test.")
    ] = "0.8,0.1,0.1",
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Random seed of the split.")] = 1,
    tag_map: TagMap = None,
) -> None:
    """Write the projected datasets of a run for other libraries, with a dataset card.

    hf is Parquet for `datasets.load_dataset`. For gliner, types should be words: --map PER=person,LOC=location.

    Example: [cyan]xner export out/demo --out demo-hf[/]
    """
    from xner_ray.results.export.dataset import export_run
    from xner_ray.results.export.export_types import ExportOptions
    from xner_ray.results.export.split import parse_shares
    from xner_ray.results.run_results import RunResults
    from xner_ray.text.tags import parse_map

    options = ExportOptions(format, parse_shares(split), seed, parse_map(tag_map))
    summary = export_run(RunResults.open(run_folder), out, options)
    for name, sentences in sorted(summary.files.items()):
        echo(f"{out / name}: {sentences:,} sentences")
    echo(f"{out / 'README.md'}: dataset card", "green")


def export_model(
    model: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a trained tagger.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new folder to write to.", show_default=False)],
) -> None:
    """Export a tagger to ONNX, and check that ONNX Runtime agrees with torch within 0.001.

    Example: [cyan]xner export-model out/demo/student/de/current --out tagger-onnx[/]
    """
    from xner_ray.results.export.onnx import export_onnx

    difference = export_onnx(model_folder(model), out)
    echo(f"{out / 'model.onnx'}: probabilities differ from torch by at most {difference:.1e}", "green")


def push(
    run_folder: FinishedRun,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="REPO", help="Dataset repository to upload to.")
    ] = None,
    dataset_folder: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Folder that `xner export` wrote.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="REPO",
            help="Model repository to upload students to. {name} is replaced by language, encoder and seed.",
        ),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", metavar="CODE", help="Upload only the students of this language.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make new repositories private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files, and upload nothing.")] = False,
) -> None:
    """Upload a dataset and the students of a run to the Hugging Face hub, each with its card.

    Example: [cyan]xner push out/demo --dataset me/demo --from demo-hf --model me/demo-{name} --dry-run[/]
    """
    from xner_ray.results.export.push import Upload, prepare_upload, upload_all
    from xner_ray.results.run_results import RunResults

    run = RunResults.open(run_folder)
    uploads: list[Upload] = []
    if dataset:
        if dataset_folder is None:
            raise UserError("no folder given", key="--from", remedy="write one with `xner export OUT --out DIR`")
        uploads.append(prepare_upload(dataset, "dataset", dataset_folder))
    if model:
        language = language_code(language) if language else None
        students = [s for s in run.students if language in (None, s.language)]
        if len(students) != 1 and "{name}" not in model:
            remedy = "put {name} into the name of the repository, or choose a language with --language"
            raise UserError(f"{len(students)} students for one repository", key="--model", remedy=remedy)
        uploads += [prepare_upload(model.replace("{name}", s.name), "model", s.folder) for s in students]
    if not uploads:
        raise UserError("nothing to upload", remedy="give --dataset REPO --from DIR, or --model REPO")
    for upload in uploads:
        show(f"{upload.kind} {upload.repo}: {len(upload.files)} files, {upload.bytes:,} bytes")
        for name, size in upload.files:
            show(f"  {name}  {size:,}")
    if dry_run:
        echo("dry run: nothing was uploaded", "yellow")
        return
    for url in upload_all(uploads, private):
        echo(f"uploaded: {url}", "green")
