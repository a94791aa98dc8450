"""Training sentences of the kitchen, and the prompts that no embedder may be trained with."""

from __future__ import annotations

from genrl_ros.vlm.phrases import Act, Grammar, Phrases, draw, everyday_phrases

EVALUATION_PROMPTS = (
    'opening the microwave fully open',
    'activate the light',
    'switch light on',
    'the burner becomes red',
    'switch on red burner',
    'slide cabinet above the knobs',
)
"""The paper's prompts and those of its later code (facts, section 5)."""

ELEMENTS = ('microwave', 'slide', 'hinge', 'light', 'bottom_burner', 'top_burner', 'kettle')
PHASES = ('opening', 'closing', 'reaching', 'touching', 'open')
CONCEPTS = (
    *(f'{element}/{phase}' for element in ELEMENTS for phase in PHASES),
    'idle',
    'wandering',
)
"""What a clip can show. `opening` is moving towards the goal (light and burners: switching on),
`open` is being there at rest, `touching` is a hand at the thing while nothing moves."""

SENTENCES_A_CONCEPT = 120

NOUNS = {
    'microwave': (
        *('microwave', 'microwave', 'microwave door', 'microwave oven', 'door of the microwave'),
        *('microwave oven door', 'oven door', 'oven', 'small oven on the left', 'microwave flap'),
    ),
    'slide': (
        *('sliding cabinet', 'sliding cabinet door', 'slide cabinet', 'sliding cupboard'),
        *('sliding door', 'sliding door of the cupboard', 'cabinet slider', 'slide cabinet door'),
        *('cabinet door that slides', 'sliding cabinet on the right', 'sliding panel'),
        *('sliding cupboard over the stove', 'sliding wall cabinet', 'sliding cabinet up there'),
    ),
    'hinge': (
        *('hinge cabinet', 'hinged cabinet', 'hinged cupboard', 'hinged cabinet door'),
        *('hinged door of the cupboard', 'swinging cabinet door', 'double-door cabinet'),
        *('left cabinet with hinges', 'cupboard on hinges', 'hinge door', 'left wall cupboard'),
    ),
    'light': (
        *('light', 'light', 'lamp', 'kitchen light', 'overhead light', 'lamp above the stove'),
        *(
            'hood light',
            'ceiling lamp',
            'lights',
            'stove light',
            'lighting',
            'bulb',
            'lamp switch',
        ),
        *('light switch', 'light switch', 'switch of the lamp', 'light button'),
    ),
    'bottom_burner': (
        *('burner', 'burner', 'stove burner', 'bottom burner', 'front burner', 'lower burner'),
        *('stove', 'hob', 'hot plate', 'cooktop', 'stove heater', 'cooking plate', 'burner knob'),
        *('front left burner', 'bottom left burner', 'stove knob', 'heating element', 'gas ring'),
    ),
    'top_burner': (
        *('top burner', 'back burner', 'upper burner', 'rear burner', 'far burner'),
        *('burner at the back', 'back left burner', 'rear hob', 'upper hot plate', 'top hob'),
        *('back cooking plate', 'rear stove plate', 'top left burner', 'knob of the top burner'),
    ),
    'kettle': (
        *(
            'kettle',
            'kettle',
            'teapot',
            'tea kettle',
            'water kettle',
            'pot',
            'kettle on the stove',
        ),
        *('teakettle', 'white kettle', 'tea pot', 'kettle with the wooden handle'),
    ),
}


def _acts(*lines: str) -> tuple[Act, ...]:
    """Acts from lines such as `pull {} open|pulling {} open|pulls {} open`."""
    return tuple(Act(*line.split('|')) for line in lines)


