"""Runtimes that a proof can ask: one small adapter each."""

from __future__ import annotations

from specc.parity.runtimes.onnxruntime import OnnxRuntime
from specc.parity.runtimes.reference_evaluator import ReferenceEvaluator
from specc.parity.runtimes.witness import Witness


def default_witnesses() -> tuple[Witness, ...]:
    """New adapters of the runtimes that every proof asks."""
    return OnnxRuntime("disable_all"), OnnxRuntime("enable_all"), ReferenceEvaluator()


__all__ = ["OnnxRuntime", "ReferenceEvaluator", "Witness", "default_witnesses"]
