import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specc.diagnostics.codes import CODES
from specc.diagnostics.model import Source
from specc.spec import reader
from specc.spec.reader import (
    Document,
    apply_sets,
    merge_patch,
    read_file,
    read_text,
    set_document,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
# Few keys, so that base and patch often meet.
MERGEABLE = st.recursive(
    st.none() | st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner) | st.lists(inner, max_size=2),
    max_leaves=12,
)


def read(text: str, name: str = "spec.json") -> Document:
    document, out = read_text(text, name)
    assert document is not None and not out.items, out.items
    return document


def written(document: Document, pointer: tuple[str | int, ...], key: bool = False) -> str:
    span = document.span(pointer, key)
    return span.source.text[span.start : span.end]


@given(
    value=JSON,
    indent=st.none() | st.integers(0, 4) | st.just("\t"),
    ascii_only=st.booleans(),
    line_break=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_reads_what_json_reads_and_knows_every_place(
    value: Any, indent: int | str | None, ascii_only: bool, line_break: str
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).replace("\n", line_break)
    if not text.strip():
        return
    document = read(text)
    assert document.value == json.loads(text)
    assert repr(document.value) == repr(json.loads(text))  # 1, 1.0 and True are equal
    for pointer, span in document.spans.items():
        at_pointer = document.get(pointer)
        assert repr(json.loads(text[span.start : span.end])) == repr(at_pointer)
        assert document.span(pointer) == span
    for pointer, span in document.key_spans.items():
        assert json.loads(text[span.start : span.end]) == pointer[-1]
    members = [p for p in document.spans if p and isinstance(document.get(p[:-1]), dict)]
    assert sorted(map(repr, members)) == sorted(map(repr, document.key_spans))
    assert len(document.spans) == count(value)


def count(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value
    return 1 + sum(map(count, children)) if isinstance(value, dict | list) else 1


@given(text=TEXT, ascii_only=st.booleans(), data=st.data())
def test_inside_a_string_the_place_decodes_to_the_part(
    text: str, ascii_only: bool, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    document = read(json.dumps({"k": ["", text]}, ensure_ascii=ascii_only))
    span = document.inside(("k", 1), start, end)
    raw = span.source.text[span.start : span.end]
    assert json.loads(f'"{raw}"') == text[start:end]


def test_inside_respects_every_escape() -> None:
    document = read(r'{"f": "a\nb\u00e9\"\ud83d\ude00\/z"}')
    text = 'a\nbé"😀/z'
    assert document.get(("f",)) == text
    parts = ["a", r"\n", "b", r"\u00e9", r"\"", r"\ud83d\ude00", r"\/", "z"]
    for i, part in enumerate(parts):
        span = document.inside(("f",), i, i + 1)
        assert span.source.text[span.start : span.end] == part
    assert document.inside(("f",), 99, 120).start == document.span(("f",)).end - 1


def test_a_missing_place_is_the_nearest_one_around_it() -> None:
    document = read('{"a": {"b": [1, "x"]}}')
    assert written(document, ("a", "b", 7, "z")) == '[1, "x"]'
    assert written(document, ("a", "zz"), key=True) == '{"b": [1, "x"]}'
    assert written(document, ("a",), key=True) == '"a"'
    assert written(document, ("a", "b", 1), key=True) == '"x"'
    span = document.inside(("a", "b", 0), 0, 1)
    assert span == document.span(("a", "b", 0))
    assert document.get(("a", "b", 9), "default") == "default"


# text, then (code, line, column, text under the marker) for each finding, then the value or None
BAD: list[tuple[str, list[tuple[str, int, int, str]], Any]] = [
    ("", [("J004", 1, 1, "")], None),
    (" \r\n\t", [("J004", 1, 1, "")], None),
    ("[" * 101, [("J007", 1, 101, "[")], None),
    ('{"p": }', [("J010", 1, 7, "}")], None),
    ("[1,\n  ,2]", [("J010", 2, 3, ",")], None),
    ("[1, hello]", [("J010", 1, 5, "hello")], None),
    ("[1, “a”]", [("J010", 1, 5, "“")], None),
    ("[\u00a01]", [("J010", 1, 2, "\u00a0")], None),
    ("[-]", [("J010", 1, 2, "-")], None),
    ("// only", [("J023", 1, 1, "// only"), ("J010", 1, 8, "")], None),
    ('{1.5: "a"}', [("J025", 1, 2, "1.5")], {"1.5": "a"}),
    ('{"a": 1, }', [("J022", 1, 8, ",")], {"a": 1}),
    ("{, }", [("J010", 1, 2, ",")], None),
    ('{"a": 1 "b": 2}', [("J011", 1, 8, "")], {"a": 1, "b": 2}),
    (
        '{"a": 1\n "b": 2\n "c": 3}',
        [("J011", 1, 8, ""), ("J011", 2, 8, "")],
        {"a": 1, "b": 2, "c": 3},
    ),
    ("[1 [2]]", [("J011", 1, 3, "")], [1, [2]]),
    ("[1; 2]", [("J011", 1, 3, "")], None),
    ('{"x": "he said "hi" there"}', [("J011", 1, 17, "")], None),
    ("[1 /* c */ 2]", [("J023", 1, 4, "/* c */"), ("J011", 1, 3, "")], [1, 2]),
    ('{"a" 1}', [("J012", 1, 5, "")], None),
    ('{"a" = 1}', [("J012", 1, 5, "")], None),
    ('{"a": "bc\n}', [("J013", 1, 7, '"bc')], None),
    ('["abc', [("J013", 1, 2, '"abc')], None),
    ('["abc\\', [("J013", 1, 2, '"abc\\')], None),
    ("['abc]\r\n", [("J013", 1, 2, "'abc]")], None),
    ('{\n "a": [1, 2', [("J014", 2, 7, "[")], None),
    ('{"a"', [("J014", 1, 1, "{")], None),
    ('{"a": 1,', [("J014", 1, 1, "{")], None),
    ("[1, 2] [3]\n", [("J015", 1, 8, "[3]")], None),
    ('{"a": 1}\n}', [("J015", 2, 1, "}")], None),
    ("[1, 2}", [("J016", 1, 6, "}")], None),
    ('{"a": [1,}', [("J016", 1, 10, "}")], None),
    ('{"a": 1,\n "b": 2, "\\u0061": 3}', [("J020", 2, 10, '"\\u0061"')], {"a": 3, "b": 2}),
    (
        "[Infinity, -Infinity]",
        [("J021", 1, 2, "Infinity"), ("J021", 1, 12, "-Infinity")],
        [9e999, -9e999],
    ),
    ("[-inf, nan", [("J021", 1, 2, "-inf"), ("J021", 1, 8, "nan"), ("J014", 1, 1, "[")], None),
    ("[1, 2, ]", [("J022", 1, 6, ",")], [1, 2]),
    ("[1, # a\n]", [("J023", 1, 5, "# a"), ("J022", 1, 3, ",")], [1]),
    (
        '{"a": // x\r\n 1 /* y\n */ , # z\n "b": 2}',
        [("J023", 1, 7, "// x"), ("J023", 2, 4, "/* y\n */"), ("J023", 3, 7, "# z")],
        {"a": 1, "b": 2},
    ),
    ("[1] /* a", [("J023", 1, 5, "/*")], None),
    (
        "{'a': 'it\\'s \"x\"'}",
        [("J024", 1, 2, "'a'"), ("J024", 1, 7, "'it\\'s \"x\"'")],
        {"a": 'it\'s "x"'},
    ),
    ("{op: 1, $x-y: 2}", [("J025", 1, 2, "op"), ("J025", 1, 9, "$x-y")], {"op": 1, "$x-y": 2}),
    ('["a\tb\x00c"]', [("J026", 1, 4, "\t"), ("J026", 1, 6, "\x00")], ["a\tb\x00c"]),
    (
        '["a\\d", "\\u12", "\\u00zz"]',
        [("J027", 1, 4, "\\d"), ("J027", 1, 10, "\\u12"), ("J027", 1, 18, "\\u00")],
        ["ad", "u12", "u00zz"],
    ),
    ('["\\\'"]', [("J027", 1, 3, "\\'")], ["'"]),
    (
        '["\\ud83d", "\\ude00x", "\\ud83d\\ud83d\\ude00"]',
        [("J028", 1, 3, "\\ud83d"), ("J028", 1, 13, "\\ude00"), ("J028", 1, 24, "\\ud83d")],
        ["\ufffd", "\ufffdx", "\ufffd😀"],
    ),
    ('{"a": 1"b": 2}', [("J011", 1, 8, "")], None),
    ('{"a\tb": 1}', [("J026", 1, 4, "\t")], {"a\tb": 1}),
    (
        '["\\ude00\\ude00"]',
        [("J028", 1, 3, "\\ude00"), ("J028", 1, 9, "\\ude00")],
        ["\ufffd\ufffd"],
    ),
    ('["\ud800"]', [("J028", 1, 3, "\ud800")], ["\ufffd"]),
    (
        "[01, 1., .5, +1, -.5, 0x1F, 1_000, -012, 1.e2]",
        [
            ("J029", 1, 2, "01"),
            ("J029", 1, 6, "1."),
            ("J029", 1, 10, ".5"),
            ("J029", 1, 14, "+1"),
            ("J029", 1, 18, "-.5"),
            ("J029", 1, 23, "0x1F"),
            ("J029", 1, 29, "1_000"),
            ("J029", 1, 36, "-012"),
            ("J029", 1, 42, "1.e2"),
        ],
        [1, 1.0, 0.5, 1, -0.5, 31, 1000, -12, 100.0],
    ),
    (
        "[1.2.3, 12px, 1e]",
        [("J029", 1, 2, "1.2.3"), ("J029", 1, 9, "12px"), ("J029", 1, 15, "1e")],
        None,
    ),
    ("[1e999, -1e999]", [("J030", 1, 2, "1e999"), ("J030", 1, 9, "-1e999")], [9e999, -9e999]),
    ("[" + "9" * 4301 + ", 1,]", [("J031", 1, 2, "9" * 4301), ("J022", 1, 4306, ",")], None),
    (
        "[True, None, undefined]",
        [("J032", 1, 2, "True"), ("J032", 1, 8, "None"), ("J032", 1, 14, "undefined")],
        [True, None, None],
    ),
]


@pytest.mark.parametrize(("text", "expected", "value"), BAD, ids=[repr(t)[:30] for t, _, _ in BAD])
def test_bad_text(text: str, expected: list[tuple[str, int, int, str]], value: Any) -> None:
    document, out = read_text(text, "spec.json")
    found = []
    for item in out.items:
        assert item.primary
        span = item.primary.span
        found.append((item.code, *span.source.position(span.start), text[span.start : span.end]))
    assert found == expected
    assert (document.value if document else None) == value


def test_every_fault_of_a_text_has_a_case() -> None:
    covered = {code for _, findings, _ in BAD for code, *_ in findings}
    of_files = {"J001", "J002", "J003", "J005", "J006"}
    assert covered | of_files == {code for code in CODES if code.startswith("J")}


@pytest.mark.parametrize("digits", [4300, 4301])
def test_long_integers_up_to_the_limit(digits: int) -> None:
    for sign in ("", "-"):
        document, out = read_text(sign + "9" * digits, "x")
        assert (document is None) == bool(out.items) == (digits > 4300)


def test_depth_up_to_the_limit() -> None:
    assert read("[" * 100 + "]" * 100).value
    assert read_text("[" * 200_000, "x")[0] is None


def test_duplicate_keys_show_both_places() -> None:
    _, out = read_text('{"a": 1, "a": 2, "a": 3}', "x")
    labels = [(d.primary.span.start, d.secondary[0].span.start) for d in out.items if d.primary]
    assert labels == [(9, 1), (17, 9)]


@given(st.text("{}[],:\"'\\ \n\r\t/*#01.-+eENaItruflnsu😀\x00d8", max_size=40))
def test_agrees_with_json_on_what_is_valid_and_never_crashes(text: str) -> None:
    document, out = read_text(text, "x")
    try:
        value = json.loads(text, parse_constant=no_word, object_pairs_hook=no_twins)
    except ValueError:
        assert out.has_errors
    else:
        clean = not any("\ud800" <= c <= "\udfff" for c in json.dumps(value, ensure_ascii=False))
        if clean and "Infinity" not in json.dumps(value):
            assert document and not out.items and repr(document.value) == repr(value)
        else:
            assert out.has_errors
    for item in out.items:
        assert item.primary and 0 <= item.primary.span.start <= item.primary.span.end <= len(text)


def no_word(word: str) -> None:
    raise ValueError(word)


def no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("twins")
    return dict(pairs)


def test_a_spec_of_5000_lines_is_read_in_under_50_ms() -> None:
    layer = {"name": "conv", "op": "Conv2d", "out_channels": "${c}", "kernel_size": [3, 3]}
    text = json.dumps({"layers": [layer] * 600}, indent=2)
    assert text.count("\n") > 5000
    best = min(timed(text) for _ in range(5))
    assert best < 0.05


def timed(text: str) -> float:
    start = time.perf_counter()
    read(text)
    return time.perf_counter() - start


# Files


def one_error(path: Path, **options: Any) -> tuple[str, str, str | None]:
    document, out = read_file(path, **options)
    assert document is None and len(out.items) == 1
    return out.items[0].code, out.items[0].message, out.items[0].hint


def test_missing_file_with_a_near_name(tmp_path: Path) -> None:
    (tmp_path / "digits_mlp.json").write_text("{}")
    near = one_error(tmp_path / "digit_mlp.json", shown="digit_mlp.json")
    assert near == ("J001", "no file `digit_mlp.json`", "did you mean `digits_mlp.json`?")
    assert one_error(tmp_path / "digits_mlp")[2] == "did you mean `digits_mlp.json`?"
    assert one_error(tmp_path / "no" / "x.json")[::2] == ("J001", None)
    assert one_error(tmp_path / "digits_mlp.json" / "x")[0] == "J001"


def test_folder(tmp_path: Path) -> None:
    assert one_error(tmp_path, shown="d") == ("J002", "`d` is a folder, not a file", None)
    (tmp_path / "spec.json").write_text("{}")
    assert one_error(tmp_path)[2] == "it holds `spec.json`"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    found = one_error(tmp_path / "a.json", shown="a.json")
    assert found == ("J003", "`a.json` cannot be read: permission denied", None)


def test_paths_that_the_system_refuses(tmp_path: Path) -> None:
    assert one_error(Path("a\0b"))[0] == "J003"
    assert one_error(tmp_path / ("x" * 5000))[0] == "J003"


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.json"
    path.write_bytes(b"\xef\xbb\xbf \n")
    assert one_error(path, shown="empty.json")[:2] == ("J004", "`empty.json` is empty")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89PNG\r\n\x00", "`x` is not text: byte 0x89 at offset 0"),
        (b'{"a":\x00 1}', "`x` is not text: byte 0x00 at offset 5"),
        (b'{"a": "caf\xe9"}', "`x` is not UTF-8: byte 0xe9 at offset 10"),
        ("{}".encode("utf-16"), "`x` is UTF-16, not UTF-8"),
        ("{}".encode("utf-32"), "`x` is UTF-32, not UTF-8"),
    ],
)
def test_not_utf8(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(data)
    assert one_error(path, shown="x")[:2] == ("J005", message)


def test_the_first_byte_that_is_not_utf8_has_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes('\ufeff{"é":\r\n "caf'.encode() + b'\xe9"}')
    _, out = read_file(path)
    assert out.items[0].primary
    span = out.items[0].primary.span
    assert span.source.position(span.start) == (2, 6)
    assert span.source.byte_offset(span.start) == path.read_bytes().index(b"\xe9")


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_BYTES", 1024 * 1024)
    path = tmp_path / "x.json"
    path.write_bytes(b"[" + b" " * (1024 * 1024 - 2) + b"]")
    assert read_file(path)[0] is not None
    path.write_bytes(b"[" + b" " * (1024 * 1024 - 1) + b"]")
    assert one_error(path, shown="x")[:2] == ("J006", "`x` is larger than 1 MiB")


def test_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes('\ufeff{"a": "é",\r\n\r\n  "b": 1}'.encode())
    document, out = read_file(path)
    assert document and not out.items
    span = document.span(("b",))
    assert document.source.position(span.start) == (3, 8)
    assert document.source.line(1) == '{"a": "é",'
    assert document.source.byte_offset(span.start) == path.read_bytes().index(b"1}")


def test_lines_end_with_any_line_break() -> None:
    source = Source("x", "a\rb\r\nc\nd")
    assert [source.line(i) for i in range(1, 5)] == ["a", "b", "c", "d"]
    assert [source.position(source.text.index(c)) for c in "abcd"] == [(i, 1) for i in range(1, 5)]


# Merge patch


def reference_merge(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = reference_merge(result.get(name), value)
    return result


@given(MERGEABLE, MERGEABLE)
def test_merge_patch_is_rfc_7396_and_keeps_places(target: Any, patch: Any) -> None:
    base = read(json.dumps(target), "base")
    change = read(json.dumps(patch), "patch")
    merged = merge_patch(base, change)
    assert merged.value == reference_merge(target, patch)
    assert base.value == target and change.value == patch
    assert base.spans.keys() == read(json.dumps(target)).spans.keys()
    assert all(base.get(p) == read(json.dumps(target)).get(p) for p in base.spans)
    for pointer, span in merged.spans.items():
        value = merged.get(pointer)
        if not isinstance(value, dict):
            assert json.loads(span.source.text[span.start : span.end]) == value
            origin = change if span.source.name == "patch" else base
            assert (origin.get(pointer), origin.span(pointer)) == (value, span)


def test_a_merged_object_is_where_the_patch_has_it() -> None:
    base = read('{"train": {"epochs": 1, "seed": 2}}', "base")
    patch = read('{"train": {"epochs": 3}}', "patch")
    merged = merge_patch(base, patch)
    names = {p: s.source.name for p, s in merged.spans.items()}
    assert names == {
        (): "patch",
        ("train",): "patch",
        ("train", "epochs"): "patch",
        ("train", "seed"): "base",
    }
    assert merged.source is patch.source


# --set


SPEC = '{"params": {"hidden": 128}, "name": "n", "layers": [{"op": "Linear"}, "ReLU"], "doc": null}'


@pytest.mark.parametrize(
    ("assignment", "pointer", "value", "raw"),
    [
        ("params.hidden=256", ("params", "hidden"), 256, "256"),
        ("params.hidden= 256", ("params", "hidden"), 256, "256"),
        ("name=digits", ("name",), "digits", "digits"),
        ('name="digits"', ("name",), "digits", '"digits"'),
        ('name="dig', ("name",), '"dig', '"dig'),
        ("name=a=b", ("name",), "a=b", "a=b"),
        ("name=", ("name",), "", ""),
        ("name=01", ("name",), "01", "01"),
        ("name=NaN", ("name",), "NaN", "NaN"),
        ("layers.0.p=[1, {}]", ("layers", 0, "p"), [1, {}], "[1, {}]"),
        ("layers.-1=GELU", ("layers", 1), "GELU", "GELU"),
        ("layers.1=null", ("layers", 1), None, "null"),
        ("train.optimizer.lr=1e-3", ("train", "optimizer", "lr"), 1e-3, "1e-3"),
        ("doc.a=1", ("doc", "a"), 1, "1"),
        ("params={}", ("params",), {}, "{}"),
    ],
)
def test_set(assignment: str, pointer: tuple[str | int, ...], value: Any, raw: str) -> None:
    base = read(SPEC)
    document, out = apply_sets(base, [assignment])
    assert not out.items
    assert document.get(pointer, "missing") == value
    assert written(document, pointer) == raw
    assert document.span(pointer).source.name == f"--set {assignment}"
    assert base.value == json.loads(SPEC)
    rest = {key for key in document.value if key not in (pointer[0], "train")}
    assert all(document.value[key] == base.value[key] for key in rest)
    assert written(document, ()) == SPEC


def test_set_keeps_the_places_around_it() -> None:
    document, _ = apply_sets(read(SPEC), ["params.hidden=5", "train.epochs=3"])
    assert document.span(("params",)).source.name == "spec.json"
    assert written(document, ("params",), key=True) == '"params"'
    assert written(document, ("params", "hidden"), key=True) == "hidden"
    assert written(document, ("train",), key=True) == "train"
    assert ("train",) in document.key_spans
    assert written(document, ("train",)) == "train"
    span = document.inside(("train", "epochs"), 0, 1)
    assert span == document.span(("train", "epochs"))


def test_set_null_removes_a_member() -> None:
    document, out = apply_sets(read(SPEC), ["params.hidden=null", "zz=null"])
    assert not out.items
    assert document.value == {**json.loads(SPEC), "params": {}}


def test_set_inside_bare_text() -> None:
    document, _ = apply_sets(read(SPEC), [r"name=${a \n b}"])
    span = document.inside(("name",), 2, 3)
    assert span.source.text[span.start : span.end] == "a"
    assert span.source.position(span.start) == (1, 8)


@pytest.mark.parametrize(
    ("assignment", "code", "column"),
    [
        ("params.hidden", "U810", 14),
        ("=1", "U811", 1),
        ("params..hidden=1", "U811", 8),
        ("layers.2=1", "U812", 8),
        ("layers.-3=1", "U812", 8),
        ("layers.first.p=1", "U812", 8),
        ("params.hidden.size=1", "U813", 15),
        ("layers.1.p=1", "U813", 10),
        (".".join("a" * 101) + "=1", "J007", 201),
    ],
)
def test_bad_set(assignment: str, code: str, column: int) -> None:
    document, out = apply_sets(read(SPEC), [assignment, "name=m"])
    (item,) = out.items
    assert item.primary
    span = item.primary.span
    assert (item.code, *span.source.position(span.start)) == (code, 1, column)
    assert document.value == {**json.loads(SPEC), "name": "m"}


def test_set_document_is_a_merge_patch() -> None:
    patch, out = set_document(["params.hidden=5", "name=null", "train.epochs=3", "a.0=1"])
    assert not out.items
    expected = {"params": {"hidden": 5}, "name": None, "train": {"epochs": 3}, "a": {"0": 1}}
    assert patch.value == expected
    base = read(SPEC)
    merged = merge_patch(base, patch)
    assert merged.value == reference_merge(base.value, expected)
    assert merged.source is base.source
    assert merged.span(()) == base.span(())
    assert merged.span(("params",)) == base.span(("params",))
    assert written(merged, ("params", "hidden"), key=True) == "hidden"
