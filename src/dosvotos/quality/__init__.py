"""Quality rules for bars and macro observations: which rows are stored, which are quarantined, and why."""
