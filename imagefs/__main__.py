"""`python -m imagefs`: the same as the command `imagefs`."""

from imagefs.cli.main import main

if __name__ == "__main__":
    main()
