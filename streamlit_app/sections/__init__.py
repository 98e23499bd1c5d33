"""The sections of a proposal's page."""
