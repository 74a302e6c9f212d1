"""The motion embedding M: a magnitude in pixels -> c_M, to be added to the text embedding of every token.

B samples, D the text model's width (768 for Stable Diffusion 1.x).
"""

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from training.model.config import MotionInit
from training.model.errors import ModelError


class MotionEmbedding(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers does not type its bases.
    """A table of learned vectors, one for each whole magnitude (Pix2Gif, section 3.3.1).

    `init="zero"` deviates from the authors' code, whose N(0, 1) drowns the pretrained text embedding at step 0.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, num_motions: int = 1024, width: int = 768, init: MotionInit = "zero") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_motions = num_motions
        self.embedding = nn.Embedding(num_motions, width)
        if init == "zero":
            nn.init.zeros_(self.embedding.weight)

    def check(self, motion: Tensor) -> None:
        """Raise ModelError where a magnitude is not in the table; waits for the device if `motion` is on one."""
        wrong = ~((motion >= 0) & (motion < self.num_motions))  # NaN is wrong, too.
        if bool(wrong.any()):
            value = motion[wrong][0].item()
            raise ModelError(f"the motion {value:g} is not in the embedding, which knows 0 to {self.num_motions - 1}")

    def forward(self, motion: Tensor) -> Tensor:
        """Look up motion [B], in pixels, cut to whole numbers: [B, 1, D], one vector for all 77 tokens.

        Raises ModelError for a magnitude outside the table if `motion` is on the CPU. On a GPU the question would
        make every step wait, so ask `check` before the transfer; the lookup itself fails there, less politely.
        """
        if motion.device.type == "cpu" and not torch.compiler.is_compiling():
            self.check(motion)
        c_m: Tensor = self.embedding(motion.long())
        return c_m[:, None]
