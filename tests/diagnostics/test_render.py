import json
import re
from pathlib import Path
from typing import Any

import pytest

import specc
from specc.diagnostics.codes import CODES, Code, explain
from specc.diagnostics.excerpt import MAX_WIDTH
from specc.diagnostics.model import Diagnostic, Diagnostics, Label, Source, Span
from specc.diagnostics.render import render_summary, render_text, to_json
from specc.diagnostics.suggest import closest


def at(source: Source, part: str, message: str = "", nth: int = 0) -> Label:
    start = -1
    for _ in range(nth + 1):
        start = source.text.index(part, start + 1)
    return Label(Span(source, start, start + len(part)), message)


def shown(*diagnostics: Diagnostic) -> str:
    return render_text(diagnostics)


def golden(text: str) -> str:
    """The text without its first line break and the margin that `|` marks."""
    return "\n".join(line.lstrip(" ")[1:] for line in text.strip().split("\n"))


LAYERS = Source("specs/bad.json", "\n" * 11 + '    { "name": "conv1", "op": "Conv2d", "p": 1 },\n')


def test_one_finding() -> None:
    found = Diagnostic(
        "T402",
        "`conv1` needs 4 dimensions, got 2",
        at(LAYERS, '"Conv2d"', "got `(batch, 64)`"),
        notes=("the input is `image`", "two\nlines"),
        hint="add `Unflatten`",
    )
    assert shown(found) == golden(
        """
        |error[T402]: `conv1` needs 4 dimensions, got 2
        |  --> specs/bad.json:12:30
        |   |
        |12 |     { "name": "conv1", "op": "Conv2d", "p": 1 },
        |   |                              ^^^^^^^^ got `(batch, 64)`
        |   |
        |   = note: the input is `image`
        |   = note: two
        |           lines
        |   = hint: add `Unflatten`
        """
    )


def test_without_a_place() -> None:
    found = Diagnostic("U801", "no spec found", hint="name one", severity="warning")
    assert shown(found) == "warning[U801]: no spec found\n  = hint: name one"


def test_without_remarks() -> None:
    source = Source("a.json", "[1]")
    assert shown(Diagnostic("S103", "wrong", at(source, "1"))) == golden(
        """
        |error[S103]: wrong
        | --> a.json:1:2
        |  |
        |1 | [1]
        |  |  ^
        """
    )


def test_nothing_is_nothing() -> None:
    assert render_text([]) == ""
    assert render_summary([]) == "no errors"
    assert to_json([]) == []


def test_secondary_labels_in_the_same_file_on_far_near_and_same_lines() -> None:
    source = Source("a.json", "{\n a: 1,\n b: 2,\n c: 3,\n\n d: 4, e: 5\n}")
    found = Diagnostic(
        "R303",
        "name used twice",
        at(source, "d: 4", "again"),
        (at(source, "e: 5", "beside"), at(source, "c: 3", "first"), at(source, "b: 2")),
    )
    assert shown(found) == golden(
        """
        |error[R303]: name used twice
        | --> a.json:6:2
        |  |
        |3 |  b: 2,
        |  |  ----
        |4 |  c: 3,
        |  |  ---- first
        |...
        |6 |  d: 4, e: 5
        |  |  ^^^^ again
        |  |        ---- beside
        """
    )


def test_secondary_label_in_another_file_shares_the_gutter() -> None:
    here, there = Source("a.json", "[1]"), Source("b.json", "\n" * 99 + "[2]")
    found = Diagnostic("S109", "circle", at(here, "1"), (at(there, "2", "from here"),), hint="h")
    assert shown(found) == golden(
        """
        |error[S109]: circle
        |   --> a.json:1:2
        |    |
        |  1 | [1]
        |    |  ^
        |   ::: b.json:100:2
        |    |
        |100 | [2]
        |    |  - from here
        |    |
        |    = hint: h
        """
    )


def test_span_of_several_lines_is_marked_to_the_end_of_the_first() -> None:
    source = Source("a.json", '{"a": [1,  \r\n  2]}')
    assert shown(Diagnostic("S103", "wrong", at(source, "[1,  \r\n  2]"))) == golden(
        """
        |error[S103]: wrong
        | --> a.json:1:7
        |  |
        |1 | {"a": [1,
        |  |       ^^^
        """
    )


