"""DeepseekV3ForCausalLM: latent attention, sigmoid experts in groups with a correction bias."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log

from rtl_gen.checkpoint import decoder, setting
from rtl_gen.checkpoint.draft import Draft
from rtl_gen.checkpoint.experts import Router, chosen, routed, shared, stored
from rtl_gen.checkpoint.reader import Checkpoint
from rtl_gen.checkpoint.rope import frequencies, settings
from rtl_gen.ir.model import Add, Attention, Gather, Linear, ModelGraph, Rotary

ARCHITECTURES = ("DeepseekV3ForCausalLM",)

LATENT_EPS = 1e-6
"""Of the norms of the latents, which the config does not set."""


@dataclass(frozen=True, slots=True)
class _Latent:
    """Sizes of latent attention: ranks of queries (0: none) and of keys and values, head parts."""

    query_rank: int
    rank: int
    plain: int
    rotated: int
    value: int
    scale: float
    interleaved: bool

    @property
    def head(self) -> int:
        return self.plain + self.rotated


def import_graph(checkpoint: Checkpoint) -> ModelGraph:
    """Graph of a DeepSeek-V3 checkpoint; see `rtl_gen.checkpoint.registry.import_model`."""
    latent = _latent(checkpoint)
    sizes = _sizes(checkpoint, latent)
    layers = sizes.layers
    dense = setting.integer(checkpoint, "first_k_dense_replace", 3, minimum=0)
    router = _router(checkpoint) if dense < layers else None

    def layer(draft: Draft, index: int, x: str) -> str:
        # modules that predict further tokens stand behind the last layer and are not run
        draft.ignore(rf"model\.layers\.({layers}|{layers + 1})\..*")
        x = _attention(draft, sizes, latent, index, x)
        return decoder.residual(draft, sizes, index, x, feed_forward)

    def feed_forward(draft: Draft, index: int, here: str, h: str) -> list[str]:
        module = f"model.layers.{index}.mlp"
        if router is None or index < dense:
            inner = setting.integer(checkpoint, "intermediate_size")
            return [decoder.mlp(draft, here, module, h, inner, sizes.activation)]
        inner = setting.integer(checkpoint, "moe_intermediate_size")
        names = ("gate_proj", "up_proj", "down_proj")
        bias = draft.tensor(f"{module}.gate.e_score_correction_bias", (router.experts,))
        found = stored(draft, f"{module}.experts", names, router.experts, sizes.hidden, inner)
        act = sizes.activation
        out = routed(draft, here, f"{module}.gate", h, router, found, act, correction=bias)
        inner *= setting.integer(checkpoint, "n_shared_experts", 1)
        always = shared(
            draft, f"{here}.shared", f"{module}.shared_experts", h, inner, sizes.activation, None
        )
        return [*out, always]

    return decoder.model(checkpoint, sizes, layer)


def _latent(checkpoint: Checkpoint) -> _Latent:
    ranked = checkpoint.config.get("q_lora_rank") is not None
    plain = setting.integer(checkpoint, "qk_nope_head_dim", 128)
    rotated = setting.integer(checkpoint, "qk_rope_head_dim", 64)
    scale = (plain + rotated) ** -0.5
    rope = settings(checkpoint)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default" and rope.get("mscale_all_dim"):
        weight = setting.number(checkpoint, "mscale_all_dim", within=rope)
        factor = setting.number(checkpoint, "factor", within=rope)
        scale *= (0.1 * weight * log(factor) + 1 if factor > 1 else 1.0) ** 2
    return _Latent(
        query_rank=setting.integer(checkpoint, "q_lora_rank") if ranked else 0,
        rank=setting.integer(checkpoint, "kv_lora_rank", 512),
        plain=plain,
        rotated=rotated,
        value=setting.integer(checkpoint, "v_head_dim", 128),
        scale=scale,
        interleaved=setting.boolean(checkpoint, "rope_interleave", True),
    )


def _sizes(checkpoint: Checkpoint, latent: _Latent) -> decoder.Shape:
    sizes = decoder.shape(checkpoint, head_dim=latent.rotated)
    if sizes.kv_heads != sizes.heads:
        raise setting.wrong(
            checkpoint, "num_key_value_heads", f"all {sizes.heads} heads", sizes.kv_heads
        )
    bias = setting.boolean(checkpoint, "attention_bias", False)
    turns, factor = frequencies(checkpoint, latent.rotated, sizes.context)
    return replace(sizes, qkv_bias=bias, output_bias=bias, frequencies=turns, rotary_scale=factor)


def _router(checkpoint: Checkpoint) -> Router:
    name = "n_routed_experts"
    if checkpoint.config.get(name) is None:
        name = "num_local_experts"
    experts = setting.integer(checkpoint, name, 256)
    groups = setting.integer(checkpoint, "n_group", 1)
    if experts % groups:
        raise setting.wrong(checkpoint, "n_group", f"a divisor of {experts} experts", groups)
    kept = setting.integer(checkpoint, "topk_group", groups)
    if kept > groups:
        raise setting.wrong(checkpoint, "topk_group", f"at most n_group, {groups}", kept)
    k = chosen(checkpoint, kept * (experts // groups), 8)
    setting.refuse(checkpoint, "scoring_func", ("sigmoid",))
    setting.refuse(checkpoint, "topk_method", ("noaux_tc",))
    return Router(
        experts,
        k,
        "sigmoid",
        normalize=setting.boolean(checkpoint, "norm_topk_prob", True),
        scale=setting.number(checkpoint, "routed_scaling_factor", 2.5),
        groups=groups,
        kept=kept,
    )


def _attention(draft: Draft, sizes: decoder.Shape, latent: _Latent, layer: int, x: str) -> str:
    """``x + o_proj(attention(norm(x)))`` with keys and values from one latent vector."""
    here, module = f"layers.{layer}.attention", f"model.layers.{layer}.self_attn"
    heads, eps = sizes.heads, sizes.eps
    h = decoder.norm(draft, f"{here}.norm", f"model.layers.{layer}.input_layernorm", x, eps)
    q = _queries(draft, here, module, h, latent, heads, bias=sizes.qkv_bias)
    turns, factor = sizes.frequencies, sizes.rotary_scale
    size = heads * latent.head
    rotate = Rotary(heads, latent.head, turns, factor, latent.plain, latent.interleaved)
    q = draft.node(f"{here}.q_rotary", rotate, (q, "position"), (size,))
    k, v = _keys_and_values(draft, here, module, h, sizes, latent)
    op = Attention(heads, heads, latent.head, latent.scale, value_dim=latent.value)
    value_size = heads * latent.value
    mixed = draft.node(f"{here}.mixed", op, (q, k, v, "position"), (value_size,))
    out = decoder.linear(
        draft, f"{here}.output", f"{module}.o_proj", mixed, sizes.hidden, bias=sizes.output_bias
    )
    return draft.node(f"{here}.residual", Add(), (x, out), (sizes.hidden,))


def _queries(
    draft: Draft, here: str, module: str, h: str, latent: _Latent, heads: int, *, bias: bool
) -> str:
    size = heads * latent.head
    if not latent.query_rank:
        return decoder.linear(draft, f"{here}.q", f"{module}.q_proj", h, size)
    a = decoder.linear(
        draft, f"{here}.q_latent", f"{module}.q_a_proj", h, latent.query_rank, bias=bias
    )
    a = decoder.norm(draft, f"{here}.q_norm", f"{module}.q_a_layernorm", a, LATENT_EPS)
    return decoder.linear(draft, f"{here}.q", f"{module}.q_b_proj", a, size)


def _keys_and_values(
    draft: Draft, here: str, module: str, h: str, sizes: decoder.Shape, latent: _Latent
) -> tuple[str, str]:
    """Every head's key: its part of the expanded latent, then the rotated part all share."""
    heads, plain, rotated, value = sizes.heads, latent.plain, latent.rotated, latent.value
    rank = latent.rank
    joined = f"{module}.kv_a_proj_with_mqa"
    parts = []
    for name, rows in (("kv_latent", (0, rank)), ("k_turn", (rank, rank + rotated))):
        weight = draft.tensor(f"{joined}.weight", (rank + rotated, sizes.hidden), rows=rows)
        bias = None
        if sizes.qkv_bias:
            bias = draft.tensor(f"{joined}.bias", (rank + rotated,), rows=rows)
        op = Linear(weight, bias)
        parts.append(draft.node(f"{here}.{name}", op, (h,), (rows[1] - rows[0],)))
    rotate = Rotary(1, rotated, sizes.frequencies, sizes.rotary_scale, 0, latent.interleaved)
    turned = draft.node(f"{here}.k_rotary", rotate, (parts[1], "position"), (rotated,))
    c = decoder.norm(draft, f"{here}.kv_norm", f"{module}.kv_a_layernorm", parts[0], LATENT_EPS)
    width = plain + value
    kv = decoder.linear(draft, f"{here}.kv", f"{module}.kv_b_proj", c, heads * width)
    shared_part = [heads * width + i for i in range(rotated)]
    keys = [
        i for head in range(heads) for i in [*range(head * width, head * width + plain),
                                             *shared_part]
    ]  # fmt: skip
    values = [head * width + plain + i for head in range(heads) for i in range(value)]
    k = draft.node(f"{here}.k", Gather(tuple(keys)), (kv, turned), (len(keys),))
    v = draft.node(f"{here}.v", Gather(tuple(values)), (kv,), (len(values),))
    return k, v
