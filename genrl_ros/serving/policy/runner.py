"""The learned policy as numpy in, numpy out: what drives a robot where no torch is installed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from genrl_ros.config.model import UNIMIX
from genrl_ros.serving.policy.bundle import (
    ACTOR,
    ENCODER,
    GOAL,
    MAX_GRAPH_BYTES,
    STEP,
    BundleError,
    PolicyBundle,
)
from genrl_ros.serving.policy.operators import check_graph
from genrl_ros.system.files import read_at_most

Tokens = npt.NDArray[np.int64]

NO_TOKEN = -1
"""Previous token of a first step: a class that does not exist, so its one-hot is all zeros."""


class PolicyError(RuntimeError):
    """The policy computed something that must not reach a robot."""


class Encoder:
    """The image tokenizer q(s|x): stateless, one image in, one set of categoricals out."""

    def __init__(self, graph: bytes, name: str = ENCODER) -> None:
        """Load an encoder graph and try it once.

        Args:
            graph: serialized ONNX, `image` (1, 3, N, N) uint8 to `logits` (1, S, K) float32.
            name: what error messages call it.

        Raises:
            BundleError: if this is not such a graph.
        """
        self.sha256 = hashlib.sha256(graph).hexdigest()
        self._session = _session(graph, name)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        image, logits = inputs[0].shape, outputs[0].shape
        if len(inputs) != 1 or len(image) != 4 or image[1] != 3 or image[2] != image[3]:
            raise BundleError(f'{name} must take one square RGB image, but takes {image}')
        if len(logits) != 3 or not all(isinstance(size, int) for size in logits[1:]):
            raise BundleError(f'{name} must give logits (1, S, K), but gives {logits}')
        self.image_size: int = image[2]
        self.stoch: int = logits[1]
        self.classes: int = logits[2]
        _check_signature(
            self._session,
            name,
            inputs={'image': ('tensor(uint8)', (3, self.image_size, self.image_size))},
            outputs={'logits': ('tensor(float)', (self.stoch, self.classes))},
        )
        self.encode(np.zeros((3, self.image_size, self.image_size), np.uint8))

    @classmethod
    def from_file(cls, path: Path) -> Encoder:
        """The encoder in that file.

        Raises:
            BundleError: if there is none.
        """
        try:
            graph = read_at_most(path, MAX_GRAPH_BYTES)
        except OSError as error:
            raise BundleError(f'encoder {path} cannot be read: {error.strerror}') from None
        except ValueError as error:
            raise BundleError(f'encoder {error}') from None
        return cls(graph, name=str(path))

    def encode(
        self, image: npt.NDArray[np.uint8], rng: np.random.Generator | None = None
    ) -> Tokens:
        """Latent tokens `(S,)` of an image `(3, N, N)` uint8.

        Args:
            image: RGB.
            rng: draws from the categoricals where given; else their modes are taken.
        """
        (logits,) = self._session.run(['logits'], {'image': image[None]})
        scores = logits[0]
        if rng is not None:
            odds = np.exp(scores - scores.max(-1, keepdims=True))
            odds /= odds.sum(-1, keepdims=True)
            mixed = (1 - UNIMIX) * odds + UNIMIX / odds.shape[-1]
            scores = np.log(mixed) + rng.gumbel(size=odds.shape)
        return np.asarray(scores.argmax(-1), np.int64)


class PolicyRunner:
    """Sequence model and actor, with the hidden state that goes from step to step."""

    def __init__(self, bundle: PolicyBundle) -> None:
        """Load a bundle's graphs and try them once, so that a faulty one fails here.

        Raises:
            BundleError: if a graph is unusable or does not fit the bundle's `policy.json`.
        """
        self.bundle = bundle
        about = bundle.description
        tokens, action, deter = (about.stoch,), (about.action_dim,), (about.deter,)
        self._step = _session(bundle.graphs[STEP], f'{bundle.path / STEP}')
        _check_signature(
            self._step,
            f'{bundle.path / STEP}',
            inputs={
                'tokens': ('tensor(int64)', tokens),
                'action': ('tensor(float)', action),
                'deter': ('tensor(float)', deter),
            },
            outputs={'deter_next': ('tensor(float)', deter)},
        )
        self._actor = _session(bundle.graphs[ACTOR], f'{bundle.path / ACTOR}')
        _check_signature(
            self._actor,
            f'{bundle.path / ACTOR}',
            inputs={'tokens': ('tensor(int64)', tokens), 'deter': ('tensor(float)', deter)},
            outputs={'action': ('tensor(float)', action)},
        )
        self._goal = _goal_session(bundle)
        self._encoder: Encoder | None = None
        self.reset()
        try:
            self.act(np.zeros(tokens, np.int64), np.zeros(action, np.float32))
            self.match(np.zeros(tokens, np.int64))
        except PolicyError as error:
            raise BundleError(f'{bundle.path}: {error} on its first step') from None
        self.reset()

    def reset(self) -> None:
        """Forget what happened: the next step is the first of an episode."""
        about = self.bundle.description
        self._deter = np.zeros((1, about.deter), np.float32)
        self._previous = np.full((1, about.stoch), NO_TOKEN, np.int64)

    def encode(self, image: npt.NDArray[np.uint8]) -> Tokens:
        """Latent tokens `(S,)` of an image `(3, N, N)` uint8, by the bundle's own encoder.

        Raises:
            BundleError: the first time, if the encoder cannot be used or does not fit the bundle's
                `policy.json`.
        """
        if self._encoder is None:
            name, about = f'{self.bundle.path / ENCODER}', self.bundle.description
            self._encoder = encoder = Encoder(self.bundle.graphs[ENCODER], name)
            found = (encoder.image_size, encoder.stoch, encoder.classes)
            wanted = (about.image_size, about.stoch, about.classes)
            if found != wanted:
                raise BundleError(
                    f'{name} turns {found[0]} pixels into {found[1]} categoricals of {found[2]}; '
                    f'policy.json says {wanted[0]}, {wanted[1]} and {wanted[2]}'
                )
        return self._encoder.encode(image)

    def match(self, tokens: Tokens) -> float | None:
        """How well an observation `(S,)` matches the goal's last states, at most 1.

        None if the bundle does not know.

        Raises:
            PolicyError: if the graph fails, or its answer is not finite or of another shape.
        """
        if self._goal is None:
            return None
        try:
            (answer,) = self._goal.run(['match'], {'tokens': np.asarray(tokens, np.int64)[None]})
        except Exception as error:  # ONNX Runtime raises a type of its own for each kind of fault
            raise PolicyError(f'the goal cannot be compared: {_first_line(error)}') from None
        if answer.shape != (1, 1) or not np.isfinite(answer).all():
            raise PolicyError('the goal cannot be compared: the answer is not one finite number')
        return float(answer[0, 0])

    def act(
        self, tokens: Tokens, last_action: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.float32]:
        """The action for a new observation.

        Args:
            tokens: `(S,)` int64, the observation.
            last_action: `(A,)` in [-1, 1], what the robot really did since the last call; ignored
                on the first step after `reset`.

        Returns:
            `(A,)` float32 in [-1, 1].

        Raises:
            PolicyError: if a graph fails, or its answer is not finite or of another shape. The
                hidden state is then reset.
        """
        action = np.asarray(last_action, np.float32)[None]
        if self._previous[0, 0] == NO_TOKEN:
            action = np.zeros_like(action)
        current = np.asarray(tokens, np.int64)[None]
        try:
            (deter,) = self._step.run(
                ['deter_next'], {'tokens': self._previous, 'action': action, 'deter': self._deter}
            )
            (answer,) = self._actor.run(['action'], {'tokens': current, 'deter': deter})
        except Exception as error:  # ONNX Runtime raises a type of its own for each kind of fault
            self.reset()
            raise PolicyError(f'the policy cannot be run: {_first_line(error)}') from None
        if (answer.shape, deter.shape) != (action.shape, self._deter.shape):
            self.reset()
            raise PolicyError(f'the policy gives {answer.shape} actions, {deter.shape} states')
        if not (np.isfinite(answer).all() and np.isfinite(deter).all()):
            self.reset()
            raise PolicyError('the policy gives values that are not finite')
        self._deter, self._previous = deter, current
        return np.asarray(np.clip(answer[0], -1.0, 1.0), np.float32)


def _goal_session(bundle: PolicyBundle) -> ort.InferenceSession | None:
    if GOAL not in bundle.graphs:
        return None
    name = f'{bundle.path / GOAL}'
    session = _session(bundle.graphs[GOAL], name)
    _check_signature(
        session,
        name,
        inputs={'tokens': ('tensor(int64)', (bundle.description.stoch,))},
        outputs={'match': ('tensor(float)', (1,))},
    )
    return session


def _session(graph: bytes, name: str) -> ort.InferenceSession:
    check_graph(graph, name)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry('session.load_model_format', 'ONNX')  # what was checked
    try:
        return ort.InferenceSession(graph, options, providers=['CPUExecutionProvider'])
    except Exception as error:  # ONNX Runtime raises a type of its own for each kind of damage
        raise BundleError(f'{name} is not a graph that can be run: {_first_line(error)}') from None


def _first_line(error: Exception) -> str:
    return str(error).partition('\n')[0][:200]


Signature = dict[str, tuple[str, tuple[int, ...]]]


def _check_signature(
    session: ort.InferenceSession, name: str, inputs: Signature, outputs: Signature
) -> None:
    for kind, wanted, found in (
        ('inputs', inputs, session.get_inputs()),
        ('outputs', outputs, session.get_outputs()),
    ):
        given = {tensor.name: (tensor.type, _without_batch(tensor.shape)) for tensor in found}
        if given != wanted:
            raise BundleError(f'{name} has the {kind} {given}, expected {wanted}')


def _without_batch(shape: Sequence[int | str | None]) -> tuple[int | str | None, ...]:
    return tuple(shape[1:])
