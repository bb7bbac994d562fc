"""Classes of `torch.nn` that are no operator because layers of a spec say the same.

What schemas/refused.json claims of them is tried here: each becomes those layers, under the
same names of weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from modules.case import Tensors

Layer = dict[str, Any]


class Composed(NamedTuple):
    """Layers with their inputs, and the weights under the names that the layers give them."""

    layers: Sequence[Layer]
    inputs: Tensors
    state: Tensors


def composed(module: nn.Module, given: Mapping[str, Any]) -> Composed:
    """The layers for a module that is called with `given`; `KeyError` for any other class."""
    inputs = {name: x for name, x in given.items() if isinstance(x, torch.Tensor)}
    layers = COMPOSERS[type(module).__name__](module, inputs)
    state = dict(module.state_dict())
    if "weight" in state:  # the classes' weights are a buffer of the loss, the last layer
        state[f"{layers[-1]['name']}.weight"] = state.pop("weight")
    return Composed(layers, inputs, state)


def _linear_cross_entropy(m: Any, inputs: Tensors) -> list[Layer]:
    x, target = inputs["input"], inputs["target"]
    linear = {
        "name": "linear", "op": "Linear", "out_features": m.linear.out_features,
        "bias": m.linear.bias is not None, "from": "input",
    }  # fmt: skip
    sizes = [*x.shape[:-1], m.num_classes, *m.out_features]
    loss = {
        "name": "loss", "op": "CrossEntropyLoss", "from": ["logits", "target"],
        "reduction": m.reduction, "label_smoothing": m.label_smoothing,
    }  # fmt: skip
    if m.ignore_index is not None and not target.is_floating_point():
        loss["ignore_index"] = m.ignore_index
    if m.weight is not None:
        loss["weight"] = m.weight.tolist()
    return [linear, {"name": "logits", "op": "reshape", "shape": sizes}, loss]


def _linear(name: str, m: nn.Linear) -> Layer:
    bias = m.bias is not None
    return {"name": name, "op": "Linear", "out_features": m.out_features, "bias": bias}


def _norm(name: str, m: nn.LayerNorm, source: str) -> Layer:
    bias = m.bias is not None
    return {"name": name, "op": "LayerNorm", "eps": m.eps, "bias": bias, "from": source}


def _attention(name: str, m: nn.MultiheadAttention, sources: Mapping[str, str]) -> Layer:
    return {
        "name": name, "op": "MultiheadAttention", "num_heads": m.num_heads,
        "bias": m.in_proj_bias is not None, "batch_first": m.batch_first, "need_weights": False,
        "from": dict(sources),
    }  # fmt: skip


def _activation(function: Any) -> str:
    if isinstance(function, nn.Module):
        return type(function).__name__
    return {"relu": "ReLU", "gelu": "GELU"}[function.__name__]


class _Block:
    """Residual parts, each with a norm before or after it."""

    def __init__(self, m: Any) -> None:
        self.m, self.value, self.count = m, "x", 0
        self.layers: list[Layer] = []

    def part(self, made: Callable[[str], list[Layer]]) -> None:
        """Add a part; its layers are made for the name of their input."""
        self.count += 1
        norm, total = f"norm{self.count}", f"sum{self.count}"
        source = norm if self.m.norm_first else self.value
        before = [_norm(norm, getattr(self.m, norm), self.value)] if self.m.norm_first else []
        layers = made(source)
        formula = {"name": total, "formula": f"{self.value} + {layers[-1]['name']}"}
        after = [] if self.m.norm_first else [_norm(norm, getattr(self.m, norm), total)]
        self.layers += [*before, *layers, formula, *after]
        self.value = total if self.m.norm_first else norm

    def self_attention(self, masks: Mapping[str, str]) -> None:
        """Attention of the value to itself."""
        self.part(lambda x: [_attention(
            "self_attn", self.m.self_attn, {"query": x, "key": x, "value": x, **masks}
        )])  # fmt: skip

    def feed_forward(self) -> None:
        """The two linear layers."""
        self.part(lambda x: [
            _linear("linear1", self.m.linear1) | {"from": x},
            {"name": "active", "op": _activation(self.m.activation)},
            _linear("linear2", self.m.linear2),
        ])  # fmt: skip


def _masks(given: Tensors, prefix: str) -> dict[str, str]:
    """The masks among the inputs whose names begin so, by the operator's names."""
    names = {"attn_mask": f"{prefix}mask", "key_padding_mask": f"{prefix}key_padding_mask"}
    return {own: name for own, name in names.items() if name in given}


