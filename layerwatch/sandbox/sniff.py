"""What a file really is, from its first bytes: the storage's side of "the content type does not match the real format".

The sandbox's own, and not layerwatch's: a judge must not share the defendant's eyes.
"""


def real_type(first: bytes) -> str | None:
    """The content type that the first 16 bytes show; None for anything but Layer's six."""
    if first.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if first.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if first[4:8] == b"ftyp":
        return "video/mp4"
    if first.startswith(b"RIFF"):
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(first[8:12])
    if first.startswith(b"ID3") or (len(first) > 1 and first[0] == 0xFF and first[1] & 0xE0 == 0xE0):
        return "audio/mpeg"
    return None
