"""`xner evaluate`, `xner project`, `xner tag` and `xner sample`: commands on models and data, without a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from xner_ray.cli.console import echo, show, write_json
from xner_ray.cli.model_options import Language, Model, RunOut, choose_model, needed_language, one_language
from xner_ray.cli.options import (
    ModelFolder,
    TagMap,
    comma_list,
    existing_file,
    language_code,
    language_list,
    model_folder,
)
from xner_ray.errors import UserError

Types = Annotated[
    str | None,
    typer.Option("--types", metavar="TYPE,...", help="Entity types to keep. Default: all."),
]
TagScheme = Annotated[
    str,
    typer.Option("--scheme", metavar="NAME", help="Tag scheme of the files: bio2, iob1, iobes, bilou or bmes."),
]
JsonOut = Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Also write the scores to this file.")]


def evaluate(
    data: Annotated[
        Path, typer.Option("--data", metavar="FILE.conll", help="Gold: token, tab, tag.", show_default=False)
    ],
    model: Model = None,
    out: RunOut = None,
    language: Language = None,
    tag_map: TagMap = None,
    types: Types = None,
    scheme: TagScheme = "bio2",
    pipeline: Annotated[
        bool, typer.Option("--pipeline", help="Also score transformers.pipeline, which decodes subwords, on raw text.")
    ] = False,
    json_out: JsonOut = None,
) -> None:
    """Score a tagger on gold sentences: entity precision, recall and F1 in percent, overall and by type.

    Example: [cyan]xner evaluate --out out/demo --language de --data out/demo/sample/gold/de.eval.conll --types PER,ORG,LOC[/]
    """
    (folder, language), mapping = choose_model(model, out, language), _parse_map(tag_map)
    existing_file(data, "--data", "give a CoNLL file: token, tab, tag; a blank line between sentences")
    language = needed_language(folder, language)
    from xner_ray.evaluation.tagger_scores import evaluate_model
    from xner_ray.results.report.table import scores_table
    from xner_ray.text.tag_schemes import as_scheme

    scores = evaluate_model(folder, str(data), language, mapping, comma_list(types), as_scheme(scheme), pipeline)
    show(scores_table(scores, f"{data.name} ({language})"))
    if json_out:
        write_json(json_out, scores)


def project(
    model: ModelFolder,
    source: Annotated[
        Path, typer.Option("--source", metavar="SRC.conll", help="Gold of the source language.", show_default=False)
    ],
    target: Annotated[
        Path,
        typer.Option(
            "--target",
            metavar="TGT",
            help="The translations: text with one sentence per line, or CoNLL.",
            show_default=False,
        ),
    ],
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            metavar="CODE",
            help="Language of the translations. Default: the ending of the file (NAME.de), or the aligner's only language.",
            show_default=False,
        ),
    ] = None,
    tag_map: TagMap = None,
    types: Types = None,
    scheme: TagScheme = "bio2",
    json_out: JsonOut = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="OUT.conll", help="File for the projected entities.")
    ] = None,
    lowercase: Annotated[
        str,
        typer.Option(
            "--lowercase",
            metavar="TYPE",
            help="Type of single lowercase words that translate a capitalized name, such as `deutsch` for German. `keep`:"
            " the type of the name. `auto`: MISC, as in CoNLL, if the source has that type, else `keep`.",
        ),
    ] = "auto",
) -> None:
    """Project the gold entities of source sentences to their translations. If these have tags, score the projection.

    Example: [cyan]xner project --model out/demo/aligner/current --source en.conll --target talks.de --out talks.de.conll[/]
    """
    folder, mapping = model_folder(model), _parse_map(tag_map)
    existing_file(source, "--source")
    existing_file(target, "--target")
    from xner_ray.alignment.projector_file import read_languages

    source_language, languages = read_languages(folder)
    language = _target_language(target, language, languages)
    from xner_ray.evaluation.project_files import project_gold, read_gold_pair
    from xner_ray.results.report.table import scores_table
    from xner_ray.text.conll import write_conll
    from xner_ray.text.tag_schemes import as_scheme

    pair = read_gold_pair(
        source, target, language, mapping, comma_list(types), source_language or "en", as_scheme(scheme)
    )
    result = project_gold(folder, pair, lowercase)
    sentences = result.pop("sentences")
    if "f1" in result:
        show(scores_table(result, f"{target.name} ({language})"))
    entities = sum(tag.startswith("B-") for sentence in sentences for tag in sentence.tags)
    written = f"written to {out}" if out else "add --out FILE.conll to write them"
    echo(f"{entities} entities in {len(sentences)} sentences; {written}")
    if out:
        write_conll(out, sentences)
    if json_out:
        write_json(json_out, result)


def _target_language(target: Path, given: str | None, known: Sequence[str]) -> str:
    """The language of a target file. Raises a UserError where neither the option, the file nor the aligner says it."""
    from xner_ray.language_codes import known_language

    suffix = known_language(target.suffix.removeprefix("."))
    code = language_code(given) if given else suffix if suffix in known else None
    language = one_language(known, code)
    if language is None:
        problem = "the aligner does not say its languages"
        raise UserError(problem, key="--language", remedy="add --language CODE, e.g. --language de")
    return language


def tag(
    model: Model = None,
    out: RunOut = None,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Sentences. - or none: read stdin.", show_default=False),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Tag the lines of this file.")] = None,
    language: Language = None,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print a JSON object per line: text, and entities with character offsets.")
    ] = False,
) -> None:
    """Mark the entities of sentences: in color on a terminal, else as \\[Berlin LOC].

    A text may begin with a dash and a space. Write -- before texts such as -Anna.

    Example: [cyan]xner tag --out out/demo --language de "Angela Merkel besucht Paris."[/]
    """
    folder, code = choose_model(model, out, language)
    from xner_ray.cli.tag import tag_lines

    tag_lines(folder, texts or [], file, code, json_lines)


def sample(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.", show_default=False)],
    pairs: Annotated[int, typer.Option("--pairs", metavar="N", help="Sentence pairs per target language.")] = 600,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="The same seed gives the same bytes.")] = 1,
    languages: Annotated[
        str, typer.Option("--languages", metavar="CODE,...", help="Target languages.")
    ] = "de,es,nl,zh",
) -> None:
    """Generate a sample: OPUS Moses archives of synthetic parallel text, with source and target gold.

    Example: [cyan]xner sample --out /tmp/sample --pairs 1000000 --seed 7 --languages de,zh[/]
    """
    from rich.progress import Progress

    from xner_ray.cli.safe_console import SafeConsole
    from xner_ray.sample.write import write_sample

    console = SafeConsole(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        tasks = {code: bar.add_task(code, total=pairs) for code in language_list(languages, "--languages") or []}
        manifest = write_sample(
            out,
            pairs,
            seed,
            list(tasks),
            progress=lambda code, done, total: bar.update(tasks[code], completed=done, total=total),
        )
    echo(f"{len(manifest['files'])} files in {out}", "green")


def _parse_map(text: str | None) -> dict[str, str]:
    from xner_ray.text.tags import parse_map

    return parse_map(text)
