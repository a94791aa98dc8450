"""What the embedder learns of the kitchen: its concepts, and sentences about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrl_ros.domains.kitchen import phrases
from genrl_ros.domains.kitchen.held_out import HELD_OUT
from genrl_ros.domains.kitchen.measured_sentences import MEASURED
from genrl_ros.domains.kitchen.phrases import CONCEPTS, ELEMENTS
from genrl_ros.domains.kitchen.reader_sentences import objections, requests
from genrl_ros.vlm.phrases import tested_phrases

if TYPE_CHECKING:
    from genrl_ros.domains.kitchen.film_studio import FilmStudio


class KitchenConcepts:
    """See `training.embedder.source.ConceptSource`."""

    concepts = CONCEPTS
    opposites = {element: (f'{element}/opening', f'{element}/closing') for element in ELEMENTS}
    evaluation_prompts = phrases.EVALUATION_PROMPTS
    held_out = HELD_OUT
    tested = tested_phrases('kitchen')
    things = tuple(noun for element in ELEMENTS for noun in phrases.NOUNS[element])
    measured = MEASURED
    rehearsals = 168
    takes = 3000
    requests = staticmethod(requests)
    objections = staticmethod(objections)
    describe = staticmethod(phrases.describe)
    training_phrases = staticmethod(phrases.training_phrases)

    @staticmethod
    def make_studio() -> FilmStudio:
        """A kitchen to film in."""
        from genrl_ros.domains.kitchen.film_studio import FilmStudio

        return FilmStudio()


SOURCE = KitchenConcepts()
