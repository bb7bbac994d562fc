"""Tables to arrays, with NumPy and pyarrow only."""

from specc.train.data.columns import ColumnSpec, column_specs
from specc.train.data.dataset import Dataset, load_dataset
from specc.train.data.encoding import encode_inputs
from specc.train.data.images import read_images
from specc.train.data.sources import SOURCES, read_table, table_from_arrays
from specc.train.data.table import Table

__all__ = [
    "SOURCES", "ColumnSpec", "Dataset", "Table", "column_specs", "encode_inputs", "load_dataset",
    "read_images", "read_table", "table_from_arrays",
]  # fmt: skip
