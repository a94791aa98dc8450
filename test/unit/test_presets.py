"""What presets and recipes stand for; `paper` for the published numbers (facts 1 to 3)."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from genrl_ros.behavior.critic import Critic
from genrl_ros.cli import main
from genrl_ros.cli.commands import eval as eval_command
from genrl_ros.cli.commands import learn, pretrain, train_all
from genrl_ros.cli.defaults import defaults
from genrl_ros.config.model import PRESETS, model_preset
from genrl_ros.config.presets import TRAINING
from genrl_ros.config.training import FocusConfig, WorldModelConfig
from genrl_ros.domains import registry
from genrl_ros.system.share import share_path
from genrl_ros.training.behavior.ground import matching_embedder
from genrl_ros.world_model.actor import Actor
from genrl_ros.world_model.checkpoint import read_card
from genrl_ros.world_model.mfwm import MFWM


def millions(*modules: nn.Module) -> float:
    return sum(p.numel() for module in modules for p in module.parameters()) / 1e6


def test_published_parameter_counts() -> None:
    sizes = model_preset('paper', action_dim=6)
    with torch.device('meta'):
        model = MFWM(sizes)
        actor = Actor(sizes.feat, sizes.units, sizes.layers, sizes.action_dim)
        critic = Critic(sizes.feat, sizes.units, sizes.layers)
    tokenizer, exact = model.tokenizer, {'abs': 0.005}
    assert millions(tokenizer.encoder) == pytest.approx(1.55, **exact)
    assert millions(tokenizer.decoder) == pytest.approx(9.58, **exact)
    assert millions(tokenizer.posterior, model.sequence) == pytest.approx(12.08, **exact)
    assert millions(tokenizer, model.sequence) == pytest.approx(23.2, abs=0.05)
    assert millions(model.connector) == pytest.approx(12.62, **exact)
    assert millions(model.aligner) == pytest.approx(1.97, **exact)
    assert millions(actor) == pytest.approx(5.27, **exact)
    assert millions(critic) == pytest.approx(5.52, **exact)


def given(
    monkeypatch: pytest.MonkeyPatch, command: object, *arguments: str, domain: str = 'kitchen'
) -> object:
    """The configuration that a command line leads to."""
    seen = []

    def keep(config: object) -> int:
        seen.append(config)
        return 0

    monkeypatch.setattr(command, 'main', keep)
    name = command.__name__.rsplit('.', 1)[1].replace('_', '-')
    assert main.main([name, domain, *arguments]) == 0
    return seen[0]


@pytest.mark.parametrize('command', ['pretrain', 'connect', 'train-all', 'collect'])
def test_a_seed_that_is_none_is_told(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main([command, 'kitchen', '--seed', '-1'])
    assert '--seed must be at least 0, got -1' in capsys.readouterr().err


def test_pretrain_takes_the_published_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    config = given(monkeypatch, pretrain, '--preset', 'paper', '--data', 'somewhere')
    assert config.data == Path('somewhere')
    assert (config.dynamics.updates, config.prior.updates) == (0, 0)
    optim = {
        'lr': 1e-4, 'eps': 1e-8, 'clip': 1000.0, 'weight_decay': 1e-6, 'warmup': 0,
        'final_lr': 1.0, 'ema': 0.0,
    }  # fmt: skip
    batches = {'updates': 500_000, 'batch': 48, 'length': 48, 'optim': optim}
    whole = {'top': 0, 'bottom': 64, 'left': 0, 'right': 64, 'weight': 1.0}
    losses = {'kl_scale': 0.6, 'kl_balance': 0.85, 'free_nats': 1.0, 'focus': whole}
    assert asdict(config.world_model) == batches | losses
    assert asdict(config.connect) == batches | {'kl_scale': 0.8}


@pytest.mark.parametrize('command', [learn, eval_command])
def test_learning_takes_the_published_numbers(
    monkeypatch: pytest.MonkeyPatch, command: object
) -> None:
    config = given(monkeypatch, command, '--preset=paper', '--learning.seed', '3')
    assert asdict(config.learning) == {
        'updates': 50_000, 'starts': 1_024, 'horizon': 16, 'warmup_steps': 5, 'dreamed': 0.5,
        'gamma': 0.99, 'lambda_': 0.95, 'prior': 0.0, 'from_prior': True, 'critic_first': 0,
        'reward': 'sequence',
        'actor_lr': 3e-5, 'critic_lr': 3e-5, 'clip': 100.0, 'weight_decay': 1e-6,
        'target_every': 100, 'continued': 0.0,
        'align': 'sequence', 'seed': 3, 'precision': 'float32', 'threads': 1,
    }  # fmt: skip


def test_a_flag_overrides_its_preset_and_small_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paper = given(
        monkeypatch, pretrain, '--world-model.updates', '7', '--preset', 'paper',
        '--world-model.optim.lr', '3e-4',
    )  # fmt: skip
    assert (paper.world_model.updates, paper.world_model.batch) == (7, 48)
    assert paper.world_model.optim.lr == 3e-4
    toy = given(monkeypatch, pretrain, domain='toy')
    assert toy == given(monkeypatch, pretrain, '--preset', 'small', domain='toy')


def test_a_domain_is_trained_by_its_recipe_unless_a_preset_or_a_flag_says_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kitchen = given(monkeypatch, train_all)
    assert (kitchen.frames, kitchen.data_seed, kitchen.threads) == (126_336, 1, 1)
    assert kitchen.world_model.focus == FocusConfig(21, 26, 26, 31, 20.0)
    assert kitchen.world_model.updates == WorldModelConfig().updates
    other = given(monkeypatch, train_all, '--world-model.focus.top', '20', '--frames', '9')
    assert (other.frames, other.world_model.focus.top, other.world_model.focus.left) == (9, 20, 26)
    assert given(monkeypatch, train_all, '--preset', 'base').world_model.focus == FocusConfig()


def test_imagination_alone_is_learned_as_the_recipe_says_without_its_anchor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where policies begin as the prior, its settings are none for random weights."""
    walker, kitchen = (
        given(monkeypatch, eval_command, domain=name) for name in ('walker', 'kitchen')
    )
    assert walker.imagination == replace(walker.learning, prior=0.0)
    assert walker.learning.prior > 0
    assert kitchen.imagination == eval_command.IMAGINATION


