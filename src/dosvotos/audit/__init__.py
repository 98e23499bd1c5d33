"""The audit log: who may decide, what they signed, and what shows that no row is missing."""
