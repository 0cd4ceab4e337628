"""``stoker bundle``: one signed file for a machine that has no network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stoker import bundles, paths
from stoker.bundles import Archive, BundleRequest, LoadedBundle, PublicKey
from stoker.cli.options import Json
from stoker.cli.render import output
from stoker.cli.render.bundle_progress import BundleProgress
from stoker.counted import counted
from stoker.errors import UsageError
from stoker.generator_result import GeneratorResult

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

_Bundle = Annotated[Path, typer.Argument(help="The bundle.")]
_Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="The public key of the bundle's maker."),
]
_AllowUnsigned = Annotated[
    bool,
    typer.Option("--allow-unsigned", help="Use it without checking who made it."),
]
_Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")]
_Models = Annotated[
    list[str] | None,
    typer.Argument(
        help="Models, as `stoker up` names them; or ModelPack artifacts, as "
        "oci://REGISTRY/NAME:TAG, or oci:FOLDER for an OCI layout."
    ),
]
_SignWith = Annotated[
    Path | None,
    typer.Option("--sign-with", metavar="FILE", help="The secret key of stoker bundle keygen."),
]
_Unsigned = Annotated[
    bool,
    typer.Option("--unsigned", help="Sign nothing: using it then needs --allow-unsigned."),
]
_Images = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A container image, NAME:TAG[@sha256:...]. Repeatable."),
]
_Extras = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="An extra of Stoker, such as teams. Repeatable. Default: embedded, which is "
        "llama.cpp; none with --image.",
    ),
]
_TargetPython = Annotated[
    str | None, typer.Option(metavar="3.N", help="The target's Python. Default: this one's.")
]
_TargetPlatform = Annotated[
    str | None,
    typer.Option(help=f"{', '.join(bundles.PLATFORMS)}. Default: this machine's."),
]
_TargetGlibc = Annotated[
    str, typer.Option(metavar="2.N", help="The target's glibc, or an older one.")
]
_Base = Annotated[
    Path | None,
    typer.Option(metavar="BUNDLE", help="Leave out what this older bundle held."),
]
_StokerPath = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Stoker's wheel or source folder. Default: this one's."),
]


@app.callback()
def command() -> None:
    """Make, check and install one signed file for a machine that has no network."""


@app.command()
def keygen(
    name: Annotated[
        Path, typer.Argument(help="Where: NAME.key signs and stays secret, NAME.pub verifies.")
    ],
    json: Json = False,
) -> None:
    """Make a key pair in minisign's format."""
    secret, public = name.with_name(f"{name.name}.key"), name.with_name(f"{name.name}.pub")
    key = bundles.make_pair(secret, public)
    if json:
        output.as_json({"secret": secret, "public": public, "key_id": key.shown_id})
        return
    output.say(f"Key {key.shown_id}: {secret} signs, and {public} verifies.")
    output.say(f"Keep {secret} secret, and a copy of it. Give {public} to those who load bundles.")


@app.command()
def create(
    out: _Output,
    model: _Models = None,
    sign_with: _SignWith = None,
    unsigned: _Unsigned = False,
    image: _Images = None,
    extra: _Extras = None,
    python: _TargetPython = None,
    platform: _TargetPlatform = None,
    glibc: _TargetGlibc = bundles.DEFAULT_GLIBC,
    base: _Base = None,
    stoker: _StokerPath = None,
    json: Json = False,
) -> None:
    """Make a bundle; run it again after an interruption, and it continues."""
    if (sign_with is None) != unsigned:
        raise UsageError(
            "A bundle is signed, or made with --unsigned.",
            "Who loads it must know that it is yours.",
            "Make a key pair once: stoker bundle keygen NAME. Then: --sign-with NAME.key.",
        )
    key = bundles.read_secret(paths.expanded(sign_with)) if sign_with else None
    project = bundles.own_source()
    default_extras = () if image else ("embedded",)
    request = BundleRequest(
        target=bundles.target(python, platform, glibc),
        models=tuple(model or ()),
        images=tuple(image or ()),
        extras=tuple(extra or default_extras),
        stoker=stoker or project,
        guides=project if project and project.is_dir() else None,
        base=base,
    )
    with BundleProgress(quiet=json) as progress:
        made = bundles.create(request, out, key, progress)
    if json:
        output.as_json(_described(made))
        return
    _show(made)
    output.say(f"Check it where it arrives: stoker bundle verify {out} --key FILE.pub")


@app.command()
def verify(
    bundle: _Bundle, key: _Key = None, allow_unsigned: _AllowUnsigned = False, json: Json = False
) -> None:
    """Check a bundle's signature and all of its content, and write nothing."""
    public = _public(key, allow_unsigned=allow_unsigned)
    with BundleProgress(quiet=json) as progress:
        archive = bundles.verified(bundle, public, progress)
    if json:
        output.as_json(_described(archive))
        return
    _show(archive)
    signed = f"signed by {public.shown_id}" if public else "its signature was not checked"
    output.say(f"It is whole and unaltered; {signed}.")