def test_empty_span_and_end_of_text_have_one_caret() -> None:
    source = Source("a.json", "[1\n")
    for start, line, caret in ((2, "1 | [1", "  |   ^"), (3, "2 |", "  | ^")):
        found = Diagnostic("J011", "m", Label(Span(source, start, start)))
        assert shown(found).split("\n")[3:] == [line, caret]


@pytest.mark.parametrize(
    ("before", "columns"),
    [
        ("\t", 4),
        ("a\tb", 6),
        ("日本", 4),
        ("e\u0301", 1),
        ("a\u200db", 2),
        ("😀é", 3),
        ("\x1b[31m", 5),
        ("ｱＡ", 3),
    ],
)
def test_caret_column_by_display_width(before: str, columns: int) -> None:
    source = Source("a.json", f"{before}WRONG日")
    text, caret = shown(Diagnostic("S103", "m", at(source, "WRONG日"))).split("\n")[3:]
    assert caret == "  | " + " " * columns + "^" * 7
    assert "\t" not in text and "\x1b" not in text


def test_nothing_that_a_terminal_acts_on_gets_through() -> None:
    source = Source("a\x1b.json", '"\x1b]0;x\x07 \u202e\x9b \ud800"')
    found = Diagnostic("S101", "unknown key `\x1b[2J`", at(source, "x", "\x1b"), notes=("\x1b",))
    text = shown(found)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800]", text)
    assert "␛[2J" in text


@pytest.mark.parametrize("where", [0, 40, 150, 290])
@pytest.mark.parametrize("filler", ["x", "日"])
def test_long_lines_are_cut_around_the_span(where: int, filler: str) -> None:
    line = filler * where + '"WRONG"' + filler * (293 - where)
    source = Source("a.json", line)
    text, caret = shown(Diagnostic("S103", "m", at(source, '"WRONG"', "here"))).split("\n")[3:]
    cells = [c for c in text.removeprefix("1 | ") for _ in range(2 if c == "日" else 1)]
    assert len(cells) <= MAX_WIDTH + 2
    start = caret.index("^") - len("  | ")
    assert "".join(cells[start : start + 7]) == '"WRONG"'
    assert caret.endswith(" " + "^" * 7 + " here")
    width = 2 if filler == "日" else 1
    assert text.startswith("1 | …") == (where * width > 47)
    assert text.endswith("…") == ((293 - where) * width > 47)


def test_span_longer_than_the_window_shows_its_start() -> None:
    source = Source("a.json", "k" * 50 + "W" * 400)
    text, caret = shown(Diagnostic("S103", "m", at(source, "W" * 400))).split("\n")[3:]
    assert text == "1 | …kkkk" + "W" * 96 + "…"
    assert caret == "  |      " + "^" * 96


def test_secondary_label_outside_the_window_stays_at_its_edge() -> None:
    source = Source("a.json", "FIRST" + "x" * 300 + "SECOND")
    found = Diagnostic("J020", "m", at(source, "SECOND"), (at(source, "FIRST", "first"),))
    text, caret, other = shown(found).split("\n")[3:]
    assert text[caret.index("^") :] == "SECOND"
    assert other == "  |  - first"


def test_line_of_exactly_the_width_is_whole() -> None:
    for length, cut in ((MAX_WIDTH, False), (MAX_WIDTH + 1, True)):
        source = Source("a.json", "x" * length)
        assert ("…" in shown(Diagnostic("S103", "m", at(source, "x")))) == cut


def test_sorted_by_file_and_position_and_each_once() -> None:
    b = Source("b.json", "0123456789")
    found = [
        Diagnostic("S101", "b5", at(b, "5")),
        Diagnostic("S101", "b2", at(b, "2")),
        Diagnostic("S101", "a9", at(Source("a.json", "0123456789"), "9")),
        Diagnostic("S101", "b2", at(b, "2")),
        Diagnostic("S101", "b2", at(Source("b.json", b.text), "2")),
        Diagnostic("S101", "b2 too", at(b, "2")),
        Diagnostic("U801", "no place"),
        Diagnostic("S101", "b2", at(b, "2"), severity="warning"),
    ]
    expected = ["no place", "a9", "b2", "b2 too", "b2", "b5"]
    assert [d["message"] for d in to_json(found)] == expected
    assert re.findall(r"^\w+\[\w+\]: (.*)", render_text(found), re.MULTILINE) == expected
    assert render_summary(found) == "5 errors, 1 warning"
    assert render_summary(found[:1]) == "1 error"
    assert render_summary(found[-1:] * 2) == "1 warning"


