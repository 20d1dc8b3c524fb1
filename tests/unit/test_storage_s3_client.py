"""The S3 client: it knows less than botocore's own, and what it knows is the same."""

from typing import Any

import botocore.session
import pytest

from app.storage.s3 import S3Place, _smart_open
from app.storage.s3_client import _CALLS, _Files, make_client

_REGIONS = ("us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1")


def ours(**place: Any) -> Any:
    given = {"region": "eu-central-1", "access_key_id": "k", "secret_access_key": "s", **place}
    return make_client(S3Place("bucket", **given))


def botocores(region: str = "eu-central-1") -> Any:
    return botocore.session.Session().create_client(
        "s3", region_name=region, aws_access_key_id="k", aws_secret_access_key="s"
    )


def test_it_knows_what_is_called_and_nothing_else() -> None:
    assert set(ours().meta.service_model.operation_names) == _CALLS


@pytest.mark.parametrize("call", sorted(_CALLS))
def test_a_call_is_described_as_botocore_does(call: str) -> None:
    given = ours().meta.service_model.operation_model(call)
    whole = botocores().meta.service_model.operation_model(call)
    assert given.http == whole.http
    for mine, theirs in ((given.input_shape, whole.input_shape), (given.output_shape, whole.output_shape)):
        assert _members(mine) == _members(theirs)


def _members(shape: Any) -> dict[str, Any]:
    if shape is None:
        return {}
    return {name: (each.type_name, each.serialization) for name, each in shape.members.items()}


@pytest.mark.parametrize("region", _REGIONS)
def test_a_bucket_is_looked_for_where_botocore_looks(region: str) -> None:
    given, whole = ours(region=region), botocores(region)
    assert given.meta.endpoint_url == whole.meta.endpoint_url
    call = {"Params": {"Bucket": "bucket", "Key": "a/b"}}
    [mine, theirs] = [client.generate_presigned_url("get_object", **call).split("?")[0] for client in (given, whole)]
    assert mine == theirs


@pytest.mark.parametrize("service", ["sts", "sso", "sso-oidc"])
def test_services_that_give_credentials_can_still_be_asked(service: str) -> None:
    session = botocore.session.Session()
    whole = botocore.session.Session().create_client(service, region_name="eu-central-1")
    session.get_component("data_loader").file_loader = _Files()
    client = session.create_client(service, region_name="eu-central-1")
    assert client.meta.endpoint_url == whole.meta.endpoint_url
    assert client.meta.service_model.operation_names == whole.meta.service_model.operation_names


def test_smart_open_leaves_trying_again_to_the_client() -> None:
    assert (_smart_open().RETRY.exceptions, _smart_open().RETRY.client_error_codes) == ([], [])
