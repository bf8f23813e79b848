"""Write MATLAB 7.3 files with h5py the way `save -v7.3` writes them."""

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import h5py
import numpy as np

CLASSES = {"float64": "double", "float32": "single", "bool": "logical"}


def write_mat73(path: Path, variables: Mapping[str, Any]) -> None:
    """Numbers as arrays of two axes or more, text as str, structs as dicts, cells as object arrays."""
    with h5py.File(path, "w", userblock_size=512) as file:
        cells, numbers = file.create_group("#refs#"), count()

        def write(group: h5py.Group, name: str, value: Any) -> None:
            if isinstance(value, dict):
                struct = group.create_group(name)
                struct.attrs["MATLAB_class"] = np.bytes_("struct")
                for field, inner in value.items():
                    write(struct, field, inner)
                return
            if isinstance(value, str):
                kind, array = "char", np.frombuffer(value.encode("utf-16-le"), "<u2")[None]
            elif value.dtype == object:
                kind, array = "cell", np.empty(value.shape, dtype=h5py.ref_dtype)
                for at in np.ndindex(value.shape):
                    key = str(next(numbers))
                    write(cells, key, value[at])
                    array[at] = cells[key].ref
            else:
                kind = CLASSES.get(value.dtype.name, value.dtype.name)
                array = value.astype("u1") if value.dtype == bool else value
            if array.size:
                dataset = group.create_dataset(name, data=array.T, dtype=array.dtype)  # the axes are reversed
            else:
                dataset = group.create_dataset(name, data=np.array(array.shape, "u8"))
                dataset.attrs["MATLAB_empty"] = np.uint8(1)
            dataset.attrs["MATLAB_class"] = np.bytes_(kind)

        for name, value in variables.items():
            write(file, name, value)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(116) + bytes(8) + b"\0\2IM"
    with path.open("r+b") as raw:
        raw.write(header)
