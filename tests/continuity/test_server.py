"""Where a store is, and what its errors mean."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ipmasq.continuity.lease import Lease
from ipmasq.continuity.server import (
    OPTIONS,
    TLS,
    Address,
    DeniedError,
    SilentError,
    UselessError,
    connector,
    told,
)
from tests.continuity.stores import SERVER, Store, wait_until


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://store", "begins with none of"),
        ("redis://", "names no host"),
        ("redis://store:x", "Port"),
        ("unix://", "names no socket"),
        ("redis+sentinel://one,two", "names no primary"),
        ("rediss://store?ssl_ca_cert=/x", "an option that is none of .*, ssl_ca_certs,"),
        ("redis://store?ssl_ca_certs=/x", "TLS, which needs rediss://"),
    ],
)
def test_a_url_that_names_no_store_is_refused(url: str, message: str):
    with pytest.raises(ValueError, match=message):
        Address.parse(url)


def test_a_url_is_shown_without_its_password():
    assert Address.parse("rediss://user:secret@store:6380/1?db=1").shown == "rediss://store:6380/1"


@pytest.mark.parametrize("option", OPTIONS)
def test_the_library_knows_every_option_that_is_accepted(option: str):
    scheme = "rediss" if option in TLS else "redis"
    value = "none" if option == "ssl_cert_reqs" else "1"
    client = connector(Address.parse(f"{scheme}://store?{option}={value}"))(1.0)
    assert client.connection_pool.make_connection() is not None


def test_sentinels_and_the_primary_are_found_in_the_url():
    found = Address.parse("redis+sentinel://:pw@one:1,two/main")
    assert found.sentinels == (("one", 1), ("two", 26379))
    assert found.service == "main"
    assert found.shown == "redis+sentinel://one:1,two/main"


def error_of(url: str, patience: float = 0.2) -> Exception:
    with pytest.raises(Exception, match=r".*") as caught:
        connector(Address.parse(url))(patience).ping()
    return told(caught.value)


def test_a_machine_that_says_there_is_no_store_is_not_silent(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # it does not listen
        assert isinstance(error_of(f"redis://127.0.0.1:{taken.getsockname()[1]}"), UselessError)


def test_a_server_that_does_not_answer_is_silent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert isinstance(error_of(f"redis://127.0.0.1:{server.getsockname()[1]}"), SilentError)


def test_a_store_that_refuses_a_command_is_useless(store: Store):
    client = store.client()
    client.set("text", "x")
    with pytest.raises(Exception, match="WRONGTYPE") as caught:
        client.xlen("text")
    assert isinstance(told(caught.value), UselessError)


def test_what_was_to_be_written_is_not_told(store: Store):
    client = store.client()
    client.set("text", "x")
    pipeline = client.pipeline(transaction=False)
    pipeline.xadd("text", {"e": b"PASS\nsecret"})
    with pytest.raises(Exception, match="secret") as caught:
        pipeline.execute()
    assert str(told(caught.value)).startswith("the store: WRONGTYPE ")


def test_a_wrong_password_is_told(store: Store):
    store.client().config_set("requirepass", "secret")
    error = error_of(store.url)
    assert isinstance(error, DeniedError)
    assert "uthentication" in str(error)


# -- as operators protect a store


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    made, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=store",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(made),
        ],
        check=True,
        capture_output=True,
    )
    return made, key


@pytest.fixture
def protected(tmp_path: Path) -> Iterator[tuple[Store, int, Path]]:
    """A store that speaks TLS at a port, and has a user with a password; its certificate."""
    if SERVER is None:
        pytest.skip("there is no redis-server")
    made, key = certificate(tmp_path)
    port = free_port()
    options = ("--tls-port", str(port), "--bind", "127.0.0.1", "--tls-auth-clients", "no")
    files = (
        "--tls-cert-file",
        str(made),
        "--tls-key-file",
        str(key),
        "--tls-ca-cert-file",
        str(made),
    )
    user = ("--user", "gateway", "on", ">s/e?cret", "~ipmasq:*", "+@all")
    store = Store(tmp_path, *options, *files, *user)
    store.start()
    yield store, port, made
    store.stop()


def test_a_store_is_used_by_tls_with_a_user_and_a_password(
    protected: tuple[Store, int, Path],
) -> None:
    _, port, made = protected
    url = f"rediss://gateway:s%2Fe%3Fcret@127.0.0.1:{port}?ssl_ca_certs={made}"
    client = connector(Address.parse(url))(2.0)
    lease = Lease(client, "office", "one")
    assert lease.acquire(0).held
    assert client.acl_whoami() == "gateway"


def test_a_store_with_a_strange_certificate_is_not_used(protected: tuple[Store, int, Path]) -> None:
    _, port, _ = protected
    error = error_of(f"rediss://gateway:s%2Fe%3Fcret@127.0.0.1:{port}", 2.0)
    assert "certificate" in str(error)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A primary with a password, and a Sentinel that knows it as `main`; their ports."""
    if SERVER is None:
        pytest.skip("there is no redis-server")
    primary, sentinel = free_port(), free_port()
    store = Store(tmp_path, "--port", str(primary), "--bind", "127.0.0.1", "--requirepass", "pw")
    file = tmp_path / "sentinel.conf"
    file.write_text(
        f"port {sentinel}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {primary} 1\n"
        "sentinel auth-pass main pw\n"
    )
    process = subprocess.Popen([SERVER, str(file), "--sentinel"], stdout=subprocess.DEVNULL)
    store.password = "pw"
    try:
        store.start()
        yield primary, sentinel
    finally:
        store.stop()
        process.kill()
        process.wait()


def test_the_primary_that_a_sentinel_names_is_used_with_its_password(
    watched: tuple[int, int],
) -> None:
    primary, sentinel = watched
    url = f"redis+sentinel://:pw@127.0.0.1:{free_port()},127.0.0.1:{sentinel}/main"

    def used() -> bool:
        try:
            client = connector(Address.parse(url))(1.0)
            return bool(client.config_get("port")["port"] == str(primary))
        except redis.RedisError:
            return False

    wait_until(used)
    assert Lease(connector(Address.parse(url))(1.0), "office", "one").acquire(0).held
    wrong = url.replace(":pw@", ":no@")
    assert isinstance(error_of(wrong, 1.0), DeniedError)
