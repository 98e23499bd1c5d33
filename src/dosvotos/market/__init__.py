"""Market rules on arrays and frames: calendar, publication, features, splits, costs and accounting."""
