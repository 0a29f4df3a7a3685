"""Writes the NPY files of npy_test.go with NumPy: each holds 0, -1, 2, -3, 4, -5 as far as its type can."""
import os
import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
v = np.array([[0, -1, 2], [-3, 4, -5]])
for name, dtype in [("f4", "<f4"), ("f8", "<f8"), ("i1", "|i1"), ("i2", "<i2"), ("i4", "<i4"), ("i8", "<i8"),
                    ("bigf4", ">f4"), ("bigi8", ">i8")]:
    np.save(os.path.join(here, name + ".npy"), v.astype(dtype))
np.save(os.path.join(here, "u1.npy"), abs(v).astype("|u1"))
np.save(os.path.join(here, "fortran.npy"), np.asfortranarray(v.astype("<f4")))
np.save(os.path.join(here, "c8.npy"), v.astype("<c8"))
np.save(os.path.join(here, "scalar.npy"), np.float32(3))
