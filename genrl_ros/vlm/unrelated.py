"""Sentences about life at large: what an embedder has to turn away, unless its domain does it.

What is foreign depends on the domain: "run fast" is no task of an arm, and one of a body on legs.
`foreign_sentences` leaves out what a domain's own sentences say.
"""

from __future__ import annotations

from collections.abc import Iterable

from genrl_ros.vlm.phrases import normalise

TRAINING = (
    *('walk the dog in the park', 'a man rides a bicycle', 'the cat sleeps on the sofa'),
    *('the stock market fell today', 'play the piano', 'swim across the lake', 'write a letter'),
    *('a train arrives at the station', 'children play football', 'the sun sets at the sea'),
    *('drive the car to work', 'plant a tree in the garden', 'paint the wall blue', 'go shopping'),
    *('read me a story', 'what is the capital of France', 'tell me a joke', 'book a flight'),
    *('an aeroplane takes off', 'climb the mountain'),
    *('throw the ball', 'catch the frisbee', 'build a tower of blocks', 'fold the laundry'),
    *('vacuum the carpet', 'brush your teeth', 'comb your hair', 'ride a skateboard', 'dance'),
    *('the president gives a speech', 'it is raining outside', 'snow covers the roof'),
    *('mow the lawn', 'feed the fish', 'ring the church bell', 'unlock the bicycle', 'sing'),
    *('shoot an arrow', 'hammer a nail into the board', 'saw the wood', 'weld the steel pipe'),
    *('solve this equation', 'compile the program', 'send an email to my boss', 'call a taxi'),
    *('a whale dives', 'bees collect honey', 'the volcano erupts', 'a ship leaves the harbour'),
    *('buy two tickets', 'knit a scarf', 'tie your shoes', 'pack the suitcase', 'meditate'),
    *('pour the wine', 'slice the bread', 'chop the onions', 'wash the dishes', 'peel a potato'),
    *('close the garage', 'open the car window', 'open the umbrella', 'open the book'),
    *('turn on the television', 'switch off the computer', 'start the engine', 'charge the phone'),
    *('move the chess piece', 'move the sofa', 'push the shopping trolley', 'lift the dumbbell'),
    *('press the doorbell', 'pull the rope', 'slide down the hill', 'rotate the globe'),
    *('asdf qwer zxcv', 'lorem ipsum dolor sit amet', '12345', 'hello', 'yes', 'why not'),
    *('the quick brown fox jumps over the lazy dog', 'to be or not to be', 'foo bar baz'),
    *('democracy is a form of government', 'interest rates are rising', 'water is H2O'),
)

HELD_OUT = (
    *('the elephant drinks from the river', 'juggle three balls'),
    *('the referee blows the whistle', 'explain quantum mechanics', 'order a pizza'),
    *('a tractor ploughs the field', 'the baby laughs'),
    *('crawl under the bed',),
    *('the orchestra tunes its instruments', 'translate this into German', 'water the roses'),
    *('how is the weather tomorrow', 'park the lorry', 'iron the shirts', 'polish the shoes'),
    *('a rocket is launched', 'the penguin slides on the ice', 'sharpen the pencil'),
    *('inflate the balloon', 'shuffle the cards', 'the bank raises its fees', 'sail the boat'),
    *('xkcd plugh xyzzy', 'one two three four', 'good morning', 'never mind', 'blah blah blah'),
    *(
        'sweep the yard',
        'sharpen the knife',
        'mount the tyre',
        'tune the guitar',
        'shear the sheep',
    ),
    *('take a photograph', 'dig a hole', 'row the boat', 'change the password', 'vote for me'),
    *('history of the Roman empire', 'the shares lost four percent', 'roll the dice'),
)


def foreign_sentences(own: Iterable[str], others: Iterable[str] = ()) -> tuple[str, ...]:
    """Sentences that a domain has to turn away, however its own are spelled.

    A sentence is left out if all its words, endings aside, stand in one of the domain's own.

    Args:
        own: the domain's own sentences: those of its concepts, its prompts and paraphrases.
        others: sentences of other domains.
    """
    kept = [_roots(sentence) for sentence in own]
    foreign = {sentence: _roots(sentence) for sentence in (*TRAINING, *others)}
    return tuple(s for s, said in foreign.items() if not any(said <= roots for roots in kept))


def _roots(sentence: str) -> frozenset[str]:
    return frozenset(_root(word) for word in normalise(sentence).split())


def _root(word: str) -> str:
    """A word without its ending: `running`, `runs` and `run` are one."""
    for ending in ('ing', 'es', 's', 'ed'):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word
