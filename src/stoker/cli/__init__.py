"""The command line: parse, call, render. No logic lives here."""


def main() -> None:
    """Run the ``stoker`` command."""
