"""The studies as lists of cells. A cell is one student: a setting, a seed, a language, and the config keys that define it.

Cells differ from the config of the run in keys of `dataset` and `student` only, so all cells share the labels of the run. This
module imports neither torch nor Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from xner_ray.config import AblationStudy, Config
from xner_ray.errors import UserError
from xner_ray.schema import KEPT, KEPT_NO_ENTITY

ZERO_TRANSFER = "zero-transfer"
ALL = "all"  # all types, or the setting of all domains together
SOURCE_ONLY = {"student.schedule": "source_only"}
_VARIED = ("dataset", "student")
_LAST_STEP = 1.25  # all sentences of a language are a further size if they exceed the largest size by this factor

KeptSentences = Mapping[str, Mapping[str, tuple[int, int]]]  # language -> corpus -> kept with entity, kept without


@dataclass(frozen=True)
class Cell:
    """One student of a study.

    Attributes:
        setting: the name of the row in the tables.
        language: the target language.
        seed: of the training and of the source model.
        changes: dotted config keys with their values, the seed included.
    """

    setting: str
    language: str
    seed: int
    changes: dict[str, Any] = field(hash=False)

    @property
    def name(self) -> str:
        return f"{self.language} | {self.setting} | seed {self.seed}"


def kept_sentences(ledger_rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, tuple[int, int]]]:
    """Return the kept sentences of each language and corpus, from the rows of `Ledger.to_rows`."""
    kept: dict[str, dict[str, tuple[int, int]]] = {}
    for row in ledger_rows:
        counts = row["counts"]
        kept.setdefault(row["language"], {})[row["corpus"]] = (counts.get(KEPT, 0), counts.get(KEPT_NO_ENTITY, 0))
    return kept


def with_changes(config: Config, changes: Mapping[str, Any]) -> Config:
    """Return the config with other values for keys of `dataset` and `student`.

    Args:
        config: the config of the run.
        changes: dotted keys with their values.

    Raises:
        KeyError: a key of another section, which would need other labels.
    """
    trees: dict[str, dict[str, Any]] = {}
    for key, value in changes.items():
        section, *parents, last = key.split(".")
        if section not in _VARIED:
            raise KeyError(key)
        at = trees.setdefault(section, getattr(config, section).model_dump())
        for name in parents:
            at = at[name]
        at[last] = value
    sections = {name: type(getattr(config, name)).model_validate(tree) for name, tree in trees.items()}
    return config.model_copy(update=sections)


def cells(study: str, config: Config, kept: KeptSentences) -> list[Cell]:
    """Return all cells of a study, including those of zero-transfer.

    Args:
        study: one of GRIDS.
        config: the config of the run with the study's `override`.
        kept: the kept sentences, see `kept_sentences`.

    Raises:
        UserError: the run does not have a language, corpus or domain of the study.
    """
    of_study: AblationStudy = getattr(config.study, study)
    encoders = config.student.encoder
    first = encoders if isinstance(encoders, str) else encoders[0]
    common = {"student.encoder": config.study.encoder or first, "student.source_model_per_seed": True}
    all_cells = []
    for language in of_study.languages or config.languages:
        if language not in config.languages:
            remedy = f"one of {', '.join(config.languages)}"
            raise UserError(f"the run has no language `{language}`", key=f"study.{study}.languages", remedy=remedy)
        grid = [(ZERO_TRANSFER, seed, SOURCE_ONLY) for seed in of_study.seeds]
        for setting, seed, changes in [*grid, *GRIDS[study](config, kept.get(language, {}))]:
            all_cells.append(Cell(setting, language, seed, {**common, **changes, "student.seeds": [seed]}))
    return all_cells


Row = tuple[str, int, dict[str, Any]]  # setting, seed, changes


def _ablation(config: Config, corpora: Mapping[str, tuple[int, int]]) -> Iterator[Row]:
    """The paper's Table 3, without zero-transfer."""
    student, name = config.student, _reweighted(config)
    gamma = student.training.gamma if student.training.loss == name else 4.0
    losses: dict[str, dict[str, Any]] = {
        "reweighted": {"student.training.loss": name, "student.training.gamma": gamma},
        "cross entropy": {"student.training.loss": "cross_entropy"},
    }
    source_training = student.source_training or config.teacher.training
    # A training that starts from the bare encoder takes these values of the source training, which also starts there.
    from_encoder = {
        f"student.training.{key}": getattr(source_training, key)
        for key in ("learning_rate", "num_frozen_layers", "freeze_embeddings", "layerwise_lr_decay")
    }
    settings: dict[str, dict[str, Any]] = {
        "sequential, reweighted": {"student.schedule": "sequential", **losses["reweighted"]},
        "sequential, cross entropy": {"student.schedule": "sequential", **losses["cross entropy"]},
        "no English, reweighted": {"student.schedule": "target_only", **losses["reweighted"], **from_encoder},
        "mixed, cross entropy": {"student.schedule": "mixed", **losses["cross entropy"], **from_encoder},
        "mixed, reweighted": {"student.schedule": "mixed", **losses["reweighted"], **from_encoder},
    }
    for name, changes in settings.items():
        for seed in config.study.ablation.seeds:
            yield name, seed, changes


