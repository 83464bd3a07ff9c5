"""`python -m basinet`: the same as `basinet`, where the console script is not on the path."""

from basinet.cli.main import main

if __name__ == "__main__":
    main()
