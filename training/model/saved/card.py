"""The model card and the licence note that travel with a model."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from training.model.config import TrainedOn

CARD = "README.md"
NOTICE = "NOTICE"

_OPENRAIL = "creativeml-openrail-m"

_TEXT = Template("""\
---
$front
---

# Pix2Gif, $variant

Makes frames of a GIF from one image, a caption and motion magnitudes in pixels, one frame for each magnitude (Kandala
et al., 2024, "Pix2Gif: Motion-Guided Diffusion for GIF Generation"). Trained with the open implementation pix2gif, not
by the paper's authors.

## Use

The code of the model is beside its weights: `pipeline.py` and, by variant, `motion_embedding/motion.py` and
`warping/warp.py`. It needs diffusers and transformers.

```python
from diffusers import DiffusionPipeline
from PIL import Image

pipeline = DiffusionPipeline.from_pretrained("THIS_FOLDER_OR_REPOSITORY", trust_remote_code=True)
image = Image.open("cat.png").convert("RGB")
small = image.resize(($width, $height))
frames = pipeline(small, "a cat dancing.", motion=[$motions], seed=0).frames
frames = [frame.resize(image.size) for frame in frames]
frames[0].save("cat.gif", save_all=True, append_images=frames[1:], duration=125, loop=0)
```

`pix2gif generate` does this in one command.

## Training

| | |
|---|---|
| start | $base |
| autoencoder | $autoencoder |
| optimizer steps | $num_steps |
| motion | $min_motion to $max_motion pixels |
| pictures | $width x $height, squashed to that size |

<details><summary>configuration</summary>

```json
$config
```

</details>

## Limits

Motion outside of the range above, and other sizes, were not part of training. Whatever the start learned from its data,
biases included, can appear in frames. The licences of the weights are in `NOTICE`.
""")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the weights of a model come from."""

    base: str | None = None
    """Folder or hub name of the text-to-image model that training started from; None for random weights."""

    autoencoder: str | None = None
    """Folder or hub name of the autoencoder; None for that of the base."""

    num_steps: int | None = None
    """Optimizer steps of training."""

    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The configuration of training."""


def make_card(origin: Origin, trained_on: TrainedOn, variant: str) -> str:
    """Return the model card: metadata for the hub, what the model does, how to open it, how it was trained."""
    base = _find_hub_name(origin.base)
    metadata = {
        "library_name": "diffusers",
        "pipeline_tag": "image-to-video",
        "license": _find_license(origin.base),
        **({"base_model": base} if base else {}),
        "tags": ["pix2gif", "image-to-gif", "text-guided-animation"],
    }
    front = "\n".join(f"{key}: {json.dumps(value)}" for key, value in metadata.items())
    motions = ", ".join(map(str, _spread(trained_on.min_motion, trained_on.max_motion)))
    return _TEXT.substitute(
        dataclasses.asdict(trained_on),
        front=front,
        variant=variant,
        motions=motions,
        base=_describe(origin.base) or "random weights",
        autoencoder=_describe(origin.autoencoder) or "that of the start",
        num_steps="not recorded" if origin.num_steps is None else f"{origin.num_steps:,}",
        config=json.dumps(_hide_paths(origin.config), indent=2),
    )


def make_notice(origin: Origin) -> str:
    """Return the note on the licences of the code and of the weights."""
    paragraphs = [
        "The code in this folder (*.py) is part of pix2gif and licensed under the Apache License, Version 2.0:\n"
        "https://www.apache.org/licenses/LICENSE-2.0"
    ]
    base = _describe(origin.base)
    if base is None:
        paragraphs.append("The weights were trained from random ones.")
    else:
        paragraphs.append(
            f"The weights of the U-Net and of the text encoder come from {base}.\n"
            f"Those of the autoencoder come from {_describe(origin.autoencoder) or base}.\n"
            "Their licences apply, with their restrictions of use."
        )
    if _find_license(origin.base) == _OPENRAIL:
        paragraphs.append(
            "Stable Diffusion 1.x is licensed under CreativeML Open RAIL-M:\n"
            "https://huggingface.co/spaces/CompVis/stable-diffusion-license"
        )
    paragraphs.append("The GIFs of the training data belong to their authors.")
    return "\n\n".join(paragraphs) + "\n"


def _find_license(base: str | None) -> str:
    """Return the hub's identifier of the licence: Stable Diffusion 1.x has one; of other weights it is not known."""
    if base is None:
        return "apache-2.0"
    return _OPENRAIL if "stable-diffusion-v1" in base else "other"


def _find_hub_name(location: str | None) -> str | None:
    """Return a location that is a repository on the hub; None for a path, which would name a folder of this machine."""
    if location is None or location.count("/") != 1 or location.startswith((".", "~")) or Path(location).exists():
        return None
    return location


def _describe(location: str | None) -> str | None:
    return None if location is None else _find_hub_name(location) or f"a local copy named {Path(location).name}"


def _hide_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """Replace absolute paths in a configuration by file names: a path may identify a person or a machine."""
    return {
        key: Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
        for key, value in config.items()
    }


def _spread(first: int, last: int, num: int = 8) -> list[int]:
    return sorted({round(first + (last - first) * index / (num - 1)) for index in range(num)})
