"""Arrays of an npz archive, memory-mapped where the archive is not compressed."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np

from specc.training.data.table import Array

LOCAL_HEADER = struct.Struct("<4s5H3I2H")
"""Of a member: its signature, and last the lengths of its name and of its extra field."""


def npz_arrays(path: Path) -> dict[str, Array]:
    """All arrays by name; raises `ValueError` for one that holds Python objects."""
    with zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
    with np.load(path, allow_pickle=False) as loaded:
        return {
            member.filename.removesuffix(".npy"): (
                _mapped(path, member)
                if member.compress_type == zipfile.ZIP_STORED
                else loaded[member.filename.removesuffix(".npy")]
            )
            for member in members
        }


def _mapped(path: Path, member: zipfile.ZipInfo) -> Array:
    with path.open("rb") as file:
        file.seek(member.header_offset)
        *_, name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
        file.seek(member.header_offset + LOCAL_HEADER.size + name + extra)
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            version, np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(file)
        start = file.tell()
    if dtype.hasobject:
        raise ValueError("Python objects")
    if not all(shape):
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")
