"""Changes of a ROM's truth tables that no address makes visible, against all of its words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flow.evidence import evaluate
from flow.evidence.unseen import unseen
from tests.flow.evidence.test_evaluate import synthesized

# Three blocks, and a choice of four; two readers; a last row of LUTs that is half full.
SHAPES: dict[str, tuple[int, int, dict[str, bool]]] = {
    "blocks": (2100, 18, {}),
    "readers": (2100, 18, {"pair": True}),
    "tables": (24, 3, {"logic": True}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_change_is_unseen_if_and_only_if_all_words_stay(name: str, tmp_path: Path) -> None:
    depth, width, how = SHAPES[name]
    module, _ = synthesized(tmp_path, depth, width, **how)
    words = evaluate.rom(module, depth).words
    tables = [key for key, cell in module.cells.items() if cell.type == "LUT4"][:6]
    found = []
    for key in tables:
        cell = module.cells[key]
        for entry in range(16):
            table = cell.number("INIT") ^ 1 << entry
            changed = replace(cell, parameters={**cell.parameters, "INIT": f"{table:016b}"})
            mutant = replace(module, cells={**module.cells, key: changed})
            try:
                same = bool((evaluate.rom(mutant, depth).words == words).all())
            except evaluate.EvidenceError:
                same = False
            found.append(unseen(module, key, table, depth))
            assert found[-1] == same, (key, entry)
    assert any(found)
    assert not all(found)