def _size(config: Config, corpora: Mapping[str, tuple[int, int]]) -> Iterator[Row]:
    of_study, most = config.study.size, max_sentences(corpora.values(), config.dataset.no_entity_ratio)
    sizes = sorted({size for size in of_study.sizes if size <= most})
    if any(size > most for size in of_study.sizes) and most >= _LAST_STEP * max(sizes, default=1):
        sizes.append(most)
    for size in sizes:
        for seed in of_study.seeds if size <= of_study.one_seed_above else of_study.seeds[:1]:
            yield str(size), seed, {"dataset.max_sentences": size}


def _domain(config: Config, corpora: Mapping[str, tuple[int, int]]) -> Iterator[Row]:
    share = config.dataset.no_entity_ratio
    domains = {name: [c for c in listed if c in corpora] for name, listed in domains_of(config).items()}
    most = {
        name: max_sentences_at_ratio([corpora[c] for c in names], share) for name, names in domains.items() if names
    }
    most = {name: n for name, n in most.items() if n}
    if not most:
        return
    sentences = min(config.dataset.max_sentences, *most.values())
    groups = {name: sorted(domains[name]) for name in most}
    all_corpora = sorted({c for names in groups.values() for c in names})
    # A corpus of two domains counts for the first one.
    first = {c: next(name for name, names in groups.items() if c in names) for c in all_corpora}
    balanced = {name: [c for c in names if first[c] == name] for name, names in groups.items()}
    settings: dict[str, dict[str, Any]] = {
        name: {"dataset.corpora": names, "dataset.balanced_domains": {}} for name, names in groups.items()
    }
    # Each domain has the same weight, as in the paper.
    settings[ALL] = {"dataset.corpora": all_corpora, "dataset.balanced_domains": balanced}
    for name, changes in settings.items():
        for seed in config.study.domain.seeds:
            yield name, seed, {**changes, "dataset.max_sentences": sentences}


def _loss(config: Config, corpora: Mapping[str, tuple[int, int]]) -> Iterator[Row]:
    of_study = config.study.loss
    for frozen in of_study.frozen:
        for gamma in of_study.gammas:
            changes = {"student.training.gamma": float(gamma), "student.training.num_frozen_layers": frozen}
            for seed in of_study.seeds:
                name = f"gamma {gamma:g}, {frozen} frozen"
                yield name, seed, {"student.training.loss": _reweighted(config), **changes}


def _reweighted(config: Config) -> str:
    """The form of the reweighted loss that the students of the config have; else the one that is detached."""
    return "reweighted_literal" if config.student.training.loss == "reweighted_literal" else "reweighted"


GRIDS: dict[str, Callable[[Config, Mapping[str, tuple[int, int]]], Iterator[Row]]] = {
    "ablation": _ablation,
    "size": _size,
    "domain": _domain,
    "loss": _loss,
}


def domains_of(config: Config) -> dict[str, list[str]]:
    """Return the corpora of each domain: those of `study.domain.domains`, by default those of the corpora's key `domain`.

    Raises:
        UserError: the run does not have a corpus, or a domain has the name ALL.
    """
    domains = config.study.domain.domains
    known = {c.name for c in config.corpora}
    if unknown := sorted({name for names in domains.values() for name in names} - known):
        remedy = f"one of {', '.join(sorted(known))}"
        raise UserError(f"the run has no corpus `{unknown[0]}`", key="study.domain.domains", remedy=remedy)
    if not domains:
        domains = {}
        for corpus in config.corpora:
            domains.setdefault(corpus.domain, []).append(corpus.name)
    domains = {domain: list(dict.fromkeys(names)) for domain, names in domains.items()}
    if ALL in domains:
        problem, remedy = f"`{ALL}` is the name of all domains together", "give the domain another name"
        raise UserError(problem, key="study.domain.domains", remedy=remedy)
    return domains


def max_sentences(counts: Iterable[tuple[int, int]], no_entity_ratio: float) -> int:
    """Return the most training sentences: all sentences with an entity, and as many without as the ratio allows.

    Args:
        counts: kept sentences (with an entity, without) of each corpus.
        no_entity_ratio: the highest share of sentences without an entity, see `dataset.no_entity_ratio`.
    """
    pairs = list(counts)
    with_entity, without = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    if no_entity_ratio == 1:
        return without
    return with_entity + min(without, round(with_entity * no_entity_ratio / (1 - no_entity_ratio)))


def max_sentences_at_ratio(counts: Iterable[tuple[int, int]], no_entity_ratio: float) -> int:
    """Return the most training sentences with exactly this share of sentences without an entity, so that domains are comparable.

    Args:
        counts: kept sentences (with an entity, without) of each corpus.
        no_entity_ratio: the share of sentences without an entity.
    """
    pairs = list(counts)
    with_entity, without = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    limits = [with_entity / (1 - no_entity_ratio)] if no_entity_ratio < 1 else []
    limits += [without / no_entity_ratio] if no_entity_ratio > 0 else []
    return int(min(limits))
