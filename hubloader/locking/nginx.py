"""Locked models as a static tree that a stock nginx serves as a Hub endpoint: no program of ours.

::

    DIR/nginx.conf          a whole configuration: nginx -p DIR -c nginx.conf
    DIR/site/content/<etag> contents
    DIR/site/answers/…      the Hub's JSON
    DIR/site/*.map          which path is which content, answer and commit

Unmodified clients find it with ``HF_ENDPOINT``: listing, downloads with ranges, refs, and the error
codes that they tell a missing file, revision and repository apart by. What is listed of a commit
are the locked files; nothing else can be had here. ``paths-info`` answers 501: what it asks for is
in a body, which a stock nginx does not read; downloads and loads do not need it. There is no
authentication: everybody who reaches it reads everything, gated models too.

Source: hub-facing headers as in ``hub/headers.py``; nginx 1.22 ``ngx_http_map_module``.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hubloader.errors import InvalidReference
from hubloader.hub.headers import ERROR_CODE, ERROR_MESSAGE, REPO_COMMIT
from hubloader.hub.urls import HubUrls
from hubloader.locking.drafts import replacing
from hubloader.locking.lockfile import write_text

if TYPE_CHECKING:
    from hubloader.locking.desk import Desk
    from hubloader.locking.values import Lock, LockedFile, LockedModel

__all__ = ["export_nginx"]

_CONFIG = """\
# Written by `hubloader export --format nginx`. Start it with
#     nginx -p DIR -c nginx.conf
# or take the http block into a configuration of your own.
worker_processes auto;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    etag off;
    types {{}}
    default_type application/octet-stream;
    map_hash_bucket_size {bucket};
    map_hash_max_size 65536;
    client_body_temp_path tmp/body;
    proxy_temp_path tmp/proxy;
    fastcgi_temp_path tmp/fastcgi;
    uwsgi_temp_path tmp/uwsgi;
    scgi_temp_path tmp/scgi;
    map $uri $hub_content {{ default ""; include site/content.map; }}
    map "$uri $arg_recursive" $hub_answer {{ default ""; include site/answers.map; }}
    map $uri $hub_commit {{ default ""; include site/commits.map; }}
    map $uri $hub_error {{ default RepoNotFound; include site/errors.map; }}
    map $hub_error $hub_status_text {{
        default "Repository not found";
        EntryNotFound "Entry not found";
        RevisionNotFound "Invalid rev id";
    }}
    server {{
        listen {listen};
        root site;
        location / {{
            # a map is read with the path as it is at first use: before it is rewritten
            set $wanted_commit $hub_commit;
            set $wanted_etag $hub_content;
            if ($hub_content) {{ rewrite ^ /content/$hub_content last; }}
            if ($hub_answer) {{ rewrite ^ /answers/$hub_answer last; }}
            return 404;
        }}
        # a stock nginx reads no bodies, and what is asked for is in the body
        location ~ ^/api/[a-z]+/.+/paths-info/ {{
            default_type application/json;
            add_header {message} "paths-info is not served here: list the tree" always;
            return 501 '{{"error": "paths-info is not served here: list the tree"}}';
        }}
        location /content/ {{
            internal;
            add_header {commit} $wanted_commit always;
            add_header ETag '"$wanted_etag"' always;
        }}
        location /answers/ {{
            internal;
            default_type application/json;
        }}
        error_page 404 @missing;
        location @missing {{
            add_header {code} $hub_error always;
            add_header {message} $hub_status_text always;
            add_header {commit} $hub_commit always;
            return 404;
        }}
    }}
}}
"""


@dataclass
class _Site:
    """What the maps will say."""

    contents: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    documents: list[str] = field(default_factory=list)

    def answer(self, path: str, document: Any, recursive: str = "") -> None:
        """Answer ``path``, asked with that ``recursive=``, with a JSON document."""
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        if text not in self.documents:
            self.documents.append(text)
        self.answers[f"{path} {recursive}"] = f"{self.documents.index(text)}.json"


def export_nginx(desk: Desk, lock: Lock, folder: str, *, listen: str = "8080") -> tuple[str, ...]:
    """Write the tree and the configuration; the files have to be in the cache.

    Args:
        desk: the cache.
        lock: what to serve.
        folder: where to; what is there already with the right size is left alone.
        listen: nginx's address or port.

    Returns:
        The endpoint's repositories.

    Raises:
        CacheMiss: files are not in the cache.
        IntegrityError: a cached file is bad.
        InvalidReference: nginx cannot listen on that, or cannot tell two names apart.

    """
    _check_listen(listen)
    site = _Site()
    content = os.path.join(folder, "site", "content")
    os.makedirs(content, exist_ok=True)
    os.makedirs(os.path.join(folder, "tmp"), exist_ok=True)
    for model in lock.models:
        paths = desk.bring(model.manifest, [file.path for file in model.files])
        for file in model.files:
            _place(os.fspath(paths[file.path]), os.path.join(content, file.entry.etag), file)
        for revision in dict.fromkeys((model.revision, str(model.commit))):
            _add_revision(site, model, revision)
    for model in lock.models:  # after all revisions: the first pattern that fits a path decides
        _add_repo(site, model, [m for m in lock.models if m.repo == model.repo])
    _write(site, folder, listen)
    return tuple(sorted({str(model.repo) for model in lock.models}))


def _place(source: str, target: str, file: LockedFile) -> None:
    from hubloader.locking.desk import sha256_of
    from hubloader.locking.plain import check_digest

    if os.path.isfile(target) and os.path.getsize(target) == file.size:
        return
    with replacing(target) as draft:
        shutil.copyfile(source, draft)
        check_digest(source, sha256_of(draft), file)
        os.chmod(draft, 0o644)


def _add_revision(site: _Site, model: LockedModel, revision: str) -> None:
    urls = HubUrls("")
    info = urls.info(model.repo, revision, blobs=False)
    tree = urls.tree(model.repo, revision).partition("?")[0]
    site.answer(_decoded(info), _info(model))
    files = [_tree_item(file) for file in model.files]
    for recursive in ("", "false", "0"):  # without case, as every key of a map
        site.answer(_decoded(tree), _top_level(files), recursive)
    for recursive in ("true", "1"):
        site.answer(_decoded(tree), files, recursive)
    some_file = urls.resolve(model.repo, revision, "x")
    base = _decoded(some_file).removesuffix("x")
    for file in model.files:
        site.contents[f"{base}{file.path}"] = file.entry.etag
    pattern = f"~^{_escaped(base)}"
    site.commits[pattern] = model.commit
    site.errors[pattern] = "EntryNotFound"
    site.commits[f"~^{_escaped(_decoded(tree))}/"] = model.commit
    site.errors[f"~^{_escaped(_decoded(tree))}/"] = "EntryNotFound"


def _add_repo(site: _Site, model: LockedModel, all_of_repo: list[LockedModel]) -> None:
    urls = HubUrls("")
    api = _decoded(urls.refs(model.repo)).partition("?")[0].removesuffix("/refs")
    branches = {m.revision: m.commit for m in all_of_repo if m.revision != m.commit}
    refs = [
        {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
        for name, commit in sorted(branches.items())
    ]
    site.answer(f"{api}/refs", {"branches": refs, "converts": [], "tags": []})
    site.answer(api, _info(model))
    base = _decoded(urls.resolve(model.repo, "main", "x")).partition("/resolve/")[0]
    for place in (f"{base}/resolve/", f"{api}/revision/", f"{api}/tree/"):
        site.errors.setdefault(f"~^{_escaped(place)}", "RevisionNotFound")


def _decoded(path: str) -> str:
    """A path as nginx's ``$uri`` has it: unescaped, with no query."""
    from urllib.parse import unquote

    return unquote(path.partition("?")[0])


