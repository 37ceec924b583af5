"""Write the table of families in docs/reference/tokenizers.md from hubloader/tokenizers/families.

python scripts/generate_tokenizer_reference.py           write it
python scripts/generate_tokenizer_reference.py --check   fail when it is not up to date
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from hubloader.tokenizers.classes import TokenizerClass, class_named, class_names

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "tokenizers.md"
BEGIN = "<!-- families: made by scripts/generate_tokenizer_reference.py -->\n"
END = "<!-- end of families -->\n"
HEAD = "| legacy files | read by | classes |\n| --- | --- | --- |\n"


def main() -> int:
    """Write the table, or with ``--check`` compare it."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = before + BEGIN + table() + END + after
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if text == made:
        return 0
    print(f"{PAGE.name} is not up to date: run scripts/generate_tokenizer_reference.py")
    return 1


def table() -> str:
    """One row for each set of legacy files and module; classes that have none come last."""
    rows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in class_names():
        kind = class_named(name)
        if kind is not None:
            rows[_files(kind), _module(kind)].append(f"`{name}`")
    ordered = sorted(rows.items(), key=lambda row: (row[0][1] == "", row[0]))
    lines = [f"| {files} | {module} | {', '.join(names)} |\n" for (files, module), names in ordered]
    return HEAD + "".join(lines)


def _files(kind: TokenizerClass) -> str:
    together = ", ".join(f"`{name}`" for name in kind.legacy_files)
    other = " or ".join(f"`{name}`" for name in (*kind.other_files,))
    return " or ".join(part for part in (together, other) if part) or "none: `tokenizer.json` only"


def _module(kind: TokenizerClass) -> str:
    return f"`families/{kind.family}.py`" if kind.family else ""


if __name__ == "__main__":
    sys.exit(main())
