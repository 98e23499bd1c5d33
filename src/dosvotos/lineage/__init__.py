"""The chain of hashes from data to proposal."""
