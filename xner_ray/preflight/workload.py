"""The work of a run in floating point operations (FLOP), and the hours that CPUs need for it.

A forward pass takes 2 FLOP for each weight of the transformer layers and each token, and training takes 6. Embeddings are looked
up. The number of tokens of a pair, and the part of the speed of a matrix product that the engine reaches, come from `bench/`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xner_ray.config import Config
from xner_ray.encoders.folder_check import read_model_config
from xner_ray.errors import UserError
from xner_ray.preflight.cluster import Machines

# bench/results/throughput.json (2026-11-28): 72 tokens a pair are run, 33 by the teacher, 39 by aligner and similarity.
TEACHER_TOKENS, ALIGNER_TOKENS = 33, 39
SENTENCE_TOKENS = 33  # of one sentence, or of one example of the aligner
BYTES_PER_PAIR = 205  # of plain text, bench/results/ingest.json
PACKED_BYTES_PER_PAIR = 80
TOKENS_PER_GOLD_LINE = 1.3  # a line is a word
# Speed of the engine by that of a matrix product on one core (91 GFLOP/s), bench/results/throughput.json and training.json.
LABEL_EFFICIENCY, TRAINING_EFFICIENCY = 0.46, 0.82
KEPT = 0.5  # of the pairs are kept by the filters, about
MEASURE_SECONDS = 0.2
UNKNOWN_PART = "it has results, and it is not known how much of it is to do"
_MATRIX = 1024
_PACKED = (".zip", ".gz", ".bz2", ".xz", ".zst")
# Layers, width, inner width and vocabulary of models that configs name before they are on this machine.
_SHAPES = {
    "tiny": (2, 64, 128, 0),
    "embedded": (12, 384, 1536, 250_037),
    "FacebookAI/xlm-roberta-base": (12, 768, 3072, 250_002),
    "FacebookAI/xlm-roberta-large": (24, 1024, 4096, 250_002),
    "google-bert/bert-base-multilingual-cased": (12, 768, 3072, 119_547),
}
_KEYS = (
    ("num_hidden_layers", "n_layers", "num_layers"),
    ("hidden_size", "dim", "d_model"),
    ("intermediate_size", "hidden_dim", "d_ff"),
    ("vocab_size",),
)


SharesToDo = Mapping[str, float | None]  # the part of each stage that is to do, 0 to 1; None: it is not known


@dataclass(frozen=True)
class Size:
    """The size of an encoder.

    Attributes:
        layers: weights of the transformer layers.
        total: all weights.
    """

    layers: int
    total: int


@dataclass
class Workload:
    """The work of a run.

    Attributes:
        flop: by stage. A stage of whose work nothing is known is left out.
        at_least: stages of whose work only a part is known, in `flop` or not.
        pairs: to label, in all languages.
        model_bytes: of all models that are trained.
        notes: what is not in it, one line each.
    """

    flop: dict[str, float] = field(default_factory=dict)
    at_least: set[str] = field(default_factory=set)
    pairs: int | None = 0
    model_bytes: int = 0
    notes: list[str] = field(default_factory=list)

    def core_hours(self, matrix_flops: float) -> dict[str, float]:
        """Hours of one core by stage.

        Args:
            matrix_flops: FLOP per second of a matrix product on one core.
        """
        efficiency = {stage: LABEL_EFFICIENCY if stage == "label" else TRAINING_EFFICIENCY for stage in self.flop}
        return {stage: flop / (matrix_flops * efficiency[stage]) / 3600 for stage, flop in self.flop.items()}


def encoder_size(model: str) -> Size | None:
    """The size of a model; None: it is not on this machine, or its config.json does not say it. No network."""
    from xner_ray.encoders.load import local_encoder

    shape = _SHAPES.get(model)
    if shape is None:
        try:
            folder = local_encoder(model)
            config = read_model_config(folder) if folder else {}
        except UserError:
            return None  # its own check names the problem
        values = [next((config[key] for key in keys if isinstance(config.get(key), int)), None) for keys in _KEYS]
        if values[0] is None or values[1] is None:
            return None
        shape = (values[0], values[1], values[2] or 4 * values[1], values[3] or 0)
    layers, width, inner, vocabulary = shape
    weights = layers * (4 * width * width + 2 * width * inner)
    return Size(weights, weights + vocabulary * width)


def estimate_workload(config: Config) -> Workload:
    """The work of all stages of a run that has done nothing yet.

    Args:
        config: the checked config.
    """
    work = Workload()
    pairs = {language: count_pairs(config, language) for language in config.languages}
    known = [n for n in pairs.values() if n is not None]
    work.pairs = sum(known) if len(known) == len(pairs) else None
    if work.pairs is None:
        work.notes.append("the number of pairs is not known before the ingest: set ingest.max_pairs_per_language")
    teacher, aligner = config.teacher.model or config.teacher.encoder, config.aligner.encoder
    sizes = {model: encoder_size(model) for model in {teacher, aligner, *config.student.encoders}}
    work.notes += [
        f"`{x}` is not on this machine, so its work does not count" for x in sorted(sizes) if sizes[x] is None
    ]

    work.at_least |= {"label", "student"} if work.pairs is None else set()

    def add(stage: str, model: str, tokens: float, flop_per_weight: int = 6) -> None:
        if size := sizes[model]:
            work.flop[stage] = work.flop.get(stage, 0.0) + flop_per_weight * size.layers * tokens
        else:
            work.at_least.add(stage)

    def add_trained(model: str, number: int) -> None:
        if size := sizes[model]:
            work.model_bytes += 4 * number * size.total

    gold, types = _gold_tokens(config), {tuple(config.teacher.drop_types.get(x, ())) for x in config.languages}
    if config.teacher.model is None:
        add("teacher", teacher, gold * config.teacher.training.epochs * len(types))
        add_trained(teacher, len(types))
    examples = config.aligner.num_examples * len(config.languages)
    add("aligner", aligner, examples * SENTENCE_TOKENS * config.aligner.training.epochs)
    add_trained(aligner, 1)
    if not config.label.null_model:
        add("label", teacher, sum(known) * TEACHER_TOKENS, 2)
        add("label", aligner, sum(known) * ALIGNER_TOKENS, 2)
    sentences = sum(min(config.dataset.max_sentences, math.ceil(n * KEPT)) for n in known)
    source, seeds = config.student.source_training or config.teacher.training, len(config.student.seeds)
    for encoder in config.student.encoders:
        if config.student.schedule != "target_only" and (config.student.source_model_per_seed or encoder != teacher):
            number = len(types) * (seeds if config.student.source_model_per_seed else 1)
            add("student", encoder, gold * source.epochs * number)
            add_trained(encoder, number)
        add("student", encoder, sentences * SENTENCE_TOKENS * config.student.training.epochs * seeds)
        add_trained(encoder, seeds * len(config.languages))
    work.flop = {stage: flop for stage, flop in work.flop.items() if flop or stage not in work.at_least}
    return work


def count_pairs(config: Config, language: str) -> int | None:
    """About how many pairs of a language are read: by the config, and by the sizes of local files; None: nothing is known."""
    limit = config.ingest.max_pairs_per_language
    if config.sample:
        return min(limit or config.sample.pairs, config.sample.pairs)
    total = 0.0
    for corpus in config.corpora_of(language):
        for pattern in (corpus.path, corpus.target_path):
            file = Path(config.fill(pattern, language)) if pattern else None
            if file is not None and file.is_file():
                packed = file.suffix in _PACKED
                total += file.stat().st_size / (PACKED_BYTES_PER_PAIR if packed else BYTES_PER_PAIR)
            elif file is not None or corpus.opus:
                return limit
    return min(limit or math.ceil(total), math.ceil(total))


def _gold_tokens(config: Config) -> float:
    if config.sample:
        return config.sample.gold_sentences * SENTENCE_TOKENS
    files = {Path(config.fill(gold.path)) for gold in config.gold}
    return TOKENS_PER_GOLD_LINE * sum(file.read_bytes().count(b"\n") for file in files if file.is_file())


def measure_matrix_flops() -> float:
    """FLOP per second of a matrix product in fp32 on one core of this machine. Takes a few hundred milliseconds.

    It counts CPU time, so other work on the machine changes it little.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    left, right = (np.full((rows, _MATRIX), 0.5, np.float32) for rows in (_MATRIX // 4, _MATRIX))
    best, start = math.inf, time.process_time()
    with threadpool_limits(1):
        np.matmul(left, right)
        while time.process_time() - start < MEASURE_SECONDS:
            began = time.process_time()
            np.matmul(left, right)
            best = min(best, time.process_time() - began)
    return 2 * left.size * _MATRIX / best


def check_hours(config: Config, machines: Machines, to_do: Callable[[], SharesToDo] | None = None) -> str:
    """Check that CPUs finish the run in `ray.max_cpu_hours`.

    Args:
        config: the checked config.
        machines: of the run. If they have a GPU, or if `ray.max_gpus` is set, no hours are computed.
        to_do: returns the part of each stage that is to do. It is called only if the whole run would be too long. A stage
            whose part is not known does not count. None: all stages are to do.

    Raises:
        UserError: they need longer.
    """
    cpus, gpus = (sum(node.get(name, 0.0) for node in machines.nodes) for name in ("CPU", "GPU"))
    if gpus or config.ray.max_gpus:
        return "models run on GPUs, whose speed was not measured here"
    work, limit, cpus = estimate_workload(config), config.ray.max_cpu_hours, max(1.0, cpus)
    hours = {stage: value / cpus for stage, value in work.core_hours(measure_matrix_flops()).items()}
    unknown: list[str] = []
    if to_do and sum(hours.values()) > limit:
        shares = to_do()
        unknown = [stage for stage in hours if shares.get(stage, 0.0) is None]
        work.notes += [f"without {stage}: {UNKNOWN_PART}" for stage in unknown]
        hours = {stage: value * (shares.get(stage) or 0.0) for stage, value in hours.items() if stage not in unknown}
    total, parts = sum(hours.values()), ", ".join(f"{stage} {value:,.1f} h" for stage, value in hours.items())
    about = "at least" if work.at_least or unknown else "about"
    if total > limit:
        remedy = (
            "run it where GPUs are (ray.address, ray.max_gpus), choose a smaller encoder, or lower"
            f" ingest.max_pairs_per_language; set ray.max_cpu_hours={math.ceil(total * 1.5)} to run it on CPUs anyway"
        )
        problem = f"{about} {total:,.0f} hours on {cpus:g} CPUs ({parts}), and the limit is {limit:g}"
        raise UserError(problem, key="ray.max_cpu_hours", remedy=remedy)
    notes = "".join(f"; {note}" for note in work.notes)
    return f"{about} {total:,.1f} h on {cpus:g} CPUs ({parts}); ray.max_cpu_hours is {limit:g}{notes}"
