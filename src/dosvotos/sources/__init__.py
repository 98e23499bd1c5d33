"""Real data: public providers over HTTP, a folder of files, and the checks before anything is stored."""
