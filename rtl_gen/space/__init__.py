"""Chips in space: every operator has hardware of its own, and whole vectors are on wires.

`rtl_gen.chip` moves vectors beat by beat through shared units; here a vector is there at once and
stays until the next step replaces it. So nothing waits for a handshake: a value is a function of
registers that hold still, and its arrival is a number of cycles after an event
(`rtl_gen.space.wave`). See ``docs/space.md``.
"""
