"""What a file is, and whether it is all there: from its bytes only, and never YES for a part of a file."""

import io
import os
import random
import struct
from typing import Self

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from layerwatch import media, samples
from layerwatch.media import Media, Whole
from layerwatch.samples import KINDS, sample

TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
}
law = settings(derandomize=True, deadline=None)
NOISE = random.Random(1).randbytes(20_000)


class Opened:
    """Bytes as an open file, in memory."""

    def __init__(self, data: bytes) -> None:
        self.fd = os.memfd_create("file")
        self.size = os.write(self.fd, data) if data else 0
        assert self.size == len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def look(data: bytes) -> Media | None:
    with Opened(data) as file:
        return media.look(file.fd, file.size)


@given(st.sampled_from(KINDS), st.integers(4096, 12_000), st.integers(0, 40), st.binary(max_size=12))
def test_what_was_read_already_is_judged_as_the_file_is(
    kind: str, size_bytes: int, lacking: int, behind: bytes
) -> None:
    data = sample(kind, 1, size_bytes)
    data = data[: len(data) - lacking] + behind
    with Opened(data) as file:
        assert media.look(file.fd, file.size, data) == media.look(file.fd, file.size)


def describe(data: bytes) -> str:
    with Opened(data) as file:
        return media.describe(file.fd, file.size)


def whole(data: bytes) -> Whole | None:
    found = look(data)
    return found.whole if found else None


def why(data: bytes) -> str:
    found = look(data)
    assert found is not None
    assert found.whole is Whole.NO
    return found.why


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(seed: int = 3) -> Image.Image:
    return Image.open(io.BytesIO(samples.png(64, 48, seed))).convert("RGB")


# --- whole files, parts of files, files with something behind them ----------------------------------------------------


@pytest.mark.parametrize("size_bytes", [None, 1024, 70_000, 1_000_000])
@pytest.mark.parametrize("kind", KINDS)
def test_whole(kind: str, size_bytes: int | None) -> None:
    expected = Whole.UNKNOWN if kind == "mp3" else Whole.YES
    assert look(sample(kind, 1, size_bytes)) == Media(TYPES[kind], expected)


def test_whole_files_of_another_writer() -> None:
    image, more = picture(), [picture(seed) for seed in range(4)]
    exif = Image.Exif()
    exif[0x010E] = "a title"
    files = {
        "image/png": [
            saved(image, "PNG"),
            saved(image.convert("P"), "PNG"),
            saved(image, "PNG", save_all=True, append_images=more),
        ],
        "image/jpeg": [
            saved(image, "JPEG"),
            saved(image.convert("L"), "JPEG", quality=100),
            saved(image, "JPEG", progressive=True, exif=exif),
            saved(image.convert("CMYK"), "JPEG", optimize=True, comment=b"\xff\xd9"),
            saved(image, "JPEG", icc_profile=NOISE),
        ],
        "image/webp": [
            saved(image, "WEBP"),
            saved(image, "WEBP", lossless=True, exif=exif),
            saved(image, "WEBP", save_all=True, append_images=more),
        ],
    }
    for content_type, every in files.items():
        for data in every:
            assert look(data) == Media(content_type, Whole.YES)
            for cut in range(4, len(data), 7):
                assert look(data[:cut]) == Media(content_type, Whole.NO, why(data[:cut])) or cut < 16


@law
@given(st.sampled_from(KINDS), st.integers(0, 99), st.integers(1024, 140_000), st.data())
def test_no_part_is_ever_whole(kind: str, seed: int, size_bytes: int, data: st.DataObject) -> None:
    full = sample(kind, seed, size_bytes)
    # A boundary is as likely as any other place: that is where a mistake would be.
    near_ends = st.integers(0, 900) | st.integers(len(full) - 900, len(full) - 1)
    cut = data.draw(near_ends | st.integers(0, len(full) - 1))
    found = look(full[:cut])
    if cut < 4:
        assert found is None or found.whole is Whole.NO
        return
    assert found is not None
    assert found.content_type == TYPES[kind] or (kind == "webp" and cut <= 9)
    if kind == "mp3" and cut > 1200:
        assert found.whole is Whole.UNKNOWN
    else:
        assert found.whole is not Whole.YES
        assert bool(found.why) == (found.whole is Whole.NO)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "mp4", "wav"])
