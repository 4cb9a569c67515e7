"""Chips in tiles: where they are cut, how tiles are joined, and the wires between them."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from flow.silicon import cell, channel, hold, partition, table, tiles
from flow.silicon.channel import Block
from flow.silicon.netlist import ANTENNA, HOLD, Gate, Netlist
from flow.silicon.tiles import Tile
from flow.silicon.timing import SHIPPED
from rtl_gen.errors import FlowError

LIBRARY = cell.read(Path(__file__).parent / "stored/library.json")
SLOW = {"dff_x1": 1.0, "buf_x1": 0.1}
"""Delays that need no buffers."""


def rings(count: int, size: int) -> list[Gate]:
    """Rings of inverters with one wire from each to the next, shuffled over two units."""
    gates = []
    for ring, place in itertools.product(range(count), range(size)):
        pins = {"i0": f"r{ring}_{place}", "i1": f"r{ring}_{(place + 7) % size}",
                "nq": f"r{ring}_{(place + 1) % size}"}  # fmt: skip
        if place == 0 and ring:
            pins["i1"] = f"r{ring - 1}_0"
        gates.append(Gate(f"g{ring}_{place}", "nand2_x0", pins, f"u{(ring + place) % 2}"))
    random.Random(1).shuffle(gates)
    return gates


def test_parts_hold_every_gate_once_and_few_nets_join_them() -> None:
    gates = rings(4, 100)
    found = partition.parts(gates, 110)
    assert sorted(index for part in found for index in part) == list(range(400))
    assert max(map(len, found)) <= 110
    between = partition.cut_nets(gates, found)
    order = sorted(range(400), key=lambda index: gates[index].unit)
    plain = [order[start : start + 100] for start in range(0, 400, 100)]
    assert len(between) < len(partition.cut_nets(gates, plain)) / 4
    assert partition.parts(gates, 400) == [list(range(400))]


def chip() -> Netlist:
    """Flip-flops in a row, with a constant and a gate of two of them."""
    gates = [
        Gate(f"f{i}", "dff_x1", {"clk": "clk", "i": f"q[{i - 1}]" if i else "a", "q": f"q[{i}]"},
             "row")
        for i in range(6)
    ]  # fmt: skip
    gates += [
        Gate("x", "nand3_x0", {"i0": "q[0]", "i1": "q[5]", "i2": "tie1", "nq": "y"}, "gate"),
        Gate("z", "and2_x1", {"i0": "q[5]", "i1": "tie1", "q": "w"}, "gate"),
        Gate("t1", "one_x1", {"one": "tie1"}, "control"),
    ]
    ports = {"a": "input", "clk": "input", "y": "output", "w": "output"}
    ports |= {f"q[{i}]": "output" for i in range(3)}
    return Netlist("chip", dict(sorted(ports.items())), tuple(gates))


def fake(tile: Tile) -> dict[str, Any]:
    """What place and route would say of a tile that it did not change."""
    names = [f"subckt_{n}_{gate.cell}" for n, gate in enumerate(tile.design.gates)]
    return {
        "size": [50.0, 60.8],
        "instances": [
            {"name": name, "cell": gate.cell, "at": [3.8, 0.0], "pins": dict(gate.pins)}
            for name, gate in zip(names, tile.design.gates, strict=True)
        ],
    }


def assembled(parts: tuple[Tile, ...], ports: dict[str, str]) -> channel.Assembly:
    blocks = [
        Block(tile.name, tile.name, 50.0, 60.8,
              {port: round(3 * channel.TOOTH * (1 + n), 3) for n, port in enumerate(tile.nets)},
              ((10.0, 11.53),))
        for tile in parts
    ]  # fmt: skip
    return channel.plan(blocks, tiles.nets(parts), {port: port for port in ports})


def test_joined_tiles_are_the_chip() -> None:
    design = chip()
    parts = tiles.cut(design, LIBRARY, SLOW, 4, "clk")
    assert len(parts) > 1
    assembly = assembled(parts, dict(design.ports))
    placed = {tile.name: fake(tile) for tile in parts}
    content, joined = tiles.joined(parts, "chip", design.ports, placed, assembly, LIBRARY)
    real = {gate.name.split("_", 1)[1]: gate for gate in joined.gates
            if gate.cell not in {ANTENNA, "one_x1"}}  # fmt: skip
    assert real.keys() == {gate.name for gate in design.gates if gate.cell != "one_x1"}
    # The same graph: each net of the chip is one net of the joined tiles.
    names: dict[str, str] = {}
    for gate in design.gates:
        if gate.name in real:
            for pin, net in gate.pins.items():
                if net != "tie1":  # every tile has its own
                    assert (
                        names.setdefault(net, real[gate.name].pins[pin])
                        == (real[gate.name].pins[pin])
                    )
    assert len(set(names.values())) == len(names)
    assert all(names[net] == net for net in names)
    constant = {gate.pins["one"] for gate in joined.gates if gate.cell == "one_x1"}
    assert real["x"].pins["i2"] in constant
    assert real["z"].pins["i1"] in constant
    assert len(content["instances"]) == len(joined.gates)
    inputs = [gate for gate in joined.gates if gate.cell == ANTENNA]
    assert all(gate.pins["i"] != "clk" for gate in inputs)
    assert len(inputs) == sum(
        way == "input" and port != "clk"
        for tile in parts
        for port, way in tile.design.ports.items()
    )
    mirrored = next(tile.name for tile in parts if assembly.places[tile.name][2])
    first = next(item for item in content["instances"] if item["name"].startswith(mirrored))
    width = LIBRARY.cells[first["cell"]].width
    assert first["at"][0] == pytest.approx(assembly.places[mirrored][0] + 50 - 3.8 - width)


def test_names_that_clash_are_refused() -> None:
    design = chip()
    parts = tiles.cut(design, LIBRARY, SLOW, 4, "clk")
    placed = {tile.name: fake(tile) for tile in parts}
    assembly = assembled(parts, dict(design.ports))
    _, joined = tiles.joined(parts, "chip", design.ports, placed, assembly, LIBRARY)
    inner = next(gate.pins["one"] for gate in joined.gates if gate.cell == "one_x1")
    with pytest.raises(FlowError, match="names of its own"):
        tiles.joined(parts, "chip", {**design.ports, inner: "input"}, placed, assembly, LIBRARY)


def test_every_net_of_the_channel_is_one_piece_of_metal() -> None:
    """Boxes that touch are joined, by layer and through contacts: what comes out are the nets."""
    count, ports = 9, 40
    rng = random.Random(5)
    pins = [(f"tile{t}", f"p{p}") for t in range(count) for p in range(ports)]
    rng.shuffle(pins)
    nets: dict[str, list[tuple[str, str]]] = {}
    for index, pin in enumerate(pins):
        nets.setdefault(f"n{index % 150}", []).append(pin)
    comb = {f"p{p}": round((p + 2) * channel.TOOTH, 3) for p in range(ports)}
    blocks = [
        Block(f"tile{t}", "tile0", 60.0 + t, 72.96, comb, ((5.0, 6.53), (40.0, 41.53)))
        for t in range(count)
    ]
    outside = {f"n{index}": f"port({index})" for index in range(0, 150, 10)}
    found = channel.plan(blocks, nets, outside)
    layers = {channel.M1: 0, channel.M2: 1, channel.M3: 2, channel.M4: 3}
    metal = [(layers[layer], box) for layer, kind, *box in found.shapes
             if kind == channel.DRAWING]  # fmt: skip
    owner = list(range(len(metal)))

    def root(index: int) -> int:
        while owner[index] != index:
            index = owner[index]
        return index

    def touch(one: list[float], two: list[float], apart: float = 0.0) -> bool:
        return (
            one[0] - apart < two[2] and two[0] - apart < one[2]
            and one[1] - apart < two[3] and two[1] - apart < one[3]
        )  # fmt: skip

    for (a, (one_layer, one)), (b, (two_layer, two)) in itertools.combinations(enumerate(metal), 2):
        if one_layer == two_layer and touch(one, two):
            owner[root(a)] = root(b)
    cuts = {channel.VIA: 0, channel.VIA2: 1, channel.VIA3: 2}
    for layer, kind, *box in found.shapes:
        if kind == channel.CUT:
            joined = [n for n, (at, other) in enumerate(metal)
                      if at in (cuts[layer], cuts[layer] + 1) and touch(box, other)]  # fmt: skip
            assert {metal[n][0] for n in joined} == {cuts[layer], cuts[layer] + 1}
            for other in joined:
                owner[root(other)] = root(joined[0])

    def at(layer: int, x: float, y: float) -> int:
        point = [x - 0.01, y - 0.01, x + 0.01, y + 0.01]
        return root(next(n for n, (number, box) in enumerate(metal)
                         if number == layers[layer] and touch(point, box)))  # fmt: skip

    edge = max(x for x, _, mirrored in found.places.values() if mirrored)
    metals = {}
    for net, ends in nets.items():
        where = [(0.0 if not found.places[tile][2] else edge, found.places[tile][1] + comb[port])
                 for tile, port in ends]  # fmt: skip
        (metals[net],) = {at(channel.M1, x, y) for x, y in where}
    assert len(set(metals.values())) == len(nets)
    for layer, x, y, text in found.labels:
        if layer == channel.M2:
            assert at(layer, x, y) == metals[next(n for n in outside if outside[n] == text)]
    supplies = {text: at(layer, x, y) for layer, x, y, text in found.labels if layer == channel.M4}
    for block in blocks:
        x, y, mirrored = found.places[block.name]
        for name, column in (("vdd", 0), ("vss", 1)):
            for strap in block.straps:
                place = x + (block.width - strap[column] if mirrored else strap[column])
                assert at(channel.M2, place, y + 0.1) == supplies[name]
    assert len({*metals.values(), *supplies.values()}) == len(nets) + 2
    least = {0: 0.14, 1: 0.14, 2: 0.3, 3: 0.3}
    for (a, (one_layer, one)), (b, (two_layer, two)) in itertools.combinations(enumerate(metal), 2):
        if one_layer == two_layer and root(a) != root(b):
            assert not touch(one, two, least[one_layer] - 1e-6)


def test_short_paths_between_tiles_get_buffers() -> None:
    delays = hold.shortest(table.read(SHIPPED / "c4m_sky130/ff.lib"))
    assert 0.005 < delays["inv_x1"] < delays["buf_x1"] < delays["dff_x1"] < 0.2
    row = [
        Gate("f0", "dff_x1", {"clk": "clk", "i": "a", "q": "direct"}, "u"),
        Gate("f1", "dff_x1", {"clk": "clk", "i": "a", "q": "inner"}, "u"),
        *(Gate(f"b{i}", "buf_x1", {"i": f"n{i - 1}" if i else "inner", "q": f"n{i}"}, "u")
          for i in range(9)),
    ]  # fmt: skip
    reads = [
        Gate("g0", "dff_x1", {"clk": "clk", "i": "direct", "q": "x"}, "u"),
        Gate("g1", "dff_x1", {"clk": "clk", "i": "n8", "q": "y"}, "u"),
        Gate("g2", "inv_x1", {"i": "direct", "nq": "z"}, "u"),
        Gate("g3", "inv_x1", {"i": "a", "nq": "w"}, "u"),
    ]
    found = hold.buffers([row, reads], LIBRARY, delays)
    assert found[0] == {}
    # The long way has delays enough, and inputs of the chip come from no register.
    assert found[1].keys() == {"direct"}
    count = found[1]["direct"]
    assert delays["dff_x1"] + count * delays["buf_x1"] >= hold.LEAST_NS
    assert delays["dff_x1"] + (count - 1) * delays["buf_x1"] < hold.LEAST_NS


def test_buffers_stand_between_a_port_and_what_reads_it() -> None:
    fast = {"dff_x1": 0.1, "buf_x1": 0.1}
    (tile, *_) = [
        tile for tile in tiles.cut(chip(), LIBRARY, fast, 4, "clk")
        if any(gate.unit == HOLD for gate in tile.design.gates)
    ]  # fmt: skip
    added = [gate for gate in tile.design.gates if gate.unit == HOLD]
    port = added[0].pins["i"]
    assert tile.design.ports[port] == "input"
    readers = [gate for gate in tile.design.gates if port in gate.pins.values()]
    assert {gate.cell for gate in readers} == {ANTENNA, "buf_x1"}
    ends = {gate.pins["q"] for gate in added} - {gate.pins["i"] for gate in added}
    assert all(
        any(end in gate.pins.values() for gate in tile.design.gates if gate.unit != HOLD)
        for end in ends
    )
