"""Reading specs: strict JSON with the place of every value, from files, texts and `--set`."""

from __future__ import annotations

import codecs
from pathlib import Path

from specc.diagnostics.model import Diagnostics, Source, Span
from specc.diagnostics.suggest import closest
from specc.spec.document import Document, Node, merge_patch
from specc.spec.json_parser import parse
from specc.spec.settings import apply_sets, set_document

__all__ = [
    "Document",
    "Node",
    "apply_sets",
    "merge_patch",
    "read_file",
    "read_text",
    "set_document",
]

MAX_BYTES = 16 * 1024 * 1024

_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def read_text(text: str, name: str) -> tuple[Document | None, Diagnostics]:
    """The document that a text holds, or None where it leaves no usable value."""
    has_mark = text.startswith("\ufeff")
    return _read_source(Source(name, text[has_mark:], 3 if has_mark else 0))


def read_file(path: Path, *, shown: str | None = None) -> tuple[Document | None, Diagnostics]:
    """The document that a file holds; `shown` is the name that messages give the file."""
    name = str(path) if shown is None else shown
    out = Diagnostics()
    data = _bytes_of(path, name, out)
    if data is None:
        return None, out
    if len(data) > MAX_BYTES:
        message = f"`{name}` is larger than {MAX_BYTES // 1024**2} MiB"
        out.add("J006", message, hint="keep data in files of its own, named in `data.source`")
        return None, out
    text = _decoded(data, name, out)
    return (None, out) if text is None else read_text(text, name)


def _read_source(source: Source) -> tuple[Document | None, Diagnostics]:
    if not source.text.strip(" \t\r\n"):
        out = Diagnostics()
        hint = 'the smallest spec starts with `{ "specc": 1, … }`'
        out.add("J004", f"`{source.name}` is empty", Span(source, 0, 0), hint=hint)
        return None, out
    root, out = parse(source)
    return (Document(root, source) if root else None), out


def _bytes_of(path: Path, name: str, out: Diagnostics) -> bytes | None:
    try:
        with path.open("rb") as file:
            # One byte past the limit tells too large from just fitting, on pipes too.
            return file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        out.add("J001", f"no file `{name}`", hint=_similar_file(path))
    except IsADirectoryError:
        out.add("J002", f"`{name}` is a folder, not a file", hint=_file_inside(path))
    except PermissionError:
        out.add("J003", f"`{name}` cannot be read: permission denied")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        out.add("J003", f"`{name}` cannot be read: {reason.lower()}")
    return None


def _similar_file(path: Path) -> str | None:
    try:
        names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    except OSError:
        return None
    found = closest(path.name, names) or closest(path.name + ".json", names)
    return f"did you mean `{found}`?" if found else None


def _file_inside(path: Path) -> str | None:
    try:
        names = sorted(entry.name for entry in path.iterdir() if entry.suffix == ".json")
    except OSError:
        return None
    if len(names) == 1 or "spec.json" in names:
        return f"it holds `{'spec.json' if 'spec.json' in names else names[0]}`"
    return None


def _decoded(data: bytes, name: str, out: Diagnostics) -> str | None:
    for mark, encoding in _OTHER_ENCODINGS:
        if data.startswith(mark):
            out.add("J005", f"`{name}` is {encoding}, not UTF-8", hint="save it as UTF-8")
            return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        _report_undecodable(data, error.start, name, out)
        return None
    if "\0" in text[:8192]:
        offset = data.index(0)
        out.add("J005", f"`{name}` is not text: byte 0x00 at offset {offset}")
        return None
    return text


def _report_undecodable(data: bytes, offset: int, name: str, out: Diagnostics) -> None:
    found = f"byte 0x{data[offset]:02x} at offset {offset}"
    if b"\0" in data[:8192]:
        out.add("J005", f"`{name}` is not text: {found}")
        return
    bom = data.startswith(codecs.BOM_UTF8)
    before = data[:offset].decode("utf-8").removeprefix("\ufeff")
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    source = Source(name, text, len(codecs.BOM_UTF8) if bom else 0)
    at = Span(source, len(before), len(before) + 1)
    out.add("J005", f"`{name}` is not UTF-8: {found}", at, hint="save it as UTF-8")
