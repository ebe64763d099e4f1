"""The six types Layer takes, told from a file's bytes, and whether all of a file is there.

The name decides nothing: a HEIC called `.jpg` would be refused by the API after the upload, a PNG called `.tmp` would
not. Reads are few, small and by position (`os.pread`): a file is never read as a whole, the descriptor never moves.
An `OSError` of a read is the caller's.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from struct import Struct
from typing import NamedTuple

_HEAD = 8192
_MARKS = 32  # all that types are told by lies in so many first bytes, but for an MP4's brands and an MP3's frames
_MAX_PARTS = 65_536  # a PNG of 64 MiB in chunks of 1 KiB; beyond that we say that we do not know


class Whole(StrEnum):
    """Is the structure all there?"""

    YES = "yes"  # an end mark or a length says so
    NO = "no"  # provably not: still being written, or truncated
    UNKNOWN = "unknown"  # the bytes cannot tell: only quiet time can


class Media(NamedTuple):
    """What a file is. While it is too short to tell, `whole` is NO and the type the likeliest one."""

    content_type: str
    whole: Whole
    why: str = ""  # for a person, when `whole` is NO


@dataclass(slots=True)
class _File:
    """An open file, as long as it was when it was looked at: what is written behind that is not ours to judge."""

    fd: int
    size: int
    head: bytes

    def read(self, at: int, count: int) -> bytes:
        if at + count <= len(self.head) or len(self.head) == self.size:
            return self.head[at : at + count]
        return os.pread(self.fd, min(count, self.size - at), at) if at < self.size else b""

    def little(self, at: int, count: int) -> int:
        return int.from_bytes(self.read(at, count), "little")

    def measured(self, end: int) -> Whole:
        """All is there up to `end` by the lengths. But copies over SMB, and those that preallocate, set a file's length
        first: zeros at the end may be bytes to come."""
        start = max(0, end - 64)
        return Whole.YES if self.read(start, end - start).strip(b"\0") else Whole.UNKNOWN


# A judge says how whole a file is; in words what it lacks; or None, it is not of that type after all.
_Verdict = Whole | str | None
_Judge = Callable[[_File], _Verdict]


class _EndlessError(Exception):
    """More parts than we are ready to walk."""


def look(fd: int, size: int, head: bytes = b"") -> Media | None:
    """Type and wholeness of an open file of `size` bytes; None: it is none of the six types. `head`: as many of its
    first bytes as have been read already."""
    file = _File(fd, size, head) if head else _open(fd, size)
    if len(file.head) < 2:
        return None
    content_type, judge = _type_of(file.head)
    try:
        verdict = judge(file)
    except _EndlessError:
        verdict = Whole.UNKNOWN
    if isinstance(verdict, Whole):
        return _judged(content_type, verdict)
    return Media(content_type, Whole.NO, verdict) if verdict else None


@cache
def _judged(content_type: str, whole: Whole) -> Media:
    return Media(content_type, whole)  # few different ones, for very many files


def _type_of(head: bytes) -> tuple[str, _Judge]:
    for test, content_type, judge in _TYPES:
        if test(head):
            return content_type, judge
    raise AssertionError("the last row is for all")


def describe(fd: int, size: int) -> str:
    """For a person: what a file that is none of the six types seems to be."""
    head = _open(fd, size).head
    if known := _FOREIGN.match(head):
        return _FOREIGN_TABLE[(known.lastindex or 1) - 1][1]
    if not head.strip(b"\0"):
        return "zeros only" if head else "empty"
    if head[4:8] == b"ftyp":
        return f"MP4 of another kind ({head[8:12].decode('ascii', 'replace').strip()})"
    text = head.decode("utf-8", "replace").removesuffix("\ufffd")  # the cut may have gone through a character
    return "text" if all(c.isprintable() or c.isspace() for c in text) and "\ufffd" not in text else "unknown data"


def _open(fd: int, size: int) -> _File:
    return _File(fd, size, os.pread(fd, min(_HEAD, size), 0))


def _agrees(head: bytes, at: int, *marks: bytes) -> bool:
    """Is one of `marks` at `at`, or may it still come there? What is too short to tell agrees with all."""
    if head.startswith(marks, at):
        return True
    return len(head) < _MARKS and any(at + len(mark) > len(head) and mark.startswith(head[at:]) for mark in marks)


# --- walking: RIFF chunks, MP4 boxes and JPEG segments differ only in their headers -----------------------------------

# A part's first 16 bytes -> its name, and its length with all headers; 0: it has none that can be believed.
_Header = Callable[[bytes], tuple[bytes, int]]


def _walk(file: _File, at: int, header: _Header) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each part. The last one may reach past the end of the file, or have no length."""
    size, head = file.size, file.head
    in_head = size if len(head) == size else len(head) - 16
    for _ in range(_MAX_PARTS):
        if at >= size:
            return
        name, length = header(head[at : at + 16] if at <= in_head else file.read(at, 16))
        yield name, at, at + length
        if not length:
            return
        at += length
    raise _EndlessError


