"""`python -m service` is `callfsm serve`."""

import typer

from service.cli.serve import serve

if __name__ == "__main__":
    typer.run(serve)
