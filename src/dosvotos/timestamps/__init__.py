"""The instants of bars: what their timestamps state, and what the bars themselves show about it."""
