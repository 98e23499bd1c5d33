"""The database: its tables, its connections, and every query on them."""
