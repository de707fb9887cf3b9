"""The token budget by made-up devices, and its estimate of memory against what a forward pass allocates on a CPU."""

import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from xner_ray.encoders.ragged import Ragged
from xner_ray.encoders.token_budget import CPU_TOKENS, MAX_TOKENS, MIN_TOKENS, auto_budget, bytes_per_token
from xner_ray.encoders.torch_engine import TorchEngine

GB = 10**9
XLM_R_LARGE = SimpleNamespace(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_labels=9)
SMALL = SimpleNamespace(hidden_size=384, intermediate_size=1536, num_hidden_layers=12, num_labels=9)


def test_budget_of_a_device():
    assert auto_budget(XLM_R_LARGE, 2, None) == CPU_TOKENS
    assert auto_budget(XLM_R_LARGE, 2, 75 * GB) == MAX_TOKENS
    assert auto_budget(XLM_R_LARGE, 2, 20 * GB) == 32_768
    assert auto_budget(XLM_R_LARGE, 4, 20 * GB) == MIN_TOKENS  # fp32 needs twice as much
    assert auto_budget(SMALL, 2, 14 * GB) == MAX_TOKENS
    assert auto_budget(XLM_R_LARGE, 2, 0) == MIN_TOKENS  # the engine halves it when the memory is exhausted
    budgets = [auto_budget(XLM_R_LARGE, 2, free * GB) for free in range(100)]
    assert budgets == sorted(budgets) and set(budgets) == {16_384, 32_768, 65_536}


def test_more_labels_and_layers_need_more_memory():
    for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_labels"):
        larger = SimpleNamespace(**{**vars(SMALL), key: 2 * getattr(SMALL, key)})
        assert bytes_per_token(larger, 2) > bytes_per_token(SMALL, 2)


class AllocatedBytes(TorchDispatchMode):
    """Counts the bytes of the storages that operations make, while they live."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        inputs = {
            x.untyped_storage().data_ptr() for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)
        }
        for x in tree_flatten(result)[0]:
            storage = x.untyped_storage() if isinstance(x, torch.Tensor) else None
            if storage is None or storage.data_ptr() in self.seen | inputs:
                continue
            self.seen.add(storage.data_ptr())
            self.now += storage.nbytes()
            weakref.finalize(storage, self._free, storage.data_ptr(), storage.nbytes())
        self.peak = max(self.peak, self.now)
        return result

    def _free(self, pointer, size):
        self.seen.discard(pointer)
        self.now -= size


@pytest.mark.parametrize("states", [False, True])
def test_estimate_is_above_what_a_forward_pass_allocates(states):
    config = transformers.XLMRobertaConfig(
        vocab_size=50, hidden_size=64, intermediate_size=256, num_hidden_layers=6, num_attention_heads=4, num_labels=9
    )
    engine = TorchEngine(transformers.XLMRobertaForTokenClassification(config), 4096, "fp32", "cpu")
    ids = Ragged.from_rows(np.random.default_rng(0).integers(5, 50, size=(100, 40)))
    with AllocatedBytes() as allocated:
        engine.hidden_states(ids, 6) if states else engine.probabilities(ids)
    needed = allocated.peak / len(ids.values)
    assert 0.2 < needed / bytes_per_token(config, 4) < 1


def test_an_engine_resolves_auto():
    config = transformers.BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    model = transformers.BertForTokenClassification(config)
    assert TorchEngine(model, precision="fp32", device="cpu").max_batch_tokens == CPU_TOKENS
