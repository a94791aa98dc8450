"""What torch computes on."""

from __future__ import annotations

from typing import get_args

import torch

from genrl_ros.config.training import Device


def check_device(device: str) -> None:
    """Check that there is such a device.

    Raises:
        ValueError: if torch does not know it here.
    """
    if device not in get_args(Device):
        raise ValueError(f'device {device!r} must be one of {", ".join(get_args(Device))}')
    if device == 'cuda' and not torch.cuda.is_available():
        raise ValueError(
            f'device cuda: torch {torch.__version__} sees no GPU here. With a GPU, install torch '
            'from PyPI (`make setup TORCH=torch==2.13.0`); without one, choose cpu'
        )
