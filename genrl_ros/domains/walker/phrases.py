"""Sentences about a body, and the prompts that no embedder may be trained with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from genrl_ros.vlm.phrases import Phrases, everyday_phrases, without

EVALUATION_PROMPTS = (
    'standing up straight', 'run fast clean', 'walk fast clean', 'stand on one foot',
    'stand up and kick', 'lying down horizontally', 'praying', 'lunge pose', 'doing backflips',
)  # fmt: skip
"""The paper's prompts (facts 6.3)."""
SENTENCES_A_CONCEPT = 160
SEED = 100

DESCRIPTIONS = {
    'standing': 'standing upright',
    'one foot': 'standing on one foot',
    'high kick': 'kicking high',
    'kneeling': 'kneeling',
    'lunging': 'a lunge',
    'lying': 'lying down',
    'sitting': 'sitting',
    'crouching': 'crouching',
    'headstand': 'standing upside down',
    'bowing': 'bowing',
    'walking slowly': 'walking slowly',
    'walking': 'walking',
    'running': 'running',
    'walking backwards': 'walking backwards',
    'flipping': 'flipping over',
    'rolling': 'rolling over',
    'jumping': 'jumping',
    'falling': 'falling',
    'getting up': 'getting up',
    'wandering': 'moving about',
}
"""Each concept in words."""

ACTS: dict[str, tuple[str, ...]] = {
    'standing': (
        'stand', 'stand still', 'stand tall', 'stand upright', 'stand up', 'stand straight',
        'stand on both feet', 'stay on your feet', 'hold an upright posture', 'keep standing',
        'stay upright', 'stay standing', 'be upright', 'balance upright', 'stand in place',
        'stand like a soldier', 'stand at attention', 'hold the body straight',
    ),
    'one foot': (
        'stand on one leg', 'balance on one leg', 'balance on one foot', 'lift one foot',
        'raise one leg', 'lift a knee', 'raise one knee', 'stand on a single foot',
        'keep one foot in the air', 'hold one leg up', 'stand like a flamingo',
        'stand like a stork', 'lift a leg off the ground', 'put the weight on one leg',
    ),
    'high kick': (
        'kick', 'kick high', 'kick up high', 'kick into the air', 'kick with a straight leg',
        'swing a leg up', 'throw a leg up', 'do a karate kick', 'do a high kick',
        'kick at head height', 'raise a straight leg high', 'kick like a dancer',
        'kick like a martial artist', 'perform a front kick', 'lift a leg as high as the head',
    ),
    'kneeling': (
        'kneel', 'kneel down', 'go down on the knees', 'stay on the knees', 'sit on the heels',
        'sit on the knees', 'rest on both knees', 'kneel on the floor', 'be on your knees',
        'drop to the knees', 'kneel as in prayer', 'kneel in prayer', 'get on the knees',
        'fall on the knees', 'kneel like a monk', 'kneel before a king', 'say a prayer',
        'pray to God', 'say your prayers', 'worship',
    ),
    'lunging': (
        'lunge', 'lunge forward', 'do a lunge', 'hold a lunge', 'kneel on one knee',
        'go down on one knee', 'step into a lunge', 'take a lunge position',
        'put one knee on the floor', 'rest on one knee', 'stretch in a lunge',
        'bend the front knee and stretch the back leg', 'propose on one knee',
    ),
    'lying': (
        'lie', 'lie down', 'lie flat', 'lie on the floor', 'lie on the ground', 'lie still',
        'lie on the back', 'lie on the belly', 'rest on the floor', 'stay flat on the ground',
        'sleep on the floor', 'stretch out on the floor', 'go to sleep', 'lie like a plank',
        'be flat on the ground', 'take a nap', 'play dead',
    ),
    'sitting': (
        'sit', 'sit down', 'sit on the floor', 'sit on the ground', 'sit with stretched legs',
        'sit upright on the floor', 'take a seat on the floor', 'stay seated', 'be seated',
        'rest sitting', 'sit with the legs in front', 'sit still',
    ),
    'crouching': (
        'crouch', 'crouch down', 'squat', 'squat down', 'do a squat', 'hold a squat',
        'bend the knees deeply', 'duck', 'duck down', 'go low on bent knees', 'hunker down',
        'stay low on both feet', 'cower',
    ),
    'headstand': (
        'stand on the head', 'do a headstand', 'stand upside down', 'hold a headstand',
        'balance on the head', 'be upside down', 'do a handstand', 'point the feet at the sky',
        'hold the legs up and the head down', 'turn upside down', 'stay upside down',
    ),
    'bowing': (
        'bow', 'bow down', 'bend over', 'bend forward', 'take a bow', 'bend at the hips',
        'lean far forward', 'touch the toes', 'fold forward', 'bow deeply', 'bend down',
    ),
    'walking slowly': (
        'walk slowly', 'walk slowly forward', 'walk at a slow pace', 'walk in slow motion',
        'take slow steps', 'take small steps', 'step forward slowly', 'stroll', 'take a stroll',
        'amble', 'amble ahead', 'plod', 'trudge', 'shuffle along', 'creep forward', 'tiptoe',
        'walk without haste', 'walk like a snail', 'move forward slowly on foot',
    ),
    'walking': (
        'walk', 'walk forward', 'walk forwards', 'walk ahead', 'take a walk', 'go for a walk',
        'take steps', 'step forward', 'march', 'walk at a normal pace', 'walk along',
        'walk straight ahead', 'walk briskly', 'walk quickly', 'walk steadily', 'keep walking',
        'hike', 'walk like a human', 'walk fast', 'walk very fast', 'walk rapidly',
        'move forward on foot',
    ),
    'running': (
        'run', 'run forward', 'run fast', 'run quickly', 'sprint', 'jog', 'race', 'dash',
        'run at full speed', 'run as fast as possible', 'go running', 'keep running', 'hurry',
        'run away', 'run ahead', 'gallop', 'rush forward', 'move forward fast', 'run like a human',
        'sprint ahead',
    ),
    'walking backwards': (
        'walk backwards', 'walk backward', 'step back', 'step backwards', 'go backwards',
        'move back', 'back up', 'back away', 'retreat', 'walk in reverse', 'moonwalk',
    ),
    'flipping': (
        'flip', 'do a flip', 'do flips', 'do a backflip', 'do a front flip', 'do a somersault',
        'do somersaults', 'flip over', 'turn a somersault', 'do a cartwheel', 'spin in the air',
        'flip backwards', 'flip forwards', 'do a salto',
        'rotate head over heels',
    ),
    'rolling': (
        'roll', 'roll over', 'roll on the floor', 'roll on the ground', 'roll along the floor',
        'do a forward roll', 'do a backward roll', 'do a shoulder roll', 'do a judo roll',
        'roll like a log', 'roll like a barrel', 'curl up and roll', 'roll over and over',
        'tumble over the floor', 'roll across the mat', 'turn over on the ground',
    ),
    'jumping': (
        'jump', 'jump up', 'hop', 'leap', 'jump into the air', 'jump high', 'leap up', 'bounce',
        'jump on the spot', 'hop on both feet', 'spring up', 'take off from the floor',
    ),
    'falling': (
        'fall', 'fall down', 'fall over', 'collapse', 'tip over', 'topple', 'topple over',
        'drop to the floor', 'crash to the ground', 'lose balance', 'faint', 'stumble and fall',
    ),
    'getting up': (
        'get up', 'get back up', 'rise', 'rise from the floor', 'rise to the feet',
        'get on your feet', 'stand up from the floor', 'get up off the ground',
        'climb to the feet', 'pick yourself up', 'recover from a fall',
        'lift the body from the floor',
    ),
    'wandering': (
        'move randomly', 'wiggle', 'flail', 'twitch', 'move about', 'writhe', 'shake',
        'move the legs aimlessly', 'squirm', 'thrash about', 'move somehow', 'explore',
    ),
}  # fmt: skip
"""What a body does, as one asks for it."""

