"""Sentences about a body that no training has seen, written apart from the grammar."""

from __future__ import annotations

from genrl_ros.vlm.phrases import Phrases

HELD_OUT: Phrases = {
    'standing': (
        'remain vertical without moving', 'just stand there', 'hold yourself erect',
        'the figure is on its feet and motionless', 'wait on your two legs',
    ),
    'one foot': (
        'take a foot off the floor and keep your balance', 'a figure poised on its left leg',
        'tree pose', 'only one foot may touch the floor', 'pull a thigh up and hold it',
    ),
    'high kick': (
        'bring your foot above your head', 'aim a kick at the ceiling', 'a cancan dancer',
        'strike the air with your foot', 'boot an imaginary ball over the roof',
    ),
    'kneeling': (
        'get down on bended knees', 'a worshipper in church', 'genuflect with both legs',
        'shins on the floor, body upright', 'beg on your knees',
    ),
    'lunging': (
        'genuflect on one side', 'a fencer attacking', 'warrior pose',
        'one leg in front, the other knee behind on the floor', 'ask her to marry you',
    ),
    'lying': (
        'be horizontal on the floor', 'a body at rest on the ground', 'have a rest on your back',
        'stay down flat', 'a sleeper',
    ),
    'sitting': (
        'park your bottom on the floor', 'a toddler on the floor with outstretched legs',
        'remain seated on the ground', 'have a sit-down', 'sit as at a picnic',
    ),
    'crouching': (
        'make yourself small with bent legs', 'a catcher behind home plate',
        'lower your hips as in the gym', 'knees bent, feet flat, stay low', 'hide behind a hedge',
    ),
    'headstand': (
        'legs in the air, head on the floor', 'an upside-down figure', 'yoga inversion',
        'feet up, head down', 'balance with your soles to the ceiling',
    ),
    'bowing': (
        'incline your upper body', 'greet as in Japan', 'reach for the floor with straight legs',
        'the actor thanks the audience', 'lower the torso until it is level',
    ),
    'walking slowly': (
        'amble along', 'go on a ramble', 'drag your feet', 'no hurry, one step and then another',
        'like an old man on his way to the shop',
    ),
    'walking': (
        'put one foot in front of the other', 'a pedestrian', 'get there on foot',
        'proceed at walking pace', 'pace down the street',
    ),
    'running': (
        'a hundred metre race', 'go as fast as your legs carry you', 'chase the bus',
        'a marathon athlete in action', 'bolt', 'speed ahead on your legs',
    ),
    'walking backwards': (
        'proceed in the opposite direction without turning round', 'withdraw step by step',
        'rewind your steps', 'go in reverse', 'take a few paces to the rear',
    ),
    'flipping': (
        'an acrobat turning over', 'go head over heels', 'a gymnast on the mat',
        'loop through the air', 'revolve completely',
    ),
    'rolling': (
        'turn over along the ground', 'like a barrel down a slope',
        'go round and round on the floor', 'a somersault that never leaves the ground',
        'a child on a grassy hill, over and over',
    ),
    'jumping': (
        'get both feet off the ground', 'skip with a rope', 'bounce like a ball',
        'a basketball player at the hoop', 'launch yourself upwards',
    ),
    'falling': (
        'go down like a felled tree', 'lose your footing', 'take a tumble to the floor',
        'knocked down', 'keel over',
    ),
    'getting up': (
        'from the floor back to your feet', 'straighten up after lying down', 'rise and shine',
        'work your way up from the ground', 'come up to a stand',
    ),
    'wandering': (
        'do anything', 'fidget', 'a jumble of movements', 'jerk all over', 'struggle about',
    ),
}  # fmt: skip
