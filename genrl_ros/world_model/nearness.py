"""How near a state is to what an embedding shows, in looks and in time."""

from __future__ import annotations

from torch import Tensor, nn

from genrl_ros.world_model.layers import mlp, shifted, through_shifted

LAYERS = 2


class Nearness(nn.Module):
    """The best that follows a state: how well a clip shows an embedding, less for each step to it.

    It is learned from what followed in recorded episodes. A clip that ends now and shows what the
    embedding does is worth 1; one that comes `k` steps later, `discount^k`.

    Not in the paper. FOUNDER (arXiv 2507.12496) rewards a temporal distance between two states;
    here the second is an embedding, so that no state has to be found for a prompt.
    """

    def __init__(self, feat: int, embed_dim: int, units: int) -> None:
        super().__init__()
        self.net = mlp(feat, units, LAYERS, 1)
        self.condition = nn.Linear(embed_dim, units, bias=False)
        self.scale = embed_dim**0.5

    def forward(self, feat: Tensor, embedding: Tensor) -> Tensor:
        """Logit `(...)` of the nearness, for features `(..., F)` and embeddings `(..., D)`."""
        return through_shifted(self.net, feat, self.condition(embedding * self.scale)).squeeze(-1)

    def for_prompt(self, embedding: Tensor) -> nn.Sequential:
        """The network `(F) -> (1)` that this is for one embedding `(D,)`."""
        return shifted(self.net, self.condition(embedding * self.scale))
