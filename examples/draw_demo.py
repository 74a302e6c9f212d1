"""Draw the GIFs of the demo, each of which shows what one feature of curation is for, and a listing of them.

    python examples/draw_demo.py DIR

Frames are drawn at twice their size and reduced, so that outlines are smooth and motion is finer than a pixel.
"""

import argparse
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

SIZE = (240, 180)
NUM_FRAMES = 16
_FACTOR = 2
_WIDTH, _HEIGHT = (_FACTOR * side for side in SIZE)

Picture = tuple[Image.Image, ImageDraw.ImageDraw]


class DrawnGif(NamedTuple):
    """One GIF of the demo."""

    name: str
    caption: str
    draw: Callable[[int], Image.Image]
    """Frame number -> the frame, RGB, of SIZE or any other."""
    num_frames: int = NUM_FRAMES


def _paint(sky: str) -> Picture:
    """Return an empty picture of the colour of the sky."""
    image = Image.new("RGB", (_WIDTH, _HEIGHT), sky)
    return image, ImageDraw.Draw(image)


def _reduce(image: Image.Image, box: tuple[float, float, float, float] | None = None) -> Image.Image:
    return image.resize(SIZE, Image.Resampling.BOX if box is None else Image.Resampling.BILINEAR, box)


def _scatter(draw: ImageDraw.ImageDraw, top: int, bottom: int, colours: tuple[str, ...], num_spots: int = 220) -> None:
    """Draw spots, such as stars or tufts of grass, between two heights: the same at every call."""
    rng = random.Random(top)  # noqa: S311  # A drawing, no secret.
    for _ in range(num_spots):
        x, y, side = rng.randrange(_WIDTH), rng.randrange(top, bottom), rng.choice((2, 3, 4))
        draw.rectangle((x, y, x + side, y + side), rng.choice(colours))


