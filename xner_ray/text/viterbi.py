"""The most probable legal sequence of labels, for many sentences at once.

In BIO2, I-X is legal only after B-X or I-X. A tagger scores each token alone, so its most probable labels can break this rule:
O, then I-LOC. The sequence with the highest product of probabilities under the rule (Viterbi) finds more entities than a repair
of the first of these labels.
"""

from __future__ import annotations

import numpy as np

_SMALLEST = 1e-30  # in place of a probability of 0, so that a sequence that the model excludes has a score, too


def legal_sequences(probabilities: np.ndarray, rows: np.ndarray, is_free: np.ndarray, labels: list[str]) -> np.ndarray:
    """The most probable legal labels of each sentence.

    Args:
        probabilities: float [units, labels], of the words or subwords of all sentences in order.
        rows: int [units], the sentence of each unit, ascending.
        is_free: bool [units], whether any label may follow the unit, as after a subword in which an entity can begin.
        labels: O, and B-X and I-X of each type, in the order of their ids.

    Returns:
        int64 [units], label ids. Where the most probable labels are legal, it is those.
    """
    best = probabilities.argmax(axis=1)
    if not len(best):
        return best
    broken = rows[~_is_legal(best, rows, is_free, labels)]
    units = np.flatnonzero(np.isin(rows, broken))
    if len(units):
        best[units] = _viterbi(probabilities[units], rows[units], is_free[units], labels)
    return best


def continues(label_ids: np.ndarray, rows: np.ndarray, labels: list[str]) -> np.ndarray:
    """Whether each label is an I- that continues the entity of the unit before: bool [units].

    Args:
        label_ids: int [units].
        rows: int [units], the sentence of each unit.
        labels: in the order of their ids.
    """
    types = np.array([label[2:] for label in labels])[label_ids]
    result = np.array([label.startswith("I-") for label in labels])[label_ids]
    result[:1] = False
    result[1:] &= (rows[1:] == rows[:-1]) & (types[1:] == types[:-1])
    return result


def _is_legal(label_ids: np.ndarray, rows: np.ndarray, is_free: np.ndarray, labels: list[str]) -> np.ndarray:
    is_inside = np.array([label.startswith("I-") for label in labels])[label_ids]
    after_free = np.zeros(len(rows), bool)
    after_free[1:] = is_free[:-1] & (rows[1:] == rows[:-1])
    return ~is_inside | after_free | continues(label_ids, rows, labels)


def _viterbi(probabilities: np.ndarray, rows: np.ndarray, is_free: np.ndarray, labels: list[str]) -> np.ndarray:
    """Step through the positions of all sentences together, the longest sentence first."""
    inside = np.array([i for i, label in enumerate(labels) if label.startswith("I-")])
    begin = np.array([labels.index("B-" + labels[i][2:]) for i in inside])
    lengths = np.unique(rows, return_counts=True)[1]
    order = np.argsort(-lengths, kind="stable")
    starts, lengths = (np.cumsum(lengths) - lengths)[order], lengths[order]
    log = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))
    previous = np.zeros(log.shape, np.int64)  # the best label of the unit before, for each label
    total = log[starts]
    total[:, inside] = -np.inf
    for t in range(1, int(lengths[0])):
        now = starts[: np.searchsorted(-lengths, -t)] + t  # the units at position t
        before = total[: len(now)]
        choice = np.repeat(before.argmax(axis=1)[:, None], before.shape[1], axis=1)
        own_type = np.where(before[:, begin] >= before[:, inside], begin, inside)
        choice[:, inside] = np.where(is_free[now - 1, None], choice[:, inside], own_type)
        total[: len(now)] = np.take_along_axis(before, choice, axis=1) + log[now]
        previous[now] = choice
    result = np.zeros(len(rows), np.int64)
    result[starts + lengths - 1] = total.argmax(axis=1)
    for t in range(int(lengths[0]) - 1, 0, -1):
        now = starts[: np.searchsorted(-lengths, -t)] + t
        result[now - 1] = previous[now, result[now]]
    return result
