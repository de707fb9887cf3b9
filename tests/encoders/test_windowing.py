"""Windows fit the model, and each token is read once."""

from hypothesis import given
from hypothesis import strategies as st

from xner_ray.encoders.ragged import Ragged
from xner_ray.encoders.windowing import sliding_windows


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(5, 25), st.integers(0, 12))
def test_windows_cover_every_token(lengths, max_tokens, overlap):
    ids = Ragged.from_rows([list(range(100 * i, 100 * i + n)) for i, n in enumerate(lengths)])
    windows = sliding_windows(ids, max_tokens, overlap)
    assert windows.ids.lengths.max() <= max_tokens
    assert windows.ids.values[windows.positions].tolist() == ids.values.tolist()
    assert windows.windowed_rows == sum(n > max_tokens for n in lengths)
