"""The multimodal-foundation world model: all that is learned before a task is known."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrl_ros.config.model import ModelConfig
from genrl_ros.world_model import latents
from genrl_ros.world_model.actor import ActionPrior
from genrl_ros.world_model.aligner import Aligner
from genrl_ros.world_model.connector import Connector
from genrl_ros.world_model.nearness import Nearness
from genrl_ros.world_model.sequence import SequenceModel
from genrl_ros.world_model.tokenizer import Tokenizer


class MFWM(nn.Module):
    """Everything that is learned before a task is known.

    Attributes:
        config: its sizes.
        tokenizer: images to latents and back.
        sequence: dynamics under actions.
        connector: dynamics under an embedding.
        aligner: text embeddings to video embeddings.
        prior: actions on the way to an embedding.
        nearness: how near a state is to what an embedding shows.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = Tokenizer(config)
        self.sequence = SequenceModel(
            config.stoch, config.classes, config.action_dim, config.deter, config.hidden
        )
        self.connector = Connector(config)
        self.aligner = Aligner(config.embed_dim)
        self.prior = ActionPrior(
            config.feat, config.embed_dim, config.units, config.layers, config.action_dim
        )
        self.nearness = Nearness(config.feat, config.embed_dim, config.units)

    def observe(self, image: Tensor, action: Tensor, is_first: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior samples and the states along recorded sequences.

        Args:
            image: `(B, T, 3, 64, 64)` uint8.
            action: `(B, T, A)`, each the action that led to the image of its index.
            is_first: `(B, T)`, 1 where an episode begins.

        Returns:
            `(B, T, S, K)` stoch and `(B, T, H)` deter.
        """
        stoch = latents.sample(latents.log_probs(self.tokenizer.encode(image)))
        return stoch, self.deter_along(stoch, action, is_first)

    def deter_along(self, stoch: Tensor, action: Tensor, is_first: Tensor) -> Tensor:
        """`(B, T, H)` states along sequences of known latents and actions."""
        previous = torch.cat([torch.zeros_like(stoch[:, :1]), stoch[:, :-1]], 1)
        start = self.sequence.initial(stoch.shape[0])
        return self.sequence.unroll(previous, action, start.deter, keep=1 - is_first)
