"""What became of the messages of a bag: what is in episodes, what was left out, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from genrl_ros.data.bags.recipe import Recipe

MAX_REASONS = 20
"""Reasons of one kind that are told apart."""
MAX_REASON = 2000
"""Letters of a reason."""
OTHERS = 'other reasons'
OTHER_CLOCK_S = 60.0
"""Joint states that are so far from the images were stamped by another clock."""


@dataclass
class Report:
    """What became of a bag.

    Of the images that came, each is in exactly one of `refused`, `skipped`, `repeated`,
    `undriven`, `stateless`, `short`, `ends` and `images`.

    Attributes:
        messages: how many there were on each topic.
        refused: why messages were left out, and how often.
        remarks: what was put right in messages, and how often.
        damage: what could not be read of the files.
        images: images that are in episodes, at the control rate.
        skipped: images between two control steps, or out of order.
        repeated: images with the stamp of the last one that was taken.
        undriven: images without a command in force on each topic, and why.
        stateless: images without joint states that are near enough.
        nearest_s: how far joint states were from the best of those; None if there were none.
        unstamped: joint states whose stamp is zero.
        gaps: how often images were missing while the robot was driven.
        set_back: how often the clock was set back.
        short_runs: runs that were too short for an episode.
        short: images in those.
        ends: images at the ends of runs that fill no agent step.
        commands: commands in episodes.
        beyond: commands that were beyond an action of 1.0.
    """

    messages: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    damage: list[str] = field(default_factory=list)
    images: int = 0
    skipped: int = 0
    repeated: int = 0
    undriven: Counter[str] = field(default_factory=Counter)
    stateless: int = 0
    nearest_s: float | None = None
    unstamped: int = 0
    gaps: int = 0
    set_back: int = 0
    short_runs: int = 0
    short: int = 0
    ends: int = 0
    commands: int = 0
    beyond: int = 0

    @property
    def clipped(self) -> float:
        """Share of the commands that were beyond an action of 1.0."""
        return self.beyond / max(1, self.commands)

    def add(self, other: Report) -> None:
        """Count what became of another bag in, damage aside."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            if isinstance(theirs, Counter):
                for text, count in theirs.items():
                    _count(mine, text, count)
            elif each.name == 'nearest_s':
                known = [value for value in (mine, theirs) if value is not None]
                self.nearest_s = min(known, default=None)
            elif isinstance(theirs, int):
                setattr(self, each.name, mine + theirs)

    def refuse(self, topic: str, why: str, count: int = 1) -> None:
        """Count messages that were left out."""
        _count(self.refused, f'{topic}: {why}', count)

    def remark(self, topic: str, what: str) -> None:
        """Count a message in which something was put right."""
        _count(self.remarks, f'{topic}: {what}', 1)

    def lines(self, recipe: Recipe) -> Iterator[str]:
        """What a person has to know, a line each, some with more lines below."""
        yield from self.damage
        for stream in recipe.streams:
            if not self.messages[stream.topic]:
                yield f'no messages on {stream.topic} ({stream.type})'
        yield from (f'refused {count} messages on {why}' for why, count in self.refused.items())
        yield from (f'{count} messages on {what}' for what, count in self.remarks.items())
        if self.stateless:
            yield self._stateless(recipe)
        for count, text in (
            (self.gaps, 'times images were missing, which split a run'),
            (self.set_back, 'times the clock was set back, which ended a run and what was held'),
            (self.short_runs, f'runs were too short, with {self.short} images'),
            *((count, f'images {why}') for why, count in self.undriven.items()),
            (self.ends, 'images at the ends of runs that fill no agent step'),
            (self.skipped, 'images between two control steps or out of order'),
            (self.repeated, 'images with the stamp of the one before: the driver must stamp them'),
        ):
            if count:
                yield f'{count} {text}'
        if self.beyond:
            yield (
                f'{self.clipped:.1%} of the commands were beyond an action of 1.0 and were '
                'clipped: is `scale` right?'
            )

    def _stateless(self, recipe: Recipe) -> str:
        topic = recipe.joint_states.topic
        text = f'{self.stateless} images without usable {topic} within {recipe.max_age_s:g} s'
        if self.nearest_s is not None:
            text += f'; the nearest are {self.nearest_s:.3g} s off'
        if self.nearest_s is not None and self.nearest_s > OTHER_CLOCK_S:
            text += ', as of another clock than the camera has'
        if self.unstamped > 1:
            text += f'; {self.unstamped} have the stamp zero: the driver must stamp them'
        return text


def _count(counter: Counter[str], text: str, count: int) -> None:
    text = text[:MAX_REASON]
    if text not in counter and len(counter) >= MAX_REASONS:
        text = OTHERS
    counter[text] += count
