"""Serial protocol around a chip: one command byte, then its argument, little endian.

=========  ==================  =====================================================
host       argument            meaning
=========  ==================  =====================================================
``T``      data (2)            one token of a prompt, or one element of a frame
``L``      data (2)            the last one
``W``      seed (4) beta (2)   registers: random state, inverse temperature (0 is
           limit (2)           greedy), most tokens to generate (0 is no limit)
``K``      top_k (1)           register: largest logits that take part in a draw (0 is
                               all); nothing on a chip without top-k
``S``                          start with the bos token, as the button does
``I``                          ask for the identity
``C``                          ask for the cycles of the last step
``P``      register (1),       write a register of the adapter port, if there is one
           value (4)           (`rtl_gen.fabric.adapter_port`)
``Q``      register (1)        ask for a register of the adapter port
=========  ==================  =====================================================

The chip's beats come as ``o`` or, the last of a sequence or frame, ``l``, and data (2); identity
as ``i`` and 32 bytes; cycles as ``c``, a register as ``q``, and 4 bytes. A whole prompt or frame
may be sent while the chip is busy; there is no flow control beyond that.
"""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

IDENTITY_BYTES = 32
ARGUMENT_BYTES = 8


class Bridge(wiring.Component):
    """Bytes to the chip's boundary and back.

    Parameters
    ----------
    seed, beta, limit, top_k : int
        Contents of the registers after reset.
    depth : int
        Tokens or elements kept until the chip takes them.
    """

    def __init__(self, *, seed: int, beta: int, limit: int, depth: int, top_k: int = 0) -> None:
        self.depth = depth
        super().__init__(
            {
                "rx": In(stream.Signature(8)),
                "tx": Out(stream.Signature(8)),
                "button": In(1),
                "i": Out(stream.Signature(17)),
                "o": In(stream.Signature(17)),
                "start": Out(1),
                "seed": Out(32, init=seed),
                "beta": Out(16, init=beta),
                "limit": Out(16, init=limit),
                "top_k": Out(8, init=top_k),
                "cycles": In(32),
                "id_addr": Out(range(IDENTITY_BYTES)),
                "id_data": In(8),
                "adapter_addr": Out(3),
                "adapter_write": Out(1),
                "adapter_write_data": Out(32),
                "adapter_read_data": In(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the command decoder and the reply serializer."""
        m = Module()
        self._commands(m)
        self._replies(m)
        return m

    def _commands(self, m: Module) -> None:
        command = Signal(8)
        argument = Signal(8 * ARGUMENT_BYTES)
        left = Signal(range(ARGUMENT_BYTES + 1))
        pressed = Signal()
        self.ask_identity, self.ask_cycles, self.ask_register = Signal(), Signal(), Signal()
        m.d.comb += [
            self.adapter_addr.eq(Mux(command == ord("P"), argument[-40:-37], argument[-8:-5])),
            self.adapter_write_data.eq(argument[-32:]),
        ]
        m.d.sync += pressed.eq(self.button)
        m.d.comb += self.start.eq(self.button & ~pressed)
        waiting = m.submodules.waiting = SyncFIFOBuffered(width=17, depth=self.depth)
        wiring.connect(m, waiting.r_stream, wiring.flipped(self.i))
        m.d.comb += waiting.w_data.eq(Cat(argument[-16:], command == ord("L")))
        with m.FSM(name="command"):
            with m.State("COMMAND"):
                m.d.comb += self.rx.ready.eq(1)
                with m.If(self.rx.valid):
                    m.d.sync += command.eq(self.rx.payload)
                    with m.Switch(self.rx.payload):
                        with m.Case(ord("T"), ord("L")):
                            m.d.sync += left.eq(2)
                            m.next = "ARGUMENT"
                        for name, size in (("W", 8), ("K", 1), ("P", 5), ("Q", 1)):
                            with m.Case(ord(name)):
                                m.d.sync += left.eq(size)
                                m.next = "ARGUMENT"
                        with m.Case(ord("S")):
                            m.d.comb += self.start.eq(1)
                        with m.Case(ord("I")):
                            m.d.comb += self.ask_identity.eq(1)
                        with m.Case(ord("C")):
                            m.d.comb += self.ask_cycles.eq(1)
            with m.State("ARGUMENT"):
                m.d.comb += self.rx.ready.eq(1)
                with m.If(self.rx.valid):
                    m.d.sync += argument.eq(Cat(argument[8:], self.rx.payload))
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 1):
                        m.next = "APPLY"
            with m.State("APPLY"):
                with m.If(command == ord("W")):
                    registers = Cat(self.seed, self.beta, self.limit)
                    m.d.sync += registers.eq(argument)
                    m.next = "COMMAND"
                with m.Elif(command == ord("K")):
                    m.d.sync += self.top_k.eq(argument[-8:])
                    m.next = "COMMAND"
                with m.Elif(command == ord("P")):
                    m.d.comb += self.adapter_write.eq(1)
                    m.next = "COMMAND"
                with m.Elif(command == ord("Q")):
                    m.d.comb += self.ask_register.eq(1)
                    m.next = "COMMAND"
                with m.Else():
                    m.d.comb += waiting.w_en.eq(1)
                    with m.If(waiting.w_rdy):
                        m.next = "COMMAND"

    def _replies(self, m: Module) -> None:
        text = Signal(40)
        word = Signal(32)
        want_register = Signal()
        with m.If(self.ask_register):
            m.d.sync += [want_register.eq(1), word.eq(self.adapter_read_data)]
        left = Signal(range(6))
        identity = Signal(range(IDENTITY_BYTES + 1))
        want_identity, want_cycles = Signal(), Signal()
        with m.If(self.ask_identity):
            m.d.sync += want_identity.eq(1)
        with m.If(self.ask_cycles):
            m.d.sync += want_cycles.eq(1)
        with m.FSM(name="reply"):
            with m.State("IDLE"):
                with m.If(self.o.valid):
                    m.d.comb += self.o.ready.eq(1)
                    tag = Mux(self.o.payload[16], Const(ord("l"), 8), Const(ord("o"), 8))
                    m.d.sync += [text.eq(Cat(tag, self.o.payload[:16])), left.eq(3)]
                    m.next = "SEND"
                with m.Elif(want_cycles):
                    m.d.sync += [text.eq(Cat(Const(ord("c"), 8), self.cycles)), left.eq(5)]
                    m.d.sync += want_cycles.eq(0)
                    m.next = "SEND"
                with m.Elif(want_register):
                    m.d.sync += [text.eq(Cat(Const(ord("q"), 8), word)), left.eq(5)]
                    m.d.sync += want_register.eq(0)
                    m.next = "SEND"
                with m.Elif(want_identity):
                    m.d.sync += [text.eq(ord("i")), left.eq(1), identity.eq(IDENTITY_BYTES)]
                    m.d.sync += [want_identity.eq(0), self.id_addr.eq(0)]
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [self.tx.valid.eq(1), self.tx.payload.eq(text[:8])]
                with m.If(self.tx.ready):
                    m.d.sync += [text.eq(text >> 8), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.next = "IDLE"
                        with m.If(identity != 0):
                            m.next = "IDENTITY"
            with m.State("IDENTITY"):
                # A byte takes far longer to send than the ROM to answer.
                m.d.sync += [text.eq(self.id_data), left.eq(1), identity.eq(identity - 1)]
                m.d.sync += self.id_addr.eq(self.id_addr + 1)
                m.next = "SEND"
