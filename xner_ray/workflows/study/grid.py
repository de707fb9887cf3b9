"""The studies as lists of cells. A cell is one student: a setting, a seed, a language, and the config keys that make it.

Cells differ from the run's config in keys of `dataset` and `student` alone, so they share its labels, and what one of them is
can be said as on the command line. No torch, no Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from xner_ray.config import Config
from xner_ray.config.study import Ablation
from xner_ray.errors import UserError
from xner_ray.schema import KEPT, KEPT_NO_ENTITY

ZERO = "zero-transfer"
ALL = "all"  # the setting of all domains together
SOURCE_ONLY = {"student.schedule": "source_only"}
_VARIED = ("dataset", "student")
_LAST_STEP = 1.25  # all that a language has is a size of its own when it is so much more than the size before

Stock = Mapping[str, Mapping[str, tuple[int, int]]]  # language -> corpus -> kept with entity, kept without


@dataclass(frozen=True)
class Cell:
    """One student of a study. `changes`: config keys, dotted, with their values; the seed is one of them."""

    setting: str
    language: str
    seed: int
    changes: dict[str, Any] = field(hash=False)

    @property
    def name(self) -> str:
        return f"{self.language} | {self.setting} | seed {self.seed}"


def stock(ledger_rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, tuple[int, int]]]:
    """What there is to train on, from `Ledger.to_rows`."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for row in ledger_rows:
        counts = row["counts"]
        found.setdefault(row["language"], {})[row["corpus"]] = (counts.get(KEPT, 0), counts.get(KEPT_NO_ENTITY, 0))
    return found


def changed(config: Config, changes: Mapping[str, Any]) -> Config:
    """The config with other values for keys of `dataset` and `student`.

    Raises:
        KeyError: a key of another section, which would ask for other labels.
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


def cells(study: str, config: Config, there: Stock) -> list[Cell]:
    """All cells of a study; zero-transfer is a setting of each.

    Args:
        study: one of GRIDS.
        config: the run's, with the study's `override` in it.
        there: see `stock`.

    Raises:
        UserError: a language, corpus or domain that the run does not have.
    """
    told: Ablation = getattr(config.study, study)
    encoders = config.student.encoder
    first = encoders if isinstance(encoders, str) else encoders[0]
    common = {"student.encoder": config.study.encoder or first, "student.source_model_per_seed": True}
    found = []
    for language in told.languages or config.languages:
        if language not in config.languages:
            remedy = f"one of {', '.join(config.languages)}"
            raise UserError(f"the run has no language `{language}`", key=f"study.{study}.languages", remedy=remedy)
        grid = [(ZERO, seed, SOURCE_ONLY) for seed in told.seeds]
        for setting, seed, changes in [*grid, *GRIDS[study](config, there.get(language, {}))]:
            found.append(Cell(setting, language, seed, {**common, **changes, "student.seeds": [seed]}))
    return found


Row = tuple[str, int, dict[str, Any]]  # setting, seed, changes


def _ablation(config: Config, corpora: Mapping[str, tuple[int, int]]) -> Iterator[Row]:
    """The paper's Table 3, but for zero-transfer."""
    student = config.student
    gamma = student.training.gamma if student.training.loss == "reweighted" else 4.0
    losses: dict[str, dict[str, Any]] = {
        "reweighted": {"student.training.loss": "reweighted", "student.training.gamma": gamma},
        "cross entropy": {"student.training.loss": "cross_entropy"},
    }
    english = student.source_training or config.teacher.training
    # What begins at the bare encoder is trained as English is, which begins there too; only the loss is the setting's.
    bare = {
        f"student.training.{key}": getattr(english, key)
        for key in ("learning_rate", "num_frozen_layers", "freeze_embeddings", "layerwise_lr_decay")
    }
    settings: dict[str, dict[str, Any]] = {
        "sequential, reweighted": {"student.schedule": "sequential", **losses["reweighted"]},
        "sequential, cross entropy": {"student.schedule": "sequential", **losses["cross entropy"]},
        "no English, reweighted": {"student.schedule": "target_only", **losses["reweighted"], **bare},
        "mixed, cross entropy": {"student.schedule": "mixed", **losses["cross entropy"], **bare},
        "mixed, reweighted": {"student.schedule": "mixed", **losses["reweighted"], **bare},
    }
    for name, changes in settings.items():
        for seed in config.study.ablation.seeds:
            yield name, seed, changes