_OPEN_DOOR = _acts(
    'open {}|opening {}|opens {}',
    'open {}|opening {}|opens {}',
    'open up {}|opening up {}|opens up {}',
    'pull {} open|pulling {} open|pulls {} open',
    'pull open {}|pulling open {}|pulls open {}',
    'swing {} open|swinging {} open|swings {} open',
    'open {} all the way|opening {} all the way|opens {} all the way',
    'open {} completely|opening {} completely|opens {} completely',
    'fully open {}|fully opening {}|fully opens {}',
    'get {} open|getting {} open|gets {} open',
    'grab the handle and open {}|grabbing the handle and opening {}|grabs the handle to open {}',
)
_CLOSE_DOOR = _acts(
    'close {}|closing {}|closes {}',
    'shut {}|shutting {}|shuts {}',
    'close {} again|closing {} again|closes {} again',
    'push {} shut|pushing {} shut|pushes {} shut',
    'swing {} closed|swinging {} closed|swings {} closed',
    'close {} completely|closing {} completely|closes {} completely',
)
_SLIDE_OPEN = _acts(
    'open {}|opening {}|opens {}',
    'slide {} open|sliding {} open|slides {} open',
    'slide open {}|sliding open {}|slides open {}',
    'slide {} to the right|sliding {} to the right|slides {} to the right',
    'push {} to the right|pushing {} to the right|pushes {} to the right',
    'move {} aside|moving {} aside|moves {} aside',
    'pull {} open|pulling {} open|pulls {} open',
    'open {} all the way|opening {} all the way|opens {} all the way',
    'slide {}|sliding {}|slides {}',
)
_SLIDE_CLOSED = _acts(
    'close {}|closing {}|closes {}',
    'slide {} shut|sliding {} shut|slides {} shut',
    'slide {} closed|sliding {} closed|slides {} closed',
    'slide {} back to the left|sliding {} back to the left|slides {} back to the left',
    'shut {}|shutting {}|shuts {}',
)
_LIGHT_ON = _acts(
    'turn on {}|turning on {}|turns on {}',
    'turn {} on|turning {} on|turns {} on',
    'switch on {}|switching on {}|switches on {}',
    'switch {} on|switching {} on|switches {} on',
    'flip {} on|flipping {} on|flips {} on',
    'put {} on|putting {} on|puts {} on',
    'power on {}|powering on {}|powers on {}',
    'activate {}|activating {}|activates {}',
    'enable {}|enabling {}|enables {}',
    'toggle {} to on|toggling {} to on|toggles {} to on',
)
_OFF = _acts(
    'turn off {}|turning off {}|turns off {}',
    'turn {} off|turning {} off|turns {} off',
    'switch off {}|switching off {}|switches off {}',
    'switch {} off|switching {} off|switches {} off',
    'deactivate {}|deactivating {}|deactivates {}',
    'shut off {}|shutting off {}|shuts off {}',
    'put {} out|putting {} out|puts {} out',
)
_BURNER_ON = _acts(
    'turn on {}|turning on {}|turns on {}',
    'turn {} on|turning {} on|turns {} on',
    'switch on {}|switching on {}|switches on {}',
    'switch {} on|switching {} on|switches {} on',
    'activate {}|activating {}|activates {}',
    'ignite {}|igniting {}|ignites {}',
    'light {}|lighting {}|lights {}',
    'heat up {}|heating up {}|heats up {}',
    'fire up {}|firing up {}|fires up {}',
    'twist the knob to start {}|twisting the knob to start {}|twists the knob to start {}',
    'rotate the knob of {}|rotating the knob of {}|rotates the knob of {}',
)
_MOVE_KETTLE = _acts(
    'move {}|moving {}|moves {}',
    'push {} to the back|pushing {} to the back|pushes {} to the back',
    'move {} to the back burner|moving {} to the back burner|moves {} to the back burner',
    'slide {} away|sliding {} away|slides {} away',
    'put {} on the rear burner|putting {} on the rear burner|puts {} on the rear burner',
    'shove {} backwards|shoving {} backwards|shoves {} backwards',
    'lift {}|lifting {}|lifts {}',
    'relocate {}|relocating {}|relocates {}',
)
_RETURN_KETTLE = _acts(
    'bring {} to the front|bringing {} to the front|brings {} to the front',
    'pull {} back to the front burner|pulling {} back to the front burner|pulls {} forward',
    'move {} towards the front|moving {} towards the front|moves {} towards the front',
    'put {} back in its place|putting {} back in its place|puts {} back in its place',
    'return {} to the front burner|returning {} to the front burner|returns {}',
)
_REACH = _acts(
    'reach for {}|reaching for {}|reaches for {}',
    'approach {}|approaching {}|approaches {}',
    'move towards {}|moving towards {}|moves towards {}',
    'go to {}|going to {}|goes to {}',
    'stretch out to {}|stretching out to {}|stretches out to {}',
    'bring the hand to {}|bringing the hand to {}|brings the hand to {}',
)
_TOUCH = _acts(
    'touch {}|touching {}|touches {}',
    'hold the hand at {}|holding the hand at {}|holds the hand at {}',
    'hover at {}|hovering at {}|hovers at {}',
    'try {} in vain|trying {} in vain|tries {} in vain',
    'fumble at {}|fumbling at {}|fumbles at {}',
    'stay next to {}|staying next to {}|stays next to {}',
    'fail to move {}|failing to move {}|fails to move {}',
)

