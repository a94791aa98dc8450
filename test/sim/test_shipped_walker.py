"""The shipped walker: a sentence's goal looks like the pose that it asks for."""

import contextlib

import numpy as np
import torch
from torch.nn import functional as F

from genrl_ros.behavior.rewards.sequence import target_features
from genrl_ros.domains.walker.physics import Walker
from genrl_ros.domains.walker.puppeteer import draw_pose
from genrl_ros.system.share import shipped_model
from genrl_ros.training.behavior.ground import matching_embedder
from genrl_ros.world_model import latents
from genrl_ros.world_model.checkpoint import load_mfwm

SENTENCES = {
    'standing': 'remain standing',
    'one foot': 'lift one leg and balance on the other one',
    'high kick': 'kick up to the ceiling',
    'kneeling': 'get down on your knees',
    'lunging': 'do a deep lunge',
    'lying': 'lie flat on the floor',
    'crouching': 'squat down low',
    'headstand': 'stand on your head',
    'bowing': 'bow to the audience',
}
DRAWN = 12
"""Poses of a kind, and states of a goal."""


@torch.no_grad()
def test_the_goal_of_a_sentence_looks_like_the_pose_that_it_asks_for() -> None:
    torch.manual_seed(0)
    model, card = load_mfwm(shipped_model('walker'))
    embedder = matching_embedder(card)
    rng, seen = np.random.default_rng(0), []
    with contextlib.closing(Walker()) as walker:
        for name in SENTENCES:
            for _ in range(DRAWN):
                walker.pose(draw_pose(walker, name, rng))
                seen.append(walker.render())
    stoch = latents.mode(
        latents.log_probs(model.tokenizer.encode(torch.from_numpy(np.stack(seen))))
    )
    poses = F.normalize(model.tokenizer.project(stoch), dim=-1).unflatten(0, (-1, DRAWN))
    placed = {}
    for number, sentence in enumerate(SENTENCES.values()):
        (embedding,) = embedder.embed_text([sentence])
        goal = target_features(model, torch.from_numpy(embedding), 4, DRAWN).flatten(0, 1)
        likeness = torch.einsum('ge,pde->gpd', F.normalize(goal, dim=-1), poses)
        by_pose = likeness.amax(-1).mean(0)
        placed[sentence] = int((by_pose > by_pose[number]).sum())
    # One of nine at random would be placed fourth on average.
    assert sum(place == 0 for place in placed.values()) >= 7, placed
    assert max(placed.values()) <= 2, placed
