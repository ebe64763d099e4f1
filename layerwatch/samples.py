"""Small real files of the six types, for the sandbox, the demo and the tests.

Pillow and ffmpeg play them, the same seed gives the same bytes, no two seeds give the same file, and each can be made
as large as wished (`sample`) and stays a whole file. Nothing here reads or writes the disk.
"""

import hashlib
import math
import struct
import zlib
from collections.abc import Iterable, Iterator

KINDS = ("png", "jpg", "webp", "mp4", "mp3", "wav")


def sample(kind: str, seed: int, size_bytes: int | None = None) -> bytes:
    """A file of one of KINDS, of exactly `size_bytes` (from 1 KiB on; RIFF is even: one byte less if it is odd)."""
    smallest = _make(kind, seed, 0)
    if size_bytes is None:
        return smallest
    if size_bytes < len(smallest):
        raise ValueError(f"a sample of kind {kind} has at least {len(smallest)} bytes, not {size_bytes}")
    return _make(kind, seed, size_bytes - len(smallest))


def _make(kind: str, seed: int, fill: int) -> bytes:
    match kind:
        case "png":
            return png(16, 16, seed, fill)
        case "jpg":
            return jpeg(16, 16, seed, fill)
        case "webp":
            return webp(16, 16, seed, fill)
        case "mp4":
            return mp4(1 / FPS, seed, fill)
        case "mp3":
            return mp3(0.048, seed, fill)
        case "wav":
            return wav(0.01, seed, fill)
    raise ValueError(f"no such kind of sample: {kind}")


def _note(seed: int, size: int) -> bytes:
    """What makes a file unlike all others: a title, and as many bytes of noise as are wanted to fill it up."""
    noise = hashlib.shake_128(b"%d" % seed).digest(min(size, 1 << 16)) or b"\0"
    many, rest = divmod(size, len(noise))
    return b"".join((b"layerwatch sample %d" % seed, *(noise,) * many, noise[:rest]))


def _colours(width: int, height: int, seed: int) -> Iterator[tuple[int, int, int]]:
    """A slope from one corner to the other; the seed chooses the colours."""
    red, green, blue = hashlib.sha256(b"%d" % seed).digest()[:3]
    for y in range(height):
        for x in range(width):
            yield (red + 200 * x // width) % 256, (green + 200 * y // height) % 256, blue


# --- images -----------------------------------------------------------------------------------------------------------


def png(width: int, height: int, seed: int, fill: int = 0) -> bytes:
    pixels = b"".join(map(bytes, _colours(width, height, seed)))
    stride = 3 * width
    rows = b"".join(b"\0" + pixels[at : at + stride] for at in range(0, len(pixels), stride))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            *_png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            *_png_chunk(b"noTe", _note(seed, fill)),
            *_png_chunk(b"IDAT", zlib.compress(rows, 9)),
            *_png_chunk(b"IEND", b""),
        )
    )


def _png_chunk(name: bytes, data: bytes) -> Iterable[bytes]:
    return struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))


