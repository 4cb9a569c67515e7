"""Board wrapper: clock, reset, serial port, button and lights around module ``chip``."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from amaranth import ClockDomain, ClockSignal, Const, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from rtl_gen.errors import TargetError
from rtl_gen.fabric.bridge import Bridge
from rtl_gen.fabric.uart import Receiver, Transmitter
from rtl_gen.golden.sample import initial_rng
from rtl_gen.verilog import convert_alone

VCO_MHZ = (400.0, 800.0)
"""Range of the ECP5 PLL's oscillator (Lattice FPGA-TN-02200, sysCLOCK)."""

PFD_MHZ = 3.125
"""Lowest phase detector frequency of the same PLL."""

MAX_ERROR = 0.02
RESET_CYCLES = 16


@dataclass(frozen=True, slots=True)
class Pll:
    """Dividers of an ECP5 PLL whose output feeds back: ``f = f_in * feedback / reference``."""

    reference: int
    feedback: int
    output: int
    mhz: float


def pll(oscillator_mhz: float, clock_mhz: float) -> Pll:
    """Dividers whose output is nearest to `clock_mhz`, with the oscillator nearest mid-range.

    Raises
    ------
    TargetError
        If nothing comes within 2 %.
    """
    best: tuple[float, float, Pll] | None = None
    for reference in range(1, int(oscillator_mhz / PFD_MHZ) + 1):
        for feedback in range(1, 81):
            mhz = oscillator_mhz * feedback / reference
            error = abs(mhz / clock_mhz - 1)
            if error > MAX_ERROR:
                continue
            for output in range(1, 129):
                vco = mhz * output
                if VCO_MHZ[0] <= vco <= VCO_MHZ[1]:
                    rank = (error, abs(vco - 600), Pll(reference, feedback, output, mhz))
                    if best is None or rank[:2] < best[:2]:
                        best = rank
    if best is None:
        raise TargetError(
            f"clock_mhz: no PLL setting makes {clock_mhz} MHz from {oscillator_mhz} MHz; "
            "choose a clock between 10 and 400 MHz"
        )
    return best[2]


