"""Experts and their router on one set of lanes: what the blocks of whole layers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth import Array, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.const_matvec import ConstMatVec, row_words, weight_words
from rtl_gen.blocks.lookup import Lookup
from rtl_gen.blocks.mul import Mul
from rtl_gen.fabric import rom
from rtl_gen.fabric.ram import Ram
from rtl_gen.ir import tables
from rtl_gen.ir.expert_layer import ExpertLayer, Product

WIDTH = 16
"""Signed width of all streams."""

_BIAS = 1


@dataclass(frozen=True, slots=True)
class _Pass:
    """One product on the lanes; `base` and `row_base` are those of expert 0."""

    product: Product
    base: int
    row_base: int
    of_inner: bool
    sink: str


def _groups(product: Product, lanes: int) -> int:
    return -(-product.rows // lanes)


def _words(product: Product, lanes: int) -> int:
    """ROM words of one expert's matrix."""
    return _groups(product, lanes) * product.columns


def _of_expert(layer: ExpertLayer) -> list[Product]:
    """Products of an expert in the order in which they run."""
    return [p for p in (layer.gate, layer.up, layer.down) if p is not None]


def images(layer: ExpertLayer, lanes: int) -> dict[str, str]:
    """ROM images of `ExpertLanes` and of a router: path to contents."""
    weight_width = max(p.weight_type.width for p in (layer.router, *_of_expert(layer)))
    matrices = [(layer.router, 0)]
    matrices += [(p, e) for e in range(layer.experts) for p in _of_expert(layer)]
    weights = [w for p, e in matrices for w in weight_words(p.weight[e], lanes, weight_width)]
    rows = [w for p, e in matrices for w in row_words(None, p.multiplier[e], _BIAS)]
    return {
        "rom/matvec_weight.hex": rom.image(weights, lanes * weight_width),
        "rom/matvec_row.hex": rom.image(rows, 16 + _BIAS),
        "rom/lookup.hex": rom.image(layer.table.tolist(), WIDTH),
        "rom/exp2.hex": rom.image(tables.exp2(), 16),
        "rom/reciprocal.hex": rom.image(tables.reciprocal(), 16),
    }


