"""A config that names code, here or in another repository, gets none of it run and none fetched.

Every config comes from a Hub, with a Python file beside it that leaves a mark when it runs, and a
second repository that the config points to. A known ``model_type`` loads the class that is built
in; an unknown one is refused.
"""

from __future__ import annotations

import json
import shutil

import pytest

import hubloader
from hubloader.errors import RemoteCodeRefused
from hubloader.mirror import MirrorServer

NAME, OTHER = "fixtures/victim", "evil/repo"
AUTO_MAP = {
    "AutoConfig": "modeling.Config",
    "AutoModel": "modeling.Model",
    "AutoModelForSequenceClassification": f"{OTHER}--modeling.Model",
}
KNOWN = {
    "auto_map": {"auto_map": AUTO_MAP},
    "nested config": {"text_config": {"model_type": "x", "auto_map": AUTO_MAP}},
    "internal attention": {"_attn_implementation_internal": OTHER},
    "attention": {"attn_implementation": OTHER, "_attn_implementation": OTHER},
    "trust in the config": {"trust_remote_code": True, "auto_map": AUTO_MAP},
    "another repository": {"_name_or_path": OTHER, "name_or_path": OTHER, "base_model": OTHER},
    "class of another module": {"architectures": ["os.system", "modeling.Model"]},
}
UNKNOWN = {
    "auto_map": {"auto_map": AUTO_MAP},
    "trust in the config": {"auto_map": AUTO_MAP, "trust_remote_code": True},
}
FACADES = [
    "NpAutoModelForSequenceClassification",
    "NpAutoModel",
    pytest.param("AutoModelForSequenceClassification", marks=pytest.mark.torch),
]


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "it-ran"


@pytest.fixture
def hub(fixture_hub, tmp_path, mark, monkeypatch):
    """A Hub with the victim, whose config a test completes, and the repository it points to."""
    root = tmp_path / "hub"
    shutil.copytree(fixture_hub / "fixtures" / "bert-tiny-sentiment", root / NAME)
    shutil.copytree(root / NAME, root / OTHER)
    code = f"open({str(mark)!r}, 'w')\n"
    for repository in (NAME, OTHER):
        (root / repository / "modeling.py").write_text(code)
        (root / repository / "__init__.py").write_text(code)
    with MirrorServer(root, record=True) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.folder = root / NAME
        yield server


def configure(hub, values):
    path = hub.folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def asked_elsewhere(hub):
    """Requests for another repository, or for Python."""
    paths = [request.path for request in hub.requests]
    return [path for path in paths if OTHER in path or path.endswith(".py")]


@pytest.mark.parametrize("facade", FACADES)
@pytest.mark.parametrize("values", KNOWN.values(), ids=KNOWN)
def test_a_known_type_loads_the_class_that_is_built_in(hub, mark, values, facade):
    if not facade.startswith("Np"):
        pytest.importorskip("torch")
    configure(hub, values)

    model = getattr(hubloader, facade).from_pretrained(NAME)

    assert type(model).__name__.removeprefix("Np").startswith("Bert")
    assert not mark.exists()
    assert asked_elsewhere(hub) == []


@pytest.mark.parametrize("values", KNOWN.values(), ids=KNOWN)
def test_what_names_code_is_not_saved_again(hub, values, tmp_path):
    configure(hub, values)

    hubloader.NpAutoModelForSequenceClassification.from_pretrained(NAME).save_pretrained(tmp_path)

    saved = json.loads((tmp_path / "config.json").read_text())
    assert not [key for key in saved if key.startswith("_")]
    assert not {"auto_map", "trust_remote_code", "attn_implementation"} & saved.keys()
    assert saved["architectures"] == ["BertForSequenceClassification"]


@pytest.mark.parametrize("load", ["AutoConfig", "NpAutoModel", "AutoModel", "AutoTokenizer"])
@pytest.mark.parametrize("values", UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_type_that_brings_code_is_refused(hub, mark, values, load):
    configure(hub, {**values, "model_type": "weathernet"})
    if load == "AutoTokenizer":  # its own config names its class; the code is not needed
        hubloader.AutoTokenizer.from_pretrained(NAME)
    else:
        with pytest.raises(RemoteCodeRefused):
            getattr(hubloader, load).from_pretrained(NAME)

    assert not mark.exists()
    assert asked_elsewhere(hub) == []
