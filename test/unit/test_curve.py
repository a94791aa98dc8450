"""The curve of a training keeps its whole rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrl_ros.training.engine.curve import Curve


def test_a_curve_of_more_than_a_million_updates_is_read_again(tmp_path: Path) -> None:
    curve = Curve(tmp_path / 'curve.csv', 50)
    for update in (1_000_000, 1_000_050):
        curve.add(update, {'loss': 1 / 3}, last=False)
    curve.cut(1_000_049)
    assert curve.path.read_text() == 'update,loss\n1000000,0.333333\n'


@settings(max_examples=15, deadline=None)
@given(cut_at=st.integers(0, 200), torn=st.integers(0, 12))
def test_a_torn_curve_keeps_its_whole_rows(
    tmp_path_factory: pytest.TempPathFactory, cut_at: int, torn: int
) -> None:
    curve = Curve(tmp_path_factory.mktemp('curve') / 'c.csv', 1)
    for update in range(1, 20):
        curve.add(update, {'a': update / 3, 'b': -1.0}, last=False)
    text = curve.path.read_text()
    curve.path.write_text(text[: min(cut_at, len(text))])
    curve.cut(torn)
    left = curve.path.read_text() if curve.path.exists() else ''
    assert text.startswith(left)
    assert len(left.splitlines()) <= torn + 1
    assert left == '' or left.endswith('\n')
