"""Sentences that the kitchen's reader is chosen and measured with; it learns none of them.

`CHOICE` is what sentences, settings and the threshold of the reader were chosen with. `TEST` was
written after all of that was settled, and is looked at for its error rates alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Kind = Literal['request', 'unrelated', 'negated', 'unclear']
"""What a sentence is: a request for one task, something else that holds words of the kitchen or
its verbs, a prohibition, or what does not say what to do or asks for several things."""

CHOICE: Mapping[Kind, tuple[str, ...]] = {
    'request': (
        *('could you open the microwave for me', 'robot, open the microwave now'),
        *('microwave open please', 'I would like the microwave to be open', 'open that microwave'),
        *("grab the microwave's handle and pull", "swing the microwave's door wide"),
        *('gently pull the door of the microwave open', 'close the microwave for me'),
        *('shut that microwave door, will you', 'lights on', 'light on'),
        *('turn the lights on please', 'make the kitchen bright', 'flick the light switch on'),
        *('hit the lights', 'the lamp goes on', 'turn that lamp off', 'lights off please'),
        *('switch off the light above the stove', 'fire up the burner', 'turn on the stove'),
        *('heat the bottom burner', 'the stove knob is turned until the plate glows'),
        *('make the burner red hot', 'switch the front burner on', 'turn the burner off'),
        *('turn on the burner at the back', 'rear burner on', 'open the slide cabinet'),
        *('slide the cabinet to the right', 'slide the cabinet door aside'),
        *('push the slider open', 'open the cabinet that slides', 'slide the cabinet over'),
        *('close the sliding cabinet please', 'open the hinged cabinet door'),
        *('swing the hinged cabinet open', 'open the cabinet with the hinges'),
        *('shut the hinge cabinet', 'move the kettle to the back', 'push the kettle backwards'),
        *('put the kettle on the back burner', 'shift the kettle to the rear of the stove'),
        *('bring the kettle back to the front', 'pull the kettle forward'),
        *('reach towards the kettle', 'touch the kettle', 'move your hand to the microwave'),
        *('go over to the light switch', 'touch the microwave handle'),
        *('the robot opens the microwave door', 'an arm slides the cabinet open'),
        *('a robot turns the burner on', 'a robot turning on the light'),
        *('robot hand pushing the kettle', 'wave your arm around', 'stay still', 'do nothing'),
        'move around randomly',
    ),
    'unrelated': (
        *('the stock market closed lower today', 'close the browser', 'lights, camera, action'),
        *('turn left at the lights', 'burn the house down', 'open the fridge'),
        *('shut the blinds before it gets dark', 'the supermarket on the corner opens at eight'),
        *('my cousin turned on me', 'open the email from your landlord'),
        *('pull the plug on the project', 'the light was beautiful in venice'),
        *('cabinet ministers were sacked', 'switch lanes on the motorway'),
        *('he burned his fingers on the deal', 'what did you heat up for lunch'),
        *('kettle chips are on offer', 'the microwave in the staff room stinks'),
        *('sell the stove on the internet', 'can you close my savings account'),
        *('slide the bolt on the gate', 'light travels faster than sound'),
        *('move the meeting to friday', 'push for a higher salary', 'turn the music down'),
        *('the burner of the hot air balloon roared', 'get the drawer open'),
        *('touch the screen to continue', 'reach the summit before noon'),
        *('the door of the plane was opened at the gate', 'how do I switch the language'),
        *('turn on subtitles', 'a robot vacuum cleaned the kitchen', 'open the lid of the jar'),
        *('put the kettle in a moving box for the new flat', 'the pot was hidden by the dealer'),
        *('make popcorn in the microwave', 'place the cup inside the cupboard'),
        *('set the kitchen on fire', 'shut the window, it is cold', 'the hob needs scrubbing'),
        *('is the kettle boiling yet', 'did you see who left the light on', 'twist my arm'),
        *('flip the pancake', 'raise the lamp by ten centimetres'),
        *('paint the hinged cabinet green', 'the sliding doors of the train closed'),
        *('she opened up about her childhood', 'the top of the league heats up'),
        *('switch off your phone', 'the front burner of public attention', 'unscrew the bulb'),
        *('open season on ducks', 'knobs are sold separately', 'the oven is preheated'),
        *('light a cigarette', 'open the taxi door', 'activate the windows licence'),
        'close the tap',
    ),
    'negated': (
        *('do not open the microwave', 'never open the microwave'),
        *('please leave the kettle alone', 'the light should stay off'),
        *('stop opening the cabinet', "I don't want the burner on"),
        *('keep the sliding cabinet shut', 'under no circumstances switch on the stove'),
        *('refrain from touching the kettle', 'no opening of the microwave'),
        'please do anything except open the microwave',
        *('you are not allowed to move the kettle', "it's forbidden to turn the light on"),
        *("don't you dare turn on the burner", 'we would rather not slide the cabinet open'),
        *('avoid the top burner', 'the microwave is to stay closed', 'hands off the light switch'),
        *("let's not open the hinged cabinet", 'nobody is to turn on the lamp'),
        *('open the microwave? no', 'opening the microwave is a bad idea, so do not do it'),
        *("isn't it better to leave the light off", "the burner shouldn't be turned on"),
        "won't you leave the microwave closed",
    ),
    'unclear': (
        *('twist the light knob', 'slide the cupboard open', 'open everything'),
        *('open the microwave and switch on the light', 'open the cupboard'),
        *('turn the light knob', 'open and close the microwave'),
        *('first move the kettle, then turn on the burner', 'turn the light on and off'),
        *('switch on all the burners', 'open the microwave, the cabinet and the cupboard', 'stop'),
        *('wait', 'emergency', 'open it'),
    ),
}

TEST: Mapping[Kind, tuple[str, ...]] = {}

MEASURED = {
    f'{name}/{kind}': sentences
    for name, sets in (('choice', CHOICE), ('test', TEST))
    for kind, sentences in sets.items()
}
