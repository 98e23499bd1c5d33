"""Pages for people: what the layers found, as HTML that needs no network and prints."""
