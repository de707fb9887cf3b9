"""`xner evaluate`, `xner project`, `xner tag` and `xner sample`: commands on models and data, without a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xner_ray.cli.console import echo, show, write_json
from xner_ray.cli.options import (
    ModelFolder,
    TagMap,
    comma_list,
    existing_file,
    language_code,
    language_list,
    model_folder,
)

Language = Annotated[
    str,
    typer.Option(
        "--language",
        metavar="CODE",
        help="Language code, such as de or zh. Tokens are joined by spaces, except in languages without spaces (zh, ja).",
    ),
]
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
    model: ModelFolder,
    data: Annotated[
        Path, typer.Option("--data", metavar="FILE.conll", help="Gold: token, tab, tag.", show_default=False)
    ],
    language: Language = "en",
    tag_map: TagMap = None,
    types: Types = None,
    scheme: TagScheme = "bio2",
    json_out: JsonOut = None,
) -> None:
    """Score a tagger on gold sentences: entity precision, recall and F1 in percent, overall and by type.

    Example: [cyan]xner evaluate --model out/mine/student-de --data de.conll --language de --types PER,ORG,LOC[/]
    """
    folder, mapping = model_folder(model, allow_spacy=True), _parse_map(tag_map)
    language = language_code(language)
    existing_file(data, "--data", "give a CoNLL file: token, tab, tag; a blank line between sentences")
    from xner_ray.evaluation.tagger_scores import evaluate_model
    from xner_ray.results.report.table import scores_table
    from xner_ray.text.tag_schemes import as_scheme

    scores = evaluate_model(folder, str(data), language, mapping, comma_list(types), as_scheme(scheme))
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
            help="The translations: CoNLL, or .txt with one sentence per line.",
            show_default=False,
        ),
    ],
    language: Language = "en",
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

    Example: [cyan]xner project --model out/aligner --source en.conll --target de.txt --language de --out de.conll[/]
    """
    folder, mapping, language = model_folder(model), _parse_map(tag_map), language_code(language)
    existing_file(source, "--source")
    existing_file(target, "--target")
    from xner_ray.evaluation.project_files import project_gold, read_gold_pair
    from xner_ray.results.report.table import scores_table
    from xner_ray.text.conll import write_conll
    from xner_ray.text.tag_schemes import as_scheme

    pair = read_gold_pair(source, target, language, mapping, comma_list(types), scheme=as_scheme(scheme))
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


def tag(
    model: ModelFolder,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Sentences. - or none: read stdin.", show_default=False),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Tag the lines of this file.")] = None,
    language: Annotated[
        str, typer.Option(metavar="CODE", help="Language of the sentences. Only models from elsewhere need it.")
    ] = "en",
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print a JSON object per line: text, and entities with character offsets.")
    ] = False,
) -> None:
    """Mark the entities of sentences: in color on a terminal, else as \\[Berlin LOC].

    Example: [cyan]xner tag --model german-tagger "Angela Merkel besucht Paris."[/]
    """
    from xner_ray.cli.tag import tag_lines

    tag_lines(model_folder(model, allow_spacy=True), texts or [], file, language_code(language), json_lines)


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
    from rich.console import Console
    from rich.progress import Progress

    from xner_ray.sample.write import write_sample

    console = Console(stderr=True)
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
