"""What `docs/ir.md` asks of the node of every operator: shapes, types, constants, widths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isclose, prod
from typing import Any

from numpy import int64
from numpy.typing import NDArray

from rtl_gen.ir import integer as ir
from rtl_gen.ir.range import (
    attention_widths,
    gate_widths,
    low_rank_bounds,
    norm_widths,
    normalized_bound,
    row_bounds,
)
from rtl_gen.ir.types import Dyadic, IntType

_I16, _U16 = IntType(16), IntType(16, signed=False)
_WORK_BITS = 62
EPS_BITS = 40
_ATTENTION_BITS = 10
_LARGEST_SHIFT = 47


def expect(rule: bool, where: str, expected: object, found: object) -> None:
    """Raise a ValueError that says what was expected and found at `where`, unless `rule`."""
    if not rule:
        raise ValueError(f"{where}: expected {expected}, found {found}")


@dataclass(frozen=True, slots=True)
class Site:
    """A node with the values it reads, and the checks that several operators share."""

    graph: ir.IntegerGraph
    node: ir.Node
    inputs: tuple[ir.Value, ...]

    def expect(self, rule: bool, expected: object, found: object) -> None:
        """Raise a ValueError naming the node, unless `rule`."""
        expect(rule, f"node {self.node.name}", expected, found)

    def shape(self, expected: tuple[int, ...]) -> None:
        """Refuse another shape of the node's value."""
        self.expect(self.node.value.shape == expected, f"shape {expected}", self.node.value.shape)

    def constant(
        self, name: str, role: str, shape: tuple[int, ...] | None, type_: IntType | None
    ) -> NDArray[int64]:
        """Return a constant's data; refuse a missing one, a wrong shape or type."""
        self.expect(name in self.graph.constants, f"a constant for its {role}", f"no {name!r}")
        item = self.graph.constants[name]
        if shape is not None:
            self.expect(item.data.shape == shape, f"{role} of shape {shape}", item.data.shape)
        if type_ is not None:
            fits = type_.min <= item.type.min and item.type.max <= type_.max
            self.expect(fits, f"{role} within {type_}", item.type)
        return item.data

    def shift(self, shift: int, least: int = 0) -> None:
        """Refuse a right shift that the hardware cannot make."""
        top = _LARGEST_SHIFT
        self.expect(least <= shift <= top, f"a shift from {least} to {top}", shift)

    def work(self, largest: int, what: str) -> None:
        """Refuse an intermediate value of 2**62 or more."""
        self.expect(
            largest.bit_length() <= _WORK_BITS,
            f"{what} below 2**{_WORK_BITS}",
            f"up to {largest.bit_length()} bits",
        )

    def dyadic(self, scale: Dyadic, largest: int, what: str) -> None:
        """Refuse a scale that is no u16 multiplier and shift, or overflows on `largest`."""
        self.expect(scale.multiplier <= _U16.max, "a u16 multiplier", scale.multiplier)
        self.shift(scale.shift)
        self.work(largest * scale.multiplier, what)

    def requantized(self, multiplier: str, shift: int, rows: int) -> None:
        """Check the multipliers and shift of `rows` accumulators, and their product's width."""
        factors = self.constant(multiplier, "multiplier", (rows,), _U16)
        self.expect(bool((factors >= 1).all()), "multipliers of at least 1", int(factors.min()))
        self.shift(shift)
        bounds = row_bounds(self.node, self.graph)
        worst = max(int(a) * int(m) for a, m in zip(bounds, factors, strict=True))
        self.work(worst, "acc * multiplier")

    def same_numbers(self, other: ir.Value) -> None:
        """Refuse a type or scale other than that of `other`."""
        value = self.node.value
        same = value.type == other.type and isclose(value.scale, other.scale, rel_tol=1e-9)
        self.expect(
            same,
            f"its input's {other.type} and scale {other.scale}",
            f"{value.type} and {value.scale}",
        )

    def input_kind(self, index: int) -> str:
        """Kind of the graph input that operand `index` is, or ``"value"``."""
        kinds = {item.name: item.kind for item in self.graph.inputs}
        return kinds.get(self.node.inputs[index], "value")

    def position(self) -> None:
        """Refuse another last operand than the position."""
        kind = self.input_kind(len(self.inputs) - 1)
        self.expect(kind == "position", "the position as its last input", f"a {kind}")


