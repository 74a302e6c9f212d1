"""Load a LoRA into a pipeline: adapters of Stable Diffusion 1.x, such as LCM-LoRA, or of `pix2gif train`."""

from training.generation.errors import GenerationError
from training.model.pipeline import Pix2GifPipeline
from training.model.pretrained.loading import LOADING_ERRORS

_ADAPTER = "lora"


def load_lora(pipeline: Pix2GifPipeline, name_or_path: str, scale: float = 1.0) -> None:
    """Load a LoRA from a file, folder or hub repository; `scale` multiplies its effect.

    Raises GenerationError if it cannot be loaded or does not fit the U-Net.
    """
    try:
        pipeline.load_lora_weights(name_or_path, adapter_name=_ADAPTER)
    except (*LOADING_ERRORS, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise GenerationError(
            f"no LoRA of Stable Diffusion 1.x can be loaded from {name_or_path} ({reason})"
        ) from error
    if _ADAPTER not in {name for names in pipeline.get_list_adapters().values() for name in names}:
        raise GenerationError(f"no layer of the LoRA in {name_or_path} is one of this model; name one for its U-Net")
    pipeline.set_adapters([_ADAPTER], [scale])
