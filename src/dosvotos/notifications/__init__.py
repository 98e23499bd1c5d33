"""Sends notifications from the outbox to chat, mail and web hooks, each recipient by itself."""