def _riff_chunk(raw: bytes) -> tuple[bytes, int]:
    length = int.from_bytes(raw[4:8], "little")
    return (raw[:4], 8 + length + length % 2) if raw[:4].isascii() and raw[7:] and raw[0] else (b"", 0)


def _mp4_box(raw: bytes) -> tuple[bytes, int]:
    name, length = raw[4:8], int.from_bytes(raw[:4])
    if length == 1:
        length = int.from_bytes(raw[8:16])
    return (name, length if length >= 8 else 0) if len(name) == 4 and name.strip(b" \xa9").isalnum() else (b"", 0)


_SEGMENTS = {*range(0xC0, 0xD0), *range(0xDA, 0xFF)}  # the markers that a length follows


def _jpeg_segment(raw: bytes) -> tuple[bytes, int]:
    segment = raw.lstrip(b"\xff")  # any number of FF may come before a marker
    fill, length = len(raw) - len(segment), int.from_bytes(segment[1:3])
    if not fill or len(segment) < 3 or length < 2 or segment[0] not in _SEGMENTS:
        return b"", 0
    return segment[:1], fill + 1 + length


# --- one judge for each type ------------------------------------------------------------------------------------------

_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_CHUNK = Struct(">I4s")  # length of what it holds, and name


def _judge_png(file: _File) -> _Verdict:
    # Walked, and not just searched for IEND at the end: bytes behind it cost nothing then, however many they are, and
    # a hole where a copy has not come to yet is met as a chunk without a name.
    # By a loop of its own: most of what a scan finds is PNG.
    at, size, head, in_head = 8, file.size, file.head, len(file.head) - 8
    for _ in range(_MAX_PARTS):
        raw, start = (head, at) if at <= in_head else (file.read(at, 8).ljust(8, b"\0"), 0)
        length, name = _CHUNK.unpack_from(raw, start)
        at += 12 + length
        if at > size or not name.isalpha():
            return "PNG ends before its IEND chunk"
        if name == b"IEND":
            return Whole.YES
    raise _EndlessError


_SOF = {bytes([n]) for n in range(0xC0, 0xD0) if n not in (0xC4, 0xC8, 0xCC)}  # JPEG-LS has F7: not image/jpeg
_SOI, _EOI = b"\xff\xd8\xff", b"\xff\xd9"
_TRAILER = 1 << 20


def _judge_jpeg(file: _File) -> _Verdict:
    has_frame = False
    for marker, start, end in _walk(file, 2, _jpeg_segment):
        if marker == b"\xda":
            return _judge_scan(file, end) if has_frame else None
        if not marker:
            raw = file.read(start, 16)
            is_cut = len(raw) < 16 or not raw[4:].strip(b"\0")  # not written, or preallocated
            return "JPEG ends in its headers" if is_cut else None
        has_frame = has_frame or marker in _SOF
    return "JPEG ends in its headers"


def _judge_scan(file: _File, start: int) -> _Verdict:
    """Coded data never holds FFD9, so that any one behind the headers, whose thumbnails were stepped over, means that
    the main image is all there, whatever a phone has appended (a gain map, a video of megabytes)."""
    if file.size - 2 >= start and file.read(file.size - 2, 2) == _EOI:
        return Whole.YES
    _, mark, rest = file.read(max(start, file.size - _TRAILER), _TRAILER).rpartition(_EOI)
    if not mark:
        return "JPEG ends before its end mark (EOI)"
    return "JPEG ends inside its second image" if rest.lstrip(b"\0").startswith(_SOI) else Whole.YES


def _may_be_webp(head: bytes) -> bool:
    image = _agrees(head, 12, b"VP8 ", b"VP8L", b"VP8X")
    return image and _agrees(head, 0, b"RIFF") and _agrees(head, 8, b"WEBP")


def _judge_webp(file: _File) -> _Verdict:
    length = file.little(4, 4)
    if length < 12 or 8 + length > file.size:
        return "WebP is shorter than its RIFF header says"
    return file.measured(8 + length)


# Those who write to a pipe cannot come back to fill in the length: ffmpeg leaves FFFFFFFF, sox and espeak 7FFFF000 or a
# little more, arecord 7FFFFFFF or 80000000, others 0.
_STREAMED = 0x7FFF_F000


