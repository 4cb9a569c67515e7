"""Choices about a chip that do not change what it computes, and what they cost.

`rtl_gen.plan.folding` has the choices themselves; the rest of the package predicts their cost and
chooses. Only the choices are imported here: the generator needs them, and the planner needs the
generator.
"""

from rtl_gen.plan.folding import MAX_LANES, Plan

__all__ = ["MAX_LANES", "Plan"]
