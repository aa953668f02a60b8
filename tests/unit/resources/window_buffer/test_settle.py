from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from resources.window_buffer.reading.settle import settle

ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)), max_size=40)


@given(ROWS)
def test_settle_when_rows_repeat_then_equals_the_rule_said_row_by_row(rows: list[tuple[int, int, int]]) -> None:
    sensor = np.array([row[0] for row in rows], np.int32)
    offset = np.array([row[1] for row in rows], np.int64)
    value = np.array([row[2] for row in rows], np.int64)
    found = settle(sensor, offset, lambda positions: value[positions])
    standing = {(s, t): n for n, (s, t, _) in enumerate(rows)}
    assert found.kept.tolist() == [standing[place] for place in sorted(standing)]
    seen: set[tuple[int, int, int]] = set()
    overtaken, repeated = [], []
    for n, row in enumerate(rows):
        last = standing[row[0], row[1]]
        if n == last:
            continue
        if row[2] == rows[last][2] or row in seen:
            repeated.append(n)
        else:
            overtaken.append(n)
        seen.add(row)
    assert found.overtaken.tolist() == overtaken
    assert found.repeated.tolist() == repeated