def _judge_wav(file: _File) -> _Verdict:
    riff, long_data = file.little(4, 4), 0
    for name, start, _end in _walk(file, 12, _riff_chunk):
        if name == b"ds64":  # RF64: the true lengths, in 64 bits
            riff, long_data = file.little(start + 8, 8), file.little(start + 16, 8)
        if name == b"data":
            data = file.little(start + 4, 4)
            return _judge_samples(file, riff, start + 8, long_data if long_data and data == 0xFFFF_FFFF else data)
    return "WAV ends before its data chunk"


def _judge_samples(file: _File, riff: int, start: int, data: int) -> _Verdict:
    if not riff or not data:
        return Whole.UNKNOWN
    if start + data > file.size:
        return Whole.UNKNOWN if data >= _STREAMED else "WAV stops inside its data chunk"
    lacking = riff + 8 - file.size
    if lacking > 8:
        return Whole.UNKNOWN if riff >= _STREAMED else "WAV is shorter than its RIFF header says"
    # Some writers count the RIFF header's own 8 bytes too, or a padding byte that they leave out.
    return Whole.UNKNOWN if lacking > 0 else file.measured(start + data)


# HEIF, QuickTime, 3GP and M4A are told by their first brand, in _FOREIGN: they name these ones among the compatible.
_MP4_BRANDS = frozenset(
    b"isom iso2 iso3 iso4 iso5 iso6 iso7 iso8 iso9 isoa isob isoc mp41 mp42 mp71 avc1 hvc1 hev1 av01 "
    b"dash cmfc cmf2 piff M4V M4VH M4VP MSNV XAVC f4v mmp4".split()
)
_MP4_BOXES = frozenset(b"ftyp moov mdat free skip wide moof mfra sidx ssix styp uuid meta udta pdin prft emsg".split())


def _may_be_mp4(head: bytes) -> bool:
    size = int.from_bytes(head[:4])
    if len(head) < 4 or not 16 <= size <= 4096 or not _agrees(head, 4, b"ftyp"):
        return False
    brands = {head[8:12].rstrip()} | {head[at : at + 4].rstrip() for at in range(16, size, 4)}
    return len(head) < size or not brands.isdisjoint(_MP4_BRANDS)


def _judge_mp4(file: _File) -> _Verdict:
    seen, end, is_open = set(), 0, False
    for name, start, end in _walk(file, 0, _mp4_box):
        is_open = not start < end <= file.size  # a last box without a length, or bytes that are no box
        if end > file.size and name in _MP4_BOXES:
            return f"MP4 stops inside its {name.decode()} box"
        seen.add(name)
    if b"moov" not in seen:
        return "MP4 has no moov box"
    if seen.isdisjoint((b"mdat", b"moof")):
        return "MP4 has no media data"
    if is_open or (b"moof" in seen and b"mfra" not in seen):  # more fragments may follow
        return Whole.UNKNOWN
    return file.measured(end)


_TAG = re.compile(rb"ID3[\x02-\x04][^\xff](.)([\0-\x7f]{4})", re.DOTALL)
_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")  # eleven bits of sync, any version, Layer III
_KBIT_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_KBIT_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_HERTZ = ((11025, 12000, 8000, 0), (0,) * 4, (22050, 24000, 16000, 0), (44100, 48000, 32000, 0))
_JUNK = 4096  # taggers leave padding, cutters the rest of a frame
_WINDOW = _JUNK + 1441 + 4  # the junk, the longest frame, the header of the next


def _judge_mp3(file: _File) -> _Verdict:
    start = _behind_tags(file)
    window = file.read(start, _WINDOW)
    if start > file.size or (0 < len(window) < 10 and _agrees(window, 0, b"ID3")):
        return "MP3 stops inside its ID3 tag"
    if any(_are_two_frames(window, sync.start()) for sync in _SYNC.finditer(window, 0, _JUNK)):
        return Whole.UNKNOWN
    frame = window.lstrip(b"\0")
    if start:  # a tag may be before other audio, too
        return "MP3 ends before its first frames" if len(window) < _WINDOW or not frame else None
    is_cut = _SYNC.match(frame) and (len(frame) < 4 or len(frame) < _frame_size(frame) + 4)
    return "MP3 stops inside its first frame" if is_cut else None


def _behind_tags(file: _File) -> int:
    at = 0
    for _ in range(16):
        tag = _TAG.match(file.read(at, 10))
        if not tag:
            break
        a, b, c, d = tag[2]
        at += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if tag[1][0] & 0x10 else 0)
    return at


def _are_two_frames(window: bytes, at: int) -> bool:
    """Do two headers that agree with each other stand one frame's length apart? By chance at one place in billions."""
    one = window[at : at + 4]
    size = _frame_size(one)
    two = window[at + size : at + size + 4]
    return bool(size and _frame_size(two) and one[1] | 1 == two[1] | 1 and not (one[2] ^ two[2]) & 0x0C)


