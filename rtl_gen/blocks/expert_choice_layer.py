"""A layer whose experts choose tokens from a block; not causal."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.expert_choice import ExpertChoice
from rtl_gen.blocks.mul import Mul
from rtl_gen.blocks.router import Router
from rtl_gen.fabric.expert_lanes import WIDTH, ExpertLanes
from rtl_gen.fabric.pipeline import saturate
from rtl_gen.fabric.ram import Ram
from rtl_gen.ir.expert_layer import GATE, ExpertLayer


class ExpertChoiceLayer(wiring.Component):
    """Router, choice, experts and their sum; golden model `rtl_gen.golden.expert_choice_layer`.

    A block of tokens is collected, and its sums are set to zero meanwhile. Then every token's
    probabilities go to the experts' lists, every expert multiplies the tokens it chose, and the
    block leaves.

    Latency and throughput: a block at a time; a router's product for each token, an expert's for
    each choice, and 2 cycles for each element that leaves.

    Parameters
    ----------
    layer : ExpertLayer
    tokens, k : int
        Tokens of a block; tokens that an expert takes.
    lanes : int

    Members
    -------
    i : In stream of the type of a token's elements
    o : Out stream of signed(16)
        As many elements as came in.
    """

    def __init__(self, layer: ExpertLayer, *, tokens: int, k: int, lanes: int) -> None:
        self.layer = layer
        self.tokens = tokens
        self.k = k
        experts = layer.experts
        self.lanes = ExpertLanes(layer, tokens=tokens, lanes=lanes)
        self.router = Router(width=WIDTH, experts=experts, k=experts, normalize=True)
        self.choice = ExpertChoice(tokens=tokens, experts=experts, k=k, width=GATE.width)
        # No sum of one output of every expert is too wide.
        self.sums = Ram(tokens * layer.hidden, layer.out.width + (experts - 1).bit_length())
        super().__init__(
            {
                "i": In(stream.Signature(signed(layer.x.width))),
                "o": Out(stream.Signature(signed(WIDTH))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Join the parts; the sequence of a block is a state machine."""
        m = Module()
        m.submodules.lanes, m.submodules.router = lanes, router = self.lanes, self.router
        m.submodules.choice, m.submodules.sums = choice, sums = self.choice, self.sums
        layer, experts = self.layer, self.layer.experts
        token = Signal(range(max(2, self.tokens)))
        expert = Signal(range(max(2, experts)))
        slot = Signal(range(max(2, self.k)))
        element = Signal(range(layer.hidden))
        word = Signal.like(sums.addr)
        gate = Signal(GATE.width)
        ends = element == layer.hidden - 1
        last_token, last_expert = token == self.tokens - 1, expert == experts - 1
        started, adding = Signal(), Signal()
        probabilities = Array(Signal(GATE.width, name=f"probability{e}") for e in range(experts))
        named = router.choice.word_select(expert, router.index_bits)
        m.d.comb += [
            router.multiplier.eq(layer.score.multiplier),
            router.shift.eq(layer.score.shift),
            router.i.payload.eq(lanes.o.payload),
            lanes.write_addr.eq(word),
            lanes.write_data.eq(self.i.payload),
            lanes.token.eq(token),
            lanes.expert.eq(expert),
            choice.i.payload.eq(probabilities[expert]),
            sums.addr.eq(word),
            sums.write_addr.eq(word),
        ]
        # A sum is read a cycle after its number is, and written with the number of the next.
        read, moves = Signal(), Signal()
        total = sums.data.as_signed()
        m.d.sync += read.eq(started & ~moves)
        mul = self._weigh(m, gate, adding)
        low, high = (Const(bound, signed(WIDTH)) for bound in (layer.out.min, layer.out.max))
        m.d.comb += self.o.payload.eq(saturate(total, low, high))
        with m.If(moves):
            m.d.sync += [word.eq(word + 1), element.eq(Mux(ends, 0, element + 1))]

        with m.FSM(name="expert_choice"):
            with m.State("COLLECT"):
                m.d.comb += [
                    self.i.ready.eq(1),
                    moves.eq(self.i.valid),
                    lanes.write.eq(moves),
                    sums.write.eq(moves),
                ]
                with m.If(moves & ends):
                    m.d.sync += token.eq(token + 1)
                    with m.If(last_token):
                        m.d.sync += [token.eq(0), word.eq(0)]
                        m.next = "ROUTE"
            with m.State("ROUTE"):
                m.d.comb += [lanes.start.eq(1), lanes.routes.eq(1), router.start.eq(1)]
                m.next = "PROBABILITIES"
            with m.State("PROBABILITIES"):
                m.d.comb += [
                    router.i.valid.eq(lanes.o.valid),
                    lanes.o.ready.eq(router.i.ready),
                    router.o.ready.eq(1),
                ]
                with m.If(router.o.valid):
                    m.d.sync += probabilities[named].eq(router.o.payload)
                    m.d.sync += expert.eq(Mux(last_expert, 0, expert + 1))
                    with m.If(last_expert):
                        m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += choice.i.valid.eq(1)
                with m.If(choice.i.ready):
                    m.d.sync += expert.eq(Mux(last_expert, 0, expert + 1))
                    with m.If(last_expert):
                        m.d.sync += token.eq(Mux(last_token, 0, token + 1))
                        m.next = "ROUTE"
                        with m.If(last_token):
                            m.next = "CHOOSE"
            with m.State("CHOOSE"):
                m.d.comb += choice.o.ready.eq(1)
                with m.If(choice.o.valid):
                    m.d.sync += [gate.eq(choice.o.payload), started.eq(0)]
                    m.d.sync += token.eq(choice.o.payload[GATE.width :])
                    m.next = "EXPERT"
            with m.State("EXPERT"):
                m.d.comb += [lanes.start.eq(1)]
                m.d.sync += [word.eq(token * layer.hidden), started.eq(1)]
                m.next = "ADD"
            with m.State("ADD"):
                m.d.comb += [
                    adding.eq(1),
                    mul.o.ready.eq(read),
                    moves.eq(mul.o.valid & read),
                    sums.write.eq(moves),
                    sums.write_data.eq(total + mul.o.payload),
                ]
                with m.If(moves & ends):
                    m.d.sync += [started.eq(0), slot.eq(slot + 1)]
                    m.next = "CHOOSE"
                    with m.If(slot == self.k - 1):
                        m.d.sync += [slot.eq(0), expert.eq(Mux(last_expert, 0, expert + 1))]
                        with m.If(last_expert):
                            m.d.sync += [token.eq(0), word.eq(0), started.eq(1)]
                            m.next = "EMIT"
            with m.State("EMIT"):
                m.d.comb += [self.o.valid.eq(read), moves.eq(read & self.o.ready)]
                with m.If(moves & ends):
                    m.d.sync += token.eq(token + 1)
                    with m.If(last_token):
                        m.d.sync += [token.eq(0), word.eq(0), started.eq(0)]
                        m.next = "COLLECT"
        return m

    def _weigh(self, m: Module, gate: Signal, adding: Signal) -> Mul:
        """Product of an expert's output and its gate."""
        mul = m.submodules.mul = Mul(width=WIDTH)
        lanes, layer = self.lanes, self.layer
        m.d.comb += [
            mul.a.payload.eq(lanes.o.payload),
            mul.a.valid.eq(lanes.o.valid & adding),
            mul.b.payload.eq(gate),
            mul.b.valid.eq(1),
            mul.multiplier.eq(layer.weigh.multiplier),
            mul.shift.eq(layer.weigh.shift),
            mul.low.eq(layer.out.min),
            mul.high.eq(layer.out.max),
        ]
        with m.If(adding):
            m.d.comb += lanes.o.ready.eq(mul.a.ready)
        return mul
