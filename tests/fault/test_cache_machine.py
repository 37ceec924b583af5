"""The cache as a state machine: anything may happen to it in any order, and the promises hold.

Rules are what users, other programs and bad luck do; the model knows every right byte, the pins and
whether somebody damaged something. After each step:

- what a load returns is right to the byte, or the load raises an error of ours;
- what is pinned and was whole stays whole, unless it was damaged or taken out by name;
- nothing but live downloads is left over once a prune had its way;
- huggingface_hub scans it without a warning, while nobody damaged it.

``--machine N`` does N examples: of 30 steps each, beyond 200 examples of 50 steps.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from cache_cases import REPO, content, download, entry, manifest
from cache_world import in_child, kill, seen_as_another, small_is_large
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from hubloader.cache import CacheStore
from hubloader.cache.audit import audit_cache
from hubloader.cache.leases import LEASES
from hubloader.cache.prune import PIN_PREFIX, carry_out, choose, choose_named
from hubloader.cache.report import scan, scan_cache_dir
from hubloader.errors import CacheReadOnly, HubloaderError, IntegrityError, TransportError
from hubloader.resolve.session import Session
from hubloader.settings import Settings
from hubloader.types import CommitHash, Mode, ModelRef, Purpose

DAY = 24 * 3600.0
COMMITS = [CommitHash(digit * 40) for digit in "123"]
SHARED = content(2000, 1)
FILES = {
    commit: {
        "config.json": f'{{"v": {number}}}'.encode(),
        "shared.bin": SHARED,
        "sub/large": content(12_000, 10 + number),
    }
    for number, commit in enumerate(COMMITS)
}
commits = st.sampled_from(COMMITS)
names = st.sampled_from(sorted(FILES[COMMITS[0]]))
picks = st.integers(0, 10_000)  # drawn without a look at the state: clocks and kills change that


def one_of(items, pick):
    return items[pick % len(items)]


def listing(commit, revision="main"):
    return manifest(FILES[commit], lfs=["sub/large"], commit=commit, revision=revision)


@contextmanager
def read_only(root):
    """Nothing below ``root`` can be written: it is another user's, or loses its write bits."""
    folders = [root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())]
    before = {path: path.stat().st_mode for path in folders}
    names = sorted(map(str, root.rglob("*")))
    for path in folders:
        path.chmod(0o555)
    root_again = os.geteuid() == 0
    if root_again:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root_again:
            os.seteuid(0)
        for path, mode in before.items():
            path.chmod(mode)
    assert sorted(map(str, root.rglob("*"))) == names


class Loaded(dict):
    """The contents of a commit, by file name."""


def _nobody():
    raise AssertionError("offline, nobody is asked")


