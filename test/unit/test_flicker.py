"""A state that flickers is told in summaries, and nothing of it is lost."""

from __future__ import annotations

import os

from genrl_ros.serving.safety.flicker import Flicker


def test_a_change_is_told_at_once_and_a_flood_as_one_summary() -> None:
    flicker = Flicker(window_s=5.0)
    assert flicker.change('reacting: late', 10.0) == 'reacting: late'
    said = [flicker.change(text, 10.1) for text in ('forwarding', 'reacting: late', 'forwarding')]
    assert said == ['', '', '']
    assert flicker.summary(14.9) == ''
    assert flicker.summary(15.0) == 'in 5 s: 2 times forwarding; reacting: late; now forwarding'
    assert flicker.summary(30.0) == ''


def test_a_state_that_came_back_within_the_window_is_told_when_it_ends() -> None:
    flicker = Flicker(window_s=5.0)
    flicker.change('reacting: late', 0.0)
    assert flicker.change('forwarding', 0.2) == ''
    assert flicker.summary(5.0) == 'forwarding'


def test_changes_far_apart_are_all_told() -> None:
    flicker = Flicker(window_s=5.0)
    told = [flicker.change(text, 6.0 * index) for index, text in enumerate('abab')]
    assert told == ['a', 'b', 'a', 'b']


def test_a_summary_names_what_is_late_and_a_busy_processor(monkeypatch) -> None:
    monkeypatch.setattr(os, 'getloadavg', lambda: (99.0, 0.0, 0.0))
    flicker = Flicker({'latent': 'encoder_node is late', 'joint': 'the driver is late'})
    for state in (
        'holding: nothing fresh on latent',
        'driving',
        'holding: nothing fresh on latent',
    ):
        flicker.change(state, 0.0)
    said = flicker.summary(5.0)
    assert 'encoder_node is late; this processor is busy: load 99.0' in said
    assert 'driver' not in said
