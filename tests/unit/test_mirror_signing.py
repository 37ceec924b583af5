from __future__ import annotations

import pytest

from hubloader.mirror.signing import LIFETIME, Signer

DIGEST = "ab" * 32


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def opened(signer: Signer, address: str) -> str | None:
    path, _, query = address.partition("?")
    return signer.digest(path, query)


def test_a_signed_address_opens_its_content() -> None:
    signer = Signer(b"secret", Clock())

    assert opened(signer, signer.path(DIGEST)) == DIGEST


def test_it_expires() -> None:
    clock = Clock()
    signer = Signer(b"secret", clock)
    address = signer.path(DIGEST)

    clock.now += LIFETIME
    assert opened(signer, address) == DIGEST

    clock.now += 1
    assert opened(signer, address) is None


def test_a_signature_of_another_server_opens_nothing() -> None:
    address = Signer(b"other", Clock()).path(DIGEST)

    assert opened(Signer(b"secret", Clock()), address) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (DIGEST, "cd" * 32),
        ("expires=", "expires=9"),
        ("/content/", "/elsewhere/"),
        ("signature=", "signature=0"),
        ("&signature", "&x"),
        ("expires=", "expires=-"),
        ("expires=", "expires=²"),
        (DIGEST, "../../etc/passwd"),
    ],
)
def test_an_altered_address_opens_nothing(old: str, new: str) -> None:
    signer = Signer(b"secret", Clock())
    address = signer.path(DIGEST)
    assert old in address

    assert opened(signer, address.replace(old, new)) is None
