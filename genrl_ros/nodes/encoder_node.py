"""The visual tokenizer: one image in, one set of categorical latents out, and no memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image

from genrl_interfaces.msg import LatentTokens
from genrl_ros.nodes import conversions, qos
from genrl_ros.nodes.models import find
from genrl_ros.nodes.params import declare, parameter
from genrl_ros.nodes.run import main as run_main
from genrl_ros.serving.bundle import ENCODER
from genrl_ros.serving.policy import Encoder


@dataclass(frozen=True)
class EncoderParameters:
    """Parameters of the encoder."""

    model: str = parameter('models/kitchen', 'folder of the world model')
    sample: bool = parameter(False, 'draw from the categoricals instead of taking their modes')
    seed: int = parameter(0, 'seed of the draws', low=0)


class EncoderNode(Node):
    """Turns every image that it understands into latent tokens with the image's header."""

    def __init__(self, **options: object) -> None:
        super().__init__('encoder_node', **options)
        parameters = declare(self, EncoderParameters)
        path = find(parameters.model) / ENCODER
        self._encoder = Encoder.from_file(Path(path))
        self._rng = np.random.default_rng(parameters.seed) if parameters.sample else None
        self._waiting = True
        self._latent = self.create_publisher(LatentTokens, 'latent', qos.SENSOR)
        self.create_subscription(Image, 'camera/image_raw', self._on_image, qos.SENSOR)
        self.get_logger().info(
            f'uses {path} and waits for images of {self._encoder.image_size}x'
            f'{self._encoder.image_size} on camera/image_raw'
        )

    def _on_image(self, message: Image) -> None:
        try:
            image = conversions.from_image(message, self._encoder.image_size)
        except conversions.MessageError as error:
            self.get_logger().error(
                f'refuses an image on camera/image_raw: {error}', throttle_duration_sec=5.0
            )
            return
        tokens = self._encoder.encode(image, self._rng)
        self._latent.publish(
            conversions.to_latent(
                tokens, self._encoder.classes, self._encoder.sha256, message.header
            )
        )
        if self._waiting:
            self._waiting = False
            self.get_logger().info('has its first image, and encodes')


def main() -> None:
    """Run the node."""
    run_main(EncoderNode)


if __name__ == '__main__':
    main()
