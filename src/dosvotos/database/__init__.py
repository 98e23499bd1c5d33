"""The database: tables, connections and the few questions the house asks of them."""
