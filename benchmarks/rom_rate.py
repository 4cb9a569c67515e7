"""Share of the cycles in which the lanes of the rom style multiply, simulated.

``python benchmarks/rom_rate.py --lanes 128 --shape 512x256 --packed`` sends the vector of one
product as fast as it is taken and takes the sums as fast as they come; they are compared with the
exact ones.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.designs import X, weights
from rtl_gen.adders import accumulator
from rtl_gen.blocks.const_matvec import ConstMatVec, row_words, weight_words
from rtl_gen.fabric import rom
from rtl_gen.golden.const_matvec import const_matvec
from rtl_gen.ir.types import IntType
from tests.blocks.drive import Bench
from tests.harness import parameters, run_cocotb

OUT = IntType(16)
MULTIPLIER = 1 << 15


@cocotb.test()
async def one_product(dut: Any) -> None:
    """Count the cycles from the first beat taken to the last, and to the last sum."""
    kind, rows, columns, lanes, groups = parameters().values()
    weight = weights(kind, rows, columns, 0)
    bench = Bench(dut, ["i"], "steady", "steady")
    x = np.random.default_rng(1).integers(X.min, X.max, columns, endpoint=True)
    shift = max(0, accumulator(weight, X).width - OUT.width) + 15
    await bench.reset(weight_base=0, row_base=0, low=OUT.min, high=OUT.max, shift=shift)
    await bench.begin("start", "drain", last_column=columns - 1, group_rows=rows, rows=rows)
    bench.send(i=np.tile(x, groups))
    taken = cycles = busy = 0
    sums: list[int] = []
    source, sink = bench.sources["i"], bench.sink
    while len(sums) < rows:
        await FallingEdge(dut.clk)
        takes = bool(source.valid.value and source.ready.value)
        taken += takes
        cycles += taken > 0
        busy = cycles if takes else busy
        if sink.valid.value and sink.ready.value:
            sums.append(sink.payload.value.to_signed())
    multiplier = np.full(rows, MULTIPLIER)
    exact = const_matvec(x[None], weight, None, multiplier, shift, OUT)[0]
    assert sums == exact.tolist()
    found = {"beats": taken, "cycles": busy, "to_last_sum": cycles,
             "busy": round(rows * columns / (lanes * busy), 4)}  # fmt: skip
    Path("rate.json").write_text(json.dumps(found))


def main() -> None:
    """Simulate the case on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="512x256", help="rows x columns")
    parser.add_argument("--weights", choices=["int4", "int8", "ternary"], default="int4")
    parser.add_argument("--lanes", type=int, default=128)
    parser.add_argument("--packed", action="store_true", help="two lanes a multiplier")
    options = parser.parse_args()
    rows, columns = (int(part) for part in options.shape.split("x"))
    weight = weights(options.weights, rows, columns, 0)
    bits = IntType.holding(int(weight.min()), int(weight.max())).width
    words = weight_words(weight, options.lanes, bits)
    block = ConstMatVec(
        lanes=options.lanes, x_width=X.width, weight_width=bits,
        acc_width=accumulator(weight, X).width, bias_width=8, width=OUT.width,
        weight_depth=len(words), row_depth=rows, max_columns=columns, max_rows=rows,
        max_piece=rows, packed=options.packed,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "sim"
        run_cocotb(
            block, module="benchmarks.rom_rate", build_dir=folder,
            parameters={"weights": options.weights, "rows": rows, "columns": columns,
                        "lanes": options.lanes, "groups": -(-rows // options.lanes)},
            files={
                "rom/matvec_weight.hex": rom.image(words, options.lanes * bits),
                "rom/matvec_row.hex": rom.image(
                    row_words(None, np.full(rows, MULTIPLIER), 8), 16 + 8),
            },
        )  # fmt: skip
        print((folder / "rate.json").read_text())


if __name__ == "__main__":
    main()
