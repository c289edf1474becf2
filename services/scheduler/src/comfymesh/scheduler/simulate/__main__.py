"""Entry point: `python -m comfymesh.scheduler.simulate`."""

from comfymesh.scheduler.simulate.command import main

if __name__ == "__main__":
    main()
