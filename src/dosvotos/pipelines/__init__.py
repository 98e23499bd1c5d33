"""The six pipelines: thin nodes over the domain, meeting in the catalog."""
