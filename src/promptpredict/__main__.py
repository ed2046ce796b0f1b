"""``python -m promptpredict`` is the command line."""

from promptpredict.cli import main

main()
