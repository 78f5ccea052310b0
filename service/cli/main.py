"""The command line: one command a file."""

import typer

from service.cli import bench, models
from service.cli.call import call
from service.cli.demo import demo
from service.cli.diagram import diagram
from service.cli.explore import explore
from service.cli.replay import replay
from service.cli.serve import serve
from service.cli.sink import sink

app = typer.Typer(
    name="callfsm",
    help="Transcribe many phone calls at once, live, on one machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (serve, call, sink, demo, diagram, replay, explore):
    app.command()(command)
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")

if __name__ == "__main__":
    app()
