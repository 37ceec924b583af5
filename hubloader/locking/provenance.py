"""What a lock proves to others: a cache key, a bill of materials, a signature. Pure, but for keys.

A signature is over the entries' identities: name, type, repository, commit and ``tree``, which is
the hash of every file. Who has the lock, the signature and the public key knows which bytes were
meant, whatever the Hub says. Keys are Ed25519 in PEM, handled by the ``cryptography`` package.

Source: CycloneDX 1.6 JSON (ECMA-424); package-url type ``huggingface``; RFC 8032 (Ed25519).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

from hubloader.errors import BackendUnavailable, CorruptFile, IntegrityError, NotFound

if TYPE_CHECKING:
    import os

    from hubloader.locking.values import Lock, LockedModel

__all__ = ["bill_of_materials", "cache_key", "sign_lock", "verify_signature"]

_LAYOUT = "1"  # of the cache: a cache key of another layout is another key
_SPDX = {
    "afl-3.0": "AFL-3.0",
    "apache-2.0": "Apache-2.0",
    "artistic-2.0": "Artistic-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0",
    "cc-by-sa-3.0": "CC-BY-SA-3.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cc0-1.0": "CC0-1.0",
    "gpl-3.0": "GPL-3.0-only",
    "isc": "ISC",
    "mit": "MIT",
    "mpl-2.0": "MPL-2.0",
    "unlicense": "Unlicense",
}  # the Hub's words for licences, in SPDX's; the others go by their name
_DATASET = {"model": "", "dataset": "datasets/", "space": "spaces/"}


def cache_key(lock: Lock) -> str:
    """A key for a CI's cache: the same as long as the same bytes are wanted at the same commits."""
    content = hashlib.sha256()
    for line in _identities(lock):
        content.update(line.encode())
    return f"hubloader-{_LAYOUT}-{content.hexdigest()[:32]}"


def _identities(lock: Lock) -> list[str]:
    return [
        f"{model.name} {model.repo.repo_type} {model.repo} {model.commit} {model.tree}\n"
        for model in lock.models
    ]


# a bill of materials


def bill_of_materials(lock: Lock, version: str) -> dict[str, Any]:
    """The lock as a CycloneDX 1.6 document; the same for the same lock.

    Args:
        lock: what is used.
        version: of hubloader, which made the document.

    """
    identity = hashlib.sha256("".join(_identities(lock)).encode()).hexdigest()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, identity)}",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [{"type": "application", "name": "hubloader", "version": version}]
            }
        },
        "components": [_component(model) for model in lock.models],
    }


def _component(model: LockedModel) -> dict[str, Any]:
    reference = f"pkg:huggingface/{model.repo}@{model.commit}"
    if model.repo.repo_type != "model":  # one id may be a model's and a dataset's
        reference += f"?repository_type={model.repo.repo_type}"
    component: dict[str, Any] = {
        "type": "machine-learning-model" if model.repo.repo_type == "model" else "data",
        "bom-ref": f"{model.name}:{reference}",
        "name": model.repo.name,
        "version": model.commit,
        "purl": reference,
        "hashes": [{"alg": "SHA-256", "content": model.tree.removeprefix("sha256:")}],
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://huggingface.co/{_DATASET[model.repo.repo_type]}{model.repo}"
                f"/tree/{model.commit}",
            }
        ],
        "properties": [
            {"name": "hubloader:entry", "value": model.name},
            {"name": "hubloader:revision", "value": model.revision},
            {"name": "hubloader:gated", "value": str(model.gated).lower()},
            *({"name": "hubloader:risk", "value": risk} for risk in model.risk),
        ],
        "components": [
            {
                "type": "file",
                "bom-ref": f"{model.name}:{reference}#{file.path}",
                "name": file.path,
                "hashes": [{"alg": "SHA-256", "content": file.sha256}],
            }
            for file in model.files
        ],
    }
    if model.repo.namespace is not None:
        component["group"] = model.repo.namespace
    names = [name.strip() for name in model.license.split(",") if name.strip()]
    if names:
        component["licenses"] = [{"license": _license(name)} for name in names]
    return component


def _license(name: str) -> dict[str, str]:
    return {"id": _SPDX[name]} if name in _SPDX else {"name": name}


# signatures


def sign_lock(lock: Lock, key_path: str | os.PathLike[str]) -> str:
    """Sign a lock with a private key, and return the text of the signature's file.

    Raises:
        NotFound: there is no such key.
        CorruptFile: it is no private Ed25519 key in PEM without a password.
        BackendUnavailable: the package is not installed.

    """
    keys, serialization = _library()
    private = _load(key_path, lambda data: serialization.load_pem_private_key(data, None))
    if not isinstance(private, keys.Ed25519PrivateKey):
        raise _bad_key(key_path, "a private Ed25519 key")
    document = {
        "version": 1,
        "algorithm": "ed25519",
        "key": _fingerprint(private.public_key(), serialization),
        "signature": base64.b64encode(private.sign(_payload(lock))).decode("ascii"),
    }
    return json.dumps(document, indent=1) + "\n"


def verify_signature(lock: Lock, text: str, key_path: str | os.PathLike[str]) -> None:
    """Check a signature with the public key.

    Args:
        lock: what was signed.
        text: of the signature's file.
        key_path: the public key.

    Raises:
        IntegrityError: it is not this key's signature of this lock.
        NotFound, CorruptFile, BackendUnavailable: as ``sign_lock``.

    """
    keys, serialization = _library()
    from cryptography.exceptions import InvalidSignature

    public = _load(key_path, serialization.load_pem_public_key)
    if not isinstance(public, keys.Ed25519PublicKey):
        raise _bad_key(key_path, "a public Ed25519 key")
    try:
        document = json.loads(text)
        signature = base64.b64decode(document["signature"], validate=True)
        public.verify(signature, _payload(lock))
    except (InvalidSignature, ValueError, KeyError, TypeError, binascii.Error):
        raise IntegrityError(
            "the lock's signature is not one of this key over these entries",
            expected=_fingerprint(public, serialization),
            hint="the lock was changed after it was signed, or another key signed it",
        ) from None


def _payload(lock: Lock) -> bytes:
    return ("hubloader lock 1\n" + "".join(_identities(lock))).encode()


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise BackendUnavailable(
            "signatures need the package cryptography, which is not installed",
            hint='run `pip install "hubloader[sign]"`',
        ) from error
    return ed25519, serialization


def _load(path: str | os.PathLike[str], read: Any) -> Any:
    try:
        with open(path, "rb") as file:
            data = file.read(64 * 1024)
    except FileNotFoundError:
        raise NotFound(f"there is no key {str(path)!r}", filename=str(path)) from None
    try:
        return read(data)
    except (ValueError, TypeError):
        raise _bad_key(path, "a key in PEM, without a password") from None


def _bad_key(path: str | os.PathLike[str], wanted: str) -> CorruptFile:
    return CorruptFile(
        f"{str(path)!r} is not {wanted}",
        hint="make one with `openssl genpkey -algorithm ed25519 -out key.pem`, and its public half "
        "with `openssl pkey -in key.pem -pubout`",
        filename=str(path),
    )


def _fingerprint(public: Any, serialization: Any) -> str:
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"
