"""The served policy: what L4 tests and L5 serves, in plain NumPy."""
