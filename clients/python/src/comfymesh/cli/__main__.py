"""`python -m comfymesh.cli`."""

from comfymesh.cli.main import main

main()
