from __future__ import annotations

from pathlib import Path

import pytest

from hubloader.errors import InvalidReference, NotFound
from hubloader.locking.project import (
    add_entry,
    find_lock,
    find_project,
    lock_path,
    parse_project,
    parse_size,
    remove_entry,
)
from hubloader.locking.values import ModelSpec
from hubloader.types import RepoId

TEXT = """\
# our models

[hub]
endpoint = "https://hub.example/"  # the mirror

[policy]
licenses = ["apache-2.0"]
deny = ["pickle"]
max-bytes = "2GB"
formats = ["safetensors", "bin"]

# the old one
[models.sentiment]
repo = "org/name"   # pinned by Ann
revision = "main"
for = ["torch", "tokenizer"]

[models."with.dot"]
repo = "org/data"
type = "dataset"
include = [
  "*.json",
  "[ab].txt",
]
"""


def test_everything_that_can_be_said_is_read():
    project = parse_project(TEXT)

    assert project.endpoint == "https://hub.example"
    assert project.policy.licenses == {"apache-2.0"}
    assert project.policy.deny == {"pickle"}
    assert project.policy.max_bytes == 2_000_000_000
    assert [spec.name for spec in project.specs] == ["sentiment", "with.dot"]
    sentiment, data = project.specs
    assert sentiment.uses == ("tokenizer", "torch")
    assert sentiment.formats == ("safetensors", "bin")
    assert (data.repo.repo_type, data.uses, data.revision) == ("dataset", (), "main")
    assert data.include == ("*.json", "[ab].txt")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[models.a]", "no repo"),
        ("[models.a]\nrepo = 'a/b/c'", "a/b/c"),
        ("[models.a]\nrepo = 'org/x'\nrevison = 'v1'", "did you mean 'revision'"),
        ("[models.a]\nrepo = 'org/x'\nrevision = 'a..b'", "a..b"),
        ("[models.a]\nrepo = 'org/x'\nfor = ['jax']", "jax"),
        ("[models.a]\nrepo = 'org/x'\nfor = 'torch'", "for of"),
        ("[models.a]\nrepo = 'org/x'\ntype = 'kernel'", "kernel"),
        ("[models.a]\nrepo = 3", "repo of"),
        ("[models.'a b']\nrepo = 'org/x'", "a b"),
        ("models = 3", "no table"),
        ("[model.a]\nrepo = 'org/x'", "did you mean 'models'"),
        ("[hub]\nendpoint = 'hub'", "http://"),
        ("[policy]\ndeny = ['gpl']", "gpl"),
        ("[policy]\nmax-bytes = 'much'", "much"),
        ("[models.a", "TOML"),
    ],
)
def test_what_cannot_be_meant_is_said_with_the_file(text, said):
    with pytest.raises(InvalidReference, match=said) as caught:
        parse_project(text, "some/models.toml")

    assert "some/models.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "bytes_"),
    [(5, 5), ("5", 5), ("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("10k", 10_000), ("7B", 7)],
)
def test_sizes_are_read(given, bytes_):
    assert parse_size(given) == bytes_


def test_an_entry_is_added_below_and_nothing_else_changes():
    spec = ModelSpec("new", RepoId.parse("org/new"), "v1", ("numpy",))

    changed = add_entry(TEXT, spec)

    assert changed == TEXT + (
        '\n[models.new]\nrepo = "org/new"\nrevision = "v1"\nfor = ["numpy"]\n'
    )
    read = parse_project(changed).spec("new")
    assert (read.revision, read.uses) == ("v1", ("numpy",))


def test_an_entry_is_added_to_an_empty_file_and_replaced():
    first = add_entry("", ModelSpec("a", RepoId.parse("org/one")))
    second = add_entry(first, ModelSpec("a", RepoId.parse("org/two")))

    assert first.startswith("[models.a]\n")
    assert str(parse_project(second).spec("a").repo) == "org/two"
    assert second.count("[models.a]") == 1


def test_an_entry_is_taken_out_with_its_comment_and_the_rest_stays():
    changed = remove_entry(TEXT, "sentiment")

    assert "# the old one" not in changed
    assert changed.startswith("# our models\n\n[hub]\n")
    assert "# the mirror" in changed
    assert [spec.name for spec in parse_project(changed).specs] == ["with.dot"]
    assert remove_entry(changed, "with.dot").endswith('formats = ["safetensors", "bin"]\n')


def test_the_comment_at_the_top_of_the_file_stays():
    assert remove_entry("# ours\n[models.a]\nrepo = 'o/a'\n", "a") == "# ours\n"


def test_what_cannot_be_edited_is_left_alone():
    inline = "models = { a = { repo = 'org/a' } }\n"

    with pytest.raises(InvalidReference, match="by hand"):
        remove_entry(inline, "a")
    with pytest.raises(InvalidReference):
        add_entry(inline, ModelSpec("b", RepoId.parse("org/b")))
    with pytest.raises(NotFound, match="no model 'x'"):
        remove_entry(TEXT, "x")


def test_a_table_of_pyproject_may_stand_in():
    text = "[project]\nname = 'x'\n\n[tool.hubloader.models.a]\nrepo = 'org/a'\n"

    changed = add_entry(text, ModelSpec("b", RepoId.parse("org/b")), "pyproject.toml")

    assert [spec.name for spec in parse_project(changed, "pyproject.toml").specs] == ["a", "b"]
    assert "[tool.hubloader.models.b]" in changed
    removed = remove_entry(changed, "a", "pyproject.toml")
    assert [spec.name for spec in parse_project(removed, "pyproject.toml").specs] == ["b"]
    assert lock_path("/x/pyproject.toml") == "/x/models.lock"


def test_the_nearest_project_is_found_upwards(tmp_path: Path):
    deep = tmp_path / "a/b"
    deep.mkdir(parents=True)
    with pytest.raises(NotFound, match="hubloader init"):
        find_project(deep)
    with pytest.raises(NotFound, match="hubloader lock"):
        find_lock(deep)
    (tmp_path / "models.toml").write_text("")
    (tmp_path / "models.lock").write_text("")
    (tmp_path / "a/pyproject.toml").write_text("[project]\nname = 'x'\n")

    assert find_project(deep) == str(tmp_path / "models.toml")
    assert find_lock(deep) == str(tmp_path / "models.lock")
    (tmp_path / "a/pyproject.toml").write_text("[tool.hubloader.models.a]\nrepo = 'o/a'\n")
    assert find_project(deep) == str(tmp_path / "a/pyproject.toml")
