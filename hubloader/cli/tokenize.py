"""``hubloader tokenize``: what a model's tokenizer makes of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hubloader.cli._options import SharedCommand
from hubloader.cli._report import emit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@click.command(cls=SharedCommand, short_help="Show what a tokenizer makes of a text.")
@click.argument("name", metavar="NAME[@REV]")
@click.argument("texts", metavar="TEXT…", nargs=-1, required=True)
@click.pass_context
def command(context: click.Context, name: str, texts: tuple[str, ...]) -> None:
    """Show the tokens and ids that a model's tokenizer makes of each text.

    NAME may be a folder.
    """
    from hubloader.auto.tokenizer import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(name)
    batch = tokenizer(list(texts))
    results = [
        {
            "text": text,
            "tokens": tokenizer.convert_ids_to_tokens(batch["input_ids"][row]),
            **{key: values[row] for key, values in batch.items()},
        }
        for row, text in enumerate(texts)
    ]
    emit(context, {"name": name, "results": results}, _lines(results))


def _lines(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for result in results:
        yield " ".join(result["tokens"])
        yield " ".join(map(str, result["input_ids"]))
