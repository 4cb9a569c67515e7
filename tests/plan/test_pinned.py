"""`flow.planning.choose` with plans that people pin."""

from __future__ import annotations

from flow import config, planning
from rtl_gen.plan import Plan
from rtl_gen.plan.device import device
from tests import graphs


def test_pinned_lanes_need_not_be_a_power_of_two() -> None:
    wanted = config.Plan(12, 2, 1, {}, 0, "balance", 0.8)
    plan, _ = planning.choose(graphs.language(vocabulary=12), wanted, [(device("LFE5U-85F"), 25.0)])
    assert plan == Plan(12, 2, 1)
