"""Samples are real files: decoders take them, at any size, and no two seeds give the same one."""

import io
import struct
import wave

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from layerwatch import samples
from layerwatch.samples import KINDS, sample

law = settings(derandomize=True, deadline=None)
IMAGES = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}


def decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("size_bytes", [None, 1024, 1025, 65_600, 200_003])
@pytest.mark.parametrize("kind", IMAGES)
def test_images_decode(kind: str, size_bytes: int | None) -> None:
    image = decoded(sample(kind, 7, size_bytes))
    assert image.format == IMAGES[kind]
    assert image.size == (16, 16)
    assert image.getextrema() != ((0, 0),) * 3


def test_images_show_the_same_slope() -> None:
    png, webp, jpeg = (decoded(make(64, 48, 3)).convert("RGB") for make in (samples.png, samples.webp, samples.jpeg))
    assert png.tobytes() == webp.tobytes()
    assert jpeg.size == png.size
    near = [abs(a - b) for a, b in zip(png.tobytes(), jpeg.tobytes(), strict=True)]
    # Blocks of one colour: a step of 200 / 8 on the slope, but for the blocks in which a colour starts over at 0.
    assert sum(near) / len(near) < 32


@law
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0))
def test_images_of_any_size(width: int, height: int, seed: int) -> None:
    for make in (samples.png, samples.jpeg, samples.webp):
        assert decoded(make(width, height, seed)).size == (width, height)


@pytest.mark.parametrize("size_bytes", range(65_725, 65_740))
def test_jpeg_where_a_comment_ends(size_bytes: int) -> None:
    """Where less is left than a second comment's header takes."""
    data = sample("jpg", 7, size_bytes)
    assert len(data) == size_bytes
    assert decoded(data).size == (16, 16)


def test_wav_plays() -> None:
    with wave.open(io.BytesIO(samples.wav(1.5, 3))) as sound:
        assert sound.getparams()[:4] == (1, 2, 16_000, 24_000)
        assert any(sound.readframes(100))


def test_mp3_is_frames_behind_a_tag() -> None:
    data = samples.mp3(2.4, 3)
    frames = data[data.index(b"\xff\xfb") :]
    assert len(frames) == 100 * 384
    assert {frames[at : at + 4] for at in range(0, len(frames), 384)} == {b"\xff\xfb\x94\xc4"}


def test_mp4_index_points_at_its_images() -> None:
    data = samples.mp4(2, 3, fill=1000)
    table = data.index(b"stsz") + 12
    (count,) = struct.unpack_from(">I", data, table)
    sizes = struct.unpack_from(f">{count}I", data, table + 4)
    (at,) = struct.unpack_from(">I", data, data.index(b"stco") + 12)
    assert count == 2 * samples.FPS
    for size in sizes:
        assert decoded(data[at : at + size]).size == (16, 16)
        at += size
    assert data[at + 4 : at + 8] == b"moov"


@law
@given(st.sampled_from(KINDS), st.integers(0, 2**64), st.integers(1024, 150_000))
def test_size_is_as_asked_for(kind: str, seed: int, size_bytes: int) -> None:
    is_riff = kind in ("wav", "webp")
    assert len(sample(kind, seed, size_bytes)) == (size_bytes & ~1 if is_riff else size_bytes)


@pytest.mark.parametrize("kind", KINDS)
def test_size_of_64_mib(kind: str) -> None:
    assert len(sample(kind, 1, 64 << 20)) == 64 << 20


@pytest.mark.parametrize("size_bytes", [None, 1024, 5000])
@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_bytes_other_seed_others(kind: str, size_bytes: int | None) -> None:
    many = {sample(kind, seed, size_bytes) for seed in range(300)}
    assert len(many) == 300
    assert sample(kind, 5, size_bytes) in many


def test_refusals() -> None:
    with pytest.raises(ValueError, match="at least"):
        sample("png", 1, 100)
    with pytest.raises(ValueError, match="no such kind"):
        sample("heic", 1)
