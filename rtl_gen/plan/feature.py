"""What the size of each kind of part grows with.

LUTs and flip-flops of a part are sums of these quantities, each times a coefficient that
`rtl_gen.plan.fit` takes from synthesized samples. Multipliers and block RAMs are counted exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rtl_gen.plan.memory import banks, blocks

Sizes = Mapping[str, int]
Features = dict[str, float]

DIGIT, FIRST_DIGIT = 17, 18


def digits(bits: int) -> int:
    """Hardware multipliers of one product of a signed number of `bits` by one of at most 18."""
    return 1 + max(0, -(-(bits - FIRST_DIGIT) // DIGIT))


def _rom(s: Sizes) -> Features:
    if s.get("logic", 0):
        return {"word": 2 * s["width"], "logic bits": s["width"] * s["depth"]}
    return {"word": s["width"], "banks": s["width"] * (banks(s["width"], s["depth"], "ecp5") - 1)}


def _ram(s: Sizes) -> Features:
    if blocks(s["width"], s["depth"], "ecp5", written=True):
        choice = s["width"] * (banks(s["width"], s["depth"], "ecp5") - 1)
        return {"word": s["width"], "address": (s["depth"] - 1).bit_length(), "banks": choice}
    return {"lut word": s["width"], "lut bits": s["width"] * -(-s["depth"] // 16)}


def _requantize(s: Sizes) -> Features:
    return {"one": 1, "accumulator": s["acc"], "result": s["width"], "digits": digits(s["acc"]) - 1}


def _lane(s: Sizes) -> Features:
    if not s.get("lut_products", 0):
        return {}
    rows = -(-s["b"] // 2)
    return {"rows": s["a"] * rows, "adders": (rows - 1) * (s["a"] + s["b"] / 2), "one": 1}


def _const_matvec(s: Sizes) -> Features:
    lanes, elements = s["lanes"], s["elements"]
    term = s["x"] + s["weight"]
    grown = term + (elements - 1).bit_length()
    return {
        "lane accumulators": lanes * s["acc"],
        "products": lanes * elements * term,
        "sums of a beat": lanes * grown if elements > 1 else 0,
        "adders of a beat": lanes * (elements - 1) * grown,
        "elements": elements * max(s["acc"], s["bias"]),
        "inputs": elements * s["x"],
        "addresses": s["weight_bits"] + s["row_bits"],
        "one": 1,
    }


def _norm(s: Sizes) -> Features:
    elements = s["elements"]
    return {
        "one": 1,
        "elements": elements,
        "element sizes": elements * s["size_bits"],
        "element biases": elements * s["bias"],
        "sums": s["half_bits"] + s["square_bits"],
        "element widths": elements * s["width"],
        "means": elements * s["centered"] * s["width"],
        "scaled": elements * s["scaled"] * s["width"],
        "squared sum": s["centered"] * s["half_bits"],
    }


def _rotary(s: Sizes) -> Features:
    bits = s["elements"] * s["width"]
    return {"one": 1, "elements": bits, "address": s["table_bits"],
            "bounds": bits * (1 - s["bounded"])}  # fmt: skip


def _attention(s: Sizes) -> Features:
    heads, elements = s["parallel"], s["elements"]
    return {
        "one": 1,
        "addresses": s["base_bits"],
        "slices": s["word"] / s["slices"],
        "writes": s["slices"] * s["banks"],
        "banks": s["word"] * (s["banks"] - 1),
        "totals": heads * s["sum_bits"],
        "divided": elements * s["acc"],
        "queue": elements * s["width"],
    }


def _attention_head(s: Sizes) -> Features:
    return {
        "one": 1,
        "elements": s["head_dim"] * s["element"],
        "accumulators": s["head_dim"] * s["acc"],
        "head": s["head_dim"],
        "scores": s["score"],
    }


def _etched(s: Sizes) -> Features:
    return {"one": 1, "vector": s["vector"], "queue": s["queue"], "choice": s["queue"] * s["cores"],
            "elements": s["elements"] * s["acc"], "address": s["row_bits"]}  # fmt: skip


def _serial_graph(s: Sizes) -> Features:
    return {
        "adder inputs": 2 * s["nodes2"] + 3 * s["nodes3"] + 3 * s.get("twins", 0),
        "delays": s["delays"],
        "vector": s["vector"],
        "columns": s["columns"],
        "results": s["results"],
        "words": s["words"],
    }


def _embedding(s: Sizes) -> Features:
    return {"one": 1, "address": s["table_bits"] + s["row_bits"], "index": s["index_bits"],
            "columns": s["column_bits"]}  # fmt: skip


def _sequencer(s: Sizes) -> Features:
    return {"one": 1, "word": s["width"], "tokens": s["tokens"], "ends": s["ends"],
            "address": s["depth_bits"]}  # fmt: skip


def _control(s: Sizes) -> Features:
    return {"one": 1, "tails": s["tails"] * s["bits"], "units": s["units"] * s["bits"],
            "names": s["units"], "beat": s["bits"], "tokens": s["tokens"],
            "configuration": s["config"]}  # fmt: skip


def _vector_memory(s: Sizes) -> Features:
    return {"one": 1, "beat": s["bits"], "readers": s["readers"] * s["bits"],
            "address": s["address_bits"], "counters": s["count_bits"]}  # fmt: skip


def _router(s: Sizes) -> Features:
    return {
        "one": 1,
        "sorted": s["k"] * (s["width"] + s["index_bits"]),
        "gates": s["k"] * s["width"],
        "beat": s["elements"] * s["width"],
        "experts": s["experts"],
        "parts": s["parts"],
    }


def _scored_router(s: Sizes) -> Features:
    return {
        "one": 1,
        "sorted": s["k"] * (2 * s["width"] + s["index_bits"]),
        "gates": s["k"] * s["width"],
        "beat": s["elements"] * s["width"],
        "division": s["divides"],
        "biased": s["biased"] * s["width"],
        "groups": s["best"] * s["width"] + s["kept"] * (s["width"] + s["groups"].bit_length()),
    }


def _bounded(s: Sizes) -> Features:
    return {"one": 1, "width": s["width"], "bounds": s["width"] * (1 - s["bounded"])}


def _linear(name: str) -> Callable[[Sizes], Features]:
    def features(s: Sizes) -> Features:
        return {"one": 1, name: s[name]}

    return features


FEATURES: Mapping[str, Callable[[Sizes], Features]] = {
    "rom": _rom,
    "rom_pair": lambda s: {"word": s["width"]},
    "ram": _ram,
    "lane": _lane,
    "requantize": _requantize,
    "skid": _linear("bits"),
    "walker": lambda s: {"one": 1, "address": s["address_bits"], "index": s["index_bits"],
                         "levels": s["levels"]},
    "vector_memory": _vector_memory,
    "add": _bounded,
    "mul": _bounded,
    "pool": _linear("width"),
    "lookup": lambda s: {"one": 1, "address": s["elements"] * s["address_bits"]},
    "sample": lambda s: {"one": 1, "vocabulary": s["vocabulary_bits"],
                         "elements": s["elements"], "scores": s["elements"] * s["width"],
                         "selects": s.get("selects", 0),
                         "selected": s.get("selects", 0) * s["elements"] * s["width"]},
    "largest": lambda s: {"one": 1, "places": s["places"], "keys": s["places"] * s["width"],
                          "entries": s["places"] * s["bits"]},
    "etched": _etched,
    "serial_graph": _serial_graph,
    "parallel_graph": lambda s: {"adders": s["adder_bits"], "registers": s["registers"]},
    "adapter_port": lambda s: {"one": 1, "slots": s["slots"], "place": s["place_bits"]},
    "adapter_memory": lambda s: {"one": 1, "word": s["word"],
                                 "address": s["address_bits"],
                                 "choice": s["address_bits"] * s["slots"]},
    "router": _router,
    "scored_router": _scored_router,
    "embedding": _embedding,
    "norm": _norm,
    "rotary": _rotary,
    "attention": _attention,
    "attention_head": _attention_head,
    "const_matvec": _const_matvec,
    "sequencer": _sequencer,
    "control": _control,
}  # fmt: skip
"""Quantities that a part's LUTs and flip-flops grow with, by kind."""


def products(kind: str, s: Sizes) -> int:
    """Hardware multipliers of 18x18 bits in a part.

    The lanes of a chip whose multipliers are built from LUTs (`lut_products`) have none.
    """
    match kind:
        case "lane":
            return 0 if s.get("lut_products", 0) else digits(max(s["a"], s["b"]))
        case "requantize":
            return digits(s["acc"])
        case "mul":
            return digits(s["width"]) + digits(2 * s["width"])
        case "sample":
            return s["elements"]
        case "embedding":
            return 1 - s.get("shifted", 0)
        case "rotary":
            return 2 * s["elements"]
        case "router":
            return 2
        case "scored_router":
            return s["divides"]
        case "norm":
            total = s["width"] + s["size_bits"]
            squared = s["centered"] * (1 if total <= FIRST_DIGIT else 2 * digits(total))
            # x * x, x * size unless that is a shift, d * r, t * gain.
            element = 2 + s["scaled"] + digits(total + 2)
            return squared + s["scaled"] * digits(s["square_bits"] + 1) + s["elements"] * element
        case "attention":
            return s["elements"] * digits(FIRST_DIGIT - 1 + s["element"])
        case "attention_head":
            return digits(s["score"] + 2)
        case _:
            return 0
