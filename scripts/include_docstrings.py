"""Copy the tables and trees of module docstrings into the pages that show them.

The docstring is the specification; a page says ``<!-- from hubloader/resolve/plan.py -->`` above a
block of text, and the block is that module's table (between its first and last rule of ``=``) or
tree (the indented part below ``::``).

    python scripts/include_docstrings.py           bring the pages up to date
    python scripts/include_docstrings.py --check   fail when they are not
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
MARK = re.compile(r"(<!-- from (\S+) -->\n+```text\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL)


def specification_of(module: Path) -> str:
    """The table or tree in a module's docstring."""
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    lines = text.splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("===")]
    if rules:
        return "\n".join(lines[rules[0] : rules[-1] + 1]) + "\n"
    after = lines[lines.index("::") + 1 :]
    end = next((n for n, line in enumerate(after) if line and line[0] != " "), len(after))
    return textwrap.dedent("\n".join(after[:end])).strip("\n") + "\n"


def refreshed(text: str) -> str:
    """A page's text with every marked block as the code has it now."""
    return MARK.sub(lambda m: m[1] + specification_of(ROOT / m[2]) + m[4], text)


def main() -> int:
    """Refresh the pages, or with ``--check`` name those that are behind."""
    behind = 0
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if refreshed(text) == text:
            continue
        if "--check" in sys.argv[1:]:
            print(f"{page.relative_to(ROOT)} is behind: run scripts/include_docstrings.py")
            behind += 1
        else:
            page.write_text(refreshed(text), encoding="utf-8")
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main())
