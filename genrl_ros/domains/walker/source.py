"""What the embedder learns of the walker: its concepts, and sentences about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrl_ros.domains.walker import phrases
from genrl_ros.domains.walker.concepts import CONCEPTS
from genrl_ros.domains.walker.held_out import HELD_OUT
from genrl_ros.domains.walker.reader_sentences import THINGS, objections, requests
from genrl_ros.vlm.phrases import Phrases, tested_phrases

if TYPE_CHECKING:
    from genrl_ros.domains.walker.studio import Studio


class WalkerConcepts:
    """See `training.embedder.source.ConceptSource`."""

    concepts = CONCEPTS
    opposites = {'walking': ('walking', 'walking backwards'), 'rising': ('getting up', 'falling')}
    evaluation_prompts = phrases.EVALUATION_PROMPTS
    held_out = HELD_OUT
    tested = tested_phrases('walker')
    things = THINGS
    measured: Phrases = {}
    rehearsals = 1200
    takes = 6000
    requests = staticmethod(requests)
    objections = staticmethod(objections)
    describe = staticmethod(phrases.describe)
    training_phrases = staticmethod(phrases.training_phrases)

    @staticmethod
    def make_studio() -> Studio:
        """A floor to film on."""
        from genrl_ros.domains.walker.studio import Studio

        return Studio()


SOURCE = WalkerConcepts()
