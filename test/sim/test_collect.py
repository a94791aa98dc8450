"""`genrl collect` stops in time, goes on, and mends what is torn."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from genrl_ros.cli.commands import collect
from genrl_ros.data.store.episode_file import Episode
from genrl_ros.data.store.episode_store import EpisodeStore
from genrl_ros.training.engine.run import StoppedError


def test_a_collection_that_is_stopped_goes_on_and_mends_what_is_torn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'data'
    asked = collect.Config('kitchen', frames=1, out=out, workers=1)
    with pytest.raises(StoppedError, match=r'\d+ of 500 frames are collected'):
        collect.fill(dataclasses.replace(asked, frames=500), lambda: True)
    store = EpisodeStore.open(out)
    assert 0 < store.num_frames < 500
    store.append(
        '000007',
        Episode(
            *(np.array(each('000000')) for each in (store.image, store.action, store.state)),
            kind='made by a larger one',
            seed='1/7',
        ),
    )
    store.episode_path('000007').write_bytes(b'torn')
    file = store.episode_path('000000')
    action = np.array(store.action('000000'))
    file.write_bytes(file.read_bytes()[:-1])
    assert collect.main(asked) == 0
    assert f'episodes at {out}' in capsys.readouterr().out
    np.testing.assert_array_equal(store.action('000000'), action)
    EpisodeStore.of('kitchen', out)  # all are whole
    assert EpisodeStore.open(out).kind('000007') != 'made by a larger one'
    assert not (out / 'manifest.journal').exists()
