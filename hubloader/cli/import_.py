"""``hubloader import``: bring a bundle into the cache."""

from __future__ import annotations

import click

from hubloader.cli._locks import model_document
from hubloader.cli._options import SharedCommand
from hubloader.cli._report import emit
from hubloader.cli._text import size_of


@click.command("import", cls=SharedCommand, short_help="Bring a bundle into the cache.")
@click.argument("bundle", metavar="BUNDLE.tar", type=click.Path(allow_dash=True))
@click.option(
    "--lock", type=click.Path(), metavar="PATH", help="Its entries have to be those of this lock."
)
@click.pass_context
def command(context: click.Context, bundle: str, lock: str | None) -> None:
    """Bring a bundle into the cache; every path, size and hash is checked on the way.

    Nothing is extracted: contents go through the cache's own writer. What is there already is
    skipped, so a broken import goes on where it stopped. `-` reads stdin.
    """
    from hubloader.auto.exporting import import_

    done = import_(bundle, lock=lock)
    models = done.lock.models
    emit(
        context,
        {
            "models": [model_document(model) for model in models],
            "contents": done.contents,
            "bytes": done.received,
        },
        [
            *(
                f"{model.name} {model.repo}@{model.revision} {model.commit[:12]}"
                for model in models
            ),
            f"{done.contents} new contents, {size_of(done.received)}",
        ],
    )
