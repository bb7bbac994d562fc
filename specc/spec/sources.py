"""Kinds of data sources: the settings that each takes and the columns that it brings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SOURCE_SETTINGS: dict[str, tuple[str, ...]] = {
    "csv": ("path", "delimiter", "memory", "buffer"),
    "parquet": ("path", "memory", "buffer"),
    "npz": ("path", "memory"),
    "npy": ("path", "memory"),
    "text": ("path", "unit", "window", "stride", "unknown"),
    "image_folder": ("path", "augment", "memory"),
    "memory": (),
}
"""What `source` may hold beside `kind`."""

IMAGE, LABEL, TOKENS, TARGETS = "image", "label", "tokens", "targets"


def _number(low: float, high: float | None = None) -> dict[str, Any]:
    return {"type": "number", "minimum": low, **({} if high is None else {"maximum": high})}


def _pair(low: float, high: float | None = None) -> dict[str, Any]:
    return {"type": "array", "items": _number(low, high), "minItems": 2, "maxItems": 2}


_SHARE = _number(0, 1)
_LEVEL = {"type": "integer", "minimum": 0, "maximum": 255}
_PIXELS = {"type": "integer", "minimum": 0}

AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "RandomHorizontalFlip": {"p": _SHARE},
    "RandomVerticalFlip": {"p": _SHARE},
    "RandomCrop": {
        "padding": _PIXELS, "fill": _LEVEL,
        "padding_mode": {"enum": ["constant", "edge", "reflect", "symmetric"]},
    },
    "RandomResizedCrop": {"scale": _pair(0, 1), "ratio": _pair(1e-3)},
    "RandomRotation": {"degrees": {"anyOf": [_number(0), _pair(-360, 360)]}, "fill": _LEVEL},
    "ColorJitter": {
        "brightness": _number(0), "contrast": _number(0), "saturation": _number(0),
        "hue": _number(0, 0.5),
    },
    "RandomGrayscale": {"p": _SHARE},
    "RandomErasing": {"p": _SHARE, "scale": _pair(0, 1), "ratio": _pair(1e-3), "value": _LEVEL},
}  # fmt: skip
"""Augmentations of images under torchvision's names, with their parameters."""

_REQUIRED = {"RandomRotation": ("degrees",)}


def augmentation_schema(op: str) -> dict[str, Any]:
    """The JSON Schema of one entry of `augment`."""
    return {
        "type": "object",
        "properties": {"op": {"const": op}, **AUGMENTATIONS[op]},
        "required": ["op", *_REQUIRED.get(op, ())],
        "additionalProperties": False,
    }


def implied_columns(source: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The targets that a kind of source brings by itself, as entries of `columns`."""
    if source.get("kind") == "image_folder":
        return {LABEL: {"encode": "class"}}
    if source.get("kind") == "text":
        return {TARGETS: {"dtype": "int64"}}
    return {}
