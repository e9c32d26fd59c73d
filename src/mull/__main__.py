"""`python -m mull` is `mull`."""

from mull.cli import main

if __name__ == "__main__":
    main()
