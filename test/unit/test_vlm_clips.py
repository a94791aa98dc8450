"""Clips: made from a stage that a test can see through, and fed to training."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_training import stop_after

from genrl_ros.cli import main
from genrl_ros.config.training import RecordConfig
from genrl_ros.domains.kitchen.phrases import CONCEPTS, ELEMENTS
from genrl_ros.domains.kitchen.takes import Takes
from genrl_ros.training.embedder import clips as clips_module
from genrl_ros.training.embedder import video_tower
from genrl_ros.training.embedder.clips import FIRST_SEED, ClipConfig, Clips, make_clips
from genrl_ros.training.embedder.takes import (
    TakeSampler,
    TrainConfig,
    augment,
    contrast,
    fit_text,
    video_loss,
)
from genrl_ros.training.embedder.video_tower import fit_video
from genrl_ros.training.engine.run import Run, StoppedError
from genrl_ros.vlm.labels import FALSE, TRUE, UNSURE
from genrl_ros.world_model.checkpoint import CheckpointError

SMALL = ClipConfig(rehearsals=16, takes=30, held_out_takes=6, published_takes=4)


class Stage(Takes):
    """Seven sliders; the hand is state 7, the picture shows the first slider."""

    def __init__(self, rehearse=None) -> None:
        self.rehearse = rehearse or slide
        self.looks = []
        self._state = np.zeros(8)

    def vary_look(self, rng) -> None:
        self.looks.append('varied')

    def look_as_published(self) -> None:
        self.looks.append('published')

    def set_state(self, qpos) -> None:
        self._state = qpos

    def render(self, size=64) -> np.ndarray:
        return np.full((3, size, size), np.clip(self._state[0], 0, 1) * 255, np.uint8)

    def places(self, qpos) -> tuple[np.ndarray, np.ndarray]:
        hand = np.zeros((len(qpos), 3), np.float32)
        hand[:, 0] = qpos[:, 7]
        handles = np.zeros((len(qpos), 7, 3), np.float32)
        handles[..., 0] = np.arange(7)
        return hand, handles

    def progress(self, qpos) -> np.ndarray:
        return np.asarray(qpos[:, :7], np.float32)

    def set_element(self, qpos, element, progress) -> None:
        qpos[:, ELEMENTS.index(element)] = progress


def slide(seed) -> np.ndarray:
    rng = np.random.default_rng(seed)
    states = np.zeros((150, 8), np.float32)
    states[:, rng.integers(7)] = np.clip(np.linspace(-4.0, 2.5, 150), 0, 1)
    states[:, 7] = 20 + np.linspace(0, 15, 150)
    return states


@pytest.fixture(scope='module')
def clips(tmp_path_factory) -> Clips:
    return make_clips(Stage(), CONCEPTS, tmp_path_factory.mktemp('x') / 'clips', SMALL)


def test_frames_match_their_labels(clips) -> None:
    microwave = CONCEPTS.index('microwave/opening')
    opening = np.argwhere(np.asarray(clips.labels[:, 0, :, microwave]) == TRUE)
    assert len(opening)
    for take, start in opening:
        brightness = clips.frames[take, start : start + 8, 0, 0, 0].astype(int)
        assert brightness[-1] > brightness[0]


def test_backwards_opening_is_closing(clips) -> None:
    opening, closing = (CONCEPTS.index(f'slide/{p}') for p in ('opening', 'closing'))
    forwards = np.asarray(clips.labels[:, 0, :, opening])
    backwards = np.asarray(clips.labels[:, 1, ::-1, closing])
    np.testing.assert_array_equal(forwards, backwards)


def test_only_one_split_sees_the_published_camera(tmp_path) -> None:
    stage = Stage()
    made = make_clips(stage, CONCEPTS, tmp_path / 'clips', SMALL)
    published = np.array(stage.looks) == 'published'
    np.testing.assert_array_equal(published, np.asarray(made.split) == 2)


def test_the_same_seed_makes_the_same_clips(clips, tmp_path) -> None:
    again = make_clips(Stage(), CONCEPTS, tmp_path / 'clips', SMALL)
    np.testing.assert_array_equal(again.frames, clips.frames)
    np.testing.assert_array_equal(again.labels, clips.labels)


def test_clips_that_were_interrupted_go_on_as_if_nothing_had_been(clips, tmp_path) -> None:
    rehearsed: list[int] = []

    def note(seed) -> np.ndarray:
        rehearsed.append(seed)
        return slide(seed)

    folder = tmp_path / 'clips'
    seen: list[int] = []
    for end in (5, 20, 33):  # of 16 rehearsals and 40 takes
        with pytest.raises(StoppedError):
            make_clips(
                Stage(note), CONCEPTS, folder, SMALL, lambda done, _: seen.append(done),
                lambda end=end: seen[-1] == end,
            )  # fmt: skip
        assert not folder.exists()
    stage = Stage(note)
    made = make_clips(stage, CONCEPTS, folder, SMALL)
    assert rehearsed == list(range(FIRST_SEED, FIRST_SEED + 16))
    assert len(stage.looks) == 40 - (33 - 16)
    np.testing.assert_array_equal(made.frames, clips.frames)
    np.testing.assert_array_equal(made.labels, clips.labels)
    assert sorted(path.name for path in folder.iterdir()) == [
        'clips.json', 'frames.npy', 'labels.npy', 'split.npy'
    ]  # fmt: skip


def test_clips_that_were_killed_go_on_after_the_last_that_were_kept(
    clips, tmp_path, monkeypatch
) -> None:
    class Falling(Stage):
        def render(self, size=64) -> np.ndarray:
            if len(self.looks) == 17:
                raise MemoryError
            return super().render(size)

    monkeypatch.setattr(clips_module, 'KEEP_EVERY', 7)
    with pytest.raises(MemoryError):
        make_clips(Falling(), CONCEPTS, tmp_path / 'clips', SMALL)
    with pytest.raises(ValueError, match='takes was 30, not 31'):
        make_clips(Stage(), CONCEPTS, tmp_path / 'clips', replace(SMALL, takes=31))
    stage = Stage()
    made = make_clips(stage, CONCEPTS, tmp_path / 'clips', SMALL)
    assert len(stage.looks) == 40 - 14
    np.testing.assert_array_equal(made.frames, clips.frames)
    np.testing.assert_array_equal(made.labels, clips.labels)


@pytest.mark.parametrize('name', ['clips', 'clips.unfinished', 'link'])
def test_what_others_have_put_into_the_place_of_clips_stays(tmp_path, name) -> None:
    (tmp_path / 'link').symlink_to('clips')
    (tmp_path / name).resolve().mkdir()
    theirs = tmp_path / name / 'photograph.jpg'
    theirs.write_bytes(b'dear')
    folder = tmp_path / name.removesuffix('.unfinished')
    with pytest.raises(FileExistsError, match='choose another --clips'):
        make_clips(Stage(), CONCEPTS, folder, SMALL)
    assert theirs.read_bytes() == b'dear'


def test_a_file_that_comes_while_clips_are_made_stays(tmp_path) -> None:
    theirs = tmp_path / 'clips' / 'photograph.jpg'

    def put(done: int, _: str) -> None:
        theirs.parent.mkdir(exist_ok=True)
        theirs.write_bytes(b'dear')

    with pytest.raises(OSError, match='not empty'):
        make_clips(Stage(), CONCEPTS, tmp_path / 'clips', SMALL, put)
    assert theirs.read_bytes() == b'dear'
    theirs.unlink()
    make_clips(Stage(), CONCEPTS, tmp_path / 'clips', SMALL)


def test_clips_may_go_into_an_empty_folder_on_another_drive(tmp_path) -> None:
    (tmp_path / 'drive').mkdir()
    (tmp_path / 'clips').symlink_to('drive')
    make_clips(Stage(), CONCEPTS, tmp_path / 'clips', SMALL)
    assert (tmp_path / 'drive' / 'clips.json').is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['clips', 'drive']


def test_an_embedder_that_is_there_already_is_not_replaced(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for out, words in (('models/embedder', ['--out', 'models/embedder']), ('runs/mine/model', [])):
        theirs = tmp_path / out / 'embedder.json'
        theirs.parent.mkdir(parents=True)
        theirs.write_text('{}')
        assert main.main(['train-embedder', 'kitchen', '--run', 'runs/mine', *words]) == 1
        assert f'{out} holds an embedder: choose another --out' in capsys.readouterr().err
        assert theirs.read_text() == '{}'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['models', 'runs']


def test_training_rehearsals_are_not_tested_with(clips, tmp_path) -> None:
    seen = []

    def note(seed) -> np.ndarray:
        seen.append(seed)
        return slide(seed)

    make_clips(Stage(note), CONCEPTS, tmp_path / 'clips', SMALL)
    assert seen == list(range(FIRST_SEED, FIRST_SEED + 16))


def test_seeds_of_the_world_model_are_refused() -> None:
    with pytest.raises(ValueError, match='belong to the world model'):
        ClipConfig(seed=7)


def test_missing_clips_are_told(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match='no clips'):
        Clips.open(tmp_path, CONCEPTS)


def test_the_sampler_only_draws_training_takes(clips) -> None:
    sampler = TakeSampler(clips, np.random.default_rng(0))
    frames, labels = sampler.draw(5)
    assert frames.shape == (5, 12, 3, 64, 64) and frames.dtype == torch.uint8
    assert labels.shape == (5, 5, len(CONCEPTS))
    assert (labels == TRUE).any((1, 2)).all()


def test_augmentation_changes_a_take_as_one() -> None:
    frames = torch.full((3, 12, 3, 64, 64), 128, dtype=torch.uint8)
    out = augment(frames, torch.Generator().manual_seed(0))
    assert out.shape == frames.shape and out.min() >= 0 and out.max() <= 1
    means = out.mean((2, 3, 4))
    assert means.std(1).max() < 0.01 < means[:, 0].std()


def test_unsure_pairs_count_neither_way() -> None:
    logits = torch.tensor([[2.0, 1.0, 50.0]])
    true, false = torch.tensor([[True, False, False]]), torch.tensor([[False, True, False]])
    loss = contrast(logits, true, false, torch.ones(1, 3))
    assert loss.item() == pytest.approx(np.log1p(np.exp(-1.0)), abs=1e-5)


def test_the_video_loss_is_small_when_clips_show_their_concept() -> None:
    concepts = torch.eye(4)[:3]
    labels = torch.full((3, 3), FALSE)
    labels.fill_diagonal_(TRUE)
    labels[0, 1] = UNSURE
    good = video_loss(concepts, concepts, labels, torch.tensor(20.0))
    bad = video_loss(concepts.roll(1, 0), concepts, labels, torch.tensor(20.0))
    assert good < 0.01 < bad


TRAIN = TrainConfig(steps=20, takes=2, average=0.8, learning_rate=3e-4)


def test_rounded_training_makes_the_same_tower(clips, tmp_path) -> None:
    exact, rounded, other = (
        fit_video(clips, config, Run(tmp_path / str(index)))
        for index, config in enumerate(
            (TRAIN, replace(TRAIN, precision='bf16'), replace(TRAIN, seed=1))
        )
    )
    frames = torch.from_numpy(np.array(clips.frames[:8])).float() / 255
    with torch.no_grad():
        one, same, different = (tower(frames) for tower in (exact, rounded, other))
    assert torch.cosine_similarity(one, same, -1).min() > 0.97
    assert torch.cosine_similarity(one, different, -1).max() < 0.9
    assert all(parameter.dtype == torch.float32 for parameter in rounded.parameters())


def test_a_tower_that_was_stopped_goes_on_as_if_nothing_had_been(clips, tmp_path) -> None:
    record = RecordConfig(report_every=1, keep=2)
    whole = fit_video(clips, TRAIN, Run(tmp_path / 'whole', record))
    run = Run(tmp_path / 'run', record)
    with pytest.raises(StoppedError, match='after 7 of 20'):
        fit_video(clips, TRAIN, replace(run, should_stop=stop_after(7)))
    torch.manual_seed(99)
    with pytest.raises(CheckpointError, match=r'other settings \(takes was 2, not 3\)'):
        fit_video(clips, replace(TRAIN, takes=3), run)
    parted = fit_video(clips, TRAIN, run)
    curves = [(tmp_path / name / 'video_tower.csv').read_text() for name in ('whole', 'run')]
    assert curves[0] == curves[1] and curves[0].count('\n') == 21
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parted.state_dict()[name]), name
    again = fit_video(clips, TRAIN, replace(run, should_stop=lambda: True))
    assert torch.equal(again.state_dict()['time.1.weight'], whole.state_dict()['time.1.weight'])


def test_a_tower_goes_back_when_it_breaks_and_on_with_other_takes(
    clips, tmp_path, monkeypatch, capsys
) -> None:
    calls = itertools.count(1)

    def spoiled(*args: torch.Tensor) -> torch.Tensor:
        return video_loss(*args) * (torch.nan if next(calls) == 8 else 1.0)

    monkeypatch.setattr(video_tower, 'video_loss', spoiled)
    run = Run(tmp_path, RecordConfig(report_every=1))
    tower = fit_video(clips, replace(TRAIN, save_every=5), run)
    assert capsys.readouterr().err == 'video_tower, update 7: the loss is nan\n'
    assert all(value.isfinite().all() for value in tower.state_dict().values())
    assert 'nan' not in (tmp_path / 'video_tower.csv').read_text()
    straight = fit_video(clips, TRAIN, Run(tmp_path / 'straight'))
    same = [
        torch.equal(*pair) for pair in zip(tower.parameters(), straight.parameters(), strict=True)
    ]
    assert not all(same), 'the same takes would break it again'


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match=r'train\.precision'):
        TrainConfig(precision='int4')


def test_sentences_land_on_their_concept_and_others_far_away() -> None:
    centroids = torch.nn.functional.normalize(torch.randn(37, 512), dim=-1)
    features = torch.eye(384)[:38]
    head = fit_text(features, torch.arange(38), centroids, TrainConfig(text_penalty=1e-6))
    cosine = head(features) @ centroids.T
    torch.testing.assert_close(cosine[:37].argmax(1), torch.arange(37))
    assert cosine[:37].diagonal().min() > 0.95
    assert cosine[37].max() < 0.1


def test_a_concept_that_no_clip_shows_does_no_harm() -> None:
    video = torch.nn.functional.normalize(torch.randn(6, 8), dim=-1).requires_grad_()
    concepts = torch.nn.functional.normalize(torch.randn(3, 8), dim=-1).requires_grad_()
    labels = torch.full((6, 3), FALSE)
    labels[0, 0] = labels[1, 1] = TRUE
    video_loss(video, concepts, labels, torch.tensor(14.0)).backward()
    assert torch.isfinite(video.grad).all() and torch.isfinite(concepts.grad).all()
