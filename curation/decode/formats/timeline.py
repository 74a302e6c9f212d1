"""Packets of a video -> the frame that is shown at each k/fps, and the key frame that it is decoded from."""

import dataclasses
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

MAX_FRAMES = 2**31 - 1
_MAX_DENOMINATOR = 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timeline:
    """When the frames of a video are shown, by its packets. What the header says of its duration is ignored."""

    pts: NDArray[np.int64]
    """Presentation time of each packet, in the order of decoding, int64 [packets]."""
    is_key: NDArray[np.bool_]
    """Whether decoding can begin at each packet, bool [packets]."""
    shown: NDArray[np.int64]
    """Presentation times of the frames that are shown, ascending, int64 [frames]. One or more."""
    end: int
    """When the last frame ends."""
    time_base: Fraction
    """Seconds per unit of all these times."""
    fps: Fraction
    """Rate of sampling."""

    @property
    def num_samples(self) -> int:
        """Number of samples: one at each k/fps before the end, and one at least."""
        duration = (self.end - int(self.shown[0])) * self.time_base
        return min(max(math.ceil(duration * self.fps), 1), MAX_FRAMES)

    def find_frame(self, index: int) -> int:
        """Return the presentation time of the frame that is shown at index/fps.

        That time is rounded to the unit of the file's times, as the file's own times are.
        """
        at = int(self.shown[0]) + round(Fraction(index) / self.fps / self.time_base)
        return int(self.shown[max(int(np.searchsorted(self.shown, at, side="right")) - 1, 0)])

    def find_start(self, pts: int) -> int:
        """Return the number of the packet at which decoding begins for the frame with this presentation time."""
        starts = np.flatnonzero(self.is_key & (self.pts <= pts))
        return int(starts[-1]) if len(starts) else 0

    def duration_ms(self, index: int) -> int:
        """Return the display duration of a sample. The durations have no rounding errors in sum."""
        start, end = (round(1000 * k / self.fps) for k in (index, index + 1))
        return end - start


def iterate_packets(stream: "VideoStream") -> Iterator["Packet[VideoStream]"]:
    """Yield the packets of a stream that have data and a time, in the order of decoding."""
    for packet in stream.container.demux(stream):  # type: ignore[attr-defined]
        if packet.size and not packet.is_corrupt and (packet.pts is not None or packet.dts is not None):
            yield packet


def read_timeline(stream: "VideoStream", fps: float) -> Timeline:
    """Read the times of all packets, without decoding. Raises ValueError if no frame is shown."""
    pts, is_key, is_shown, durations = [], [], [], []
    for packet in iterate_packets(stream):
        pts.append(packet.pts if packet.pts is not None else packet.dts)
        is_key.append(packet.is_keyframe)
        is_shown.append(not packet.is_discard)  # An edit list may hide frames that others need.
        durations.append(packet.duration or 0)
    times, shows = np.array(pts, np.int64), np.array(is_shown, np.bool_)
    if not shows.any():
        raise ValueError("the file holds no frame")
    shown = np.unique(times[shows])
    last = int(durations[int(np.flatnonzero(shows & (times == shown[-1]))[0])])
    if last <= 0:
        last = int(np.median(np.diff(shown))) if len(shown) > 1 else 1
    return Timeline(
        pts=times,
        is_key=np.array(is_key, np.bool_),
        shown=shown,
        end=int(shown[-1]) + last,
        time_base=Fraction(stream.time_base or 1),
        fps=Fraction(fps).limit_denominator(_MAX_DENOMINATOR),
    )
