"""What a policy would have earned, and how much of it may be luck."""