def _embedding(site: Site, op: ir.Embedding) -> None:
    kind = site.input_kind(0)
    site.expect(kind in ("token", "position"), "a token or position as index", f"a {kind}")
    rows = site.graph.vocabulary if kind == "token" else site.graph.context
    table = site.constant(op.table, "table", None, _I16)
    enough = table.ndim == 2 and len(table) >= rows
    site.expect(enough, f"a table of at least {rows} rows", f"shape {table.shape}")
    site.shape(table.shape[1:])
    site.requantized(op.multiplier, op.shift, len(table))


def _const_matvec(site: Site, op: ir.ConstMatVec) -> None:
    rows = prod(site.node.value.shape)
    site.shape((rows,))
    site.constant(op.weight, "weight", (rows, prod(site.inputs[0].shape)), _I16)
    if op.bias is not None:
        site.constant(op.bias, "bias", (rows,), None)
    site.requantized(op.multiplier, op.shift, rows)


def _low_rank(site: Site, op: ir.LowRank) -> None:
    x, y = site.inputs
    if op.kernel:
        site.expect(len(op.kernel) == 2 and min(op.kernel) >= 1, "a kernel (kh, kw)", op.kernel)
        site.expect(min(op.stride) >= 1, "strides of at least 1", op.stride)
        site.expect(min(op.padding) >= 0, "padding of at least 0", op.padding)
        site.expect(len(x.shape) == 3, "an input (in_ch, h, w)", x.shape)
        padded = [n + 2 * p for n, p in zip(x.shape[1:], op.padding, strict=True)]
        site.shape((*y.shape[:1], *_windows(padded, list(op.kernel), op.stride)))
    else:
        site.expect(len(y.shape) == 1, "a vector y", f"shape {y.shape}")
    site.shape(y.shape)
    site.same_numbers(y)
    site.expect(op.rank >= 1, "a rank of at least 1", op.rank)
    for name, type_ in (("element", op.element), ("hidden", op.hidden)):
        fits = type_.signed and type_.width <= _I16.width
        site.expect(fits, f"a signed {name} type of at most 16 bits", type_)
    for shift, bound in zip((op.shift_a, op.shift_b), low_rank_bounds(op, x), strict=True):
        site.shift(shift)
        site.work(bound * _U16.max, "acc * multiplier")


def _conv2d(site: Site, op: ir.Conv2d) -> None:
    weight = site.constant(op.weight, "weight", None, _I16)
    site.expect(weight.ndim == 4, "weight (out_ch, in_ch, kh, kw)", weight.shape)
    site.expect(min(op.stride) >= 1, "strides of at least 1", op.stride)
    site.expect(min(op.padding) >= 0, "padding of at least 0", op.padding)
    out_ch, in_ch, *kernel = weight.shape
    shape = site.inputs[0].shape
    site.expect(len(shape) == 3 and shape[0] == in_ch, f"an input ({in_ch}, h, w)", shape)
    padded = [n + 2 * p for n, p in zip(shape[1:], op.padding, strict=True)]
    site.shape((out_ch, *_windows(padded, kernel, op.stride)))
    if op.bias is not None:
        site.constant(op.bias, "bias", (out_ch,), None)
    site.requantized(op.multiplier, op.shift, out_ch)