def test_color_changes_nothing_but_color() -> None:
    source = Source("a.json", "{\n 1\n\n 2}")
    out = Diagnostics()
    out.add("S101", "m", Span(source, 3, 4), secondary=(at(source, "2", "s"),), hint="h")
    out.add("S102", "w", severity="warning", notes=("n",))
    colored = render_text(out.items, color=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render_text(out.items)
    assert "\x1b[1;31merror[S101]\x1b[0m" in colored and "\x1b[1;33mwarning[S102]" in colored
    assert colored.count("\x1b[0m") * 2 == colored.count("\x1b[")


def test_json() -> None:
    source = Source("a.json", '{"é":\r\n "x😀", 1}', skipped_bytes=3)
    found = Diagnostic(
        "S103", "wrong", at(source, '"x😀"', "here"), (at(source, '"é"'),), ("n",), "h"
    )
    (data,) = to_json([found])
    place = {
        "file": "a.json",
        "line": 2,
        "column": 2,
        "end_line": 2,
        "end_column": 6,
        "offset": 12,
        "end_offset": 19,
    }
    encoded = b"\xef\xbb\xbf" + source.text.encode()
    assert encoded[12:19].decode() == '"x😀"'
    first = {"line": 1, "column": 2, "end_line": 1, "end_column": 5, "offset": 4, "end_offset": 8}
    assert json.loads(json.dumps(data)) == {
        "code": "S103",
        "title": "wrong type",
        "severity": "error",
        "message": "wrong",
        **place,
        "notes": ["n"],
        "hint": "h",
        "labels": [
            {**place, "message": "here", "primary": True},
            {**place, **first, "message": "", "primary": False},
        ],
    }


def test_json_without_a_place() -> None:
    (data,) = to_json([Diagnostic("X999", "m")])
    assert [data[key] for key in ("title", "file", "line", "offset", "hint", "labels")] == [
        *[None] * 5,
        [],
    ]


# Did you mean


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("relu", "ReLU"),
        ("RELU", "ReLU"),
        ("RelU6", "ReLU6"),
        ("conv_2d", "Conv2d"),
        ("Conv2", "Conv2d"),
        ("BatchNrom1d", "BatchNorm1d"),
        ("batchnorm2", "BatchNorm1d"),
        ("outfeatures", "out_features"),
        ("out_feature", "out_features"),
        ("Linaer", "Linear"),
        ("tnah", "tanh"),
        ("zzz", None),
        ("x", None),
        ("", None),
    ],
)
def test_closest(word: str, expected: str | None) -> None:
    names = ["ReLU6", "ReLU", "Conv2d", "BatchNorm1d", "out_features", "Linear", "tanh", "y"]
    assert closest(word, names) == expected


def test_closest_prefers_the_exact_word_and_takes_any_iterable() -> None:
    assert closest("softmax", iter(["Softmax", "softmax"])) == "softmax"
    assert closest("a", []) is None


# The table of codes


@pytest.mark.parametrize("entry", CODES.values(), ids=CODES)
def test_every_code_is_explained(entry: Code) -> None:
    assert re.fullmatch(
        r"J0\d\d|S1\d\d|E2\d\d|R3\d\d|T4\d\d|D5\d\d|L6\d\d|P7\d\d|U8\d\d", entry.code
    )
    assert entry.title and not entry.title.endswith(".") and len(entry.title) < 50
    paragraphs = entry.explanation.split("\n\n")
    assert not entry.explanation.startswith((" ", "\n")) and len(entry.explanation) > 60
    assert paragraphs[0].endswith((".", ":"))
    assert all(len(line) <= MAX_WIDTH for line in entry.explanation.split("\n"))


def test_explain() -> None:
    text = explain(" t401")
    assert text and text.startswith("T401: shapes do not match\n\nTwo sizes")
    assert explain("T999") is None
    assert explain("") is None


def package_sources() -> list[Path]:
    return [path for root in specc.__path__ for path in Path(root).rglob("*.py")]


def test_codes_are_unique_and_every_code_in_use_is_in_the_table() -> None:
    entries, used = [], set[Any]()
    for path in package_sources():
        text = path.read_text(encoding="utf-8")
        entries += re.findall(r'Code\(\s*"(\w\d{3})"', text)
        used |= set(re.findall(r'"([JSERTDLPU]\d{3})"', text))
    assert sorted(entries) == sorted(CODES)
    assert used <= set(CODES)
