"""The two votes: what L4 recommends and what a person decides."""
