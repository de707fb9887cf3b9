"""`xner`: the house from the outside. Each command is a few lines over a function that tests and `jobs/` call as well.

Heavy imports stand inside the commands, so that `xner --help` takes a fraction of a second; the price is that a broken
import shows when its command runs, not before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
import typer.core

from xner_ray.cli import export as cli_export
from xner_ray.cli.common import (
    comma_list,
    echo,
    existing_file,
    model_folder,
    report_user_errors,
    run_stages,
    show,
    write_json,
)
from xner_ray.cli.corpus import corpus
from xner_ray.cli.ingest import ingest as ingest_corpora
from xner_ray.cli.options import ConfigFile, Overrides
from xner_ray.cli.preflight import preflight
from xner_ray.cli.refresh import refresh
from xner_ray.cli.report import report, show_pairs
from xner_ray.cli.status import quarantine, status
from xner_ray.cli.study import study


class _Group(typer.core.TyperGroup):
    """All commands, with user errors printed instead of raised."""

    def invoke(self, ctx):
        with report_user_errors():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a bug keeps Python's own traceback
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Give an English named-entity recognizer to other languages through parallel text.\n\n"
    "Start with [cyan]xner run configs/demo.yaml[/]; each command explains itself with --help.",
)

app.add_typer(corpus, name="corpus", rich_help_panel="Models and data")

ModelFolder = Annotated[
    Path, typer.Option("--model", metavar="DIR", help="The folder of a trained model.", show_default=False)
]
Language = Annotated[
    str, typer.Option("--language", metavar="CODE", help="ISO 639-1; zh and ja join tokens without spaces.")
]
TagMap = Annotated[
    str | None, typer.Option("--map", metavar="OLD=NEW,...", help="Rename types as they are read; O drops one.")
]
Types = Annotated[str | None, typer.Option("--types", metavar="TYPE,...", help="Keep only these types; default: all.")]
TagScheme = Annotated[
    str, typer.Option("--scheme", metavar="NAME", help="How entities are tagged: bio2, iob1, iobes or bilou.")
]
JsonOut = Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Also write the scores to this file.")]


@app.command(rich_help_panel="A whole run")
def run(config: ConfigFile, overrides: Overrides = None) -> None:
    """Run all stages of a config, skip what is done already, and end with a table of results.

    Example: [cyan]xner run configs/demo.yaml out=out/mine[/]
    """
    run_stages(config, overrides)


@app.command(rich_help_panel="A whole run")
def plan(config: ConfigFile, overrides: Overrides = None) -> None:
    """Check a config and say, stage by stage, what a run would do; nothing is started.

    Example: [cyan]xner plan configs/paper.yaml data=/corpora[/]
    """
    from xner_ray.config.load import load_config

    loaded = load_config(config, overrides or ())
    from xner_ray.results.report.table import plan_table
    from xner_ray.workflows.plan import plan_run

    found = plan_run(loaded, config, echo)
    show(plan_table(found.stages, loaded.out))
    for problem in found.problems:
        echo(f"error: {problem}", "red")
    if found.problems:
        raise SystemExit(2)


app.command(rich_help_panel="A whole run")(preflight)
app.command(rich_help_panel="A whole run")(refresh)
app.command(rich_help_panel="A whole run")(report)
app.command("show", rich_help_panel="A whole run")(show_pairs)

_STAGES = {
    "ingest": "Read, clean and sample the corpora into shards",
    "teacher": "Train the English tagger",
    "aligner": "Train the model that finds an English entity in a target sentence",
    "label": "Tag the English side and project the entities to the target side",
    "dataset": "Apply rules and thresholds to what is labeled, sample, and export tokens and tags",
    "student": "Train the target-language taggers",
}


def _stage(name: str, text: str) -> Callable[..., None]:
    def command(config: ConfigFile, overrides: Overrides = None) -> None:
        run_stages(config, overrides, [name])

    command.__name__ = name
    command.__doc__ = (
        f"{text}.\n\nStages that it needs and that are not done yet come first.\n\n"
        f"Example: [cyan]xner {name} configs/demo.yaml[/]"
    )
    return command


for _name, _text in _STAGES.items():
    app.command(_name, rich_help_panel="One stage")(_stage(_name, _text))


@app.command(rich_help_panel="Models and data")
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
    folder, mapping = model_folder(model), _mapping(tag_map)
    existing_file(data, "--data", "give a CoNLL file: token, tab, tag; a blank line between sentences")
    from xner_ray.evaluation.tagger_scores import evaluate_model
    from xner_ray.results.report.table import scores_table
    from xner_ray.text.tag_schemes import as_scheme

    scores = evaluate_model(folder, str(data), language, mapping, comma_list(types), as_scheme(scheme))
    show(scores_table(scores, f"{data.name} ({language})"))
    if json_out:
        write_json(json_out, scores)


@app.command(rich_help_panel="Models and data")
def project(
    model: ModelFolder,
    source: Annotated[Path, typer.Option("--source", metavar="SRC.conll", help="English gold.", show_default=False)],
    target: Annotated[
        Path,
        typer.Option(
            "--target",
            metavar="TGT",
            help="The translations: CoNLL, or .txt with one sentence a line.",
            show_default=False,
        ),
    ],
    language: Language = "en",
    tag_map: TagMap = None,
    types: Types = None,
    scheme: TagScheme = "bio2",
    json_out: JsonOut = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="OUT.conll", help="Write the projected entities here.")
    ] = None,
    lowercase: Annotated[
        str,
        typer.Option(
            "--lowercase",
            metavar="TYPE",
            help="What a name is that became one word in lower case, such as German of Germany: a type, `keep` for the name's, or"
            " `auto`: MISC, as in CoNLL, where the source has that type.",
        ),
    ] = "auto",
) -> None:
    """Project gold entities of English sentences to their translations; where those have tags, score the projection.

    Example: [cyan]xner project --model out/aligner --source en.conll --target de.txt --language de --out de.conll[/]
    """
    folder, mapping = model_folder(model), _mapping(tag_map)
    existing_file(source, "--source")
    existing_file(target, "--target")
    from xner_ray.evaluation.project_files import project_files
    from xner_ray.results.report.table import scores_table
    from xner_ray.text.conll import write_conll
    from xner_ray.text.tag_schemes import as_scheme

    kinds, tagged = comma_list(types), as_scheme(scheme)
    result = project_files(
        folder, str(source), str(target), language, mapping, kinds, scheme=tagged, lowercase=lowercase
    )
    projected = result.pop("sentences")
    if "f1" in result:
        show(scores_table(result, f"{target.name} ({language})"))
    found = sum(tag.startswith("B-") for sentence in projected for tag in sentence.tags)
    kept = f"written to {out}" if out else "add --out FILE.conll to keep them"
    echo(f"{found} entities in {len(projected)} sentences; {kept}")
    if out:
        write_conll(out, projected)
    if json_out:
        write_json(json_out, result)


@app.command(rich_help_panel="Models and data")
def tag(
    model: ModelFolder,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Sentences; - or nothing reads stdin.", show_default=False),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="Tag the lines of this file.")] = None,
    language: Annotated[
        str, typer.Option(metavar="CODE", help="Of the sentences; only a model that somebody else trained needs it.")
    ] = "en",
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line: text, entities with character offsets.")
    ] = False,
) -> None:
    """Mark the entities of sentences: in color on a terminal, as \\[Berlin LOC] elsewhere.

    Example: [cyan]xner tag --model german-tagger "Angela Merkel besucht Paris."[/]
    """
    from xner_ray.cli.tag import tag_lines

    tag_lines(model_folder(model), texts or [], file, language, json_lines)


@app.command(rich_help_panel="Models and data")
def sample(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.", show_default=False)],
    pairs: Annotated[int, typer.Option("--pairs", metavar="N", help="Sentence pairs a language.")] = 600,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Same seed, same bytes.")] = 1,
    languages: Annotated[
        str, typer.Option("--languages", metavar="CODE,...", help="Target languages.")
    ] = "de,es,nl,zh",
) -> None:
    """Write a sample: OPUS Moses archives of made-up parallel text, with English and target gold.

    Example: [cyan]xner sample --out /tmp/sample --pairs 1000000 --seed 7 --languages de,zh[/]
    """
    from rich.console import Console
    from rich.progress import Progress

    from xner_ray.sample.write import write_sample

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        tasks = {code: bar.add_task(code, total=pairs) for code in comma_list(languages) or []}
        manifest = write_sample(
            out,
            pairs,
            seed,
            list(tasks),
            progress=lambda code, done, total: bar.update(tasks[code], completed=done, total=total),
        )
    echo(f"{len(manifest['files'])} files in {out}", "green")


corpus.command("ingest")(ingest_corpora)
app.command(rich_help_panel="A whole run")(status)
app.add_typer(quarantine, name="quarantine", rich_help_panel="A whole run")
app.add_typer(study, name="study", rich_help_panel="A whole run")
cli_export.register(app)


def _mapping(text: str | None) -> dict[str, str]:
    from xner_ray.text.tags import parse_map

    return parse_map(text)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