def jpeg(width: int, height: int, seed: int, fill: int = 0) -> bytes:
    """Blocks of 8 x 8 pixels of one colour, in the plainest code there can be: four bits for the size of a step, and
    one bit for "no detail in this block"."""
    across, down = -(-width // 8), -(-height // 8)
    bits: list[str] = []
    before = (0, 0, 0)
    for red, green, blue in _colours(across, down, seed):
        luma = (299 * red + 587 * green + 114 * blue) // 1000
        now = (luma - 128, (blue - luma) * 564 // 1000, (red - luma) * 713 // 1000)
        bits += [_jpeg_step(a - b) + "0" for a, b in zip(now, before, strict=True)]
        before = now
    coded = "".join(bits)
    coded += "1" * (-len(coded) % 8)
    components = b"".join(bytes((n, 0x11, 0)) for n in (1, 2, 3))
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0"),
            _comments(_note(seed, fill)),
            _segment(0xDB, b"\0" + b"\x08" * 64),
            _segment(0xC0, struct.pack(">BHHB", 8, height, width, 3) + components),
            _segment(0xC4, b"\x00" + bytes((0, 0, 0, 9)).ljust(16, b"\0") + bytes(range(9))),
            _segment(0xC4, b"\x10" + bytes((1,)).ljust(16, b"\0") + b"\0"),
            _segment(0xDA, b"\3\1\0\2\0\3\0\0\x3f\0"),
            int(coded, 2).to_bytes(len(coded) // 8).replace(b"\xff", b"\xff\0"),
            b"\xff\xd9",
        )
    )


def _jpeg_step(step: int) -> str:
    size = abs(step).bit_length()
    value = step if step > 0 else step + (1 << size) - 1
    return f"{size:04b}" + (f"{value:0{size}b}" if size else "")


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _comments(data: bytes) -> bytes:
    """Comments of 64 KiB at most; each gives up its first four bytes to its header, so that the sum is as asked for."""
    data = bytes(4) + data
    pieces = (data[at : at + 65_537] for at in range(0, len(data), 65_537))
    return b"".join(_segment(0xFE, piece[4:]) if len(piece) >= 4 else b"\xff" * len(piece) for piece in pieces)


def webp(width: int, height: int, seed: int, fill: int = 0) -> bytes:
    """Lossless, and coded so that each of green, red and blue takes the eight bits that it has."""
    codes_of_8 = _bits(0, 1) + _bits(8, 4) + _bits(1 << 33, 36)
    header = (
        _bits(0x2F, 8)
        + _bits(width - 1, 14)
        + _bits(height - 1, 14)
        + _bits(0, 4)  # opaque, version 0
        + _bits(0, 3)  # no transform, no cache of colours, one set of codes for the whole image
        + codes_of_8
        + _bits(1, 1)
        + _bits(3, 3)
        + _bits(254, 8)  # green: the first 256 of 280 symbols
        + codes_of_8
        + _bits(0, 1)  # red
        + codes_of_8
        + _bits(0, 1)  # blue
        + _bits(0b101, 3)
        + _bits(255, 8)  # alpha is 255
        + _bits(0b001, 4)  # distances are not used
    )
    pixels = (f"{green:08b}{red:08b}{blue:08b}" for red, green, blue in _colours(width, height, seed))
    stream = header + "".join(pixels)
    image = int(stream[::-1], 2).to_bytes(-(-len(stream) // 8), "little")
    return _riff(b"WEBP", (b"VP8L", image), (b"noTe", _note(seed, fill & ~1)))


def _bits(value: int, count: int) -> str:
    """The way WebP reads its bits: the least significant first."""
    return f"{value:0{count}b}"[::-1]


# --- sound and video --------------------------------------------------------------------------------------------------


def wav(seconds: float, seed: int, fill: int = 0) -> bytes:
    """A sine tone whose pitch the seed chooses; to fill, it sounds longer."""
    rate, pitch = 16_000, 220 + seed % 660
    count = round(seconds * rate) + fill // 2
    second = [round(8000 * math.sin(math.tau * pitch * at / rate)) for at in range(min(count, rate))]
    samples = struct.pack(f"<{len(second)}h", *second)
    tone = (samples * (2 * count // max(1, len(samples)) + 1))[: 2 * count]
    form = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    return _riff(b"WAVE", (b"fmt ", form), (b"noTe", _note(seed, 0)), (b"data", tone))


def _riff(form: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    parts = [form]
    for name, data in chunks:
        parts += name, struct.pack("<I", len(data)), data, b"\0" * (len(data) % 2)
    return b"".join((b"RIFF", struct.pack("<I", sum(map(len, parts))), *parts))


def mp3(seconds: float, seed: int, fill: int = 0) -> bytes:
    """Silence: frames of 24 ms and 384 bytes (48 kHz, 128 kbit/s, mono) that hold nothing; to fill, there are more."""
    more, rest = divmod(fill, 384)
    title = b"\3" + _note(seed, 0)
    tag = b"TIT2" + _syncsafe(len(title)) + b"\0\0" + title + bytes(rest)
    frame = b"\xff\xfb\x94\xc4".ljust(384, b"\0")
    return b"".join((b"ID3\4\0\0", _syncsafe(len(tag)), tag, frame * (round(seconds / 0.024) + more)))


def _syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


FPS = 4


def mp4(seconds: float, seed: int, fill: int = 0) -> bytes:
    """Motion JPEG, 16 x 16. The index comes last, as a camera writes it: the file is whole with its last byte only."""
    frames = [jpeg(16, 16, seed + n) for n in range(max(1, round(seconds * FPS)))]
    head = _box(b"ftyp", b"isom", bytes(4), b"isommp41")
    free = _box(b"free", _note(seed, fill))
    moov = _moov([len(frame) for frame in frames], start=len(head) + len(free) + 8)
    return b"".join((head, free, _box(b"mdat", *frames), moov))


def _box(name: bytes, *parts: bytes) -> bytes:
    return b"".join((struct.pack(">I", 8 + sum(map(len, parts))), name, *parts))


def _moov(sizes: list[int], start: int) -> bytes:
    count, ticks, matrix = len(sizes), 1000 // FPS, struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    jpeg_codec = b"\x04\x0d\x6c\x11".ljust(15, b"\0")
    esds = b"\x03" + bytes((3 + len(jpeg_codec) + 3, 0, 1, 0)) + jpeg_codec + b"\x06\1\2"
    entry = _box(
        b"mp4v",
        *(struct.pack(">6xH16xHHIIIH", 1, 16, 16, 72 << 16, 72 << 16, 0, 1), bytes(32), b"\0\x18\xff\xff"),
        _box(b"esds", bytes(4), esds),
    )
    table = _box(
        b"stbl",
        _box(b"stsd", struct.pack(">4xI", 1), entry),
        _box(b"stts", struct.pack(">4x3I", 1, count, ticks)),
        _box(b"stsc", struct.pack(">4x4I", 1, 1, count, 1)),
        _box(b"stsz", struct.pack(f">4x2I{count}I", 0, count, *sizes)),
        _box(b"stco", struct.pack(">4x2I", 1, start)),
    )
    where = _box(b"dinf", _box(b"dref", struct.pack(">4xI", 1), _box(b"url ", b"\0\0\0\1")))
    media = _box(
        b"mdia",
        _box(b"mdhd", struct.pack(">12xIIHH", 1000, count * ticks, 0x55C4, 0)),
        _box(b"hdlr", bytes(8), b"vide", bytes(13)),
        _box(b"minf", _box(b"vmhd", struct.pack(">I8x", 1)), where, table),
    )
    track_header = struct.pack(">I8xI4xI16x36sII", 7, 1, count * ticks, matrix, 16 << 16, 16 << 16)
    movie_header = struct.pack(">12xIIIH10x36s24xI", 1000, count * ticks, 1 << 16, 1 << 8, matrix, 2)
    return _box(b"moov", _box(b"mvhd", movie_header), _box(b"trak", _box(b"tkhd", track_header), media))
