"""MP4, MOV and WebM -> frames sampled by time. Audio is ignored."""

import collections
import dataclasses
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.decode.decoder import Frame, UndecodableError
from curation.decode.formats.frame_resizer import FrameResizer
from curation.decode.formats.header import Header
from curation.decode.formats.timeline import Timeline, iterate_packets, read_timeline
from curation.decode.formats.video_stream import make_decoder, open_stream, read_pixels, reporting_damage
from curation.file_format import FileFormat

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


def scan_video(data: bytes, file_format: FileFormat, config: CurationConfig) -> Header:
    """Read the canvas of a video and the number of frames that are sampled from it.

    If neither exceeds its limit, the first frame is decoded: it says whether the video is rotated. Raises ValueError
    for a damaged file or one without video, UndecodableError if its first frame is damaged.
    """
    with open_stream(data, file_format) as stream:
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > config.max_pixels:
            return Header(width=width, height=height, num_frames=0)
        timeline = read_timeline(stream, config.fps)
        num_announced, num_held = stream.frames, len(timeline.pts)
    damage = None
    if num_held < num_announced:
        damage = f"{num_announced:,} frames are announced, {num_held:,} are there"
    header = Header(width=width, height=height, num_frames=timeline.num_samples, damage=damage, fps=config.fps)
    if header.num_frames > config.max_frames:
        return header
    with open_stream(data, file_format) as stream:
        samples = _Samples(stream, timeline, [0], config.max_pixels)
        _, pixels = next(iter(samples), (0, np.empty((0, 0, 4), np.uint8)))
        if samples.damage or not pixels.size:
            raise UndecodableError(f"frame 0: {samples.damage or 'it is missing'}")
    return dataclasses.replace(header, width=pixels.shape[1], height=pixels.shape[0])


class VideoFrames:
    """The frames of one video. See `curation.decode.formats.animation.FrameSource`."""

    def __init__(
        self, data: bytes, file_format: FileFormat, config: CurationConfig, wanted: Collection[int] | None
    ) -> None:
        self.damage: str | None = None
        self._data = data
        self._format = file_format
        self._config = config
        self._wanted = wanted

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames up to the first damaged one. Raises UndecodableError if that is the first frame."""
        try:
            with open_stream(self._data, self._format) as stream:
                timeline = read_timeline(stream, self._config.fps)
            with open_stream(self._data, self._format) as stream:
                yield from self._decode(stream, timeline)
        except ValueError as error:
            raise UndecodableError(str(error)) from error

    def _decode(self, stream: "VideoStream", timeline: Timeline) -> Iterator[Frame]:
        indices = range(timeline.num_samples)
        wanted = indices if self._wanted is None else sorted(index for index in self._wanted if index in indices)
        samples = _Samples(stream, timeline, wanted, self._config.max_pixels)
        resizer = FrameResizer(self._config.resolution)
        last: NDArray[np.uint8] | None = None
        num_frames = 0
        for index, pixels in samples:
            if pixels is not last:  # A frame that is shown for longer is sampled several times.
                planes, grey = resizer.resize(pixels)
                last = pixels
            yield Frame(index=index, planes=planes, grey=grey, duration_ms=timeline.duration_ms(index))
            num_frames = index + 1
        if samples.damage and not num_frames:
            raise UndecodableError(f"frame 0: {samples.damage}")
        if samples.damage:
            self.damage = f"damaged after {num_frames} sound frames: {samples.damage}"


class _Samples:
    """The pictures that are shown at some sampling times, as (index, RGBA, uint8 [H, W, 4]).

    Packets that no wanted sample needs are not decoded: decoding skips to the key frame before the next one. After
    iteration, `damage` is the reason if a damaged frame ended it early, else None.
    """

    def __init__(self, stream: "VideoStream", timeline: Timeline, wanted: Collection[int], max_pixels: int) -> None:
        self.damage: str | None = None
        self._stream = stream
        self._timeline = timeline
        self._decoder = make_decoder(stream, max_pixels)
        self._left = collections.deque(wanted)
        self._shown: VideoFrame | None = None
        self._pixels: NDArray[np.uint8] | None = None

    def __iter__(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        try:
            for packet in self._choose_packets():
                with reporting_damage():
                    frames = self._decoder.decode(packet)
                for frame in frames:
                    yield from self._show(frame)
            while self._left and self._shown:
                yield self._left.popleft(), self._read_shown()
        except ValueError as error:
            self.damage = str(error)

    def _choose_packets(self) -> Iterator["Packet[VideoStream] | None"]:
        """Yield the packets to decode while samples are left, and None, which empties the decoder, at the end."""
        num_decoded = 0  # Packets before this one are decoded or skipped.
        awaited, start = -1, 0
        for number, packet in enumerate(iterate_packets(self._stream)):
            if not self._left:
                return
            if self._left[0] != awaited:
                awaited = self._left[0]
                start = self._timeline.find_start(self._timeline.find_frame(awaited))
            if number < start:
                continue
            if number > num_decoded:
                self._decoder.flush_buffers()
            num_decoded = number + 1
            yield packet
        yield None

    def _show(self, frame: "VideoFrame") -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield the samples that are decided now: those before this frame show the frame before, if it is missing."""
        pts = frame.pts or 0
        while self._left and self._timeline.find_frame(self._left[0]) < pts:
            if self._shown is None:
                self._shown = frame
            yield self._left.popleft(), self._read_shown()
        self._shown, self._pixels = frame, None
        while self._left and self._timeline.find_frame(self._left[0]) == pts:
            yield self._left.popleft(), self._read_shown()

    def _read_shown(self) -> NDArray[np.uint8]:
        if self._shown is None or self._shown.is_corrupt:
            raise ValueError("the frame is damaged")
        if self._pixels is None:
            with reporting_damage():
                self._pixels = read_pixels(self._shown)
        return self._pixels