class ExpertLanes(wiring.Component):
    """Logits of the router, or the output of one expert, for one of the tokens that it holds.

    Matrices of all experts lie one after another in the lanes' ROM, and the expert's number times
    their size is added to the address: an expert that is not asked for is not read.

    Latency: its matrices, `ConstMatVec`'s of each after that of the one before; throughput one
    product of a matrix and a vector at a time.

    Parameters
    ----------
    layer : ExpertLayer
        With signed types of at most 16 bits.
    tokens : int
        Vectors held.
    lanes : int

    Members
    -------
    write, write_addr, write_data : In
        Port of the tokens' memory; element j of token t is word ``t * hidden + j``.
    start : In(1)
        Pulse while not `busy`: `token`, `expert` and `routes` are taken.
    token, expert : In
        Which vector and which expert.
    routes : In(1)
        The router's logits are wanted instead of an expert's output.
    busy : Out(1)
    o : Out stream of signed(16)
        Logits, or the expert's output.
    """

    def __init__(self, layer: ExpertLayer, *, tokens: int, lanes: int) -> None:
        self.layer = layer
        products = _of_expert(layer)
        every = [layer.router, *products]
        stride = sum(_words(p, lanes) for p in products)
        row_stride = sum(p.rows for p in products)
        self.strides = stride, row_stride
        self.lanes = lanes
        self.passes = self._passes(products)
        x_width = max(layer.x.width, layer.inner.width)
        weight_width = max(p.weight_type.width for p in every)
        most = max(p.columns for p in every)
        self.matvec = ConstMatVec(
            lanes=lanes, x_width=x_width, weight_width=weight_width,
            acc_width=x_width + weight_width - 1 + (most - 1).bit_length(), bias_width=_BIAS,
            width=WIDTH, weight_depth=_words(layer.router, lanes) + stride * layer.experts,
            row_depth=layer.experts * (1 + row_stride), max_columns=most,
            max_rows=max(p.rows for p in every), max_piece=max(p.rows for p in every),
        )  # fmt: skip
        self.lookup = Lookup(depth=len(layer.table), width=WIDTH)
        self.held = Ram(tokens * layer.hidden, layer.x.width)
        self.inner = Ram(layer.down.columns, layer.inner.width)
        super().__init__(
            {
                "write": In(1),
                "write_addr": In(range(self.held.depth)),
                "write_data": In(layer.x.width),
                "start": In(1),
                "token": In(range(max(2, tokens))),
                "expert": In(range(max(2, layer.experts))),
                "routes": In(1),
                "busy": Out(1),
                "o": Out(stream.Signature(signed(WIDTH))),
            }
        )

    def _passes(self, products: list[Product]) -> list[_Pass]:
        """The router's product, then an expert's."""
        layer = self.layer
        passes = [_Pass(layer.router, 0, 0, of_inner=False, sink="out")]
        base, row_base = _words(layer.router, self.lanes), layer.experts
        for product in products:
            sink = "table" if product is layer.activated else "product"
            last = product is layer.down
            passes.append(_Pass(product, base, row_base, last, "out" if last else sink))
            base, row_base = base + _words(product, self.lanes), row_base + product.rows
        return passes

    def elaborate(self, platform: Any) -> Module:
        """Build the lanes, both memories, and the sequence of products."""
        m = Module()
        m.submodules.matvec = matvec = self.matvec
        m.submodules.held, m.submodules.inner = self.held, self.inner
        m.d.comb += [
            self.held.write.eq(self.write),
            self.held.write_addr.eq(self.write_addr),
            self.held.write_data.eq(self.write_data),
        ]
        step, last = Signal(range(len(self.passes))), len(self.passes) - 1
        expert, token = Signal.like(self.expert), Signal.like(self.token)
        begin, feeding, stored = Signal(), Signal(), Signal()
        self._configure(m, step, expert)
        with m.FSM(name="expert"):
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [expert.eq(self.expert), token.eq(self.token)]
                m.d.sync += step.eq(Mux(self.routes, 0, 1))
                m.next = "CONFIGURE"
            with m.State("CONFIGURE"):  # the fields are registers behind `step`
                m.d.comb += self.busy.eq(1)
                m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += [self.busy.eq(1), begin.eq(1)]
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += self.busy.eq(1)
                with m.If(stored):
                    m.d.sync += step.eq(step + 1)
                    m.next = "CONFIGURE"
                    with m.If((step == 0) | (step == last)):
                        m.next = "IDLE"
        m.d.comb += [matvec.start.eq(begin), matvec.drain.eq(begin)]
        multiplied = Signal.like(self.inner.addr)
        self._feed(m, step, begin, feeding, token, multiplied)
        self._store(m, step, begin, stored, multiplied)
        return m

    def _field(self, step: Signal, values: list[Any]) -> Any:
        return Array(values)[step]

    def _configure(self, m: Module, step: Signal, expert: Signal) -> None:
        """Fields of the lanes for product `step` of `expert`."""
        matvec, products = self.matvec, [item.product for item in self.passes]
        offset, row_offset = (expert * stride for stride in self.strides)
        routes = step == 0
        bases = self._field(step, [Const(item.base) for item in self.passes])
        row_bases = self._field(step, [Const(item.row_base) for item in self.passes])
        fields = {
            "weight_base": bases + Mux(routes, 0, offset),
            "row_base": row_bases + Mux(routes, 0, row_offset),
            "last_column": self._field(step, [Const(p.columns - 1) for p in products]),
            "group_rows": self._field(step, [Const(p.rows) for p in products]),
            "rows": self._field(step, [Const(p.rows) for p in products]),
            "shift": self._field(step, [Const(p.shift) for p in products]),
            "low": self._field(step, [Const(p.out.min, signed(WIDTH)) for p in products]),
            "high": self._field(step, [Const(p.out.max, signed(WIDTH)) for p in products]),
        }
        for name, value in fields.items():
            port = getattr(matvec, name)
            held = Signal.like(port, name=f"field_{name}", reset_less=True)
            m.d.sync += held.eq(value)
            m.d.comb += port.eq(held)

    def _feed(
        self, m: Module, step: Signal, begin: Signal, feeding: Signal, token: Signal,
        multiplied: Signal,
    ) -> None:  # fmt: skip
        """The vector of a product into the lanes, once for each group of rows."""
        matvec, held, inner = self.matvec, self.held, self.inner
        column = Signal.like(matvec.last_column)
        groups = [_groups(item.product, self.lanes) for item in self.passes]
        group = Signal(range(max(groups)))
        fetched = Signal()
        en = ~fetched | matvec.i.ready
        ends = column == matvec.last_column
        with m.If(begin):
            m.d.sync += [feeding.eq(1), column.eq(0), group.eq(0)]
        with m.Elif(feeding & en):
            m.d.sync += column.eq(Mux(ends, 0, column + 1))
            with m.If(ends):
                m.d.sync += group.eq(group + 1)
                with m.If(group == self._field(step, [Const(n - 1) for n in groups])):
                    m.d.sync += feeding.eq(0)
        with m.If(en):
            m.d.sync += fetched.eq(feeding)
        of_inner = self._field(step, [Const(int(item.of_inner)) for item in self.passes])
        multiplies = self._field(step, [Const(int(p.sink == "product")) for p in self.passes])
        first = Signal.like(held.addr)
        m.d.sync += first.eq(token * self.layer.hidden)
        m.d.comb += [
            held.en.eq(en),
            held.addr.eq(first + column),
            inner.en.eq(en | multiplies),
            inner.addr.eq(Mux(multiplies, multiplied, column)),
            matvec.i.valid.eq(fetched),
            matvec.i.payload.eq(Mux(of_inner, inner.data.as_signed(), held.data.as_signed())),
        ]

    def _store(
        self, m: Module, step: Signal, begin: Signal, stored: Signal, multiplied: Signal
    ) -> None:
        """Results to the way out, or through the table or the product into `inner`."""
        matvec, lookup, inner, layer = self.matvec, self.lookup, self.inner, self.layer
        m.submodules.lookup = lookup
        sinks = [item.sink for item in self.passes]
        goes = {
            name: self._field(step, [Const(int(sink == name)) for sink in sinks])
            for name in ("out", "table", "product")
        }
        taken = Signal()
        m.d.comb += [
            self.o.payload.eq(matvec.o.payload),
            self.o.valid.eq(matvec.o.valid & goes["out"]),
            lookup.i.payload.eq(matvec.o.payload),
            lookup.i.valid.eq(matvec.o.valid & goes["table"]),
            lookup.offset.eq(-layer.activated.out.min),
            lookup.o.ready.eq(1),
            matvec.o.ready.eq(Mux(goes["out"], self.o.ready, lookup.i.ready)),
            taken.eq(Mux(goes["out"], self.o.valid & self.o.ready, lookup.o.valid)),
            inner.write_data.eq(lookup.o.payload),
        ]
        if layer.product is not None:
            mul = m.submodules.mul = Mul(width=WIDTH)
            # An element of `inner` is read a cycle after its number is.
            read = Signal()
            passes = mul.a.valid & mul.a.ready
            m.d.sync += read.eq(goes["product"] & ~passes & ~begin)
            with m.If(begin):
                m.d.sync += multiplied.eq(0)
            with m.Elif(passes):
                m.d.sync += multiplied.eq(multiplied + 1)
            m.d.comb += [
                mul.a.payload.eq(matvec.o.payload),
                mul.a.valid.eq(matvec.o.valid & goes["product"]),
                mul.b.payload.eq(inner.data.as_signed()),
                mul.b.valid.eq(read),
                mul.multiplier.eq(layer.product.multiplier),
                mul.shift.eq(layer.product.shift),
                mul.low.eq(layer.inner.min),
                mul.high.eq(layer.inner.max),
                mul.o.ready.eq(1),
            ]
            with m.If(goes["product"]):
                m.d.comb += [
                    matvec.o.ready.eq(mul.a.ready),
                    taken.eq(mul.o.valid),
                    inner.write_data.eq(mul.o.payload),
                ]
        count = Signal(range(max(item.product.rows for item in self.passes)))
        rows = self._field(step, [Const(item.product.rows - 1) for item in self.passes])
        m.d.comb += [
            stored.eq(taken & (count == rows)),
            inner.write.eq(taken & ~goes["out"]),
            inner.write_addr.eq(count),
        ]
        with m.If(begin):
            m.d.sync += count.eq(0)
        with m.Elif(taken):
            m.d.sync += count.eq(count + 1)