def _frame_size(header: bytes) -> int:
    """The length of the Layer III frame that begins so; 0: none does."""
    if len(header) < 4 or not _SYNC.match(header) or header[3] & 3 == 2:
        return 0
    version = header[1] >> 3 & 3
    factor, kbit = (144_000, _KBIT_1) if version == 3 else (72_000, _KBIT_2)
    bitrate, hertz = kbit[header[2] >> 4], _HERTZ[version][header[2] >> 2 & 3]
    return factor * bitrate // hertz + (header[2] >> 1 & 1) if bitrate and hertz else 0


# --- the tables -------------------------------------------------------------------------------------------------------

# What is none of the six, and what to call it. It also keeps us from an MP3's frames inside of something else.
_FOREIGN_TABLE = (
    (rb"....ftyp(?:hei|hev|mif|msf|mia)", "HEIC image"),
    (rb"....ftypavi[fso]", "AVIF image"),
    (rb"....ftyp(?:qt  |mqt )|....(?:moov|mdat|wide|pnot)", "QuickTime movie"),
    (rb"....ftyp(?:3g|KDDI)", "3GP video"),
    (rb"....ftyp(?:M4[ABP]|F4[AB]|aax)", "M4A audio"),
    (rb"....ftypcrx |II.\0....CR|FUJIFILMCCD", "raw camera image"),
    (rb"....ftypj|....j[PX]  |....JXL |\xff\x4f\xff\x51|\xff\x0a", "JPEG 2000 or JPEG XL image"),
    (rb"\xff\xd8\xff\xf7", "JPEG-LS image"),
    (rb"\xff\xd8\xff", "JPEG image, but damaged"),
    (rb"GIF8", "GIF image"),
    (rb"BM....\0\0\0\0", "BMP image"),
    (rb"(?:II[*+]|MM\0[*+])", "TIFF image"),
    (rb"v/1\x01", "OpenEXR image"),
    (rb"SDPX|XPDS", "DPX image"),
    (rb"#\?R", "Radiance HDR image"),
    (rb"8BPS", "Photoshop document"),
    (rb"\0\0[\1\2]\0[^\0]\0", "icon"),
    (rb"%PDF", "PDF document"),
    (rb"\x89PNG", "PNG image, but damaged or of Apple's kind"),
    (rb"RIFF....AVI ", "AVI video"),
    (rb"RIFF|RIFX|BW64", "RIFF file of another kind"),
    (rb"\x1a\x45\xdf\xa3", "Matroska or WebM video"),
    (rb"\0\0\x01[\xb3\xba]|\x47.{187}\x47|....\x47.{191}\x47", "MPEG video"),
    (rb"FLV\x01|\x30\x26\xb2\x75", "Flash or Windows Media video"),
    (rb"OggS", "Ogg audio"),
    (rb"fLaC", "FLAC audio"),
    (rb"FORM....AIF", "AIFF audio"),
    (rb"\xff[\xf0\xf1\xf8\xf9]", "AAC audio"),
    (rb"\xff[\xf4-\xf7\xfc\xfd\xff]", "MPEG audio, but not MP3"),
    (rb"caff|\.snd|#!AMR|DSD |wvpk|MAC |MThd|\x0b\x77|riff", "audio of another kind"),
    (rb"PK[\3\5]", "ZIP archive"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|\x28\xb5\x2f\xfd|Rar!", "compressed archive"),
    (rb"BLENDER|glTF|Kaydara|PXR-USD", "3D scene"),
    (rb"\x7fELF|MZ", "program"),
    (rb"(?:\xef\xbb\xbf)?\s*<(?i:!doctype html|html|head|body)", "HTML page"),
    (rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|svg|!--)", "XML or SVG document"),
    (rb"\xff\xfe|\xfe\xff", "text"),
)
_FOREIGN = re.compile(b"|".join(b"(%s)" % pattern for pattern, _ in _FOREIGN_TABLE), re.DOTALL)

# The first row whose test a head passes judges the file.
_TYPES: tuple[tuple[Callable[[bytes], bool], str, _Judge], ...] = (
    (lambda head: _agrees(head, 0, _PNG), "image/png", _judge_png),
    (lambda head: _agrees(head, 0, _SOI), "image/jpeg", _judge_jpeg),
    (lambda head: _agrees(head, 0, b"RIFF", b"RF64") and _agrees(head, 8, b"WAVE"), "audio/wav", _judge_wav),
    (_may_be_webp, "image/webp", _judge_webp),
    (lambda head: _FOREIGN.match(head) is not None, "", lambda _file: None),
    (_may_be_mp4, "video/mp4", _judge_mp4),
    (lambda _head: True, "audio/mpeg", _judge_mp3),  # last: its frames may come behind any junk
)