def test_no_part_is_ever_whole_at_every_byte(kind: str) -> None:
    full = sample(kind, 4)
    for cut in range(4, len(full)):
        assert whole(full[:cut]) is Whole.NO
    assert whole(full) is Whole.YES


@law
@given(st.sampled_from(KINDS), st.binary(min_size=1, max_size=400))
@example("jpg", bytes(300))
@example("mp4", bytes(300))
@example("mp4", b"\0\0\0\1")
@example("mp4", b"00000000")
@example("png", sample("png", 1)[:-5])
def test_bytes_behind_are_tolerated(kind: str, behind: bytes) -> None:
    assume(kind != "jpg" or b"\xff\xd8\xff" not in behind)
    expected = Whole.UNKNOWN if kind in ("mp3", "mp4") else Whole.YES
    found = look(sample(kind, 1) + behind)
    assert found is not None
    if kind == "mp4":  # a box that is cut is a part of the file that is missing
        assert found.whole is not Whole.NO or behind[4:8] in media._MP4_BOXES
    else:
        assert found == Media(TYPES[kind], expected)


def test_behind_is_what_is_written_after_the_look() -> None:
    full = sample("png", 1)
    with Opened(full) as file:
        found = media.look(file.fd, file.size - 1)
    assert found is not None
    assert found.whole is Whole.NO


def test_a_file_that_shrinks_under_the_look() -> None:
    for kind in KINDS:
        with Opened(sample(kind, 1, 50_000)[:900]) as file:
            found = media.look(file.fd, 50_000)
        assert found is not None
        assert found.whole is not Whole.YES or kind == "wav"


@law
@given(
    st.sampled_from([b"", b"\xff\xd8\xff", b"RIFF", b"ID3\4\0\0", b"\xff\xfb", samples.png(1, 1, 1)[:33]]),
    st.binary(max_size=300),
)
def test_any_bytes_get_an_answer(start: bytes, rest: bytes) -> None:
    found = look(start + rest)
    assert found is None or bool(found.why) == (found.whole is Whole.NO)
    assert describe(start + rest)


# --- what is none of the six ------------------------------------------------------------------------------------------


def ftyp(*brands: str) -> bytes:
    names = [brand.ljust(4).encode() for brand in brands]
    return struct.pack(">I", 12 + 4 * len(names)) + b"ftyp" + names[0] + bytes(4) + b"".join(names[1:])


def adts(count: int) -> bytes:
    return (bytes.fromhex("fff15080043ffc") + NOISE[:27]) * count