def _escaped(path: str) -> str:
    import re

    return re.escape(path)


def _quoted(text: str) -> str:
    """A word of nginx's configuration: whatever a repository calls its files, it is one word."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _check_listen(listen: str) -> None:
    """Refuse what nginx could not listen on: it takes a port, or an address and a port.

    Raises:
        InvalidReference: it is none of them.

    """
    import re

    address, _, port = listen.rpartition(":")
    fits = re.fullmatch(r"[\w.-]*|\*|\[[0-9A-Fa-f:.]+\]", address) is not None
    if not (fits and re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
        raise InvalidReference(
            f"{listen!r} is nothing that nginx could listen on",
            hint="write a port, or address:port",
        )


def _info(model: LockedModel) -> dict[str, Any]:
    siblings = [
        {
            "rfilename": file.path,
            "size": file.size,
            "blobId": file.git_sha1 or file.sha256[:40],
            **({} if file.git_sha1 else {"lfs": _lfs(file, "sha256")}),
        }
        for file in model.files
    ]
    names = [name.strip() for name in model.license.split(",") if name.strip()]
    return {
        "id": str(model.repo),
        "modelId": str(model.repo),
        "sha": model.commit,
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [f"license:{name}" for name in names],
        "siblings": siblings,
    }


def _tree_item(file: LockedFile) -> dict[str, Any]:
    item = {
        "type": "file",
        "path": file.path,
        "size": file.size,
        "oid": file.git_sha1 or file.sha256[:40],
    }
    return item if file.git_sha1 else {**item, "lfs": _lfs(file, "oid")}


def _lfs(file: LockedFile, key: str) -> dict[str, Any]:
    return {key: file.sha256, "size": file.size, "pointerSize": 134}


def _top_level(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    folders = sorted({item["path"].split("/")[0] for item in files if "/" in item["path"]})
    listed = [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in folders]
    return listed + [item for item in files if "/" not in item["path"]]


def _write(site: _Site, folder: str, listen: str) -> None:
    names = {"commit": REPO_COMMIT, "code": ERROR_CODE, "message": ERROR_MESSAGE}
    tables = (site.contents, site.answers, site.commits, site.errors)
    longest = max((len(key.encode()) for table in tables for key in table), default=0)
    bucket = max(1024, 1 << (longest + 64).bit_length())  # one key with its pointers has to fit
    config = _CONFIG.format(listen=listen, bucket=bucket, **names)
    write_text(os.path.join(folder, "nginx.conf"), config)
    base = os.path.join(folder, "site")
    answers = os.path.join(base, "answers")
    os.makedirs(answers, exist_ok=True)
    for number, text in enumerate(site.documents):
        write_text(os.path.join(answers, f"{number}.json"), text)
    for name, table in zip(("content", "answers", "commits", "errors"), tables, strict=True):
        _refuse_same_names(table)
        lines = [f"{_quoted(key)} {_quoted(value)};\n" for key, value in table.items()]
        write_text(os.path.join(base, f"{name}.map"), "".join(lines))


def _refuse_same_names(table: dict[str, str]) -> None:
    """Refuse names that nginx cannot tell apart: its maps know no case."""
    seen: dict[str, str] = {}
    for key in table:
        other = seen.setdefault(key.lower(), key)
        if other != key and not key.startswith("~"):
            raise InvalidReference(
                f"nginx cannot tell {other!r} from {key!r}: they differ in case alone",
                hint="leave one of them out, or use `hubloader serve`",
            )
