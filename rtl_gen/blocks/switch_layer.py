"""A Switch layer: every token goes to one expert, unless that is full."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.capacity import Capacity
from rtl_gen.blocks.mul import Mul
from rtl_gen.blocks.router import Router
from rtl_gen.fabric.expert_lanes import WIDTH, ExpertLanes
from rtl_gen.ir.expert_layer import GATE, ExpertLayer


class SwitchLayer(wiring.Component):
    """Router, capacity and experts; golden model `rtl_gen.golden.switch_layer`.

    The router reads its logits twice, so its product runs twice. A token whose expert is full gets
    zeros, and no expert is read for it.

    Latency and throughput: a token at a time; the products of the router, twice, and of one expert,
    one after another, and 60 cycles about.

    Parameters
    ----------
    layer : ExpertLayer
    limit : int
        Tokens of a sequence that an expert takes.
    lanes : int

    Members
    -------
    i : In stream of the type of a token's elements
    o : Out stream of signed(16)
        As many elements as came in.
    clear : In(1)
        Pulse: a sequence begins, all experts are empty. Nothing is under way or offered meanwhile.
    choice : Out
        The expert of the token of which results leave.
    """

    def __init__(self, layer: ExpertLayer, *, limit: int, lanes: int) -> None:
        self.layer = layer
        self.lanes = ExpertLanes(layer, tokens=1, lanes=lanes)
        self.router = Router(width=WIDTH, experts=layer.experts, k=1, normalize=False)
        self.capacity = Capacity(experts=layer.experts, limit=limit, width=GATE.width)
        super().__init__(
            {
                "i": In(stream.Signature(signed(layer.x.width))),
                "o": Out(stream.Signature(signed(WIDTH))),
                "clear": In(1),
                "choice": Out(self.router.index_bits),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Join the parts; the sequence of a token is a state machine."""
        m = Module()
        m.submodules.lanes, m.submodules.router = lanes, router = self.lanes, self.router
        m.submodules.capacity, m.submodules.mul = limit, mul = self.capacity, Mul(width=WIDTH)
        layer = self.layer
        element = Signal(range(layer.hidden))
        gate = Signal(GATE.width)
        again, routing = Signal(), Signal()
        moves = Signal()
        ends = moves & (element == layer.hidden - 1)
        m.d.comb += [
            self.choice.eq(router.choice),
            router.multiplier.eq(layer.score.multiplier),
            router.shift.eq(layer.score.shift),
            limit.clear.eq(self.clear),
            limit.i.valid.eq(router.o.valid),
            limit.i.payload.eq(Cat(router.o.payload[: GATE.width], router.choice)),
            router.o.ready.eq(limit.i.ready),
            lanes.write_addr.eq(element),
            lanes.write_data.eq(self.i.payload),
            lanes.expert.eq(router.choice),
            lanes.routes.eq(routing),
            router.i.payload.eq(lanes.o.payload),
            router.i.valid.eq(lanes.o.valid & routing),
            mul.a.payload.eq(lanes.o.payload),
            mul.a.valid.eq(lanes.o.valid & ~routing),
            lanes.o.ready.eq(router.i.ready),
            mul.b.payload.eq(gate),
            mul.b.valid.eq(1),
            mul.multiplier.eq(layer.weigh.multiplier),
            mul.shift.eq(layer.weigh.shift),
            mul.low.eq(Const(layer.out.min, signed(WIDTH))),
            mul.high.eq(Const(layer.out.max, signed(WIDTH))),
        ]
        with m.If(moves):
            m.d.sync += element.eq(element + 1)
        with m.If(ends):
            m.d.sync += element.eq(0)
        with m.FSM(name="switch"):
            with m.State("COLLECT"):
                m.d.comb += [self.i.ready.eq(1), moves.eq(self.i.valid), lanes.write.eq(moves)]
                m.d.comb += routing.eq(1)
                m.d.sync += again.eq(0)
                with m.If(ends):
                    m.d.comb += router.start.eq(1)
                    m.next = "ROUTE"
            with m.State("ROUTE"):
                m.d.comb += [routing.eq(1), lanes.start.eq(~lanes.busy)]
                m.next = "LOGITS"
            with m.State("LOGITS"):
                m.d.comb += routing.eq(1)
                with m.If(~lanes.busy):
                    m.d.sync += again.eq(1)
                    m.next = "ROUTE"
                    with m.If(again):
                        m.next = "GATE"
            with m.State("GATE"):
                m.d.comb += limit.o.ready.eq(1)
                m.d.sync += gate.eq(limit.o.payload)
                with m.If(limit.o.valid):
                    m.next = "DROPPED"
                    with m.If(limit.o.payload != 0):
                        m.d.comb += lanes.start.eq(1)
                        m.next = "EXPERT"
            with m.State("EXPERT"):
                m.d.comb += [
                    lanes.o.ready.eq(mul.a.ready),
                    self.o.payload.eq(mul.o.payload),
                    self.o.valid.eq(mul.o.valid),
                    mul.o.ready.eq(self.o.ready),
                    moves.eq(self.o.valid & self.o.ready),
                ]
                with m.If(ends):
                    m.next = "COLLECT"
            with m.State("DROPPED"):
                m.d.comb += [self.o.valid.eq(1), moves.eq(self.o.ready)]
                with m.If(ends):
                    m.next = "COLLECT"
        return m