FOREIGN = {
    "HEIC image": [ftyp("heic", "mif1", "heic"), ftyp("mif1", "iso8"), ftyp("hevc", "msf1", "iso8")],
    "AVIF image": [ftyp("avif", "mif1", "miaf"), ftyp("avis", "msf1", "iso8")],
    "QuickTime movie": [ftyp("qt", "qt", "mp42"), b"\0\0\0\x08wide", b"\0\1\0\0moov"],
    "3GP video": [ftyp("3gp4", "isom", "3gp4"), ftyp("3g2a", "3g2a"), ftyp("3gp5", "mp42")],
    "M4A audio": [ftyp("M4A", "mp42", "isom"), ftyp("M4B", "isom")],
    "raw camera image": [ftyp("crx", "crx", "isom"), b"II*\0\x10\0\0\0CR\2\0"],
    "MP4 of another kind (abcd)": [ftyp("abcd", "efgh")],
    "JPEG 2000 or JPEG XL image": [b"\0\0\0\x0cjP  \r\n\x87\n", b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a"],
    "JPEG-LS image": [b"\xff\xd8\xff\xf7\0\x0b\x08\0\x10\0\x10\1\1\x11\0\xff\xda\0\x08\1\1\0\0\0\0"],
    "JPEG image, but damaged": [b"\xff\xd8\xff\xe0\0\2" + NOISE, b"\xff\xd8\xff\xe0\0\2\xff\xd9" + NOISE],
    "PNG image, but damaged or of Apple's kind": [b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI"],
    "GIF image": [b"GIF89a", b"GIF87a"],
    "BMP image": [saved(picture(), "BMP")],
    "TIFF image": [saved(picture(), "TIFF"), b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0"],
    "OpenEXR image": [b"v/1\1\2\0\0\0channels\0"],
    "Photoshop document": [b"8BPS\0\1"],
    "icon": [saved(picture(), "ICO")],
    "PDF document": [b"%PDF-1.7\n"],
    "AVI video": [b"RIFF\x10\0\0\0AVI LIST"],
    "RIFF file of another kind": [b"RIFF\x10\0\0\0WEBPXXXX", b"RIFF\x10\0\0\0RMP3data", b"RIFX\0\0\0\x10WAVEfmt "],
    "Matroska or WebM video": [b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81"],
    "MPEG video": [b"\0\0\1\xba\x44\0", (b"G\x40\0\x10" + bytes(184)) * 3],
    "Ogg audio": [b"OggS\0\2"],
    "FLAC audio": [b"fLaC\0\0\0\x22"],
    "AIFF audio": [b"FORM\0\0\0\x10AIFF", b"FORM\0\0\0\x10AIFC"],
    "AAC audio": [adts(40)],
    "MPEG audio, but not MP3": [b"\xff\xfd\x84\0".ljust(384, b"\0") * 4, b"\xff\xff\x84\0".ljust(384, b"\0") * 4],
    "ZIP archive": [b"PK\3\4"],
    "compressed archive": [b"\x1f\x8b\x08", b"7z\xbc\xaf\x27\x1c"],
    "3D scene": [b"BLENDER-v401", b"glTF\2\0\0\0"],
    "program": [b"\x7fELF\2\1\1"],
    "HTML page": [b"<!DOCTYPE html><html>", b"\xef\xbb\xbf\n <HTML>", b"<head>"],
    "XML or SVG document": [b"<?xml version='1.0'?>", b"<svg xmlns="],
    "text": [
        b"hello\n",
        "Grüße\t\n".encode() * 900,
        b"\xff\xfeh\0i\0",
        b"RI, and so on",
        b"ID: 3",
        "ü".encode() * 8192,
    ],
    "zeros only": [bytes(5), bytes(9000)],
    "unknown data": [NOISE, b"\1\2\3", b"\0\0\0\x20abcd"],
    "empty": [b""],
}


@pytest.mark.parametrize(("name", "data"), [(name, data) for name, every in FOREIGN.items() for data in every])
def test_none_of_the_six(name: str, data: bytes) -> None:
    assert look(data) is None
    assert describe(data) == name


@law
@given(st.integers(0, 10_000))
def test_noise_is_nothing(seed: int) -> None:
    data = random.Random(seed).randbytes(9000)
    assume(data[:2] not in (b"\xff\xd8", b"RI", b"ID"))
    assert look(data) is None


# --- PNG --------------------------------------------------------------------------------------------------------------


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + bytes(4)


def test_png_with_a_hole() -> None:
    full = sample("png", 1, 300_000)
    assert "IEND" in why(full[:100] + bytes(len(full) - 100))
    many = full[:33] + chunk(b"IDAT", b"1234") * 900 + full[-12:]
    assert whole(many) is Whole.YES
    assert "IEND" in why(many[:4000] + bytes(4000) + many[8000:])


def test_png_with_a_whole_png_inside() -> None:
    full = sample("png", 1)
    nested = full[:33] + chunk(b"teSt", full) + full[33:]
    assert whole(nested) is Whole.YES
    for cut in range(33, len(nested)):
        assert whole(nested[:cut]) is Whole.NO


def test_png_of_more_chunks_than_we_walk() -> None:
    full = sample("png", 1)
    assert whole(full[:33] + chunk(b"IDAT", b"") * 66_000 + full[-12:]) is Whole.UNKNOWN


# --- JPEG -------------------------------------------------------------------------------------------------------------


def with_segment(jpeg: bytes, marker: int, data: bytes) -> bytes:
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, 2 + len(data)) + data + jpeg[2:]


def test_jpeg_thumbnail_is_not_the_image() -> None:
    full = with_segment(samples.jpeg(64, 48, 1), 0xE1, b"Exif\0\0" + samples.jpeg(16, 16, 2))
    assert whole(full) is Whole.YES
    for cut in range(4, len(full)):
        assert whole(full[:cut]) is Whole.NO


def test_jpeg_with_a_second_image() -> None:
    first, second = samples.jpeg(64, 48, 1), samples.jpeg(64, 48, 2)
    for between in (b"", bytes(100)):
        full = first + between + second
        assert whole(full) is Whole.YES
        for cut in range(len(first) + len(between) + 3, len(full)):
            assert why(full[:cut]) == "JPEG ends inside its second image"


def test_jpeg_with_a_video_of_megabytes() -> None:
    video = samples.mp4(1, 1)[:100] + random.Random(2).randbytes(3_000_000)
    assert whole(samples.jpeg(64, 48, 1) + video) is Whole.YES


def test_jpeg_preallocated() -> None:
    full = samples.jpeg(400, 300, 1)
    for written in (4, 30, 500, len(full) - 1):
        assert whole(full[:written] + bytes(2_000_000)) is Whole.NO


@pytest.mark.parametrize("marker", [0xC1, 0xC2, 0xC3, 0xC9, 0xCA])
def test_jpeg_of_any_process(marker: int) -> None:
    full = samples.jpeg(16, 16, 1)
    assert whole(full.replace(b"\xff\xc0\0\x11", bytes((0xFF, marker, 0, 0x11)))) is Whole.YES


def test_jpeg_fill_bytes() -> None:
    full = samples.jpeg(16, 16, 1)
    assert whole(full[:2] + b"\xff" * 12 + full[2:]) is Whole.YES


@pytest.mark.parametrize("marker", [0xF7, 0xC4, 0xC8, 0xCC])
def test_jpeg_without_a_frame_is_none(marker: int) -> None:
    assert look(samples.jpeg(16, 16, 1).replace(b"\xff\xc0\0\x11", bytes((0xFF, marker, 0, 0x11)))) is None


# --- WebP and WAV -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 4, 0xFFFF_FFFF])
def test_webp_whose_length_is_not_written_yet(length: int) -> None:
    full = sample("webp", 1)
    assert "RIFF" in why(full[:4] + struct.pack("<I", length) + full[8:])


def test_webp_preallocated() -> None:
    full = sample("webp", 1, 5000)
    assert whole(full[:3000] + bytes(2000)) is Whole.UNKNOWN


def riff_wav(riff: int | None, data: int | None, *, sound: bytes = NOISE, behind: bytes = b"") -> bytes:
    rest = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    rest += b"data" + struct.pack("<I", len(sound) if data is None else data) + sound + behind
    return b"RIFF" + struct.pack("<I", len(rest) if riff is None else riff) + rest


@pytest.mark.parametrize("length", [0, 0xFFFF_FFFF, 0x7FFF_F000, 0x7FFF_F024, 0x7FFF_FFFF, 0x8000_0000])
def test_wav_from_a_pipe(length: int) -> None:
    assert whole(riff_wav(length, length)) is Whole.UNKNOWN
    assert whole(riff_wav(None, length)) is Whole.UNKNOWN
    assert whole(riff_wav(length, None)) is Whole.UNKNOWN
    assert whole(riff_wav(length, length, sound=b"")) is Whole.UNKNOWN


def test_wav_that_lacks_bytes() -> None:
    size = len(riff_wav(None, None))
    assert why(riff_wav(None, len(NOISE) + 1)) == "WAV stops inside its data chunk"
    assert "RIFF header" in why(riff_wav(size + 1, None))
    assert whole(riff_wav(size, None)) is Whole.UNKNOWN
    full = riff_wav(None, None, behind=b"LIST\x64\0\0\0" + b"x" * 100)
    for cut in range(len(full) - 99, len(full)):
        assert whole(full[:cut]) is not Whole.YES


def test_wav_of_odd_length() -> None:
    odd = NOISE[:999]
    assert whole(riff_wav(None, None, sound=odd)) is Whole.YES
    assert whole(riff_wav(None, None, sound=odd, behind=b"\0")) is Whole.YES
    assert whole(riff_wav(len(riff_wav(None, None, sound=odd)) - 7, None, sound=odd)) is Whole.UNKNOWN


def test_wav_that_ends_in_silence_may_be_preallocated() -> None:
    assert whole(riff_wav(None, None, sound=NOISE + bytes(100))) is Whole.UNKNOWN


@pytest.mark.parametrize(("lacking", "expected"), [(0, Whole.YES), (5000, Whole.NO)])
def test_wav_rf64(lacking: int, expected: Whole) -> None:
    full = riff_wav(0xFFFF_FFFF, 0xFFFF_FFFF)
    lengths = struct.pack("<QQQI", len(full) - 8 + 36, len(NOISE), len(NOISE) // 2, 0)
    rf64 = b"RF64" + full[4:12] + b"ds64" + struct.pack("<I", 28) + lengths + full[12:]
    assert look(rf64[: len(rf64) - lacking]) == Media(
        "audio/wav", expected, "WAV stops inside its data chunk" if lacking else ""
    )
    assert whole(rf64[:20] + bytes(28) + rf64[48:]) is Whole.UNKNOWN


# --- MP4 --------------------------------------------------------------------------------------------------------------


def box(name: bytes, data: bytes = b"x" * 80) -> bytes:
    return struct.pack(">I", 8 + len(data)) + name + data


FTYP, MOOV, MDAT = ftyp("isom", "mp42"), box(b"moov"), box(b"mdat")


@pytest.mark.parametrize(
    "brands",
    [
        ("isom", "isom", "3gp4"),
        ("mp42", "qt"),
        ("M4V", "M4A", "mp42"),
        ("XAVC", "XAVC", "mp42"),
        ("MSNV",),
        ("iso6", "dash"),
        ("ABCD", "mp41"),
        ("avc1", *["abcd"] * 300),
    ],
)
def test_mp4_brands(brands: tuple[str, ...]) -> None:
    assert look(ftyp(*brands) + MDAT + MOOV) == Media("video/mp4", Whole.YES)
    assert look(ftyp(*brands)[:12]) == Media("video/mp4", Whole.NO, "MP4 stops inside its ftyp box")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (FTYP + MOOV + MDAT, Whole.YES),
        (FTYP + MDAT + MOOV + box(b"free", bytes(90)), Whole.UNKNOWN),
        (FTYP + b"\0\0\0\1mdat" + struct.pack(">Q", 116) + b"x" * 100 + MOOV, Whole.YES),
        (FTYP + MOOV + b"\0\0\0\0mdat" + b"x" * 100, Whole.UNKNOWN),
        (FTYP + MOOV + MDAT + bytes(100), Whole.UNKNOWN),
        (FTYP + MOOV + MDAT + b"\0\0", Whole.UNKNOWN),
        (FTYP + MOOV + MDAT[:-70] + bytes(70), Whole.UNKNOWN),
        (FTYP + MOOV + (box(b"moof") + MDAT) * 3, Whole.UNKNOWN),
        (FTYP + MOOV + (box(b"moof") + MDAT) * 3 + box(b"mfra"), Whole.YES),
        (FTYP + MOOV + (box(b"moof") + MDAT) * 40_000, Whole.UNKNOWN),
        (FTYP + MOOV + b"\0\0\0\5mdat", Whole.UNKNOWN),
        (FTYP + MDAT + MOOV + box(b"\xa9abc") + box(b"sefd"), Whole.YES),
    ],
)
def test_mp4_whole(data: bytes, expected: Whole) -> None:
    assert look(data) == Media("video/mp4", expected)


@pytest.mark.parametrize(
    ("data", "lacks"),
    [
        (FTYP, "no moov box"),
        (FTYP + MDAT, "no moov box"),
        (FTYP + b"\0\0\0\0mdat" + b"x" * 100, "no moov box"),
        (FTYP + MDAT + bytes(5000), "no moov box"),
        (FTYP + MOOV, "no media data"),
        (FTYP + MOOV + box(b"free"), "no media data"),
        (FTYP + MOOV + MDAT[:-1], "stops inside its mdat box"),
        (FTYP + MDAT + MOOV[:-1], "stops inside its moov box"),
        (FTYP + MOOV + MDAT + MDAT[:20], "stops inside its mdat box"),
        (FTYP + MOOV + b"\0\0\0\1mdat" + b"\xff" * 8, "stops inside its mdat box"),
    ],
)
def test_mp4_lacks(data: bytes, lacks: str) -> None:
    assert lacks in why(data)


# --- MP3 --------------------------------------------------------------------------------------------------------------

FRAME = b"\xff\xfb\x94\xc4".ljust(384, b"\0")


def tag(size: int, *, flags: int = 0) -> bytes:
    return b"ID3\4\0" + bytes((flags, size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127)) + b"x" * size


@pytest.mark.parametrize(
    "before",
    [
        b"",
        tag(0),
        tag(200_000),
        tag(300) + tag(5000),
        tag(100, flags=0x10) + b"3DI\4\0\x10\0\0\0\x64",
        tag(100) + bytes(4000),
        tag(100) + NOISE[:4000],
        bytes(2000),
        b"\1\2" + NOISE[:700],
    ],
)
def test_mp3(before: bytes) -> None:
    assert look(before + FRAME * 3) == Media("audio/mpeg", Whole.UNKNOWN)
    assert look(before + FRAME * 30) == Media("audio/mpeg", Whole.UNKNOWN)


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\xfb\x90\x44".ljust(417, b"\0"),
        b"\xff\xfa\x92\x44".ljust(418, b"\0"),
        b"\xff\xf3\x84\xc4".ljust(192, b"\0"),
        b"\xff\xe3\x18\xc4".ljust(72, b"\0"),
        b"\xff\xfb\xe8\x44".ljust(1440, b"\0"),
    ],
)
def test_mp3_of_any_version_and_rate(frame: bytes) -> None:
    assert look(frame * 2) == Media("audio/mpeg", Whole.UNKNOWN)
    assert look(frame * 2 + tag(9)) == Media("audio/mpeg", Whole.UNKNOWN)
    assert why(frame) == "MP3 stops inside its first frame"


