"""One tokenizer among threads, processes, copies and pickles."""

import copy
import multiprocessing
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hubloader.auto.tokenizer import AutoTokenizer
from hubloader.errors import CorruptFile
from hubloader.tokenizers.engine import Engine
from hubloader.tokenizers.tokenizer import Tokenizer

HUB = Path(__file__).resolve().parents[2] / "cache_fixtures" / "hub"
CHECKPOINT = HUB / "distilbert" / "distilbert-base-uncased-finetuned-sst-2-english"
TEXTS = ["we are very happy to show you the library", "we hope you don't hate it", "a"]


@pytest.fixture
def tokenizer():
    return AutoTokenizer.from_pretrained(CHECKPOINT)


def lengths_in_child(tokenizer):
    return [len(row) for row in tokenizer(TEXTS * 50, truncation=True, max_length=5)["input_ids"]]


def test_settings_of_one_threads_call_never_reach_anothers(tokenizer):
    calls = [
        {},
        {"padding": True},
        {"padding": "max_length", "max_length": 20, "padding_side": "left"},
        {"split_special_tokens": True},
        *({"truncation": True, "max_length": n} for n in range(3, 9)),
    ]
    alone = [tokenizer(TEXTS, **arguments).data for arguments in calls]
    start = threading.Barrier(8)

    def work(number):
        start.wait()
        for turn in range(40):
            chosen = (number + turn) % len(calls)
            assert tokenizer(TEXTS, **calls[chosen]).data == alone[chosen]

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, number) for number in range(8)]:
            done.result()


def test_adding_tokens_disturbs_no_call_that_is_running(tokenizer):
    before = tokenizer(TEXTS)["input_ids"]
    stop = threading.Event()

    def work():
        while not stop.is_set():
            assert tokenizer(TEXTS)["input_ids"] == before
        return True

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(work) for _ in range(4)]
        for number in range(20):
            tokenizer.add_tokens([f"<extra{number}>"])
        stop.set()
        assert all(done.result() for done in running)
    assert len(tokenizer) == tokenizer.vocab_size + 20


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_is_the_same_and_goes_its_own_way(tokenizer, duplicate):
    tokenizer.add_tokens(["<extra>"])
    tokenizer.pad_token = "[MASK]"
    twin = duplicate(tokenizer)
    assert type(twin) is type(tokenizer)
    assert (
        twin([*TEXTS, "<extra>"], padding=True).data
        == tokenizer([*TEXTS, "<extra>"], padding=True).data
    )
    assert repr(twin) == repr(tokenizer)
    twin.add_tokens(["<more>"])
    assert len(twin) == len(tokenizer) + 1


def test_a_tokenizer_made_from_files_pickles_without_the_auto_layer(tokenizer):
    plain = Tokenizer(copy.deepcopy(tokenizer).backend_tokenizer, tokenizer.kind)
    assert pickle.loads(pickle.dumps(plain))(TEXTS).data == plain(TEXTS).data


def test_a_damaged_pickle_is_our_own_error():
    with pytest.raises(CorruptFile, match="the pickled tokenizer"):
        Engine.__new__(Engine).__setstate__({"json": "{"})


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_use_it(tokenizer, method):
    expected = lengths_in_child(tokenizer)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(lengths_in_child, [tokenizer] * 2) == [expected] * 2


def test_a_fork_after_a_parallel_call_works_and_says_nothing():
    code = (
        "import os\n"
        "from hubloader.auto.tokenizer import AutoTokenizer\n"
        f"tokenizer = AutoTokenizer.from_pretrained({str(CHECKPOINT)!r})\n"
        "texts = ['hello there'] * 2000\n"
        "expected = tokenizer(texts).data\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os._exit(0 if tokenizer(texts).data == expected else 3)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
        "assert tokenizer(texts).data == expected\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.torch
def test_workers_of_a_data_loader_use_it_to_collate(tokenizer):
    torch = pytest.importorskip("torch")

    def collate(rows):
        return tokenizer.pad([tokenizer(row) for row in rows], return_tensors="pt")

    loader = torch.utils.data.DataLoader(
        TEXTS, batch_size=3, num_workers=1, collate_fn=collate, multiprocessing_context="fork"
    )
    (batch,) = list(loader)
    assert batch["input_ids"].tolist() == tokenizer(TEXTS, padding=True)["input_ids"]
