"""Dos Votos: USD/COP from raw data to a live signal; no model trades until two votes agree."""

__version__ = "0.1.0"
