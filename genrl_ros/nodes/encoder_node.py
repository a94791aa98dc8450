"""The visual tokenizer: one image in, one set of categorical latents out, and no memory."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from genrl_interfaces.msg import LatentGoal, LatentTokens
from genrl_ros.domains.base import IMAGE_SIZE
from genrl_ros.nodes.ros import conversions, qos
from genrl_ros.nodes.ros.diagnostics import Level, Status
from genrl_ros.nodes.ros.lifecycle import ManagedNode
from genrl_ros.nodes.ros.models import WEIGHTS, difference, find, identity
from genrl_ros.nodes.ros.params import ParameterError, declare, parameter
from genrl_ros.nodes.ros.robot import load_robot
from genrl_ros.nodes.ros.run import main as run_main
from genrl_ros.serving.policy.bundle import ENCODER
from genrl_ros.serving.policy.runner import Encoder
from genrl_ros.serving.robot.camera import ImageError
from genrl_ros.serving.safety.filter import StuckWatch


@dataclass(frozen=True)
class EncoderParameters:
    """Parameters of the encoder."""

    model: str = parameter(
        'kitchen', 'the world model: the name of a shipped one, or a path with / or ./'
    )
    embodiment: str = parameter('kitchen', 'the robot: a file, or the name of a shipped one')
    sample: bool = parameter(False, 'draw from the categoricals instead of taking their modes')
    seed: int = parameter(0, 'seed of the draws', low=0)
    stuck_after_s: float = parameter(
        0.5, 'seconds of the same pixels after which the camera is stuck; 0: never', low=0.0
    )


class EncoderNode(ManagedNode):
    """Turns every image that it understands into latent tokens with the image's header."""

    def __init__(self, **options: object) -> None:
        super().__init__('encoder_node', **options)
        self._config = declare(self, EncoderParameters)

    def configure(self) -> None:
        """Load the encoder and try it once."""
        parameters = self._config
        self._camera = camera = load_robot(parameters.embodiment).camera
        self._model = find(parameters.model)
        path = self._model / ENCODER
        self._encoder = Encoder.from_file(path)
        if self._encoder.image_size != IMAGE_SIZE:
            raise ParameterError(
                f'{path} takes images of {self._encoder.image_size} pixels; {IMAGE_SIZE} is '
                'expected'
            )
        self._rng = np.random.default_rng(parameters.seed) if parameters.sample else None
        self._stuck = StuckWatch(parameters.stuck_after_s)
        self._counts: Counter[str] = Counter()
        self._problem = 'has no image yet'
        self._difference = ''
        self._latent = self.create_publisher(LatentTokens, 'latent', qos.SENSOR)
        self.create_subscription(
            CompressedImage if camera.is_compressed else Image,
            camera.topic,
            self.when_active(self._on_image),
            qos.SENSOR,
        )
        if (self._model / WEIGHTS).is_file():  # a robot's computer may hold the encoder alone
            self._identity = identity(self._model)
            self.create_subscription(LatentGoal, 'goal', self._on_goal, qos.LATCHED)
        self.get_logger().info(f'uses {path} and waits for images on {camera.topic}')

    def health(self) -> Status:
        """Whether the last image could be used, and how many of which kind there were."""
        if not self._problem and self._difference:
            return Status(Level.WARN, self._difference, self._counts)
        level = Level.ERROR if self._problem else Level.OK
        return Status(level, self._problem or 'encodes', self._counts)

    def _on_goal(self, message: LatentGoal) -> None:
        """Notice a goal whose policy could not be driven with these latents."""
        theirs = message.mfwm_sha256
        why = difference(self.get_name(), self._model, self._identity, theirs)
        self._difference = f'a goal does not fit the latents: {why}' if why else ''
        if why:
            self.get_logger().error(self._difference)
        self.tell()

    def _on_image(self, message: Any) -> None:
        problem, image = '', None
        try:
            image = self._camera.pixels(message)
        except ImageError as error:
            problem = f'refuses an image on {self._camera.topic}: {error}'
            self._counts['refused'] += 1
        if image is not None and self._stuck.see(image, time.monotonic()):
            problem = f'the camera is stuck: the same pixels on {self._camera.topic}'
            self._counts['stuck'] += 1
        elif image is not None:
            self._encode(image, message.header)
            if remark := self._camera.remark(message):
                self.get_logger().info(f'{self._camera.topic}: {remark}', once=True)
        if problem:
            self.get_logger().error(problem, throttle_duration_sec=5.0)
        elif self._problem:
            self.get_logger().info('has its first good image, and encodes')
        changed, self._problem = bool(problem) != bool(self._problem), problem
        if changed:
            self.tell()

    def _encode(self, image: npt.NDArray[np.uint8], header: Header) -> None:
        tokens = self._encoder.encode(image, self._rng)
        self._counts['encoded'] += 1
        self._latent.publish(
            conversions.to_latent(tokens, self._encoder.classes, self._encoder.sha256, header)
        )


def main() -> None:
    """Run the node."""
    run_main(EncoderNode)


if __name__ == '__main__':
    main()
