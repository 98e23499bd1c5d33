"""Where bars and macro values come from."""
