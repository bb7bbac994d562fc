"""The names of what lies beside a model: its proof, its spec, its weights, its test vectors.

`model.onnx` has a folder to itself, and plain names. What belongs to `a.onnx` is called after
it, so that many models can share a folder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

PLAIN = "model.onnx"
PROOF, SPEC, WEIGHTS = "parity.json", "spec.resolved.json", "weights.safetensors"
VECTORS = "test_data_set_"


@dataclass(frozen=True)
class Companions:
    """Where the companions of one model are."""

    model: Path

    @property
    def stem(self) -> str:
        """What the companions are called after."""
        return self.model.stem if self.model.suffix == ".onnx" else self.model.name

    @property
    def is_plain(self) -> bool:
        """Whether the model has its folder to itself."""
        return self.model.name == PLAIN

    @property
    def proof(self) -> Path:
        """The certificate."""
        return self._named(PROOF)

    @property
    def failed_proof(self) -> Path:
        """The certificate of a proof that failed."""
        return self._named("parity.failed.json")

    @property
    def failed_model(self) -> Path:
        """The model whose proof failed."""
        return self.model.with_name(f"{self.model.stem}.failed{self.model.suffix}")

    @property
    def own_spec(self) -> Path:
        """The spec under the model's own name."""
        return self.model.with_name(f"{self.stem}.spec.json")

    @property
    def own_weights(self) -> Path:
        """The weights under the model's own name."""
        return self.model.with_name(f"{self.stem}.{WEIGHTS}")

    @property
    def spec(self) -> Path:
        """The spec that the model was made from."""
        return self._chosen(self.own_spec, SPEC)

    @property
    def weights(self) -> Path:
        """The weights that are in the model."""
        return self._chosen(self.own_weights, WEIGHTS)

    @property
    def vectors(self) -> Path:
        """The folder that holds the folders of test vectors."""
        parent = self.model.parent
        return parent if self.is_plain else parent / f"{self.stem}.test_data"

    def listed_vectors(self) -> list[str]:
        """The folders of test vectors that the certificate names; none if it can't be read."""
        try:
            names = [str(r["folder"]) for r in json.loads(self.proof.read_bytes())["vectors"]]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        # A certificate may come from anywhere, and must not lead out of the folder.
        return [n for n in names if n.startswith(VECTORS) and n[len(VECTORS) :].isdecimal()]

    def _named(self, name: str) -> Path:
        return self.model.with_name(name if self.is_plain else f"{self.stem}.{name}")

    def _chosen(self, own: Path, plain: str) -> Path:
        """The plain name, unless what is under it belongs to the folder's training run."""
        return own if own.exists() or not self.is_plain else self.model.with_name(plain)