def _size(config: Config, corpora: Mapping[str, tuple[int, int]]) -> Iterator[Row]:
    told, most = config.study.size, sentences_there(corpora.values(), config.dataset.no_entity_ratio)
    sizes = sorted({size for size in told.sizes if size <= most})
    if any(size > most for size in told.sizes) and most >= _LAST_STEP * max(sizes, default=1):
        sizes.append(most)
    for size in sizes:
        for seed in told.seeds if size <= told.one_seed_above else told.seeds[:1]:
            yield str(size), seed, {"dataset.max_sentences": size}


def _domain(config: Config, corpora: Mapping[str, tuple[int, int]]) -> Iterator[Row]:
    share = config.dataset.no_entity_ratio
    domains = {name: [c for c in listed if c in corpora] for name, listed in domains_of(config).items()}
    most = {name: equal_sentences([corpora[c] for c in names], share) for name, names in domains.items() if names}
    most = {name: n for name, n in most.items() if n}
    if not most:
        return
    sentences = min(config.dataset.max_sentences, *most.values())
    everything = sorted({c for name in most for c in domains[name]})
    for name, names in [*((n, sorted(domains[n])) for n in most), (ALL, everything)]:
        for seed in config.study.domain.seeds:
            yield name, seed, {"dataset.corpora": names, "dataset.max_sentences": sentences}


def _loss(config: Config, corpora: Mapping[str, tuple[int, int]]) -> Iterator[Row]:
    told = config.study.loss
    for frozen in told.frozen:
        for gamma in told.gammas:
            changes = {"student.training.gamma": float(gamma), "student.training.num_frozen_layers": frozen}
            for seed in told.seeds:
                name = f"gamma {gamma:g}, {frozen} frozen"
                yield name, seed, {"student.training.loss": "reweighted", **changes}


GRIDS: dict[str, Callable[[Config, Mapping[str, tuple[int, int]]], Iterator[Row]]] = {
    "ablation": _ablation,
    "size": _size,
    "domain": _domain,
    "loss": _loss,
}


def domains_of(config: Config) -> dict[str, list[str]]:
    """The study's domains: as `study.domain.domains` maps them, else as the corpora's own `domain` has it.

    Raises:
        UserError: a corpus that the run does not have, or a domain by the name of all together.
    """
    told = config.study.domain.domains
    known = {c.name for c in config.corpora}
    if strange := sorted({name for names in told.values() for name in names} - known):
        remedy = f"one of {', '.join(sorted(known))}"
        raise UserError(f"the run has no corpus `{strange[0]}`", key="study.domain.domains", remedy=remedy)
    if not told:
        told = {}
        for corpus in config.corpora:
            told.setdefault(corpus.domain, []).append(corpus.name)
    told = {domain: list(dict.fromkeys(names)) for domain, names in told.items()}
    if ALL in told:
        problem, remedy = f"`{ALL}` is what all domains together are called", "give that domain another name"
        raise UserError(problem, key="study.domain.domains", remedy=remedy)
    return told


def sentences_there(counts: Iterable[tuple[int, int]], empty_share: float) -> int:
    """Most training sentences that counts of kept sentences with and without entity give: all with, as many without as may be."""
    pairs = list(counts)
    full, empty = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    if empty_share == 1:
        return empty
    return full + min(empty, round(full * empty_share / (1 - empty_share)))


def equal_sentences(counts: Iterable[tuple[int, int]], empty_share: float) -> int:
    """Most training sentences of which exactly this share has no entity, so that domains may be compared."""
    pairs = list(counts)
    full, empty = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    limits = [full / (1 - empty_share)] if empty_share < 1 else []
    limits += [empty / empty_share] if empty_share > 0 else []
    return int(min(limits))