def _windows(sizes: list[int], kernel: list[int], stride: tuple[int, int]) -> tuple[int, ...]:
    return tuple((n - k) // s + 1 for n, k, s in zip(sizes, kernel, stride, strict=True))


def _norm(site: Site, op: ir.Norm) -> None:
    x = site.inputs[0]
    site.expect(len(x.shape) == 1, "a vector", f"shape {x.shape}")
    site.shape(x.shape)
    whole = op.groups >= 1 and x.shape[0] % op.groups == 0
    site.expect(whole, f"groups that divide {x.shape[0]} elements", op.groups)
    part = (x.shape[0] // op.groups,)
    site.expect(1 <= op.eps < 1 << EPS_BITS, f"eps from 1 to 2**{EPS_BITS} - 1", op.eps)
    site.expect(0 <= op.fraction <= 15, "a fraction from 0 to 15", op.fraction)
    bound = normalized_bound(part[0], op.fraction)
    site.expect(bound < 1 << 17, "a fraction that keeps t within 18 bits", op.fraction)
    site.shift(op.shift, least=1)
    site.constant(op.gain, "gain", part, _I16)
    bias = None
    if op.bias is not None:
        site.constant(op.bias, "bias", part, None)
        bias = site.graph.constants[op.bias]
    widths = norm_widths(part[0], x.type, op, site.graph.constants[op.gain], bias)
    for name in ("q", "product", "y"):
        site.work(getattr(widths, name).max, name)


def _rotary(site: Site, op: ir.Rotary) -> None:
    site.shape((op.heads * op.head_dim,))
    site.expect(site.inputs[0].shape == site.node.value.shape, "an input of its own shape",
                site.inputs[0].shape)  # fmt: skip
    site.expect(op.head_dim % 2 == 0, "an even head_dim", op.head_dim)
    site.shift(op.shift)
    for name, role in ((op.cos, "cos table"), (op.sin, "sin table")):
        site.constant(name, role, (site.graph.context, op.head_dim // 2), _I16)
    site.position()


def _attention(site: Site, op: ir.Attention) -> None:
    q, k, v, _ = site.inputs
    for name, value, heads in (("q", q, op.heads), ("k", k, op.kv_heads), ("v", v, op.kv_heads)):
        fits = value.type.signed and value.type.width <= _ATTENTION_BITS
        site.expect(fits, f"{name} of a signed type of at most {_ATTENTION_BITS} bits", value.type)
        shape = (heads * op.head_dim,)
        site.expect(value.shape == shape, f"{name} of shape {shape}", value.shape)
    whole = op.kv_heads >= 1 and op.heads % op.kv_heads == 0
    site.expect(whole, "heads a multiple of kv_heads", f"{op.heads} and {op.kv_heads}")
    context = site.graph.context
    site.expect(op.context == context, f"the graph's context {context}", op.context)
    site.expect(op.context <= 1 << 16, "a context of at most 65536", op.context)
    site.expect(0 <= op.window <= context, f"a window of at most {context}", op.window)
    site.shape(q.shape)
    site.shift(op.shift, least=1)
    widths = attention_widths(op, q.type, k.type, v.type)
    site.dyadic(op.score, widths.below.max, "the scaled score")
    site.work(widths.product.max, "the normalized sum")
    if op.sinks is not None:
        site.constant(op.sinks, "sinks", (op.heads,), widths.s)
    site.position()


def _lookup(site: Site, op: ir.Lookup) -> None:
    site.shape(site.inputs[0].shape)
    site.constant(op.table, "table", (1 << site.inputs[0].type.width,), site.node.value.type)


def _add(site: Site, _: ir.Add) -> None:
    for operand in site.inputs:
        site.shape(operand.shape)
        scale = site.node.value.scale
        same = isclose(operand.scale, scale, rel_tol=1e-9)
        site.expect(same, f"operands of its own scale {scale}", operand.scale)


def _mul(site: Site, op: ir.Mul) -> None:
    for operand in site.inputs:
        site.shape(operand.shape)
    largest = prod(max(-operand.type.min, operand.type.max) for operand in site.inputs)
    site.dyadic(op.scale, largest, "a * b * multiplier")


def _max_pool(site: Site, op: ir.MaxPool2d) -> None:
    shape = site.inputs[0].shape
    site.expect(len(shape) == 3, "an input (channels, h, w)", shape)
    least = min(op.kernel + op.stride)
    site.expect(least >= 1, "kernel and stride of at least 1", (op.kernel, op.stride))
    fits = all(k <= n for k, n in zip(op.kernel, shape[1:], strict=True))
    site.expect(fits, f"a kernel inside the image {shape[1:]}", op.kernel)
    site.shape((shape[0], *_windows(list(shape[1:]), list(op.kernel), op.stride)))
    site.same_numbers(site.inputs[0])


def _reshape(site: Site, _: ir.Reshape) -> None:
    size, found = prod(site.inputs[0].shape), prod(site.node.value.shape)
    site.expect(found == size, f"{size} elements", found)
    site.same_numbers(site.inputs[0])


def _sample(site: Site, op: ir.Sample) -> None:
    vocabulary = site.graph.vocabulary
    site.shape(())
    site.expect(site.inputs[0].shape == (vocabulary,), f"{vocabulary} logits", site.inputs[0].shape)
    type_ = site.node.value.type
    site.expect(
        not type_.signed and type_.max >= vocabulary - 1,
        f"an unsigned type that holds {vocabulary - 1}",
        type_,
    )
    site.expect(0 <= op.shift <= 16, "a shift from 0 to 16", op.shift)
    site.constant(op.noise, "noise", (1024,), _I16)


def _route(site: Site, op: ir.Route) -> None:
    shape = site.inputs[0].shape
    site.expect(len(shape) == 1, "a vector of scores", f"shape {shape}")
    experts = shape[0]
    whole = op.groups >= 1 and experts % op.groups == 0
    site.expect(whole, f"groups that divide {experts} experts", op.groups)
    size = experts // op.groups
    site.expect(1 <= op.kept <= op.groups, f"1 to {op.groups} kept groups", op.kept)
    site.expect(op.best >= 1, "a sum of at least one best score", op.best)
    site.expect(1 <= op.k <= op.kept * size, f"1 to {op.kept * size} chosen", op.k)
    if op.bias is not None:
        site.constant(op.bias, "bias", (experts,), _I16)
    site.shape((op.k,))
    type_ = site.node.value.type
    holds = not type_.signed and type_.max >= experts - 1
    site.expect(holds, f"an unsigned type that holds {experts - 1}", type_)


def _choice(site: Site, experts: int) -> int:
    """Check that the second operand is a choice among `experts`; its length."""
    name = site.node.inputs[1]
    made = next((node for node in site.graph.nodes if node.name == name), None)
    if made is None or not isinstance(made.op, ir.Route):
        raise ValueError(f"node {site.node.name}: expected a Route as its choice, found {name!r}")
    (found,) = site.graph.value(made.inputs[0]).shape
    site.expect(found == experts, f"a choice among {experts} experts", found)
    return made.op.k


def _gate(site: Site, op: ir.Gate) -> None:
    scores = site.inputs[0]
    k = _choice(site, prod(scores.shape))
    site.shape((k,))
    type_ = site.node.value.type
    site.expect(not type_.signed and type_.width == 15, "a value of type u15", type_)
    widths = gate_widths(op, scores.type, prod(scores.shape), k)
    if op.score is not None:
        site.dyadic(op.score, widths.below.max, "the scaled score")
    else:
        fits = not scores.type.signed and scores.type.width <= 15
        site.expect(fits, "unsigned scores of at most 15 bits", scores.type)
    site.work(widths.product.max, "the normalized score")


def _expert_matvec(site: Site, op: ir.ExpertMatVec) -> None:
    weight = site.constant(op.weight, "weight", None, _I16)
    site.expect(weight.ndim == 3, "weight (experts, n_out, n_in)", weight.shape)
    experts, rows, columns = weight.shape
    site.shape((rows,))
    found = prod(site.inputs[0].shape)
    site.expect(found == columns, f"an input of {columns} elements", found)
    k = _choice(site, experts)
    site.expect(0 <= op.slot < k, f"a slot from 0 to {k - 1}", op.slot)
    if op.bias is not None:
        site.constant(op.bias, "bias", (experts, rows), None)
    factors = site.constant(op.multiplier, "multiplier", (experts, rows), _U16)
    site.expect(bool((factors >= 1).all()), "multipliers of at least 1", int(factors.min()))
    site.shift(op.shift)
    bounds = row_bounds(site.node, site.graph)
    worst = max(int(a) * int(m) for a, m in zip(bounds, factors.reshape(-1), strict=True))
    site.work(worst, "acc * multiplier")


def _weigh(site: Site, op: ir.Weigh) -> None:
    x, gates = site.inputs
    site.shape(x.shape)
    site.expect(len(gates.shape) == 1, "a vector of weights", f"shape {gates.shape}")
    site.expect(0 <= op.slot < gates.shape[0], f"a slot below {gates.shape[0]}", op.slot)
    largest = prod(max(-operand.type.min, operand.type.max) for operand in site.inputs)
    site.dyadic(op.scale, largest, "x * gate * multiplier")


RULES: dict[type[Any], tuple[int, Callable[[Site, Any], None]]] = {
    ir.Embedding: (1, _embedding),
    ir.ConstMatVec: (1, _const_matvec),
    ir.LowRank: (2, _low_rank),
    ir.Conv2d: (1, _conv2d),
    ir.Norm: (1, _norm),
    ir.Rotary: (2, _rotary),
    ir.Attention: (4, _attention),
    ir.Lookup: (1, _lookup),
    ir.Add: (2, _add),
    ir.Mul: (2, _mul),
    ir.MaxPool2d: (1, _max_pool),
    ir.Reshape: (1, _reshape),
    ir.Sample: (1, _sample),
    ir.Route: (1, _route),
    ir.Gate: (2, _gate),
    ir.ExpertMatVec: (2, _expert_matvec),
    ir.Weigh: (2, _weigh),
}
"""Number of operands and rule of every operator."""
