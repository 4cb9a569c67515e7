"""Give a routed layout its name, trim what breaks a rule, leave out its date, and draw it.

Runs in the environment ``klayout``. Reads ``routed.gds`` and ``finish.json``::

    {"top": "chip", "pixels": 1600, "boxes": {"unit": [[x0, y0, x1, y1], ...]},
     "colours": {"unit": "#rrggbb"}}

(boxes in micrometres) and writes ``chip.gds``, the picture ``chip.png`` with cells in the colour
of their unit under the wires, and ``shapes.json``: size of the file's drawing, and the labels of
the top cell.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import klayout.db as kdb
from klayout import lay

# Wires over the cells: layer, and how bright they are.
WIRES = ((68, "#8a8f98"), (69, "#c9ced6"), (70, "#6b7280"), (71, "#f3f4f6"))
DRAWING = 20

# Coriolis 2.5.4 draws a jog between two vertical m2 wires as wide as these, 0.05 um wider than what
# ends on the next horizontal track leaves room for; trimmed, it is as wide as those ends.
JOG_LAYER, JOG_HEIGHT, JOG_TRIMMED = 69, 0.37, 0.32
# Its wires reach over their contacts by up to 0.11 um where 0.055 um would do. Two ends on one
# track, of which one is a higher contact's, can so stand nearer than the rule for spaces lets them.
END_LAYERS, LONGEST_END, SPACE = (68, 69), 0.4, 0.14
GRID = 0.005
SOLID, THIN = 0, 1


def rename(top: str) -> kdb.Layout:
    """Read the layout and give its top cell the name `top`."""
    layout = kdb.Layout()
    layout.read("routed.gds")
    layout.top_cell().name = top
    trim_jogs(layout)
    for layer in END_LAYERS:
        trim_ends(layout, layer)
    options = kdb.SaveLayoutOptions()
    options.gds2_write_timestamps = False
    layout.write("chip.gds", options)
    return layout


def trim_jogs(layout: kdb.Layout) -> None:
    """Make horizontal m2 jogs of the top cell as low as the ends of wires."""
    shapes = layout.top_cell().shapes(layout.layer(JOG_LAYER, DRAWING))
    high, low = (round(value / layout.dbu) for value in (JOG_HEIGHT, JOG_TRIMMED))
    for shape in list(shapes.each(kdb.Shapes.SBoxes | kdb.Shapes.SPolygons | kdb.Shapes.SPaths)):
        box = shape.bbox()
        if shape.area() != box.area() or box.height() != high or box.width() <= high:
            continue
        cut = (high - low) // 2
        shapes.erase(shape)
        shapes.insert(kdb.Box(box.left, box.bottom + cut, box.right, box.top - cut))


def trim_ends(layout: kdb.Layout, layer: int) -> None:
    """Shorten ends of the top cell's wires that face each other too near, both by the same."""
    drawn = layout.layer(layer, DRAWING)
    space, longest = (round(value / layout.dbu) for value in (SPACE, LONGEST_END))
    grid = round(GRID / layout.dbu)
    near = kdb.Region(layout.top_cell().begin_shapes_rec(drawn)).space_check(
        space, whole_edges=True, metrics=kdb.Metrics.Projection
    )
    cuts = kdb.Region()
    for pair in near.each():
        ends = [pair.first, pair.second]
        if any(end.length() > longest or end.ortho_length() != end.length() for end in ends):
            continue
        depth = math.ceil((space - pair.distance()) / 2 / grid) * grid
        cuts.insert(kdb.Edges(ends).extended_in(depth))
    cuts.merge()
    shapes = layout.top_cell().shapes(drawn)
    for shape in list(shapes.each(kdb.Shapes.SBoxes | kdb.Shapes.SPolygons | kdb.Shapes.SPaths)):
        whole = kdb.Region(shape.polygon)
        if not (whole & cuts).is_empty():
            shapes.erase(shape)
            shapes.insert(whole - cuts)


def picture(layout: kdb.Layout, plan: dict[str, Any]) -> None:
    """Draw units and wires."""
    drawn = kdb.Layout()
    drawn.dbu = layout.dbu
    top = drawn.create_cell("picture")
    layers = []
    for number, (unit, boxes) in enumerate(plan["boxes"].items(), 1):
        index = drawn.layer(1000 + number, 0)
        for box in boxes:
            top.shapes(index).insert(kdb.DBox(*box))
        layers.append((1000 + number, 0, plan["colours"][unit], SOLID))
    source = layout.top_cell()
    for number, colour in WIRES:
        region = kdb.Region(kdb.RecursiveShapeIterator(
            layout, source, layout.layer(number, DRAWING)
        ))  # fmt: skip
        top.shapes(drawn.layer(number, DRAWING)).insert(region)
        layers.append((number, DRAWING, colour, THIN))
    drawn.write("picture.gds")
    view = lay.LayoutView()
    view.load_layout("picture.gds")
    view.clear_layers()
    for number, kind, colour, style in layers:
        properties = lay.LayerProperties()
        properties.source = f"{number}/{kind}"
        value = int(colour.lstrip("#"), 16)
        properties.fill_color = properties.frame_color = value
        properties.dither_pattern = 0 if style == SOLID else 1
        properties.width = 1
        properties.frame_brightness = 0
        properties.transparent = style == THIN
        view.insert_layer(view.end_layers(), properties)
    view.set_config("background-color", "#101418")
    view.set_config("grid-visible", "false")
    view.set_config("text-visible", "false")
    view.max_hier()
    view.zoom_fit()
    box = source.dbbox()
    width = plan["pixels"]
    view.save_image("chip.png", width, max(1, round(width * box.height() / box.width())))
    Path("picture.gds").unlink()


def main() -> None:
    """Write layout, picture and sizes."""
    plan = json.loads(Path("finish.json").read_text())
    layout = rename(plan["top"])
    picture(layout, plan)
    top = layout.top_cell()
    labels = set()
    for index in layout.layer_indexes():
        for shape in top.shapes(index).each(kdb.Shapes.STexts):
            labels.add(shape.text.string)
    box = top.dbbox()
    sizes = {
        "extent": [round(box.width(), 3), round(box.height(), 3)],
        "labels": sorted(labels),
        "cells": layout.cells(),
    }
    Path("shapes.json").write_text(f"{json.dumps(sizes, indent=1)}\n")


if __name__ == "__main__":
    main()
