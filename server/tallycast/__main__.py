"""`python -m tallycast` is `tallycast`."""

from tallycast.cli import main

main()
