"""Procedural pictures are the same for the same prompt and say that they are emulated."""

from __future__ import annotations

import pytest
from PIL import Image, ImageChops

from comfymesh.emulator.nodes.upscaling import factor_of, tiles
from comfymesh.emulator.pictures import noisy, paint


def test_the_same_prompt_and_seed_give_the_same_picture() -> None:
    first = paint("a cat", 1, 96, 64).tobytes()
    paint.cache_clear()
    assert paint("a cat", 1, 96, 64).tobytes() == first


def test_another_prompt_or_seed_gives_another_picture() -> None:
    pictures = {
        paint("a cat", 1, 64, 64).tobytes(),
        paint("a dog", 1, 64, 64).tobytes(),
        paint("a cat", 2, 64, 64).tobytes(),
    }
    assert len(pictures) == 3


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (64, 64), (512, 256), (1500, 40)])
def test_pictures_have_the_size_that_was_asked_for(size: tuple[int, int]) -> None:
    assert paint("x", 0, *size).size == size


def test_the_foot_of_a_picture_carries_a_caption() -> None:
    foot = paint("a cat", 1, 256, 256).crop((0, 240, 256, 256))
    assert foot.getextrema()[0][0] < 40
    assert foot.getextrema()[0][1] > 200


def test_noise_goes_as_sampling_goes_on() -> None:
    picture = paint("a cat", 1, 64, 64)
    distance = [
        sum(Image.Image.histogram(ImageChops.difference(noisy(picture, share, 3), picture))[1:]) for share in (0.0, 1.0)
    ]
    assert distance[0] < distance[1]


@pytest.mark.parametrize(
    ("name", "factor"), [("tiny-compact-2x.pth", 2), ("4x-UltraSharp.pth", 4), ("ESRGAN_x3.pth", 3), ("other.pth", 4)]
)
def test_the_name_of_an_upscaler_tells_its_factor(name: str, factor: int) -> None:
    assert factor_of(name) == factor


@pytest.mark.parametrize(("edge", "count"), [(64, 1), (512, 1), (513, 2), (1100, 3)])
def test_an_edge_is_cut_into_overlapping_tiles(edge: int, count: int) -> None:
    assert tiles(edge) == count