@app.command()
def load(
    bundle: _Bundle,
    into: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where Stoker is installed, such as /opt/stoker.")
    ],
    key: _Key = None,
    allow_unsigned: _AllowUnsigned = False,
    python: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The Python to install with. Default: this one."),
    ] = None,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Load the container images.")
    ] = True,
    editors: Annotated[
        bool,
        typer.Option("--editors/--no-editors", help="Install the extension in VS Code."),
    ] = True,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept", help="Then start its model, run doctor and test, and write a report."
        ),
    ] = False,
    up: Annotated[
        list[str] | None,
        typer.Option(
            "--up", metavar="OPTION=VALUE", help="For --accept: port=8000 of stoker up. Repeatable."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Verify a bundle and install it; run it again after an interruption, and it continues."""
    public, options = _public(key, allow_unsigned=allow_unsigned), _up_options(up or [])
    with BundleProgress(quiet=json) as progress:
        archive = bundles.open_archive(bundle, public)
        loaded = bundles.load(
            archive,
            into,
            paths.expanded(python or sys.executable),
            progress,
            images=images,
            editors=editors,
        )
        if not json:
            _show_loaded(loaded, into)
        report = None
        if accept:
            accepting = GeneratorResult(bundles.accept(loaded, options))
            for step in accepting:
                progress(step, 0, None)
            report = accepting.value
    written = list(bundles.write_acceptance(report, into)) if report else []
    if json:
        accepted = bundles.acceptance_as_dict(report) if report else None
        output.as_json({**_loaded_as_dict(loaded), "acceptance": accepted, "reports": written})
    elif report:
        output.say(f"Acceptance {'passed' if report.passed else 'failed'}: {written[0]}")
    if report and not report.passed:
        raise typer.Exit(1)


def _public(key: Path | None, *, allow_unsigned: bool) -> PublicKey | None:
    if (key is None) != allow_unsigned:
        raise UsageError(
            "A bundle is checked with a public key, or used with --allow-unsigned.",
            "Without its maker's key, anyone could have made it.",
            "Name the key: --key FILE.pub.",
        )
    return bundles.read_public(paths.expanded(key)) if key else None


def _up_options(given: list[str]) -> tuple[str, ...]:
    words: list[str] = []
    for each in given:
        name, sign, value = each.partition("=")
        words += [f"--{name}", value] if sign else [f"--{name}"]
    return tuple(words)


def _described(archive: Archive) -> dict[str, Any]:
    manifest = archive.manifest
    return {
        "file": archive.path,
        "size_bytes": archive.size_bytes,
        "digest": archive.digest,
        "signed": archive.is_signed,
        "format": manifest.format,
        "stoker_version": manifest.stoker_version,
        "created": manifest.created,
        "target": {
            "python": manifest.target.python,
            "platform": manifest.target.platform,
            "glibc": manifest.target.glibc or None,
        },
        "is_update": bool(manifest.base_blobs),
        "items": [{"kind": item.kind, "name": item.name} for item in manifest.items],
        "bootstrap_sha256": manifest.bootstrap.sha256 if manifest.bootstrap else None,
    }


def _show(archive: Archive) -> None:
    manifest, target = archive.manifest, archive.manifest.target
    libc = f", glibc {target.glibc}" if target.glibc else ""
    output.say(
        f"{archive.path}: {output.size(archive.size_bytes)}, Stoker {manifest.stoker_version} for "
        f"{target.platform}, Python {target.python}{libc}"
    )
    for item in manifest.items:
        if item.kind in ("model", "image"):
            output.say(f"  {item.kind} {output.printable(item.name)}")
    wheels = counted(len(manifest.of_kind("wheel")), "wheel")
    output.say(f"  {wheels}, VS Code extension, docs, bill of materials")
    if manifest.base_blobs:
        output.say(f"  an update: {counted(len(manifest.base_blobs), 'blob')} of the older bundle")


def _show_loaded(loaded: LoadedBundle, into: Path) -> None:
    output.say(f"Installed Stoker {loaded.manifest.stoker_version}: {loaded.stoker}")
    for model in loaded.models:
        output.say(f"  model {output.printable(model.name)}: {model.path}")
    for image in loaded.images:
        output.say(f"  image {output.printable(image)}")
    for editor in loaded.editors:
        output.say(f"  extension in {editor}")
    for note in loaded.notes:
        output.warn(note)
    if loaded.models:
        output.say(f"Start it: {loaded.stoker} up {loaded.models[0].path} --offline")


def _loaded_as_dict(loaded: LoadedBundle) -> dict[str, Any]:
    return {
        "digest": loaded.digest,
        "folder": loaded.folder,
        "stoker": loaded.stoker,
        "models": [{"name": each.name, "path": each.path} for each in loaded.models],
        "images": loaded.images,
        "editors": loaded.editors,
        "notes": loaded.notes,
    }
