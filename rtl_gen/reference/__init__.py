"""Reference: what a ModelGraph means, in float64. Quantization is judged against it."""

from rtl_gen.reference.interpreter import (
    State,
    advance,
    initial_state,
    load_weights,
    run,
    step,
    whole,
)

__all__ = ["State", "advance", "initial_state", "load_weights", "run", "step", "whole"]
