"""FVD, Frechet Video Distance of real and generated videos (Unterthiner et al., 2019).

The Frechet distance of two Gaussians, fitted to I3D features of the real and of the generated videos; lower is better.
Shapes: N videos, T frames, D features of a video (400, I3D's logits for Kinetics-400).

Values are comparable only for the same feature extractor, resizing, clip length and number of videos.
"""

import dataclasses
import hashlib
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from numpy.typing import NDArray

from training.evaluation.errors import EvaluationError
from training.evaluation.inputs.frames import Frames

I3D_FILE = "i3d_torchscript.pt"
I3D_SIDE_PX = 224
PAPER_NUM_VIDEOS = 2048

Features = NDArray[np.float64]
"""Features of videos, float64 [N, D], or of one video, float64 [D]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrechetVideoDistance:
    """FVD and an estimate of its bias."""

    fvd: float
    """Distance between real and generated videos; lower is better."""
    bias: float
    """Distance between two halves of the real videos: the FVD of N / 2 videos without any difference."""
    num_videos: int
    num_features: int


class I3D:
    """A TorchScript I3D (Carreira and Zisserman, 2017) as a feature extractor."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """Load the TorchScript file. Raises EvaluationError if it cannot be loaded."""
        try:
            with warnings.catch_warnings():
                # torch.jit is deprecated, but the published weights exist only as TorchScript.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._network = torch.jit.load(str(path), map_location=device).eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise EvaluationError(f"{path} cannot be loaded as TorchScript: give a TorchScript file of I3D") from error
        self._device = device
        with path.open("rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()

    def extract(self, frames: Frames) -> Features:
        """Extract the features of one video, uint8 [T, H, W, 3] with T >= 10: float64 [D].

        Frames are resized to 224 x 224 (bilinear) and scaled to [-1, 1] here; the network's own resizing is disabled.
        """
        pixels = torch.from_numpy(frames).to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1
        side = (I3D_SIDE_PX, I3D_SIDE_PX)
        pixels = torch.nn.functional.interpolate(pixels, side, mode="bilinear", align_corners=False)
        video = pixels.permute(1, 0, 2, 3)[None]
        try:
            with torch.inference_mode():
                features = self._network(video, rescale=False, resize=False, return_features=True)
        except RuntimeError as error:
            raise EvaluationError(
                f"I3D failed on a video of {len(frames)} frames: it needs 10 frames or more, and a TorchScript file "
                "with the arguments (videos, rescale, resize, return_features)"
            ) from error
        return np.asarray(features[0].double().cpu().numpy(), dtype=np.float64)


def find_i3d(location: str | Path) -> Path:
    """Return I3D's file: a path, a folder with `i3d_torchscript.pt`, or a hub repository with it, which is downloaded.

    Raises EvaluationError if there is no such file.
    """
    path = Path(location)
    path = path / I3D_FILE if path.is_dir() else path
    if path.is_file():
        return path
    cause: Exception | None = None
    if re.fullmatch(r"[\w.-]+/[\w.-]+(?<!\.pt)", str(location)):
        try:
            return Path(hf_hub_download(str(location), I3D_FILE))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            cause = error
    raise EvaluationError(
        f"there are no weights of I3D at {location}: give a TorchScript file, a folder with {I3D_FILE}, or a hub "
        "repository that can be reached"
    ) from cause


def measure_fvd(real: Features, generated: Features, warn: Callable[[str], None] | None = None) -> FrechetVideoDistance:
    """Compute FVD from the features of equally many real and generated videos, float64 [N, D] each.

    Raises EvaluationError for fewer than D + 1 videos. Calls `warn` for fewer videos than the paper's 2,048, because
    the estimate is biased upwards for small N.
    """
    if len(real) != len(generated):
        raise EvaluationError(
            f"there are {len(real)} real and {len(generated)} generated videos: FVD needs the same number of both"
        )
    num_videos, num_features = real.shape
    check_num_videos(num_videos, num_features)
    bias = frechet_distance(real[::2], real[1::2])
    if num_videos < PAPER_NUM_VIDEOS and warn:
        warn(
            f"FVD of {num_videos:,} videos is biased upwards compared to FVD of {PAPER_NUM_VIDEOS:,}: the distance of "
            f"two halves of the real videos is {bias:.4g}; compare it only with FVD of equally many videos"
        )
    return FrechetVideoDistance(
        fvd=frechet_distance(real, generated), bias=bias, num_videos=num_videos, num_features=num_features
    )


def check_num_videos(num_videos: int, num_features: int) -> None:
    """Raise EvaluationError for fewer than D + 1 videos: their D x D covariance does not have full rank."""
    if num_videos <= num_features:
        raise EvaluationError(
            f"FVD cannot be estimated from {num_videos} videos: a covariance of {num_features} features needs at "
            f"least {num_features + 1}, and the paper uses {PAPER_NUM_VIDEOS:,}"
        )


def frechet_distance(features: Features, others: Features) -> float:
    """Return the squared Frechet distance of two Gaussians, fitted to features [N, D] each, in float64.

    `|m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^1/2)`, with means m and unbiased covariances S (Dowson and Landau,
    1982). Raises EvaluationError for features that are not finite.
    """
    one, two = (np.asarray(each, dtype=np.float64) for each in (features, others))
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise EvaluationError("FVD cannot be computed: the features contain numbers that are not finite")
    mean = one.mean(axis=0) - two.mean(axis=0)
    covariances = [np.atleast_2d(np.cov(each, rowvar=False)) for each in (one, two)]
    root = _matrix_root(covariances[0] @ covariances[1])
    return float(mean @ mean + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.trace(root).real)


def _matrix_root(product: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the principal square root. Depending on its version, scipy returns a matrix or (matrix, error)."""
    root = scipy.linalg.sqrtm(product)
    return np.asarray(root[0] if isinstance(root, tuple) else root, dtype=np.complex128)