def _encoder_part(m: Any, masks: Mapping[str, str]) -> list[Layer]:
    block = _Block(m)
    block.self_attention(masks)
    block.feed_forward()
    return block.layers


def _decoder_part(m: Any, masks: Mapping[str, str], others: Mapping[str, str]) -> list[Layer]:
    block = _Block(m)
    block.self_attention(masks)
    block.part(lambda x: [_attention(
        "multihead_attn", m.multihead_attn,
        {"query": x, "key": "memory", "value": "memory", **others},
    )])  # fmt: skip
    block.feed_forward()
    return block.layers


def _group(name: str, layers: list[Layer], value: str, others: Sequence[str]) -> Layer:
    """A group whose first input is called `x` inside, the others by their own names."""
    return {"name": name, "layers": layers, "inputs": ["x", *others], "from": [value, *others]}


def _stack(name: str, m: Any, value: str, parts: list[list[Layer]], others: list[str]) -> Layer:
    """`layers.0`, `layers.1`, … and the last norm of an encoder or a decoder."""
    inner = [_group(str(i), part, "x" if i == 0 else str(i - 1), others)
             for i, part in enumerate(parts)]  # fmt: skip
    body = [_group("layers", inner, "x", others)]
    if m.norm is not None:
        body.append(_norm("norm", m.norm, "layers"))
    return _group(name, body, value, others)


def _encoder_layer(m: Any, inputs: Tensors) -> list[Layer]:
    masks = _masks(inputs, "src_")
    return [{"name": "x", "formula": "src"}, *_encoder_part(m, masks)]


def _decoder_layer(m: Any, inputs: Tensors) -> list[Layer]:
    masks, others = _masks(inputs, "tgt_"), _masks(inputs, "memory_")
    return [{"name": "x", "formula": "tgt"}, *_decoder_part(m, masks, others)]


def _unpacked(stack: Layer, value: str) -> list[Layer]:
    """The layers of a stack without the group around them."""
    return [{"name": "x", "formula": value}, *stack["layers"]]


def _encoder(m: Any, inputs: Tensors) -> list[Layer]:
    masks = {"attn_mask": "mask", "key_padding_mask": "src_key_padding_mask"}
    given = {own: name for own, name in masks.items() if name in inputs}
    parts = [_encoder_part(layer, given) for layer in m.layers]
    return _unpacked(_stack("encoder", m, "src", parts, list(given.values())), "src")


def _transformer(m: Any, inputs: Tensors) -> list[Layer]:
    source, target = _masks(inputs, "src_"), _masks(inputs, "tgt_")
    memory = _masks(inputs, "memory_")
    encoders = [_encoder_part(layer, source) for layer in m.encoder.layers]
    decoders = [_decoder_part(layer, target, memory) for layer in m.decoder.layers]
    masks = [*target.values(), *memory.values()]
    encoder = _stack("encoder", m.encoder, "src", encoders, list(source.values()))
    decoder = _stack("decoder", m.decoder, "tgt", decoders, ["memory", *masks])
    return [encoder, {"name": "memory", "formula": "encoder"}, decoder]


COMPOSERS: Mapping[str, Callable[[Any, Tensors], list[Layer]]] = {
    "LinearCrossEntropyLoss": _linear_cross_entropy,
    "TransformerEncoderLayer": _encoder_layer, "TransformerDecoderLayer": _decoder_layer,
    "TransformerEncoder": _encoder, "Transformer": _transformer,
}  # fmt: skip
