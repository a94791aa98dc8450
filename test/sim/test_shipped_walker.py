"""The shipped walker: what a sentence's goal looks like, and what its reward takes for it."""

import contextlib

import numpy as np
import torch
from torch.nn import functional as F

from genrl_ros.behavior.actor_critic import Dream
from genrl_ros.behavior.rewards.nearness import Near
from genrl_ros.behavior.rewards.sequence import target_features
from genrl_ros.domains import registry
from genrl_ros.domains.snapshots import StateActor, read_snapshots
from genrl_ros.domains.walker.physics import Walker, observe
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


STEPS, SETTLED, STILL_STEPS = 120, 80, 24
"""Agent steps of a collector, of those until it does what it has learned, and of a frame held."""


def driven(collector: StateActor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images `(1, T, 3, 64, 64)` and actions `(1, T, A)` of a collector's policy."""
    domain = registry.get('walker')
    images, actions = [], [np.zeros(domain.robot.action_dim, np.float32)]
    with contextlib.closing(Walker()) as walker:
        walker.reset(seed)
        for _ in range(STEPS):
            images.append(walker.render())
            actions.append(collector.act(observe(walker)))
            for _ in range(domain.robot.action_repeat):
                walker.control(actions[-1].astype(np.float64) * domain.robot.action_scale)
    return torch.from_numpy(np.stack(images))[None], torch.from_numpy(np.stack(actions[:-1]))[None]


@torch.no_grad()
def test_the_reward_of_a_sentence_is_highest_for_who_does_it() -> None:
    """Who stands, walks or runs is told by how it moves; in mid-stride, nobody walks or runs."""
    torch.manual_seed(0)
    folder = shipped_model('walker')
    model, card = load_mfwm(folder)
    embedder = matching_embedder(card)
    rewards = [
        Near(model, torch.from_numpy(embedder.embed_text([sentence])[0]))
        for sentence in ('remain standing', 'go for a walk', 'run as fast as you can')
    ]
    experts = {
        each.label.learns: each
        for file in sorted((folder / 'collectors').glob('tasks-*.safetensors'))
        for each in read_snapshots(file)  # from novice to expert, so that the last one stays
    }
    for number, name in enumerate(('stand', 'walk', 'run')):
        image, action = driven(experts[name], seed=5)
        first = torch.zeros(1, STEPS)
        first[0, 0] = 1
        stoch, deter = model.observe(image, action, first)
        moving = [each[0, SETTLED:, None] for each in (stoch, deter)]
        frozen = stoch[:, -1:].expand(-1, STILL_STEPS, -1, -1)
        still = model.sequence.unroll(frozen, action.new_zeros(1, STILL_STEPS, 6), deter[:, -1])
        held = [frozen[0, -8:, None], still[0, -8:, None]]
        worth, worth_held = (
            [
                float(reward(Dream(s, s.argmax(-1), d, raw=d.new_zeros(0))).mean())
                for reward in rewards
            ]
            for s, d in (moving, held)
        )
        assert int(np.argmax(worth)) == number, (name, worth)
        assert worth[number] > 0.5, (name, worth)
        if name != 'stand':
            assert worth_held[number] < worth[number] / 2, (name, worth, worth_held)
