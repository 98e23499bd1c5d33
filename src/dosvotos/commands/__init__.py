"""The console script ``dosvotos`` and what it shares with kedro's command line."""
