"""Variants of a data set as `cosmic simulate` writes it, made without PyTorch: a zip of raw tensors and a pickle."""

import io
import struct
import zipfile


def rewritten(file: bytes, change) -> bytes:
    """The same zip with `change(name, contents)` in the place of each member's contents."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(file)) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, change(entry.filename, old.read(entry)))
    return changed.getvalue()


def with_pickle(file: bytes, old: bytes, new: bytes) -> bytes:
    """The first `old` in its pickle replaced."""

    def change(name: str, contents: bytes) -> bytes:
        if not name.endswith("data.pkl"):
            return contents
        assert old in contents, contents[:200]
        return contents.replace(old, new, 1)

    return rewritten(file, change)


def with_integer_images(file: bytes) -> bytes:
    return with_pickle(file, b"torch\nFloatStorage", b"torch\nIntStorage")


def with_narrow_images(file: bytes) -> bytes:
    # BININT 32, BININT 32, TUPLE: the end of the images' shape.
    return with_pickle(file, b"J\x20\0\0\0J\x20\0\0\0t", b"J\x20\0\0\0J\x10\0\0\0t")


def with_nan_pixel(file: bytes, row: int) -> bytes:
    """A NaN in the middle of one galaxy's image."""

    def change(name: str, contents: bytes) -> bytes:
        if not name.endswith("data/0"):
            return contents
        at = (row * 5 * 32 * 32 + 2500) * 4
        return contents[:at] + struct.pack("<f", float("nan")) + contents[at + 4 :]

    return rewritten(file, change)
