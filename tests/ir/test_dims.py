"""The algebra of sizes against plain Python integers."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from specc.ir.dims import (
    Dim,
    FloorDiv,
    Max,
    Size,
    Symbol,
    as_size,
    bounds,
    ceil_div,
    dmax,
    dmin,
    evaluate,
    render,
    symbol,
    symbols,
)

B, C, H, T, W = (symbol(name) for name in "BCHTW")
E = symbol("E", multiple_of=2)
L = symbol("L", multiple_of=32)
Q = symbol("Q", min=4, max=24, multiple_of=4)
Z = symbol("Z", min=-6, max=7)
SYMBOLS = {str(dim): dim for dim in (H, W, E, Q, Z, symbol("M", min=3, max=9), L)}
SCOPE: dict[str, Any] = {**SYMBOLS, "max": dmax, "min": dmin}


def python_ceil_div(a: int, n: int) -> int:
    return a // n + (a % n != 0)


OPERATIONS: dict[str, tuple[Callable[..., Any], Callable[..., int]]] = {
    "+": (operator.add, operator.add),
    "-": (operator.sub, operator.sub),
    "*": (operator.mul, operator.mul),
    "//": (operator.floordiv, operator.floordiv),
    "%": (operator.mod, operator.mod),
    "max": (dmax, max),
    "min": (dmin, min),
    "ceil": (ceil_div, python_ceil_div),
}
Tree = Any  # an int, the name of a symbol, or (operation, left, right)

leaves = st.integers(-9, 40) | st.sampled_from(sorted(SYMBOLS))
trees = st.recursive(
    leaves,
    lambda inner: (
        st.tuples(st.sampled_from(sorted(OPERATIONS)), inner, inner)
        | st.tuples(st.just("//"), inner, st.integers(-8, 8))
    ),
    max_leaves=9,
)


def values(dim: Dim) -> st.SearchStrategy[int]:
    atom = dim.terms[0].factors[0][0]
    assert isinstance(atom, Symbol)
    low = -(-(atom.min or 0) // atom.multiple_of) if atom.min is not None else -50
    high = atom.max // atom.multiple_of if atom.max is not None else low + 40
    return st.integers(low, high).map(lambda n: n * atom.multiple_of)


environments = st.fixed_dictionaries({name: values(dim) for name, dim in SYMBOLS.items()})


def build(tree: Tree) -> Size:
    if not isinstance(tree, tuple):
        return SYMBOLS[tree] if isinstance(tree, str) else tree
    return OPERATIONS[tree[0]][0](build(tree[1]), build(tree[2]))


def compute(tree: Tree, env: dict[str, int]) -> int:
    if not isinstance(tree, tuple):
        return env[tree] if isinstance(tree, str) else tree
    return OPERATIONS[tree[0]][1](compute(tree[1], env), compute(tree[2], env))


def built(tree: Tree) -> Size:
    try:
        return build(tree)
    except ZeroDivisionError:
        assume(False)
        raise


@settings(max_examples=1500, deadline=None)
@given(trees, environments)
@example(("//", ("//", ("-", "Z", 7), 3), 2), dict.fromkeys("HWEQZML", 4) | {"L": 32})
def test_normal_form_has_the_value_of_the_expression(tree: Tree, env: dict[str, int]) -> None:
    try:
        expected = compute(tree, env)
    except ZeroDivisionError:
        assume(False)
    size = build(tree)
    assert evaluate(size, env) == expected
    low, high = bounds(size)
    assert low is None or low <= expected
    assert high is None or expected <= high


@settings(max_examples=800, deadline=None)
@given(trees)
def test_rendered_text_rebuilds_the_same_size(tree: Tree) -> None:
    size = built(tree)
    again = eval(render(size), SCOPE)
    assert again == size
    assert hash(again) == hash(size)
    assert render(again) == render(size)


@settings(max_examples=400, deadline=None)
@given(trees, environments)
def test_rendered_text_is_python_integer_arithmetic(tree: Tree, env: dict[str, int]) -> None:
    size = built(tree)
    try:
        expected = evaluate(size, env)
    except ZeroDivisionError:
        assume(False)
    assert eval(render(size), dict(env)) == expected
    named = render(size, names=lambda s: f"sizes[{s.name!r}]")
    assert eval(named, {"sizes": env}) == expected


@settings(max_examples=400, deadline=None)
@given(trees, trees, trees)
def test_ring_laws_hold_in_normal_form(x: Tree, y: Tree, z: Tree) -> None:
    a, b, c = built(x), built(y), built(z)
    assert a + b == b + a
    assert hash(a + b) == hash(b + a)
    assert a * b == b * a
    assert (a + b) + c == a + (b + c)
    assert (a * b) * c == a * (b * c)
    assert a * (b + c) == a * b + a * c
    assert a - a == 0
    assert dmax(a, b) == dmax(b, a)
    assert dmin(a, b) == dmin(b, a)


@settings(max_examples=300, deadline=None)
@given(trees, st.integers(1, 12))
def test_whole_multiples_leave_a_floor_division(tree: Tree, n: int) -> None:
    size = built(tree)
    assert (size * n) // n == size
    assert (size + n) // n == size // n + 1
    assert (B + size * n) // n == B // n + size
    assert (B * size) // B == size
    assert n * (size // n) + size % n == size


linear = st.lists(st.tuples(st.integers(-9, 9), st.sampled_from(sorted(SYMBOLS))), max_size=3)


@settings(max_examples=500, deadline=None)
@given(linear, st.integers(-30, 30), st.integers(1, 9), st.integers(1, 9))
def test_nested_floor_divisions_join(
    parts: list[tuple[int, str]], constant: int, first: int, second: int
) -> None:
    size = sum((c * SYMBOLS[name] for c, name in parts), constant)
    assert size // first // second == size // (first * second)
    assert ceil_div(ceil_div(size, first), second) == ceil_div(size, first * second)


@settings(max_examples=300, deadline=None)
@given(trees, environments)
def test_no_constant_hides_in_a_dim(tree: Tree, env: dict[str, int]) -> None:
    size = built(tree)
    if isinstance(size, Dim):
        assert symbols(size)
        assert size.terms
        assert all(term.coefficient for term in size.terms)
    assert symbols(size) <= set(SYMBOLS)
    assert type(evaluate(size, env)) is int if not _divides_by_zero(size, env) else True


def _divides_by_zero(size: Size, env: dict[str, int]) -> bool:
    try:
        evaluate(size, env)
    except ZeroDivisionError:
        return True
    return False


@settings(max_examples=300, deadline=None)
@given(trees, trees, environments)
def test_substitution_commutes_with_evaluation(x: Tree, y: Tree, env: dict[str, int]) -> None:
    size, new = built(x), built(y)
    assume(isinstance(size, Dim) and not _divides_by_zero(new, env))
    value = evaluate(new, env)
    assume(value >= 1 and not _divides_by_zero(size, env | {"H": value}))
    try:
        replaced = size.substitute({"H": new})
    except ZeroDivisionError:
        assume(False)
    assert evaluate(replaced, env) == evaluate(size, env | {"H": value})


IDENTITIES = [
    ((2 * H + 5) // 2, H + 2),
    ((4 * H + 2) // 4, H),
    ((6 * H + 3) // 4, H + (2 * H + 3) // 4),
    ((3 * H) // 3, H),
    ((4 * H + 2 * W) // 6, (2 * H + W) // 3),
    (H // 3 // 5, H // 15),
    ((H // 2 + W) // 3, (H + 2 * W) // 6),
    ((B * T * C) // T, B * C),
    ((B * H * 64) // H, 64 * B),
    ((B * (T + 1) * C) // (T + 1), B * C),
    ((B * H + W) // H, B + W // H),
    ((6 * B * H) // (4 * H), 3 * B // 2),
    ((W * E) // (E // 2), 2 * W),
    ((W * E + 1) // (E // 2), 2 * W + 1 // (E // 2)),
    (0 // (E // 2), 0),
    (H // W // B, H // (W * B)),
    (2 * (E // 2), E),
    ((E + 2 * 1 - 3) // 2 + 1, E // 2),
    ((E - 1) // 2, E // 2 - 1),
    ((L // 4) // 8, L // 32),
    ((L // 4) // 16, L // 64),
    (8 * (L // 16) // 2, L // 4),
    (32 * ceil_div(L, 32), L),
    ((E * H) // 2 * 2, E * H),
    (H % 1, 0),
    (E % 2, 0),
    ((H * W) % W, 0),
    (-(-H // 16), (H + 15) // 16),
    (H + -H % 16, 16 * ceil_div(H, 16)),
    ((H + 1) // 2, (H - 1) // 2 + 1),
    (((H - 1) // 2 + 1 - 1) // 2 + 1, (H - 1) // 4 + 1),
    (H // -2, -H // 2),
    (5 // H * H + 5 % H, 5),
    (0 // H, 0),
    ((H - H), 0),
    (dmax(H, 1), H),
    (dmin(H, 0), 0),
    (dmax(H, H + 3), H + 3),
    (dmin(H + W, H), H),
    (dmax(2 * H, 4) // 2 * 2, dmax(2 * H, 4)),
    (dmax(3, 8), 8),
    ((Q + 64) // 32, Q // 32 + 2),
]


@pytest.mark.parametrize(("left", "right"), IDENTITIES, ids=lambda size: str(size))
def test_identity(left: Size, right: Size) -> None:
    assert left == right
    assert hash(left) == hash(right)
    assert type(left) is type(right)


DIFFERENT: list[tuple[Size, Size]] = [
    (H // 2 * 2, H),
    ((H - 1) // 2, H // 2 - 1),
    ((L // 64) * 64, L),
    ((B * H * 3) // (2 * H), B),
    (H // W * W, H),
    (dmax(H, W), dmin(H, W)),
    (symbol("H", multiple_of=2), H),
    (symbol("H", min=2), symbol("H", max=2)),
]


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_different_sizes_are_not_equal(left: Size, right: Size) -> None:
    assert left != right


RENDERED = [
    ((H + 2 - 3) // 2 + 1, "(H - 1)//2 + 1"),
    (as_size("height") // 2, "height//2"),
    (1 + as_size("seq") * 2, "2*seq + 1"),
    (as_size("heads") * as_size("batch"), "batch*heads"),
    (1 - H, "1 - H"),
    (-H, "-H"),
    (-(H // 2), "-(H//2)"),
    (W - H // 2, "W - H//2"),
    (W * (H // 2), "W*(H//2)"),
    (2 * (H // 2), "2*(H//2)"),
    (3 * L // 32, "3*L//32"),
    (L * (H // 3) // 2, "L*(H//3)//2"),
    (H * H * 2, "2*H*H"),
    (H // (2 * W), "H//(2*W)"),
    ((E // 2 + W) // 3, "(E + 2*W)//6"),
    ((H + 5) // (W + 1), "(H + 5)//(W + 1)"),
    (H // dmax(H, W), "H//max(H, W)"),
    ((H // 2 + W // 2) // 2, "(H//2 + W//2)//2"),
    (H * W // (H + 1), "H*W//(H + 1)"),
    (dmin(H, W + 1) - 3, "min(H, W + 1) - 3"),
]


@pytest.mark.parametrize(("size", "text"), RENDERED, ids=[text for _, text in RENDERED])
def test_render(size: Size, text: str) -> None:
    assert render(size) == str(size) == text


def test_render_with_other_names_and_operator() -> None:
    text = render((H - 1) // 2 + W, names=lambda s: f"x.{s.name.lower()}", floordiv=" / ")
    assert text == "x.w + (x.h - 1) / 2"
    assert render(7) == "7"


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 7])
def test_size_of_a_convolution(kernel: int, dilation: int, stride: int) -> None:
    reach = dilation * (kernel - 1)
    for padding in range(5):
        size = (H + 2 * padding - reach - 1) // stride + 1
        for height in range(1, 40):
            expected = (height + 2 * padding - reach - 1) // stride + 1
            assert evaluate(size, {"H": height}) == expected
        assert eval(render(size), SCOPE) == size
        assert render(size).count("//") == (stride > 1)
        assert render(size).count("H") == 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (H, (1, None)),
        (5, (5, 5)),
        ((H - 1) // 2 + 1, (1, None)),
        (Q // 8, (0, 3)),
        (E, (2, None)),
        (symbol("n", min=3, max=10, multiple_of=4), (4, 8)),
        (E // 2, (1, None)),
        (-H, (None, -1)),
        (Z * Q, (-144, 168)),
        (100 // Q, (4, 25)),
        (10 // H, (0, 10)),
        (dmin(H, 8), (1, 8)),
        (dmax(Z, 0), (0, 7)),
        (symbol("free", min=None), (None, None)),
        (10 // Z, (-10, 10)),
        ((Z - 9) // W, (-15, -1)),
        (H // symbol("n", min=-5, max=-1), (None, -1)),
    ],
    ids=str,
)
def test_bounds(size: Size, expected: tuple[int | None, int | None]) -> None:
    assert bounds(size) == expected


@pytest.mark.parametrize("operation", [operator.floordiv, operator.mod, ceil_div])
@pytest.mark.parametrize("divisor", [0, H - H], ids=["0", "H - H"])
def test_division_by_zero(operation: Callable[..., Size], divisor: Size) -> None:
    with pytest.raises(ZeroDivisionError):
        operation(H, divisor)


def test_evaluation_divides_by_a_symbol_that_is_zero() -> None:
    with pytest.raises(ZeroDivisionError):
        evaluate(H // Z, {"H": 1, "Z": 0})


def test_a_divisor_may_be_negative() -> None:
    for z in (-3, -2, -1, 1, 2, 3):
        for numerator in (5, 2 * H + 5, 2 * H - 3, H // 3):
            expected = evaluate(numerator, {"H": 4}) // (2 * z)
            assert evaluate(numerator // (2 * Z), {"H": 4, "Z": z}) == expected


def test_evaluation_needs_every_symbol() -> None:
    with pytest.raises(KeyError):
        evaluate(H + W, {"H": 1})


@pytest.mark.parametrize(
    "facts", [{"multiple_of": 0}, {"min": 5, "max": 4}, {"min": 5, "max": 7, "multiple_of": 4}]
)
def test_symbol_that_no_number_fits(facts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="`n`"):
        symbol("n", **facts)


@pytest.mark.parametrize("other", [1.5, "W", None])
def test_only_sizes_are_operands(other: object) -> None:
    for operation in (operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod):
        with pytest.raises(TypeError):
            operation(H, other)
    assert other != H


def test_symbols_and_substitution() -> None:
    size = dmax(H // W, 3) + T
    assert symbols(size) == {"H", "W", "T"}
    assert symbols(4) == frozenset()
    assert isinstance(size, Dim)
    assert size.substitute({"H": 8, "W": 2, "T": B}) == B + 4
    assert (E // 2).substitute({"E": H}) == H // 2


def test_structure_can_be_walked() -> None:
    size = 3 * ((H - 1) // W) * L // 4 + 7
    product, constant = size.terms
    assert (constant.coefficient, constant.factors) == (7, ())
    assert product.coefficient == Fraction(3, 4)
    (left, _), (right, power) = product.factors
    assert (left, power) == (Symbol("L", 1, None, 32), 1)
    match right:
        case FloorDiv(numerator, denominator):
            assert (numerator, denominator) == (H - 1, W)
        case _:
            pytest.fail(f"{right} is not a floor division")
    match dmax(H, W).terms[0].factors[0][0]:
        case Max(a, b):
            assert {a, b} == {H, W}
        case _:
            pytest.fail("not a maximum")


def test_sizes_are_immutable_values() -> None:
    size = (H - 1) // 2 + dmax(W, L)
    with pytest.raises(AttributeError):
        size.terms = ()
    with pytest.raises(AttributeError):
        H.terms[0].factors[0][0].name = "W"
    for twin in (copy.deepcopy(size), pickle.loads(pickle.dumps(size))):
        assert twin == size
        assert hash(twin) == hash(size)
