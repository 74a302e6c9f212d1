"""The motion embedding M (Pix2Gif, section 3.3.1): a magnitude in pixels -> c_M, added to every token's embedding.

B samples, D: width of the text model (768 for Stable Diffusion 1.x).
"""

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from training.model.config import MotionInit
from training.model.errors import ModelError


class MotionEmbedding(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers does not type its bases.
    """Learned vectors, one for each whole magnitude (Pix2Gif, section 3.3.1).

    The default `init="zero"` deviates from the authors' code, whose N(0, 1) outweighs the pretrained text embedding at
    step 0.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, num_motions: int = 1024, width: int = 768, init: MotionInit = "zero") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_motions = num_motions
        self.embedding = nn.Embedding(num_motions, width)
        if init == "zero":
            nn.init.zeros_(self.embedding.weight)

    def check(self, motion: Tensor) -> None:
        """Raise ModelError if a magnitude of `motion` [B] has no vector. Synchronizes if `motion` is on a GPU."""
        invalid = ~((motion >= 0) & (motion < self.num_motions))  # Written so that NaN is invalid.
        if bool(invalid.any()):
            value = motion[invalid][0].item()
            raise ModelError(f"the motion {value:g} is not in the embedding; it must be 0 to {self.num_motions - 1}")

    def forward(self, motion: Tensor) -> Tensor:
        """Return c_M, one vector for all 77 tokens: motion [B], in pixels, truncated to whole numbers -> [B, 1, D].

        Raises ModelError for a magnitude without a vector if `motion` is on the CPU. On a GPU this check would
        synchronize at every step, so call `check` before the transfer.
        """
        if motion.device.type == "cpu" and not torch.compiler.is_compiling():
            self.check(motion)
        c_m: Tensor = self.embedding(motion.long())
        return c_m[:, None]