SHIPPED = [file.parent.name for file in share_path('models').glob('*/mfwm.json')]


@pytest.mark.parametrize('domain', SHIPPED)
def test_a_shipped_model_asks_for_the_embedder_that_ships_with_it(domain: str) -> None:
    card = read_card(share_path('models', domain))[1]
    assert card.embedder == 'embedded'  # and not for a folder of the machine that made it
    assert matching_embedder(card).identity == card.embedder_identity


@pytest.mark.parametrize('domain', SHIPPED)
def test_the_recipe_made_the_shipped_model(monkeypatch: pytest.MonkeyPatch, domain: str) -> None:
    made = read_card(share_path('models', domain))[1].training
    recipe = given(monkeypatch, train_all, domain=domain)
    seen = sum(task.split == 'seen' for task in registry.get(domain).tasks)
    tried = [seen + recipe.rounds.goals_in(1 + number) for number in range(recipe.rounds.count)]
    rounds = recipe.rounds.frames_each * sum(tried)  # episodes are whole, so a few more
    assert recipe.frames + rounds <= made['data']['frames'] < 1.01 * (recipe.frames + rounds)
    assert made['seed'] == recipe.seed
    for stage in ('world_model', 'dynamics', 'connect', 'prior', 'nearness'):
        if stage not in made:  # of a format before it
            continue
        settings = {name: value for name, value in made[stage].items() if name != 'seed'}
        asked = asdict(getattr(recipe, stage))
        assert settings == {name: asked[name] for name in settings}, stage


def test_a_recipe_that_is_none_names_its_file(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / 'share' / 'genrl_ros' / 'config' / 'train'
    folder.mkdir(parents=True)
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    for content, problem in (
        ('pretrain: {world_model: {focuss: 1}}', "world_model: unknown key 'focuss'"),
        ('train: {}', r"robot\.yaml: unknown key 'train'; known: collect, pretrain"),
        ('{', r'robot\.yaml is no YAML'),
    ):
        (folder / 'robot.yaml').write_text(content)
        with pytest.raises(ValueError, match=problem):
            defaults('pretrain', pretrain.Config, ['robot'])


def test_every_size_has_its_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert TRAINING.keys() == PRESETS.keys()
    with pytest.raises(SystemExit):
        main.main(['pretrain', 'kitchen', '--preset', 'huge'])
    assert 'huge' in capsys.readouterr().err