_SUBJECTS = ('the robot', 'a robot', 'it', 'a person', 'someone', 'the walker', 'a man', 'she')
_ASKED = (
    '{}',
    '{}',
    '{}',
    'please {}',
    'can you {}',
    'now {}',
    'the robot should {}',
    'try to {}',
)
_DOING = ('{}', '{}', 'keep {}', 'start {}', 'a video of {}')
_DOUBLED = frozenset(
    (
        'run',
        'sit',
        'get',
        'step',
        'flip',
        'hop',
        'jog',
        'tip',
        'drop',
        'spin',
        'put',
        'rub',
        'bob',
        'plod',
    )
)
_KEPT = frozenset(('be', 'flee', 'tiptoe'))


def gerund(act: str) -> str:
    """`take a walk` as `taking a walk`."""
    verb, _, rest = act.partition(' ')
    if verb == 'lie':
        verb = 'lying'
    elif verb in _DOUBLED:
        verb = f'{verb}{verb[-1]}ing'
    elif verb.endswith('e') and verb not in _KEPT:
        verb = f'{verb[:-1]}ing'
    else:
        verb = f'{verb}ing'
    return f'{verb} {rest}'.strip()


def present(act: str) -> str:
    """`take a walk` as `takes a walk`."""
    verb, _, rest = act.partition(' ')
    ending = 'es' if verb.endswith(('s', 'sh', 'ch', 'x', 'o')) else 's'
    if verb == 'be':
        verb, ending = 'is', ''
    elif verb.endswith('y') and verb[-2] not in 'aeiou':
        verb, ending = f'{verb[:-1]}i', 'es'
    return f'{verb}{ending} {rest}'.strip()


def sentences(concept: str) -> Iterator[str]:
    """Every way to say a concept, the same ones in the same order."""
    for act in ACTS[concept]:
        for frame in _ASKED:
            yield frame.format(act)
        for frame in _DOING:
            yield frame.format(gerund(act))
        for subject in _SUBJECTS:
            yield f'{subject} {present(act)}'
            yield f'{subject} is {gerund(act)}'


def describe(concept: str) -> str:
    """A concept in words."""
    return DESCRIPTIONS[concept]


def training_phrases() -> Phrases:
    """Sentences of every concept, the same at every call, without the evaluation prompts."""
    drawn, more = {}, everyday_phrases('walker')
    for number, concept in enumerate(ACTS):
        known = without(dict.fromkeys(sentences(concept)), EVALUATION_PROMPTS)
        order = np.random.default_rng(SEED + number).permutation(len(known))
        chosen = (known[i] for i in sorted(order[:SENTENCES_A_CONCEPT]))
        drawn[concept] = tuple(dict.fromkeys((*chosen, *more[concept])))
    return drawn
