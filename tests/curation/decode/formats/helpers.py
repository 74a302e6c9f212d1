"""Draw one scene, damage files, and probe bytes."""

import io

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curation.config import CurationConfig
from curation.decode.decoder import UndecodableError
from curation.decode.formats.animation import open_animation, scan_animation
from curation.decode.probe import check_header
from curation.file_format import detect_format
from curation.flow.backend import measure_all_pairs
from curation.flow.reference import to_grey
from examples.draw_formats import draw_palette_frames, encode
from examples.draw_gifs import DrawnGif

SCENE = DrawnGif(name="", caption="", width=256, height=256, num_frames=12, dx=1.5, seed=7)
NUM_FRAMES = SCENE.num_frames
FUZZ_CONFIG = CurationConfig(resolution=32, clip_timeout=60)
EIGHT_HOURS_MS = 8 * 60 * 60 * 1000


def draw_scene() -> list[Image.Image]:
    """Draw frames of 256 colours each."""
    return draw_palette_frames(SCENE)


def draw_numbered(num_frames: int, size: tuple[int, int] = (64, 48)) -> list[Image.Image]:
    """Draw plain frames, each lighter than the one before by the same step."""
    return [Image.new("RGB", size, (20 + 200 * k // num_frames,) * 3) for k in range(num_frames)]


def number_of(rgb: NDArray[np.uint8], num_frames: int) -> int:
    """Return which frame of `draw_numbered` a decoded one shows."""
    return round((float(rgb.mean()) - 20) * num_frames / 200)


def measure(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Measure the motion of all pairs of frames."""
    return measure_all_pairs(np.stack([to_grey(frame) for frame in rgb]))[0]


def decode_wanted(data: bytes, wanted: list[int], **config: float) -> dict[int, NDArray[np.uint8]]:
    """Decode some frames of an animation."""
    return {frame.index: frame.rgb for frame in open_animation(data, CurationConfig(**config), wanted)}


def patch(data: bytes, box: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite bytes in every box of a kind, at an offset from the end of its name."""
    at = data.find(box)
    assert at > 0
    while at > 0:
        start = at + len(box) + offset
        data = data[:start] + value + data[start + len(value) :]
        at = data.find(box, start)
    return data


def encode_audio(with_video: list[Image.Image] = ()) -> bytes:  # type: ignore[assignment]
    """Encode a second of silence, with or without frames beside it, as MP4."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        audio = output.add_stream("aac", rate=16_000, layout="mono")
        video = output.add_stream("libx264", rate=10) if with_video else None
        if video:
            video.width, video.height, video.pix_fmt = *with_video[0].size, "yuv420p"
        for k, frame in enumerate(with_video):
            picture = av.VideoFrame.from_image(frame)
            picture.pts = k
            output.mux(video.encode(picture))
        if video:
            output.mux(video.encode())
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 16_000
        output.mux(audio.encode(silence))
        output.mux(audio.encode())
    return file.getvalue()


def encode_without_frames() -> bytes:
    """Encode an MP4 with a video track whose tables list no frame."""
    data = encode_plain(3)
    for table, offset in ((b"stts", 4), (b"stsz", 8), (b"stsc", 4), (b"stco", 4), (b"stss", 4), (b"ctts", 4)):
        if table in data:
            data = patch(data, table, offset, bytes(4))
    return data


def put_moov_first(data: bytes) -> bytes:
    """Move the table of frames of an MP4 to its start, as sites do that want it to play while it loads."""
    moov = data.find(b"moov") - 4
    table, start = data[moov:], data.find(b"free") - 4
    at = table.find(b"stco") + 8
    num_chunks = int.from_bytes(table[at : at + 4], "big")
    for place in range(at + 4, at + 4 + 4 * num_chunks, 4):
        moved = int.from_bytes(table[place : place + 4], "big") + len(table)
        table = table[:place] + moved.to_bytes(4, "big") + table[place + 4 :]
    return data[:start] + table + data[start:moov]


def encode_plain(num_frames: int, file_format: str = "mp4", **options: str) -> bytes:
    """Encode numbered frames."""
    return encode(draw_numbered(num_frames), file_format, **options)


def decode_whole(data: bytes) -> str:
    """Scan and decode an animation; return how that ended."""
    file_format = detect_format(data)
    if file_format is None:
        return "no animation"
    try:
        verdict, _ = check_header(scan_animation(data, file_format, FUZZ_CONFIG), FUZZ_CONFIG)
        if verdict:
            return str(verdict)
        frames = open_animation(data, FUZZ_CONFIG)
        num_frames = sum(1 for _ in frames)
    except (ValueError, UndecodableError):
        return "undecodable"
    return "damaged" if frames.damage or not num_frames else "sound"