def draw_rocket(number: int, text: str = "") -> Image.Image:
    """Draw a rocket that rises past the moon; `text` is burned in as a caption."""
    image, draw = _paint("#101838")
    _scatter(draw, 0, _HEIGHT, ("#ffffff", "#8890c0", "#404878"))
    draw.ellipse((330, 30, 430, 130), "#f0e8c0")
    draw.ellipse((360, 55, 385, 80), "#d0c8a0")
    draw.ellipse((395, 90, 410, 105), "#d0c8a0")
    x, y = 190, 300 - 17 * number
    draw.polygon((x, y + 60, x - 22, y + 100, x, y + 90), "#c03030")
    draw.polygon((x + 40, y + 60, x + 62, y + 100, x + 40, y + 90), "#c03030")
    draw.rounded_rectangle((x, y, x + 40, y + 94), 18, "#e8e8f0")
    draw.polygon((x + 2, y + 10, x + 20, y - 26, x + 38, y + 10), "#c03030")
    draw.ellipse((x + 11, y + 22, x + 29, y + 40), "#3080c0", "#404858", 3)
    flame = 26 + 14 * (number % 2)
    draw.polygon((x + 8, y + 94, x + 20, y + 94 + flame, x + 32, y + 94), "#ffb020")
    if text:
        place = (_WIDTH // 2, _HEIGHT - 40)
        draw.text(place, text, "white", ImageFont.load_default(34), "mm", stroke_width=3, stroke_fill="black")
    return _reduce(image)


def draw_car(number: int) -> Image.Image:
    """Draw a red car that drives along a country road."""
    image, draw = _paint("#a8d8f8")
    draw.ellipse((-80, 130, 260, 330), "#78b058")
    draw.ellipse((200, 110, 560, 340), "#68a048")
    draw.rectangle((0, 220, _WIDTH, 270), "#70a850")
    _scatter(draw, 222, 266, ("#508838", "#90c068", "#e8e060"))
    draw.rectangle((0, 268, _WIDTH, _HEIGHT), "#585860")
    for mark in range(0, _WIDTH, 80):
        draw.rectangle((mark, 312, mark + 40, 318), "#e8e8e8")
    x, y = -60 + 26 * number, 240
    draw.rounded_rectangle((x, y + 22, x + 150, y + 62), 14, "#d02828")
    draw.polygon((x + 28, y + 24, x + 48, y - 6, x + 102, y - 6, x + 126, y + 24), "#d02828")
    draw.polygon((x + 42, y + 22, x + 54, y + 2, x + 74, y + 2, x + 74, y + 22), "#d8f0ff")
    draw.polygon((x + 82, y + 22, x + 82, y + 2, x + 98, y + 2, x + 112, y + 22), "#d8f0ff")
    _draw_wheels(draw, x, y + 60, number)
    return _reduce(image)


def _draw_wheels(draw: ImageDraw.ImageDraw, x: float, y: float, number: int) -> None:
    for centre in (x + 34, x + 116):
        draw.ellipse((centre - 17, y - 17, centre + 17, y + 17), "#202024")
        for spoke in range(3):
            angle = number * 0.9 + spoke * math.tau / 3
            draw.line((centre, y, centre + 12 * math.cos(angle), y + 12 * math.sin(angle)), "#d0d0d8", 4)


def draw_fish(number: int) -> Image.Image:
    """Draw an orange fish that swims to the left between bubbles."""
    image, draw = _paint("#1878a8")
    draw.rectangle((0, 310, _WIDTH, _HEIGHT), "#d8c088")
    _scatter(draw, 312, _HEIGHT - 4, ("#b89858", "#f0e0b0"))
    for k, plant in enumerate((70, 120, 390, 430)):
        sway = 8 * math.sin(number * 0.5 + k)
        draw.line((plant, 320, plant + sway, 270, plant - sway, 220), "#208850", 10, "curve")
    for k in range(7):
        x, y = 40 + 64 * k, (300 - 9 * number - 57 * k) % 320
        draw.ellipse((x, y, x + 12, y + 12), None, "#b0e8ff", 3)
    x, y = 330 - 17 * number, 150 + 14 * math.sin(number * 0.6)
    tail = 10 * math.sin(number * 1.4)
    draw.polygon((x + 92, y, x + 136, y - 30 + tail, x + 136, y + 30 + tail), "#e06818")
    draw.ellipse((x, y - 34, x + 104, y + 34), "#f88828")
    for stripe in (34, 66):
        draw.line((x + stripe, y - 30, x + stripe + 6, y + 30), "#fff0d8", 9)
    draw.ellipse((x + 14, y - 14, x + 28, y), "#ffffff", "#202020", 4)
    return _reduce(image)


def draw_ball(number: int) -> Image.Image:
    """Draw a ball that bounces in front of a fence, in a loop."""
    image, draw = _paint("#b8e0f0")
    for board in range(0, _WIDTH, 48):
        draw.rectangle((board + 3, 110, board + 42, 292), "#c89860" if board % 96 else "#b88850")
    draw.rectangle((0, 290, _WIDTH, _HEIGHT), "#60a050")
    _scatter(draw, 292, _HEIGHT - 4, ("#408038", "#88c070"))
    phase = number / NUM_FRAMES
    x, y = 240 + 90 * math.sin(math.tau * phase), 300 - 210 * abs(math.sin(math.tau * phase))
    draw.ellipse((x - 30, 322, x + 30, 332), "#407038")
    draw.ellipse((x - 34, y - 40, x + 34, y + 28), "#f8f8f8", "#303030", 3)
    for k in range(5):
        angle = math.tau * (phase + k / 5)
        spot = (x + 20 * math.cos(angle), y - 6 + 20 * math.sin(angle))
        draw.regular_polygon((*spot, 9), 5, fill="#d03050")
    return _reduce(image)


def _draw_town() -> Image.Image:
    """Draw a street of houses, three times as wide as a frame."""
    image = Image.new("RGB", (3 * _WIDTH, _HEIGHT), "#f8d8b0")
    draw = ImageDraw.Draw(image)
    rng = random.Random(5)  # noqa: S311  # A drawing, no secret.
    x = 0
    while x < image.width:
        width, height = rng.randrange(90, 150), rng.randrange(120, 250)
        colour = rng.choice(("#a85048", "#587898", "#80945c", "#b08858", "#786090"))
        draw.rectangle((x, 320 - height, x + width, 320), colour)
        draw.polygon((x - 6, 320 - height, x + width / 2, 280 - height, x + width + 6, 320 - height), "#603028")
        for left in range(x + 16, x + width - 26, 36):
            for top in range(340 - height, 270, 44):
                draw.rectangle((left, top, left + 20, top + 26), rng.choice(("#f8f0a0", "#404858")), "#f0f0f0", 2)
        x += width + 14
    draw.rectangle((0, 318, image.width, _HEIGHT), "#888078")
    return image


_TOWN = _draw_town()


def draw_pan(number: int) -> Image.Image:
    """Draw a street along which the camera pans."""
    left = 14 * number
    return _reduce(_TOWN, (left, 0, left + _WIDTH, _HEIGHT))


def draw_zoom(number: int) -> Image.Image:
    """Draw a house on which the camera zooms in."""
    rim = 8 * number
    return _reduce(_TOWN, (500 + rim, rim * 0.75, 500 + _WIDTH - rim, _HEIGHT - rim * 0.75))


def draw_windmill(number: int) -> Image.Image:
    """Draw a windmill whose sails turn, in a loop."""
    image, draw = _paint("#c8e4f8")
    draw.rectangle((0, 280, _WIDTH, _HEIGHT), "#88b050")
    _scatter(draw, 284, _HEIGHT - 4, ("#608838", "#e86080", "#f8d840"))
    draw.polygon((200, 330, 216, 150, 264, 150, 280, 330), "#e8dcc8", "#907860", 3)
    draw.polygon((210, 152, 240, 112, 270, 152), "#905040")
    draw.rectangle((228, 276, 252, 330), "#705030")
    for sail in range(4):
        angle = math.tau * (sail / 4 + number / (4 * NUM_FRAMES))
        along, across = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
        corners = ((14, 0), (116, 0), (116, 24), (30, 24))
        points = [(240 + a * along[0] + b * across[0], 150 + a * along[1] + b * across[1]) for a, b in corners]
        draw.polygon(points, "#f8f4e8", "#806040", 3)
    return _reduce(image)


def draw_cut(number: int) -> Image.Image:
    """Draw the car, then the fish: a scene cut in the middle."""
    return draw_car(number) if number < NUM_FRAMES // 2 else draw_fish(number)


def draw_sunset(number: int) -> Image.Image:
    """Draw a sun that sets by a fraction of a pixel per frame: too slow for the motion range."""
    image, draw = _paint("#f0a060")
    y = 150 + 0.5 * number
    draw.ellipse((190, y, 290, y + 100), "#f8e050")
    draw.rectangle((0, 230, _WIDTH, _HEIGHT), "#304878")
    _scatter(draw, 234, _HEIGHT - 4, ("#486098", "#f0a060"))
    return _reduce(image)


GIFS = (
    DrawnGif("rocket.gif", "a rocket rises past the moon.", draw_rocket),
    DrawnGif("car.gif", "a red car drives along a country road.", draw_car),
    DrawnGif("fish.gif", "an orange fish swims between bubbles.", draw_fish),
    DrawnGif("ball.gif", "a ball bounces in front of a fence.", draw_ball),
    DrawnGif("street.gif", "the camera pans along a street of houses.", draw_pan),
    DrawnGif("house.gif", "the camera zooms in on a house.", draw_zoom),
    DrawnGif("windmill.gif", "the sails of a windmill turn.", draw_windmill),
    DrawnGif("journey.gif", "a car drives by, then a fish swims.", draw_cut),
    DrawnGif("meme.gif", "a rocket with the words to the moon.", lambda n: draw_rocket(n, "TO THE MOON")),
    DrawnGif("sunset.gif", "the sun sets very slowly.", draw_sunset),
    DrawnGif("still.gif", "a photo of a car that does not move.", draw_car, 1),
)
"""GIFs with content of their own. Beside them: a copy, a download that broke off, and a web page named .gif."""


def save_gif(path: Path, gif: DrawnGif) -> None:
    """Write a GIF that loops, with one palette for each frame."""
    frames = [gif.draw(number) for number in range(gif.num_frames)]
    pages = [frame.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE) for frame in frames]
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=80, loop=0, optimize=False)


