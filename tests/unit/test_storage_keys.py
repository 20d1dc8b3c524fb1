from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bootstrap import make_store
from app.config import Settings
from app.domain.segments import job_prefix, segment_key
from app.errors import ConfigError, StorageError
from app.storage.azure import AzureStore
from app.storage.files import FileStore
from app.storage.gcs import GcsStore
from app.storage.keys import checked_key, checked_prefix
from app.storage.objects import ObjectStore, folder_prefix
from app.storage.s3 import S3Store, s3_place

HOSTILE = [
    "",
    "/",
    "/etc/passwd",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/..",
    "a/./b",
    ".hidden",
    "a/.part",
    "~",
    "~root/a",
    "a\\b",
    "..\\a",
    "a\0b",
    "a\nb",
    "a\rb",
    "a\x7fb",
    "a\x1b[2Jb",
    "a\u2028b",
    "a\u202eb",
    "a\ud800",
    "%2e%2e/a",
    "a/%2E%2E/b",
    "%2fetc",
    "a%5cb",
    "a%00b",
    "a%0ab",
    "x" * 201,
    "a/" * 511 + "abc",
]


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_key_is_refused_with_its_name(key: str) -> None:
    with pytest.raises(StorageError, match="refused"):
        checked_key(key)


@pytest.mark.parametrize(
    "key", ["a", "jobs/1/1/0/00000000-1-ab.jsonl", "results/Köln 2026.csv", "a/50%.csv", "a..b/c...", "a=b"]
)
def test_ordinary_key_is_accepted(key: str) -> None:
    assert checked_key(key) == key


def test_own_keys_and_prefixes_are_accepted() -> None:
    assert checked_key(segment_key(12, 1, 0, 3, 4, "ab"))
    assert checked_prefix(job_prefix(12)) == folder_prefix(job_prefix(12)) == "jobs/12/"
    assert checked_prefix("") == ""


@given(key=st.text(min_size=1, max_size=30))
def test_accepted_keys_stay_below_the_root(key: str) -> None:
    try:
        checked_key(key)
    except StorageError:
        return
    assert all(name not in {"", ".", ".."} for name in key.split("/"))
    assert not key.startswith("/")
    assert "\0" not in key


@pytest.mark.parametrize("prefix", ["", "/", "jobs/1", "jobs"])
def test_only_a_folder_may_be_deleted_as_a_whole(prefix: str) -> None:
    with pytest.raises(StorageError, match="folder"):
        folder_prefix(prefix)


@pytest.mark.parametrize(
    "url", ["", "/tmp/x", "gcs://bucket", "http://host/x", "file://host/x", "file:x", "file:///a%00b", "file:///x?y=1"]
)
def test_url_of_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="STORAGE_URL"):
        ObjectStore.from_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///a",
        "s3://key:secret@bucket/a",
        "s3://bucket/../a",
        "s3://bucket/a?acl=public",
        "s3://bucket/?access_key_id=a",
        "s3://bucket/?region",
        "s3://bucket/?endpoint_url=ftp://host",
        "gs://",
        "gs://key:secret@bucket/a",
        "gs://bucket/?service_account={}",
        "gs://bucket/?endpoint_url=http://key:secret@host",
        "azure://container",
        "azure://container?account_url=account",
        "azure://container?account_url=http://account",
        "azure://container?account_url=https://account?sig=secret",
        "azure://container?account_url=https://account&sas_token=secret",
        "azure://container?account_url=https://account&account_key=secret",
    ],
)
def test_url_of_no_bucket_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(ConfigError, match="STORAGE_URL") as caught:
        ObjectStore.from_url(url)
    assert "secret" not in str(caught.value)


def test_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="colour"):
        s3_place("s3://bucket", {"colour": "red"})


def test_url_names_place_and_endpoint_and_options_win() -> None:
    url = "s3://bucket/some/prefix/?endpoint_url=http://127.0.0.1:9000&region=eu-central-1"
    place = s3_place(url, {"region": "us-east-1", "access_key_id": "a"})
    assert (place.bucket, place.prefix, place.endpoint_url) == ("bucket", "some/prefix/", "http://127.0.0.1:9000")
    assert (place.region, place.access_key_id) == ("us-east-1", "a")


def test_store_kinds_by_scheme() -> None:
    assert isinstance(ObjectStore.from_url("file:///some/folder"), FileStore)
    store = ObjectStore.from_url("s3://bucket/a", {"secret_access_key": "hidden"})
    assert isinstance(store, S3Store)
    assert store.url == "s3://bucket/a/"
    assert "hidden" not in repr(store.place)
    store = ObjectStore.from_url("gs://bucket/a", {"service_account": "hidden"})
    assert isinstance(store, GcsStore)
    assert store.url == "gs://bucket/a/"
    assert "hidden" not in repr(store.place)
    for name in ("account_key", "sas_token"):
        store = ObjectStore.from_url("azure://container/a?account_url=https://account", {name: "hidden"})
        assert isinstance(store, AzureStore)
        assert store.url == "azure://container/a/"
        assert "hidden" not in repr(store.place)


def test_an_azure_account_is_named_once() -> None:
    connection = {"connection_string": "AccountName=a;AccountKey=hidden"}
    assert isinstance(ObjectStore.from_url("azure://container", connection), AzureStore)
    for url, options in (
        ("azure://container?account_url=https://account", connection),
        ("azure://container?account_url=https://account", {"account_key": "hidden", "sas_token": "hidden"}),
    ):
        with pytest.raises(ConfigError) as caught:
            ObjectStore.from_url(url, options)
        assert "hidden" not in str(caught.value)


def test_the_settings_give_azure_its_account_and_no_other_store() -> None:
    settings = Settings(storage_url="azure://container/a", azure_connection_string="AccountName=a;AccountKey=hidden")
    store = make_store(settings)
    assert isinstance(store, AzureStore)
    assert store.place.connection_string == settings.azure_connection_string
    assert isinstance(make_store(replace(settings, storage_url="s3://bucket")), S3Store)
