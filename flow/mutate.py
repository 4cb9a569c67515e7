"""Plant faults in a chip, to show that verification finds them.

A mutant is a chip with one change: a flipped weight bit in a ROM image or in the initial contents
of a netlist's block RAM, or a constant of the Verilog that is one too large.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flow.simulate import Chip
from flow.verify import compare_tokens
from rtl_gen.errors import ToolError
from rtl_gen.ir.integer import IntegerGraph

_ADDED = re.compile(r"(?<=\+ )(\d+)'h([0-9a-f]+)\b")
_INITIAL = re.compile(r"(?<=\.INITVAL_)(\w\w)\(320'h([0-9a-f]+)\)")
_BLOCK_RAM = re.compile(r"^  DP16KD #\((.*?)^  \) (\S+) +\(", re.MULTILINE | re.DOTALL)
_WORD_STEP = 20  # bits from word to word in an INITVAL
_LINE_WORDS = 16


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed text.

    Parameters
    ----------
    place : str
        What was changed, for people.
    text : str
        The whole changed file.
    """

    place: str
    text: str


def flip_image(image: str, word: int, bit: int) -> Mutant:
    """Flip one bit of a ROM image (one hexadecimal word a line).

    Raises
    ------
    ValueError
        If the image has no such bit.
    """
    lines = image.splitlines()
    if not (0 <= word < len(lines) and 0 <= bit < 4 * len(lines[word])):
        raise ValueError(f"no bit {bit} of word {word} in an image of {len(lines)} words")
    digits = len(lines[word])
    lines[word] = f"{int(lines[word], 16) ^ 1 << bit:0{digits}x}"
    return Mutant(f"bit {bit} of word {word}", "".join(f"{line}\n" for line in lines))


def off_by_one(verilog: str, module: str, which: int) -> Mutant:
    """Enlarge the constant of the addition number `which` of `module` by one.

    Raises
    ------
    ValueError
        If `verilog` has no such module or addition.
    """
    body = re.search(
        rf"^module \\?{re.escape(module)}\s*\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL
    )
    if body is None:
        raise ValueError(f"no module {module}")
    found = list(_ADDED.finditer(verilog, *body.span()))
    if not 0 <= which < len(found):
        raise ValueError(f"module {module} adds {len(found)} constants, there is no number {which}")
    hit = found[which]
    value = int(hit[2], 16) + 1
    changed = f"{max(int(hit[1]), value.bit_length())}'h{value:x}"
    line = verilog.count("\n", 0, hit.start()) + 1
    return Mutant(
        f"{module}, line {line}: {hit[0]} becomes {changed}",
        verilog[: hit.start()] + changed + verilog[hit.end() :],
    )


def flip_initial(netlist: str, contents: Sequence[int], word: int, bit: int) -> Mutant:
    """Flip one bit in the initial contents of a block RAM of a netlist.

    Parameters
    ----------
    netlist : str
        Verilog of Yosys.
    contents : sequence of int
        First 16 words of the block RAM, by which it is found.
    word, bit : int
        The bit: words of 18 bits.

    Raises
    ------
    ValueError
        If not exactly one block RAM starts with `contents`.
    """
    first = sum(value << _WORD_STEP * index for index, value in enumerate(contents))
    found = [
        (instance[2], lines)
        for instance in _BLOCK_RAM.finditer(netlist)
        if (lines := {hit[1]: hit for hit in _INITIAL.finditer(netlist, *instance.span(1))})
        and int(lines["00"][2], 16) == first
    ]
    if len(found) != 1:
        raise ValueError(f"{len(found)} block RAMs start with the contents {list(contents)[:4]}…")
    name, lines = found[0]
    line = lines[f"{word // _LINE_WORDS:02X}"]
    value = int(line[2], 16) ^ 1 << (word % _LINE_WORDS * _WORD_STEP + bit)
    return Mutant(
        f"{name}, bit {bit} of word {word}",
        f"{netlist[: line.start()]}{line[1]}(320'h{value:080x}){netlist[line.end() :]}",
    )


def caught(graph: IntegerGraph, chip: Chip, *, tokens: int) -> str:
    """Compare a mutant with the golden model.

    Parameters
    ----------
    graph : IntegerGraph
        Of the chip without the fault; it generates tokens.
    chip : Chip
        With the fault.
    tokens : int
        Tokens to compare.

    Returns
    -------
    str
        How it was found out; empty if it was not.
    """
    prompts: list[list[int]] = [list(graph.bos) or [0], [*graph.bos, graph.vocabulary - 1]]
    try:
        result = compare_tokens(graph, chip, prompts=prompts, seeds=[1, 2], tokens=tokens)
    except ToolError as error:  # it hangs or breaks a rule of the streams
        return str(error)
    return result.mismatches[0] if result.mismatches else ""


def weight_images(images: Mapping[str, str]) -> list[str]:
    """Names of the ROM images that hold weights of matrices."""
    return sorted(name for name in images if "weight" in name)