def draw_folder(folder: Path) -> Path:
    """Draw the GIFs into `folder`/gifs and write the listing; return its path."""
    gifs = folder / "gifs"
    gifs.mkdir(parents=True, exist_ok=True)
    for gif in GIFS:
        save_gif(gifs / gif.name, gif)
    rows = [(gif.name, gif.caption) for gif in GIFS]
    rows.insert(2, ("car.gif", "a small car on its way through green hills."))  # A second caption of one GIF.
    (gifs / "repost.gif").write_bytes((gifs / "fish.gif").read_bytes())
    rows.append(("repost.gif", "somebody posted the fish again."))
    windmill = (gifs / "windmill.gif").read_bytes()
    (gifs / "broken.gif").write_bytes(windmill[: len(windmill) * 2 // 3])
    rows.append(("broken.gif", "a windmill whose download broke off."))
    (gifs / "gone.gif").write_text("<!doctype html><title>404 Not Found</title>", encoding="utf-8")
    rows.append(("gone.gif", "a GIF that its host has deleted."))
    listing = folder / "listing.tsv"
    listing.write_text("".join(f"gifs/{name}\t{caption}\n" for name, caption in rows), encoding="utf-8")
    return listing


def main() -> None:
    """Draw the folder and print the path of the listing."""
    parser = argparse.ArgumentParser(description="Draw the GIFs of the demo and a listing of them.")
    parser.add_argument("folder", type=Path)
    print(f"The listing is {draw_folder(parser.parse_args().folder)}.")


if __name__ == "__main__":
    main()
