"""Generate frames with a model's own code: run with `python -I -S`, so that only one folder of packages is found."""

import importlib.util
import sys

_PACKAGES, _MODEL, _OUT = sys.argv[1:]
sys.path.append(_PACKAGES)
# No .pth file is read, so an editable installation of this project is not found.
if any(importlib.util.find_spec(name) for name in ("training", "shards", "curation", "cli")):
    raise SystemExit("this project is installed among the packages")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from diffusers import DiffusionPipeline  # noqa: E402
from PIL import Image  # noqa: E402

torch.set_num_threads(1)
pipeline = DiffusionPipeline.from_pretrained(_MODEL, trust_remote_code=True)
picture = Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3))
frames = pipeline(picture, "a dog moves.", motion=[2, 9], num_inference_steps=2, seed=3, output_type="np").frames
np.save(_OUT, frames)
