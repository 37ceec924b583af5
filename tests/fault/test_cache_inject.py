"""The kernel kills at every rename, sync and link of an update, and refuses them; see strace(1).

All operations, calls and errors take part in ``scripts/faults --full``.
"""

from __future__ import annotations

import shutil

import pytest
from cache_inject import CannotTrace, inject_every_call
from cache_world import operations, small_is_large

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.mark.parametrize(
    ("call", "how"),
    [("rename", "signal=KILL"), ("symlink", "signal=KILL"), ("fsync", "error=EIO")],
)
def test_the_kernel_fails_at_the_nth_call(tmp_path, call, how):
    operation = next(each for each in operations() if each.name == "update in small files")
    with small_is_large():
        try:
            tally = inject_every_call(operation, call, how, tmp_path)
        except CannotTrace as error:
            pytest.skip(f"strace may not trace here: {error}")

    assert tally.wrong == []
    assert tally.leaked == 0
    assert tally.points >= 2
