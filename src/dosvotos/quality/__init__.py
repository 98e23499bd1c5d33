"""Data judged before they are stored: what is kept, what is put aside, and why."""
