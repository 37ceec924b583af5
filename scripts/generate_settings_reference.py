"""Write docs/reference/settings.md from the fields of ``hubloader.settings.Settings``.

python scripts/generate_settings_reference.py           write it
python scripts/generate_settings_reference.py --check   fail when it is not up to date
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from hubloader.settings import Settings

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"
# What the fields that follow from others come to when nothing is set.
DERIVED = {
    "home": "`$XDG_CACHE_HOME/huggingface`, else `~/.cache/huggingface`",
    "cache_dir": "`hub` inside home",
    "token_path": "`token` inside home",
}
HEAD = """# Settings

<!-- Made by scripts/generate_settings_reference.py from hubloader/settings.py. -->

Everything that a call depends on besides its arguments. The environment is read when a call is
made, not when hubloader is imported; an argument of the call wins over it. Variables that begin
with `HF_` mean here what they mean to huggingface_hub; hubloader's own begin with `HUBLOADER_`.
Where a setting has several variables, the first that is set counts.

Times are in seconds, sizes in bytes. A flag is on when it is `1`, `on`, `yes` or `true`.

| variable | default | what it does |
| --- | --- | --- |
"""
FOOT = """
In Python the same values are the fields of `hubloader.settings.Settings`:

```python
from hubloader.settings import Settings

settings = Settings.from_env({"HF_HUB_OFFLINE": "1", "HUBLOADER_MAX_WORKERS": "8"})
print(settings.offline, settings.max_workers)
```
```text
True 8
```

A value that cannot be meant is an error that names the variable, not a silent default:

```python
from hubloader.errors import InvalidReference

try:
    Settings.from_env({"HUBLOADER_MAX_WORKERS": "none"})
except InvalidReference as error:
    print(error.hint)
```
```text
mend or unset HUBLOADER_MAX_WORKERS
```
"""


def default_of(field: dataclasses.Field[Any]) -> str:
    """The default in words."""
    if field.name in DERIVED:
        return DERIVED[field.name]
    value = getattr(field.default, "value", field.default)
    if value is None or value in {"", ()}:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{value}`"


def row_of(field: dataclasses.Field[Any]) -> str:
    """One line of the table."""
    variables = ", ".join(f"`{name}`" for name in field.metadata["env"])
    return f"| {variables} | {default_of(field)} | {field.metadata['doc']} |"


def page() -> str:
    """The whole page."""
    rows = [row_of(field) for field in dataclasses.fields(Settings)]
    return HEAD + "\n".join(rows) + "\n" + FOOT


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE.name} is not up to date: run scripts/generate_settings_reference.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
