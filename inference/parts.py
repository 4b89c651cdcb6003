"""How many parts a picture file is made of, counted before anything decodes it.

The parts that a format repeats are its way to make little of a file cost much: a JPEG may send its last scan again without end, each time
over the whole picture, and decoders walk chunks and frames one by one. No program writes anywhere near as many as are allowed here.
"""

import re

MOST_SCANS = 40  # of a JPEG; those that programs write have 1 to 20
MOST_SEGMENTS = 2_000  # of a JPEG's header, 64 kB each at most
MOST_FILLING = 1_000  # bytes between two of them, which Pillow walks one by one; programs write none, or a few
MOST_CHUNKS = 20_000  # of a PNG; programs write 4 to 32 kB into each
MOST_BLOCKS = 100_000  # of a GIF; programs fill them with 255 bytes each, which is 25 MB

# Of a segment or the end; within a scan 0xff is followed by 0 or a restart marker. Filled up with more of 0xff it is the last that counts:
# one that took all of them would look at a million of them a million times.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
_END, _SCAN = 0xD9, 0xDA


def excess(content: bytes, most_frames: int) -> str:
    """What a JPEG, PNG or GIF has too many of, as "1,500 scans, more than the 40 allowed"; empty where there is none, and of other formats."""
    if content.startswith(b"\xff\xd8"):
        return _jpeg(content)
    if content.startswith(b"\x89PNG"):
        return _png(content)
    return _gif(content, most_frames) if content.startswith(b"GIF8") else ""


def _jpeg(content: bytes) -> str:
    """Up to the end of the picture: what cameras hang on behind it, such as a film, is not looked at by decoders either."""
    at, scans, segments = 2, 0, 0
    while True:
        found = _MARKER.search(content, at)
        if not scans and (found.start() if found else len(content)) - at > MOST_FILLING:
            return f"over {MOST_FILLING:,} bytes between its segments, more than are allowed"
        if not found or found[1][0] == _END:
            break
        segments += 1
        scans += found[1][0] == _SCAN
        if segments > MOST_SEGMENTS:
            return f"over {MOST_SEGMENTS:,} segments, more than are allowed"
        at = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
    return f"{scans:,} scans, more than the {MOST_SCANS} allowed" if scans > MOST_SCANS else ""


def _png(content: bytes) -> str:
    at, chunks = 8, 0
    while at + 8 <= len(content):
        chunks += 1
        if chunks > MOST_CHUNKS:
            return f"over {MOST_CHUNKS:,} chunks, more than are allowed"
        if content[at + 4 : at + 8] == b"IEND":
            break
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return ""


def _gif(content: bytes, most_frames: int) -> str:
    """Frames, and the blocks that they and what stands between them come in."""
    at, frames, blocks = 13 + _table(content, 10), 0, 0
    while at < len(content) and content[at] in b"!,":
        is_frame = content[at] == ord(",")
        frames += is_frame
        at += 11 + _table(content, at + 9) if is_frame else 2
        size = 1
        while size and at < len(content):  # a block of no size is the last
            size = content[at]
            at += 1 + size
            blocks += 1
            if blocks > MOST_BLOCKS:
                return f"over {MOST_BLOCKS:,} blocks, more than are allowed"
    return f"{frames:,} frames, more than the {most_frames} allowed" if frames > most_frames else ""


def _table(content: bytes, at: int) -> int:
    """Bytes of the table of colours that the flags at a place tell of."""
    flags = content[at] if at < len(content) else 0
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
