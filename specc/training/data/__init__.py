"""Tables to arrays, with NumPy and pyarrow only."""

from specc.training.data.columns import ColumnSpec, column_specs
from specc.training.data.dataset import Dataset, load_dataset
from specc.training.data.encoding import encode_inputs
from specc.training.data.images import read_images
from specc.training.data.sources import SOURCES, read_table, table_from_arrays
from specc.training.data.table import Table

__all__ = [
    "SOURCES", "ColumnSpec", "Dataset", "Table", "column_specs", "encode_inputs", "load_dataset",
    "read_images", "read_table", "table_from_arrays",
]  # fmt: skip