_DOOR_STATEMENTS = {
    'opening': (
        *('{} opens', '{} swings open', '{} is being opened', '{} gets opened', '{} comes open'),
        *('{} opens up wide', '{} is opening'),
    ),
    'closing': (
        *('{} closes', '{} swings shut', '{} is being closed', '{} gets shut', '{} falls shut'),
    ),
    'open': (
        *('{} is open', '{} stands open', '{} stays open', '{} has been opened'),
        *('{} remains wide open', '{} is already open', '{} was left open'),
    ),
}
_STATEMENTS = {
    'microwave': _DOOR_STATEMENTS,
    'hinge': _DOOR_STATEMENTS,
    'slide': {
        'opening': (
            *('{} slides open', '{} opens', '{} moves to the right', '{} is being opened'),
            *('{} is pushed aside', '{} slides to the side', '{} is opening'),
            *('slide the cabinet door open', 'slide the cupboard door to the right'),
            *('slide the cabinet open', 'sliding the cupboard door to the side'),
            *('the cabinet door slides open', 'move the cabinet door sideways'),
        ),
        'closing': (
            *('{} slides shut', '{} closes', '{} moves to the left', '{} is being closed'),
            *('{} slides back', 'slide the cabinet door shut', 'sliding the cupboard door closed'),
        ),
        'open': _DOOR_STATEMENTS['open'],
    },
    'light': {
        'opening': (
            *('{} turns on', '{} goes on', '{} comes on', '{} is being switched on'),
            *('{} lights up', '{} starts shining', '{} gets turned on'),
        ),
        'closing': ('{} turns off', '{} goes out', '{} goes dark', '{} is being switched off'),
        'open': (
            *('{} is on', '{} stays on', '{} is shining', '{} has been turned on', '{} is lit'),
            *('{} is already on', '{} was left on'),
        ),
    },
    'kettle': {
        'opening': ('{} moves', '{} is being moved', '{} slides to the back', '{} is pushed away'),
        'closing': ('{} comes back to the front', '{} is pulled back', '{} moves to the front'),
        'open': (
            *(
                '{} is on the back burner',
                '{} stands at the back',
                '{} has been moved to the back',
            ),
            *('{} rests on the rear burner',),
        ),
    },
}
_BURNER_STATEMENTS = {
    'opening': (
        *('{} turns red', '{} goes on', '{} heats up', '{} lights up red', '{} gets hot'),
        *('{} is being switched on', '{} starts to glow', '{} turns on', '{} begins heating'),
    ),
    'closing': (
        *('{} turns off', '{} cools down', '{} goes off', '{} stops glowing'),
        *('{} is being switched off',),
    ),
    'open': (
        *('{} is on', '{} stays on', '{} is hot', '{} glows red', '{} is already on'),
        *('{} has been turned on', '{} was left on'),
    ),
}
_ACTS = {
    'microwave': (_OPEN_DOOR, _CLOSE_DOOR),
    'hinge': (_OPEN_DOOR, _CLOSE_DOOR),
    'slide': (_SLIDE_OPEN, _SLIDE_CLOSED),
    'light': (_LIGHT_ON, _OFF),
    'bottom_burner': (_BURNER_ON, _OFF),
    'top_burner': (_BURNER_ON, _OFF),
    'kettle': (_MOVE_KETTLE, _RETURN_KETTLE),
}
_IDLE = Grammar(
    ('robot', 'robot arm', 'arm', 'manipulator', 'gripper'),
    statements=(
        *('{} does nothing', '{} stands still', '{} waits', '{} is idle', '{} rests'),
        *('{} stays where it is', '{} is not moving', '{} stays at home', '{} is motionless'),
        *('{} keeps still and nothing happens',),
    ),
)
_WANDERING = Grammar(
    ('robot', 'robot arm', 'arm', 'manipulator', 'hand of the robot'),
    statements=(
        *('{} moves randomly', '{} waves around', '{} wanders about', '{} flails in the air'),
        *('{} moves without touching anything', '{} swings through the air', '{} explores'),
        *('{} moves around aimlessly', '{} jerks around', '{} drifts away from everything'),
    ),
)


_SPOKEN = {'slide': 'sliding cabinet', 'hinge': 'hinged cabinet'}
_KETTLE_WORDS = {
    'opening': 'moving the kettle to the back',
    'closing': 'moving the kettle to the front',
}


def grammar_of(concept: str) -> Grammar:
    """All ways to say a concept."""
    if '/' not in concept:
        return {'idle': _IDLE, 'wandering': _WANDERING}[concept]
    element, phase = concept.split('/')
    statements = _STATEMENTS.get(element, _BURNER_STATEMENTS)
    opening, closing = _ACTS[element]
    acts = {'opening': opening, 'closing': closing, 'reaching': _REACH, 'touching': _TOUCH}
    return Grammar(NOUNS[element], acts.get(phase, ()), statements.get(phase, ()))


def describe(concept: str) -> str:
    """A concept in words, such as `switching on the bottom burner`."""
    if '/' not in concept:
        return {'idle': 'doing nothing', 'wandering': 'moving about'}[concept]
    element, phase = concept.split('/')
    thing = f'the {_SPOKEN.get(element, element.replace("_", " "))}'
    if phase in ('reaching', 'touching'):
        return f'reaching for {thing}' if phase == 'reaching' else f'touching {thing}'
    if element == 'kettle':
        return f'{thing} is at the back' if phase == 'open' else _KETTLE_WORDS[phase]
    switched = element in ('light', 'bottom_burner', 'top_burner')
    if phase == 'open':
        return f'{thing} is {"on" if switched else "open"}'
    return (
        f'switching {"on" if phase == "opening" else "off"} {thing}'
        if switched
        else (f'{phase} {thing}')
    )


def training_phrases() -> Phrases:
    """Sentences of every concept, the same at every call, without the evaluation prompts."""
    drawn, more = {}, everyday_phrases('kitchen')
    for seed, concept in enumerate(CONCEPTS):
        known = draw(grammar_of(concept), SENTENCES_A_CONCEPT, seed, EVALUATION_PROMPTS)
        drawn[concept] = tuple(dict.fromkeys((*known, *more[concept])))
    return drawn
