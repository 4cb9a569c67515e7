"""Stamp laid out tiles into one layout and draw what joins them.

Runs in the environment ``klayout``. Reads ``<drawn>.gds`` of every tile that is stamped, and
``stitch.json``::

    {"top": "chip", "tiles": [{"name": "tile0", "drawn": "tile0", "width": 300.0,
     "at": [-300.0, 11.04], "mirrored": false}, ...],
     "shapes": [[layer, kind, x0, y0, x1, y1], ...], "labels": [[layer, x, y, "text"], ...]}

(micrometres; a mirrored tile has its east side west). Writes ``routed.gds``. The cells are in it
once, the labels of tiles are left out.
"""

from __future__ import annotations

import json
from pathlib import Path

import klayout.db as kdb

LABEL = 5


def read(layout: kdb.Layout, name: str) -> kdb.Cell:
    """Add the layout of a tile, without its labels, its top cell called `name`."""
    before = {cell.cell_index() for cell in layout.each_cell()}
    options = kdb.LoadLayoutOptions()
    options.cell_conflict_resolution = kdb.LoadLayoutOptions.CellConflictResolution.SkipNewCell
    layout.read(f"{name}.gds", options)
    (top,) = (cell for cell in layout.top_cells()
              if cell.cell_index() not in before and cell.child_instances())  # fmt: skip
    for index in layout.layer_indexes():
        for shape in list(top.shapes(index).each(kdb.Shapes.STexts)):
            top.shapes(index).erase(shape)
    top.name = name
    return top


def main() -> None:
    """Write the layout."""
    plan = json.loads(Path("stitch.json").read_text())
    layout = kdb.Layout()
    cells = {name: read(layout, name) for name in sorted({i["drawn"] for i in plan["tiles"]})}
    top = layout.create_cell(plan["top"])
    for item in plan["tiles"]:
        x, y = item["at"]
        place = kdb.DTrans(kdb.DTrans.M90, x + item["width"], y)
        if not item["mirrored"]:
            place = kdb.DTrans(x, y)
        top.insert(kdb.DCellInstArray(cells[item["drawn"]].cell_index(), place))
    for layer, kind, *corners in plan["shapes"]:
        top.shapes(layout.layer(layer, kind)).insert(kdb.DBox(*corners))
    for layer, x, y, text in plan["labels"]:
        top.shapes(layout.layer(layer, LABEL)).insert(kdb.DText(text, x, y))
    options = kdb.SaveLayoutOptions()
    options.gds2_write_timestamps = False
    layout.write("routed.gds", options)


if __name__ == "__main__":
    main()
