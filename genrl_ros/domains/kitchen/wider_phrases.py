"""More ways to say what the kitchen's concepts are: only its reader learns them.

The head of the embedder, whose weights world models depend on, learns the phrases of `phrases.py`.
"""

from __future__ import annotations

MANNER = (
    *('{} now', '{} slowly', '{} carefully', '{} gently', '{} for me', '{}, please', 'now {}'),
    *('hey robot, {}', 'robot, {}', 'robot {}', '{} right now', '{} quickly', 'could you {}'),
    *('would you {}', 'i want you to {}', 'try to {}', 'use the arm to {}', 'your task is to {}'),
    *('{} with the gripper', '{} again', '{} once', 'first of all {}', 'just {}', "let's {}"),
    *('{} at once', '{} immediately', 'ok, {}', 'now please {}', 'will you {}'),
    *('i need you to {}', '{}!', '{} if you can', 'you can {} now', 'a robot has to {}'),
    *('quick, {}', 'help me {}'),
)
"""How a request is wrapped; `{}` stands for a sentence in the imperative."""

OPENING = {
    'microwave': (
        *('prise {} open', 'draw {} open', 'throw {} open', 'unlatch {}', 'widen {}'),
        *('fling {} open', 'get {} to open', 'make {} open', 'pull {} towards you'),
        *('pull at the handle of {}', 'pull the handle of {} until it is open'),
        *('bring {} into the open position', 'have {} opened', '{} should be open'),
        *('{} has to be open', 'i would like {} to be open', '{} open', 'let {} swing open'),
        *('open {} to the full', 'set {} wide open', '{} needs to be opened'),
        *('take the handle and swing {} open', 'hold the handle and pull {} open'),
        *('swing {} outwards', 'uncover {}', 'unfasten {}', 'unbolt {}', 'unlock {}'),
        *('jerk {} open', 'haul {} open', 'grip {} and pull', 'give {} a pull', '{} is torn open'),
        *('gain access to {}', 'undo {}', '{} is unlocked and opened'),
        *('check that {} is opened wide', 'take care that {} opens'),
    ),
    'slide': (
        *('draw {} aside', 'glide {} open', 'roll {} open', 'push {} sideways', 'slide {} over'),
        *('make {} slide', 'get {} to slide open', 'pull {} to the right'),
        *('bring {} to the right', 'slide {} to the side', 'move {} to the right'),
        *('shift {} right', 'slide {} rightwards', '{} should be open', '{} has to be open'),
        *('{} open', '{} needs to be opened', 'push {} open', 'have {} opened'),
        *('i would like {} to be open', 'slide {} until it is open', 'uncover {}', 'unfasten {}'),
        *('unbolt {}', 'unlock {}', 'haul {} to the right', 'free {}', 'tug {} to the right'),
        *('give {} a push to the right', '{} rolls open', 'gain access to {}'),
        *('check that {} is open', 'take care that {} slides open', 'clear {} away', 'undo {}'),
    ),
    'light': (
        *('light {}', 'brighten {}', 'press {} on', 'flick {} on', 'push {} on', 'set {} to on'),
        *('turn {} to on', 'have {} on', '{} on', '{} should be on', '{} has to be on'),
        *('start {}', 'get {} on', 'bring {} on', 'we need {} on', 'let {} burn', 'flip {} up'),
        *('make {} bright', 'switch {} to on', 'i would like {} to be on'),
        *('twist the knob to switch on {}', 'make light with {}', 'light up the room with {}'),
        *('it gets bright as {} goes on', '{} begins to glow', '{} flares up'),
        *('brightness comes from {}', '{} shines from now on', 'lighten the place with {}'),
        *('let {} shine', 'send light from {}', 'have {} go on', 'lay {} on'),
        'light the kitchen with {}',
    ),
    'burner': (
        *('start {}', 'start up {}', 'warm up {}', 'make {} hot', 'make {} red', 'make {} glow'),
        *('turn up {}', 'set {} to on', 'turn the knob of {} on', 'turn the knob for {}', '{} on'),
        *('{} should be on', '{} has to be on', 'let {} glow', 'get {} hot', 'kindle {}'),
        *('power {}', 'use the knob to turn on {}', 'turn the knob so that {} is on'),
        *('have {} on', 'run {}', 'turn the knob to heat {}', 'bring {} to a glow', 'get {} red'),
        *('i would like {} to be on', 'put {} to work', 'set {} on', 'begin to cook on {}'),
        *('increase the heat of {}', '{} becomes warm', '{} gets red', '{} begins to burn'),
        *('raise the flame of {}', 'strike a flame on {}', 'let {} heat up', 'feed {} with power'),
        *('operate {} until it is hot', 'set {} ablaze', 'set {} burning', 'inflame {}'),
        *('spark {}', 'make fire on {}', 'get {} to burn'),
    ),
    'kettle': (
        *('push {} away', 'push {} backwards', 'move {} back', 'move {} to the rear', 'push {}'),
        *('carry {} to the back', 'take {} to the back burner', 'place {} at the back'),
        *('shift {}', 'put {} on the back burner', 'slide {} to the back'),
        *('set {} on the rear plate', 'move {} to another burner', 'get {} to the back'),
        *('shift {} backwards', 'pick up {}', 'move {} onto the top burner'),
        *('{} should be at the back', 'push {} further back', '{} is brought to the back'),
        *('{} is taken away from the front', 'clear {} from the front', 'haul {} to the rear'),
        *('{} ends up on the rear burner', 'transfer {} to the back', 'budge {}'),
        *('send {} to the back', 'rearrange {}', 'bring {} to the far side'),
        *('drag {} to the back', 'remove {} from the front', 'put {} elsewhere'),
        *('change the place of {}', 'get {} out of the way'),
    ),
}
CLOSING = {
    'microwave': (
        *('bang {} shut', 'pull {} shut', 'throw {} shut', 'make {} close', 'press {} shut'),
        *('{} should be closed', '{} has to be shut', 'have {} closed', '{} shut'),
        *('get {} closed', 'push {} closed', 'bring {} into the closed position'),
        *('i would like {} to be closed', 'close up {}', 'fasten {}', 'bolt {}', 'lock up {}'),
        *('clap {} shut', 'smack {} shut', '{} is to be shut', 'undo the opening of {}'),
        *('block {} off', 'swing {} back'),
    ),
    'slide': (
        *('push {} shut', 'roll {} shut', 'slide {} back', 'move {} to the left', 'pull {} shut'),
        *('push {} back to the left', '{} should be closed', '{} has to be shut', 'get {} closed'),
        *('bring {} back', 'have {} closed', 'slide {} leftwards', '{} shut', 'close up {}'),
        *('fasten {}', 'bolt {}', 'lock up {}', 'draw {} shut', '{} rolls back', 'glide {} back'),
        *('cover the shelf with {}', 'block {} off', 'tug {} back to the left'),
    ),
    'light': (
        *('flip {} off', 'flick {} off', '{} off', '{} should be off', 'dim {} until it is off'),
        *('turn {} to off', 'set {} to off', 'get {} off', 'darken {}', 'have {} off'),
        *('quench {}', 'douse {}', 'snuff out {}', 'cut {}', 'make {} go out'),
        *('end the shine of {}', '{} no longer shines', 'no light from {}'),
        *('darkness as {} goes off', '{} dies down', 'disable {}', 'power off {}'),
        *('power down {}', 'unlight {}', 'let {} go out', 'black out {}', 'blow out {}'),
        *('make {} dark', '{} darkens', 'shut {} down', 'end {}', 'have {} go dark'),
        *('let it get dark by switching {} off', 'bring darkness with {}', '{} must go out'),
        'take the power from {}',
    ),
    'burner': (
        *('turn down {}', 'set {} to off', '{} off', '{} should be off', 'let {} go cold'),
        *('cool {}', 'turn the knob of {} off', 'turn the knob back to stop {}', 'have {} off'),
        *('get {} off', 'douse {}', 'quench {}', 'cut {}', 'make {} go out', 'end the heat of {}'),
        *('shut down {}', '{} no longer glows', 'no heat from {}', 'no more flame on {}'),
        *('{} dies down', 'disable {}', 'power off {}', 'power down {}', 'let {} cool'),
        *('take the heat from {}', 'halt {}', 'stop heating with {}', 'no longer heat {}'),
        *('put an end to {}', 'smother {}', 'shut {} down', 'choke {}', 'make {} cold'),
        *('{} must go out', 'blow out {}', '{} gets cold again', 'finish heating with {}'),
        'turn {} cold',
    ),
    'kettle': (
        *('pull {} towards you', 'take {} back to the front', 'move {} forward'),
        *('pull {} to the front', 'put {} back on the front burner', 'get {} to the front'),
        *('{} should be at the front', 'slide {} to the front', 'carry {} back'),
        *('place {} at the front', 'push {} to the front', '{} is brought to the front'),
        *('take {} from the rear', 'haul {} to the front', '{} ends up on the front burner'),
        *('transfer {} to the front', 'bring {} closer', 'get {} from the back'),
        *('drag {} to the front', 'have {} near', 'draw {} near'),
    ),
}
REACHING = (
    *('move the hand to {}', 'move the gripper towards {}', 'come near {}', 'get near {}'),
    *('head to {}', 'point at {}', 'move close to {}', 'advance to {}', 'bring the gripper to {}'),
    *('the hand goes to {}', 'the arm nears {}', 'go over to {}', 'steer the arm to {}'),
    *('the gripper goes to {}', 'the gripper moves over to {}', 'the hand approaches {}'),
    *('the manipulator moves towards {}', 'the fingers come close to {}', 'the arm aims at {}'),
    *('the gripper is on its way to {}', 'lead the hand to {}', 'put the hand near {}'),
    *('visit {}', 'the robot walks its hand to {}', 'the arm extends to {}'),
    *('the hand comes up to {}', 'the gripper drives to {}', 'the gripper sets out for {}'),
    *('the gripper turns to {}', 'the hand flies to {}', 'the gripper makes for {}'),
)
TOUCHING = (
    *('put the hand on {}', 'keep the hand on {}', 'lay a finger on {}', 'feel {}', 'tap {}'),
    *('hold {} and do not move it', 'hold on to {}', 'touch {} without moving it', 'grip {}'),
    *('the hand is at {} and nothing moves', '{} does not move when the hand touches it'),
    *('the gripper stays at {}', '{} does not give way', 'touch {} without opening it'),
    *('the hand is at {} but nothing happens', '{} stays put under the hand', 'rest at {}'),
    *('stay at {} without moving it', '{} does not react to the touch'),
)
RESTING = {
    'door': (
        *('{} is wide open now', '{} stands ajar', 'an open door of {}', '{} is fully open'),
        *('{} was opened and stays so', 'one can see into {}', '{} is left wide open'),
        *('someone did not close {}', 'someone has left {} open', 'an open {n}', 'the open {n}'),
        *('{} gapes', 'one sees what is in {}', '{} has been open for long', 'a wide open {n}'),
        *('what is behind {} can be seen', '{} was not closed', '{} is as open as can be'),
    ),
    'switched': (
        *('{} is glowing', '{} is switched on', '{} burns', 'someone left {} on'),
        *('{} still shines', '{} is turned on and stays on', '{} gives heat', '{} is still on'),
        *('someone did not switch off {}', 'someone has left {} on', 'a shining {n}'),
        *('the hot {n}', '{} was not turned off', '{} was forgotten and is on', 'a hot {n}'),
        *('a red {n}', '{} spreads heat', '{} is aglow', 'a {n} that is on', '{} runs'),
        '{} has been on for long',
    ),
    'kettle': (
        *('{} is at the back', '{} stands on the rear burner', '{} stays at the back'),
        *('a {n} on the rear burner', 'someone has put {} at the back', '{} sits in the back'),
        *('{} is far from the front', '{} is not at the front', 'the {n} at the back'),
    ),
}
IDLE = (
    *('stand still', 'keep still', 'stay still', 'stay where you are', 'remain motionless'),
    *('rest', 'do nothing', 'nothing happens', 'the robot does not move'),
    *('the arm does not move at all', 'hold still', 'stay put', 'idle', 'be idle'),
    *('keep your position', 'the arm is at rest', 'no movement', 'without moving'),
    *('the robot is frozen', 'the robot keeps calm', 'hold your pose', 'be still'),
    *('just stand there', 'the robot takes a break', 'the arm hangs there quietly', 'keep quiet'),
    *('relax', 'sleep', 'be calm', 'the machine stands still', 'the machine rests'),
    *('the robot sleeps', 'stay calm', 'nothing moves', 'the machine stops', 'take a rest'),
    *('be quiet', 'the robot remains calm', 'the robot is calm', 'stiffen'),
)
WANDERING = (
    *('move around', 'wave the arm', 'wave your arm about', 'move randomly'),
    *('move about at random', 'swing the arm', 'explore', 'explore the space', 'random motion'),
    *('random movements of the arm', 'the arm flails', 'aimless motion', 'the arm roams'),
    *('move the joints at random', 'roam about', 'shake the arm', 'move the arm through the air'),
    *('the robot gesticulates', 'wiggle the joints', 'play with the joints', 'let the arm drift'),
    *('the arm moves without a goal', 'the arm strays', 'aimless movement'),
    *('senseless motion of the joints', 'the arm fools around in the air'),
    *('the robot swings around', 'move without a purpose', 'swing around for no reason', 'fidget'),
    *('wobble with the joints', 'the robot arm plays in the air', 'the joints move anyhow'),
)
