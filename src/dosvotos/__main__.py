"""``python -m dosvotos``: what ``dosvotos`` does; options alone are ``run``'s, as in a Kedro package."""

import sys

from dosvotos.commands.main import main

if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("-") and sys.argv[1] not in {"--help", "--version"}:
        sys.argv.insert(1, "run")
    main()
