"""Every operator of the language, a few to a module.

`catalog.py` says which module has which; after adding an operator, `make schemas` writes it anew.
"""

from specc.ops.op import REGISTRY, Op, OpError, as_outputs

__all__ = ["REGISTRY", "Op", "OpError", "as_outputs"]