@pytest.mark.parametrize(
    ("data", "lacks"),
    [
        (b"ID3", "inside its ID3 tag"),
        (tag(200_000)[:9], "inside its ID3 tag"),
        (tag(200_000)[:90_000], "inside its ID3 tag"),
        (tag(200_000), "before its first frames"),
        (tag(200_000) + bytes(100_000), "before its first frames"),
        (tag(200) + FRAME, "before its first frames"),
        (tag(200) + tag(9)[:5], "inside its ID3 tag"),
        (FRAME[:2], "inside its first frame"),
        (FRAME[:383], "inside its first frame"),
        (bytes(50) + FRAME[:100], "inside its first frame"),
    ],
)
def test_mp3_lacks(data: bytes, lacks: str) -> None:
    assert lacks in why(data)


@pytest.mark.parametrize(
    "data",
    [
        FRAME + b"\xff\xf3\x84\xc4".ljust(192, b"\0"),  # another version
        FRAME + b"\xff\xfb\x90\xc4".ljust(384, b"\0"),  # another rate
        FRAME + NOISE,
        b"\xff\xfb\xf0\xc4".ljust(384, b"\0") * 9,  # no such bit rate
        b"\xff\xfb\x9c\xc4".ljust(384, b"\0") * 9,  # no such sampling rate
        tag(100) + b"fLaC\0\0\0\x22" + NOISE,
        tag(100) + adts(300),
        b"ID3\xff\xff\xff\xff\xff\xff\xff" + NOISE,
    ],
)
def test_mp3_it_is_not(data: bytes) -> None:
    assert look(data) is None
