"""``hubloader env``: what is installed and what is configured, without loading any of it."""

from __future__ import annotations

import click

from hubloader.cli._options import SharedCommand
from hubloader.cli._report import emit

_PACKAGES = (
    "huggingface_hub",
    "tokenizers",
    "safetensors",
    "numpy",
    "torch",
    "tensorflow",
    "transformers",
    "h5py",
    "aiohttp",
    "hf_xet",
)


@click.command(cls=SharedCommand, short_help="Show what is installed and configured.")
@click.pass_context
def command(context: click.Context) -> None:
    """Show what is installed, and every setting with the variable that it comes from.

    A token's value is never shown.
    """
    import platform

    from hubloader import __version__

    about = {
        "hubloader": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    packages = {name: _version(name) for name in _PACKAGES}
    settings = _settings()
    document = {**about, "packages": packages, "settings": settings}
    width = max(map(len, [*about, *packages, *settings])) + 2
    lines = [f"{name:<{width}}{value}" for name, value in about.items()]
    lines += ["", *(f"{name:<{width}}{v or 'not installed'}" for name, v in packages.items()), ""]
    for name, told in settings.items():
        source = f"  ({told['source']})" if told["source"] else ""
        lines.append(f"{name:<{width}}{told['value']}{source}")
    emit(context, document, lines)


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _settings() -> dict[str, dict[str, str | None]]:
    from dataclasses import fields

    from hubloader.settings import Settings, read_token, setting_sources

    settings, sources = Settings.from_env(), setting_sources()
    told = {
        item.name: {"value": _text(getattr(settings, item.name)), "source": sources[item.name]}
        for item in fields(Settings)
    }
    told["endpoint"]["value"] = settings.public_endpoint
    token = read_token(settings)
    told["token"]["value"] = "set" if token else "not set"
    if token and not settings.token:
        told["token"]["source"] = str(settings.token_path)
    return told


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return str(getattr(value, "value", value))
