"""An adder graph as sums of terms: the rows and what is read more than once."""

from __future__ import annotations

from collections.abc import Iterator

from rtl_gen.adders.graph import AdderGraph

Form = dict[tuple[int, int], int]
"""Terms of a sum, (value, shift) -> sign."""


def written_out(graph: AdderGraph) -> tuple[list[Form], list[int]]:
    """Terms of the rows, then of the sums read more than once, and which adders those are.

    Values from ``graph.inputs`` on number the shared sums.
    """
    reads = [0] * (graph.inputs + len(graph.adders))
    for output in graph.outputs:
        if output is not None:
            reads[output.value] += 1
    for value in reversed(range(graph.inputs, len(reads))):
        adder = graph.adders[value - graph.inputs]
        if reads[value]:
            reads[adder.left] += 1
            reads[adder.right] += 1
    shared = [v for v in range(graph.inputs, len(reads)) if reads[v] > 1]
    names = {v: v for v in range(graph.inputs)}
    names |= {v: graph.inputs + k for k, v in enumerate(shared)}
    forms: dict[int, Form] = {}

    def terms(value: int, shift: int, sign: int) -> Iterator[tuple[int, int, int]]:
        if value in names:
            yield names[value], shift, sign
        else:
            for (v, s), each in forms[value].items():
                yield v, s + shift, each * sign

    def collected(parts: list[tuple[int, int, int]]) -> Form:
        form: Form = {}
        for part in parts:
            _put(form, *part)
        return form

    for value, adder in enumerate(graph.adders, graph.inputs):
        if reads[value]:
            left = terms(adder.left, 0, 1)
            forms[value] = collected([*left, *terms(adder.right, adder.shift, adder.sign)])
    rows = [
        {} if o is None else collected([*terms(o.value, o.shift, o.sign)]) for o in graph.outputs
    ]
    return rows + [forms[v] for v in shared], shared


def _put(form: Form, value: int, shift: int, sign: int) -> None:
    """Add a term: equal ones carry, opposite ones cancel."""
    while (value, shift) in form:
        if form.pop((value, shift)) != sign:
            return
        shift += 1
    form[value, shift] = sign