class CacheMachine(RuleBasedStateMachine):
    """One cache, and what is known to be true of it."""

    @initialize(
        link_mode=st.sampled_from(["symlink", "hardlink", "copy"]),
        durability=st.sampled_from(["batch", "full", "none"]),
    )
    def begin(self, link_mode, durability):
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.root = Path(tempfile.mkdtemp(dir=place))
        self.options = {"link_mode": link_mode, "durability": durability}
        self.pins: dict[str, CommitHash] = {}
        self.whole: set[str] = set()  # commits that were fetched and not touched since
        self.damaged = False
        self.clock = 0.0

    def teardown(self):
        if hasattr(self, "root"):
            shutil.rmtree(self.root)

    @property
    def store(self):
        return CacheStore(self.root, **self.options)

    @property
    def layout(self):
        return self.store.layout.repo(REPO)

    def bring(self, commit, revision="main"):
        """Do what a load does: hash what is doubted, fetch what is missing, link, name."""
        store, wanted = self.store, listing(commit, revision)
        for name, state in store.inspect(wanted, FILES[commit]).items():
            if state.blob and not state.trusted:
                store.verify_blob(wanted, name)
        with store.using(REPO):
            download(store, wanted, FILES[commit])

    # what users do

    @rule(commit=commits, revision=st.sampled_from(["main", "dev", "a/b"]))
    def fetch(self, commit, revision):
        self.bring(commit, revision)
        self.whole.add(commit)
        for name, data in FILES[commit].items():
            assert self.store.path(listing(commit), name).read_bytes() == data

    @rule(commit=commits, revision=st.sampled_from(["main", "dev", "commit", "short"]))
    def load_offline(self, commit, revision):
        """As users load: right to the byte or an error of ours, and nobody is asked."""
        name = {"commit": commit, "short": commit[:9]}.get(revision, revision)
        found = self.loaded(name)
        if found is None:
            assert revision != "commit" or commit not in self.whole or self.damaged
            return
        for filename, data in found.items():
            assert data == FILES[found.commit][filename]
        if revision == "commit" and commit in self.whole:
            assert found.keys() == FILES[commit].keys()

    def loaded(self, revision):
        session = Session(Settings(), _nobody, self.store)
        ref, purpose = ModelRef(repo=REPO, revision=revision), Purpose(uses=frozenset({"all"}))
        try:
            files = session.files(ref, purpose, mode=Mode.CACHE_ONLY)
            found = Loaded({name: files.path(name).read_bytes() for name in files.names()})
        except HubloaderError:
            return None
        finally:
            for each in COMMITS:  # as if the process that loaded had ended
                LEASES.drop(self.layout.snapshot(each))
        found.commit = files.commit
        return found

    @rule(commit=commits)
    def use(self, commit):
        self.store.mark_used(REPO, commit)

    @rule(pick=picks, name=st.sampled_from(["x", "y"]))
    def pin(self, pick, name):
        if not self.whole:
            return
        commit = one_of(sorted(self.whole), pick)
        self.store.set_ref(REPO, PIN_PREFIX + name, commit)
        self.pins[name] = commit

    @rule(pick=picks)
    def unpin(self, pick):
        if not self.pins:
            return
        name = one_of(sorted(self.pins), pick)
        os.unlink(self.layout.ref(PIN_PREFIX + name))
        del self.pins[name]

    @rule(
        max_size=st.sampled_from([None, 0, 3000, 20_000]),
        older=st.sampled_from([None, 0.0, DAY]),
        detached=st.booleans(),
        grace=st.sampled_from([3600.0, 0.0]),
    )
    def prune(self, max_size, older, detached, grace):
        report = scan(self.root)
        plan = choose(
            report, now=time.time() + self.clock, max_size=max_size, older_than=older,
            detached=detached, grace=grace,
        )  # fmt: skip
        result = carry_out(plan)
        gone = {removal.commit for removal in result.removed}
        assert not gone & set(self.pins.values())
        assert not result.kept
        self.whole -= gone
        assert scan(self.root).size <= report.size
        if max_size is not None and plan.left <= max_size and not self.damaged:
            stays = (left for repo in scan(self.root).repos for left in repo.leftovers)
            assert scan(self.root).size <= max_size + sum(left.size for left in stays)
        if not grace and self.clock >= 0:  # nobody downloads now: whatever is left over goes
            assert not [left for repo in scan(self.root).repos for left in repo.leftovers]

    @rule(commit=commits)
    def remove(self, commit):
        carry_out(choose_named(scan(self.root), [(REPO, commit)]))
        self.whole.discard(commit)
        self.pins = {name: pinned for name, pinned in self.pins.items() if pinned != commit}
        assert not os.path.exists(self.layout.snapshot(commit))

    @rule(mend=st.booleans())
    def verify(self, mend):
        def repair(wanted, _names):
            self.bring(wanted.commit, wanted.commit)

        report = audit_cache(self.store, repair=repair if mend else None)
        if not self.damaged:
            assert report.ok
        if mend:
            assert report.ok

    # what others do

    @rule(commit=commits, name=names)
    def huggingface_hub_writes(self, commit, name):
        """Its way: a writable blob, a relative link, no stamp and no listing."""
        data = FILES[commit][name]
        etag = entry(data, lfs=name == "sub/large").etag
        blob, pointer = self.layout.blob(etag), self.layout.pointer(commit, name)
        if os.path.lexists(blob) or os.path.lexists(pointer):
            return
        os.makedirs(os.path.dirname(blob), exist_ok=True)
        os.makedirs(os.path.dirname(pointer), exist_ok=True)
        Path(blob).write_bytes(data)
        os.symlink(os.path.relpath(blob, os.path.dirname(pointer)), pointer)

    # bad luck

    @rule(
        commit=commits,
        name=names,
        fault=st.sampled_from(["wrong", "zeros", "short", "long", "dropped"]),
    )
    def the_hub_is_at_fault(self, commit, name, fault):
        """Wrong bytes, too few, too many, or a connection that ends: an error, and no name."""
        store, wanted, data = self.store, listing(commit), FILES[commit][name]
        if store.inspect(wanted, [name])[name].blob:
            return
        sent = {
            "wrong": bytes([data[0] ^ 1]) + data[1:],
            "zeros": bytes(len(data)),
            "short": data[:-1],
            "long": data + b"!",
            "dropped": data[: len(data) // 2],
        }[fault]
        with (
            store.using(REPO, wanted),
            pytest.raises((IntegrityError, TransportError)),
            store.writer(REPO, wanted.entries[name], resume=False) as writer,
        ):
            writer.write(sent)
            if fault == "dropped":
                raise TransportError("the connection ended")
            writer.commit()
        assert not store.inspect(wanted, [name])[name].blob

    @rule(pick=picks)
    def the_disk_is_read_only(self, pick):
        """Everything cached loads, nothing is written, and a change says why it cannot be."""
        if not self.whole:
            return
        commit = one_of(sorted(self.whole), pick)
        with read_only(self.root):
            found = self.loaded(commit)
            assert found == FILES[commit] or self.damaged
            with pytest.raises(CacheReadOnly):
                self.store.set_ref(REPO, "new", commit)

    def blobs(self):
        return sorted(Path(self.layout.blobs).iterdir()) if os.path.isdir(self.layout.blobs) else []

    @rule(
        pick=picks,
        how=st.sampled_from(["flip", "cut", "empty", "gone", "folder", "loop", "junk"]),
    )
    def damage(self, pick, how):
        if not self.blobs():
            return
        blob = one_of(self.blobs(), pick)
        if blob.is_dir() or blob.is_symlink() or not blob.stat().st_size:
            return
        self.damaged = True
        self.whole.clear()
        data, before = blob.read_bytes(), blob.stat()
        blob.unlink()
        if how == "flip":
            at = pick % len(data)
            blob.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        elif how in {"cut", "empty"}:
            blob.write_bytes(data[: len(data) // 2] if how == "cut" else b"")
        elif how == "folder":
            blob.mkdir()
        elif how == "loop":
            blob.symlink_to(blob.name)
        elif how == "junk":
            blob.write_bytes(b"\0" * len(data))
        if blob.is_file():
            seen_as_another(blob, before)

    @rule(pick=picks, name=names)
    def delete_a_pointer(self, pick, name):
        if not self.whole:
            return
        commit = one_of(sorted(self.whole), pick)
        os.unlink(self.layout.pointer(commit, name))
        self.whole.discard(commit)

    @rule(text=st.sampled_from([b"", b"\n", b"\xff\xfe\x00", b"main", b"1" * 39]))
    def spoil_the_ref(self, text):
        ref = self.layout.ref("main")
        if os.path.exists(ref):
            self.damaged = True
            Path(ref).write_bytes(text)

    @rule(commit=commits, text=st.sampled_from([b"", b"{}", b'{"format_version": 1, "files": {}}']))
    def spoil_the_listing(self, commit, text):
        if os.path.exists(self.layout.tree(commit)):
            Path(self.layout.tree(commit)).write_bytes(text)

    @rule(commit=commits, name=names)
    def mark_as_absent(self, commit, name):
        """One wrong answer to another client."""
        if not os.path.isdir(self.layout.snapshots):
            return
        mark = Path(self.layout.absent_mark(commit, name))
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()

    @rule(
        commit=commits,
        number=st.integers(1, 60),
        what=st.sampled_from(["bring", "remove", "verify"]),
    )
    def killed_meanwhile(self, commit, number, what):
        work = {
            "bring": lambda: self.bring(commit),
            "remove": lambda: carry_out(choose_named(scan(self.root), [(REPO, commit)])),
            "verify": lambda: audit_cache(self.store),
        }[what]
        in_child(number, kill, work)
        if what == "remove":
            self.whole.discard(commit)
            self.pins = {n: p for n, p in self.pins.items() if p != commit or self.pin_is_there(n)}

    def pin_is_there(self, name):
        return os.path.exists(self.layout.ref(PIN_PREFIX + name))

    @rule(days=st.sampled_from([-1, 1, 30]))
    def the_clock_is_set(self, days):
        self.clock += days * DAY

    # what must hold

    @invariant()
    def a_load_is_right_or_an_error(self):
        if not hasattr(self, "root"):
            return
        store = self.store
        for commit in COMMITS:
            wanted = listing(commit)
            for name, data in FILES[commit].items():
                try:
                    state = store.inspect(wanted, [name])[name]
                    if state.pointer and not state.trusted and not store.verify_blob(wanted, name):
                        continue
                    if state.pointer:
                        assert store.path(wanted, name).read_bytes() == data
                except HubloaderError:
                    continue
            found = store.read_manifest(REPO, commit, commit)
            if found is not None and found.complete:
                assert found.entries == wanted.entries

    @invariant()
    def what_is_whole_stays_whole(self):
        for commit in getattr(self, "whole", ()):
            states = self.store.inspect(listing(commit), FILES[commit]).values()
            assert all(state.pointer and state.blob for state in states)

    @invariant()
    def huggingface_hub_has_nothing_to_warn_of(self):
        if hasattr(self, "root") and not self.damaged:
            assert scan_cache_dir(self.root).warnings == []


def test_whatever_happens_in_whatever_order(request):
    examples = request.config.getoption("--machine")
    with small_is_large():
        run_state_machine_as_test(
            CacheMachine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=30 if examples <= 200 else 50,
                deadline=None,
                database=None,
                derandomize=examples <= 200,  # the bounded run is the same each time
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_the_machine_notices_a_load_that_does_not_look(monkeypatch):
    """The proof proves something: with every content trusted, wrong bytes come through."""
    from hubloader.cache.lookup import Lookup

    monkeypatch.setattr(Lookup, "trusts", lambda *_: True)
    machine = CacheMachine()
    machine.begin(link_mode="symlink", durability="none")
    try:
        machine.fetch(commit=COMMITS[0], revision="main")
        machine.damage(pick=1, how="flip")
        with pytest.raises(AssertionError):
            machine.a_load_is_right_or_an_error()
    finally:
        machine.teardown()
