"""Procedural pictures: what the emulator shows instead of a sampled one.

The same text, seed and size always give the same picture. Every one carries a caption that says it is emulated.
"""

from __future__ import annotations

import colorsys
import hashlib
import random
from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

_RENDER_EDGE = 512
Colour = tuple[int, int, int]


@lru_cache(maxsize=32)
def paint(text: str, seed: int, width: int, height: int) -> Image.Image:
    """Paints the picture of a prompt. Treat it as read-only: it is kept.

    Args:
        text: The prompt.
        seed: The seed.
        width: Pixels.
        height: Pixels.
    """
    chance = random.Random(hashlib.sha256(f"{seed}:{text}".encode()).digest())  # noqa: S311 (no secret)
    scale = min(1.0, _RENDER_EDGE / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    colours = _palette(chance)
    picture = _sky(size, colours)
    picture = _lights(picture, colours, chance)
    picture = _hills(picture, colours, chance)
    picture = _grain(picture, chance)
    return _captioned(picture.resize((width, height), Image.Resampling.BICUBIC), f"emulated · {text}")


def noisy(picture: Image.Image, share: float, seed: int) -> Image.Image:
    """Returns the picture under noise, as it looks while it is sampled.

    Args:
        picture: The finished picture.
        share: 1 for nothing but noise, 0 for none.
        seed: Chooses the noise.
    """
    chance = random.Random(seed)  # noqa: S311 (no secret)
    small = (max(1, picture.width // 8), max(1, picture.height // 8))
    noise = Image.frombytes("RGB", small, chance.randbytes(small[0] * small[1] * 3))
    return Image.blend(picture, noise.resize(picture.size, Image.Resampling.NEAREST), min(1.0, max(0.0, share)))


def _palette(chance: random.Random) -> list[Colour]:
    hue = chance.random()
    spread = chance.choice((0.08, 0.12, 0.33, 0.5))
    return [
        _rgb(hue, 0.55, 0.35),
        _rgb(hue + spread, 0.45, 0.95),
        _rgb(hue + spread / 2, 0.6, 0.8),
        _rgb(hue - spread / 2, 0.7, 0.45),
    ]


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _sky(size: tuple[int, int], colours: list[Colour]) -> Image.Image:
    ramp = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, colours[1]), Image.new("RGB", size, colours[0]), ramp)


def _lights(picture: Image.Image, colours: list[Colour], chance: random.Random) -> Image.Image:
    glow = Image.new("RGB", picture.size)
    draw = ImageDraw.Draw(glow)
    edge = min(picture.size)
    for _ in range(chance.randint(4, 9)):
        x, y = chance.randint(0, picture.width), chance.randint(0, picture.height * 2 // 3)
        radius = max(1, round(edge * chance.uniform(0.03, 0.16)))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=chance.choice(colours[1:3]))
    return ImageChops.screen(picture, glow.filter(ImageFilter.GaussianBlur(edge / 24)).point(lambda v: v // 2))


def _hills(picture: Image.Image, colours: list[Colour], chance: random.Random) -> Image.Image:
    draw = ImageDraw.Draw(picture)
    for layer, colour in enumerate((colours[2], colours[3], _darker(colours[3]))):
        base = picture.height * (0.62 + 0.13 * layer)
        heights = [base + picture.height * chance.uniform(-0.09, 0.07) for _ in range(7)]
        ridge = [(picture.width * index / 6, height) for index, height in enumerate(heights)]
        draw.polygon([(0, picture.height), *ridge, (picture.width, picture.height)], fill=colour)
    return picture.filter(ImageFilter.GaussianBlur(max(0.5, min(picture.size) / 256)))


def _darker(colour: Colour) -> Colour:
    return colour[0] // 2, colour[1] // 2, colour[2] // 2


def _grain(picture: Image.Image, chance: random.Random) -> Image.Image:
    size = (max(1, picture.width // 2), max(1, picture.height // 2))
    grain = Image.frombytes("L", size, chance.randbytes(size[0] * size[1])).resize(picture.size)
    return Image.blend(picture, Image.merge("RGB", (grain, grain, grain)), 0.05)


def _captioned(picture: Image.Image, caption: str) -> Image.Image:
    """Writes the caption onto a dark bar at the foot; on tiny pictures as much of it as there is room for."""
    size = max(8, min(20, picture.height // 24))
    bar = size + 4
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, picture.height - bar, picture.width, picture.height), fill=(16, 16, 16))
    font = ImageFont.load_default(size)
    draw.text((3, picture.height - bar + 1), caption.replace("\n", " ")[:120], fill=(240, 240, 240), font=font)
    return picture
