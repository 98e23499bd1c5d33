"""L1 and L5: from the latest bar to one signal of the approved model."""
