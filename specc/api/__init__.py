"""What the command line and Python callers use; torch is imported only where it is needed."""

from specc.api.checking import check
from specc.api.model import Model, load

__all__ = ["Model", "check", "load"]
