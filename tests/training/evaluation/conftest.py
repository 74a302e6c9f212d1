"""Small random networks and a small random model, saved once for the session."""

from pathlib import Path

import pytest

from tests.training.evaluation import helpers
from tests.training.model.helpers import randomize_parameters
from training.model.config import ModelConfig
from training.model.factory import build_random, make_pipeline


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with clip/, x_clip/ and i3d_torchscript.pt."""
    folder = tmp_path_factory.mktemp("networks")
    helpers.save_clip(folder / "clip")
    helpers.save_x_clip(folder / "x_clip")
    helpers.save_i3d(folder / "i3d_torchscript.pt")
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a tiny pipeline without zero weights, so that its output depends on the source image."""
    folder = tmp_path_factory.mktemp("pipeline") / "model"
    parts = build_random(ModelConfig(), "tiny")
    randomize_parameters(parts.model.unet.conv_in)
    randomize_parameters(parts.model.warping)
    make_pipeline(parts).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def dreamsim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a package `dreamsim`: the real interface, but the distance is the mean pixel difference."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "dreamsim").mkdir()
    (folder / "dreamsim" / "__init__.py").write_text(
        "import numpy, torch\n"
        "class Model(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.scale = torch.nn.Parameter(torch.tensor(0.5))\n"
        "    def forward(self, one, other):\n"
        "        return (one - other).abs().mean(dim=(1, 2, 3)) * self.scale\n"
        "def prepare(picture):\n"
        "    return torch.from_numpy(numpy.array(picture.resize((224, 224)))).permute(2, 0, 1)[None] / 255\n"
        "def dreamsim(pretrained=True, device='cuda', cache_dir='./models'):\n"
        "    return Model().to(device), prepare\n"
    )
    return folder
