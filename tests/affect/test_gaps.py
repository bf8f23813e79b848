"""Short gaps are bridged, long ones refused."""

import numpy as np
import pytest

from affect.batch import Signal
from affect.preprocessing import FillGaps


def signal(gap: slice) -> Signal:
    data = np.tile(np.arange(100, dtype=np.float32), (2, 1))
    data[1, gap] = np.nan
    return Signal(data, 10.0, ("whole", "broken"), "")


def test_a_short_gap_becomes_a_straight_line() -> None:
    filled = FillGaps(longest=1.0)(signal(slice(40, 50)))
    np.testing.assert_allclose(filled.data, signal(slice(0, 0)).data)


def test_a_gap_at_the_end_holds_the_last_sample() -> None:
    assert FillGaps()(signal(slice(95, 100))).data[1, 95:].tolist() == [94.0] * 5


@pytest.mark.parametrize("gap", [slice(40, 51), slice(0, 100)])
def test_a_long_gap_is_refused(gap: slice) -> None:
    with pytest.raises(ValueError, match="of broken missing, more than 1 s"):
        FillGaps(longest=1.0)(signal(gap))
