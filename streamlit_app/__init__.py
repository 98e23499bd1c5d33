"""The approval app: the second vote, in a browser and over REST, in one process."""