class Board(wiring.Component):
    """ULX3S-class board: 25 MHz oscillator, FTDI serial port, one button, eight lights.

    Lights: busy, last output bit activity on the serial lines, then the position.

    Parameters
    ----------
    manifest : dict
        The chip's, from `rtl_gen.emit`.
    clock_mhz, oscillator_mhz : float
        Chip clock and board oscillator; equal values need no PLL.
    baud : int
        Serial rate, bits per second.
    temperature : float
        Sampling temperature after reset; 0 is greedy.
    seed, limit, top_k : int
        Seed, token limit and number of largest logits that take part in a draw, after reset.

    Raises
    ------
    TargetError
        If the clock or the serial rate cannot be made, or the chip has no hardware for `top_k`.
    """

    def __init__(
        self, manifest: dict[str, Any], *, clock_mhz: float, oscillator_mhz: float, baud: int,
        temperature: float = 0.0, seed: int = 1, limit: int = 0, top_k: int = 0,
    ) -> None:  # fmt: skip
        self.tokens = manifest["kind"] == "token"
        self.adapters = "adapters" in manifest
        self.oscillator_mhz = oscillator_mhz
        self.pll = None if clock_mhz == oscillator_mhz else pll(oscillator_mhz, clock_mhz)
        self.clock_mhz = self.pll.mhz if self.pll else clock_mhz
        self.divisor = round(self.clock_mhz * 1e6 / baud)
        if self.divisor < 4:
            raise TargetError(f"baud: {baud} is too fast for a clock of {self.clock_mhz} MHz")
        beta = 0
        if self.tokens and temperature > 0:
            beta = min(65535, max(1, round(manifest["beta_per_unit_temperature"] / temperature)))
        places = manifest["plan"]["top_k"]
        if top_k > places:
            raise TargetError(
                f"top_k: the chip draws among at most {places} largest logits, not {top_k}; "
                "raise plan.top_k or lower generate.top_k"
            )
        self.registers = {"seed": initial_rng(seed), "beta": beta, "limit": limit, "top_k": top_k}
        self.inputs = ["start", "seed", "beta", "limit", *(["top_k"] if places else [])]
        frame = max((prod(i["shape"]) for i in manifest["inputs"].values()), default=1)
        self.depth = manifest["context"] + 1 if self.tokens else frame
        super().__init__(
            {
                "clk_25mhz": In(1),
                "ftdi_txd": In(1),
                "ftdi_rxd": Out(1),
                "btn_fire1": In(1),
                "led": Out(8),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Build the wrapper."""
        m = Module()
        m.domains.sync = ClockDomain("sync")
        locked = Signal()
        self._clock(m, locked)

        receiver = m.submodules.receiver = Receiver(self.divisor)
        transmitter = m.submodules.transmitter = Transmitter(self.divisor)
        bridge = m.submodules.bridge = Bridge(**self.registers, depth=self.depth)
        wiring.connect(m, receiver.o, bridge.rx)
        wiring.connect(m, bridge.tx, transmitter.i)
        m.submodules.button = FFSynchronizer(self.btn_fire1, bridge.button)
        busy, position = Signal(), Signal(16)
        m.d.comb += [
            receiver.pin.eq(self.ftdi_txd),
            self.ftdi_rxd.eq(transmitter.pin),
            self.led.eq((position << 2) | (~transmitter.pin << 1) | busy),
        ]
        ports: dict[str, Any] = {
            "i_i__payload": bridge.i.payload, "i_i__valid": bridge.i.valid,
            "o_i__ready": bridge.i.ready, "o_o__payload": bridge.o.payload,
            "o_o__valid": bridge.o.valid, "i_o__ready": bridge.o.ready,
            "o_busy": busy, "o_cycles": bridge.cycles, "o_position": position,
            "i_id_addr": bridge.id_addr, "o_id_data": bridge.id_data,
        }  # fmt: skip
        if self.adapters:
            names = ("adapter_addr", "adapter_write", "adapter_write_data")
            ports |= {f"i_{name}": getattr(bridge, name) for name in names}
            ports["o_adapter_read_data"] = bridge.adapter_read_data
        if self.tokens:
            ports |= {f"i_{n}": getattr(bridge, n) for n in self.inputs}
        m.submodules.chip = Instance("chip", i_clk=ClockSignal(), i_rst=ResetSignal(), **ports)
        return m

    def _clock(self, m: Module, locked: Signal) -> None:
        """Clock of domain sync, and its reset for some cycles after the clock is stable."""
        if self.pll is None:
            m.d.comb += [ClockSignal().eq(self.clk_25mhz), locked.eq(1)]
        else:
            m.submodules.pll = Instance(
                "EHXPLLL",
                a_FREQUENCY_PIN_CLKI=str(self.oscillator_mhz),
                a_FREQUENCY_PIN_CLKOP=str(self.pll.mhz),
                p_CLKI_DIV=Const(self.pll.reference, 32),
                p_CLKFB_DIV=Const(self.pll.feedback, 32),
                p_CLKOP_DIV=Const(self.pll.output, 32),
                p_CLKOP_CPHASE=Const(self.pll.output - 1, 32),
                p_CLKOP_FPHASE=Const(0, 32),
                p_CLKOP_ENABLE="ENABLED",
                p_FEEDBK_PATH="CLKOP",
                p_OUTDIVIDER_MUXA="DIVA",
                i_CLKI=self.clk_25mhz,
                i_CLKFB=ClockSignal(),
                i_RST=Const(0, 1),
                i_STDBY=Const(0, 1),
                i_PHASESEL0=Const(0, 1),
                i_PHASESEL1=Const(0, 1),
                i_PHASEDIR=Const(0, 1),
                i_PHASESTEP=Const(0, 1),
                i_PHASELOADREG=Const(0, 1),
                i_PLLWAKESYNC=Const(0, 1),
                i_ENCLKOP=Const(0, 1),
                o_CLKOP=ClockSignal(),
                o_LOCK=locked,
            )
        left = Signal(range(RESET_CYCLES + 1), init=RESET_CYCLES, reset_less=True)
        # It reaches thousands of registers: it comes straight from one.
        reset = Signal(init=1, reset_less=True)
        m.d.sync += reset.eq(left != 0)
        m.d.comb += ResetSignal().eq(reset)
        with m.If(~locked):
            m.d.sync += left.eq(RESET_CYCLES)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)


def top(
    manifest: dict[str, Any], *, clock_mhz: float, oscillator_mhz: float = 25.0,
    baud: int = 115200, temperature: float = 0.0, seed: int = 1, limit: int = 0, top_k: int = 0,
) -> str:  # fmt: skip
    """Verilog of module ``top``, which instantiates module ``chip``; see `Board`.

    Raises
    ------
    TargetError
        If the clock or the serial rate cannot be made, or the chip has no hardware for `top_k`.
    """
    board = Board(
        manifest, clock_mhz=clock_mhz, oscillator_mhz=oscillator_mhz, baud=baud,
        temperature=temperature, seed=seed, limit=limit, top_k=top_k,
    )  # fmt: skip
    return convert_alone(board, "top")
