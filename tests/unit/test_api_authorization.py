import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.authorization import parse
from app.errors import UnauthorizedError

SECRETS = st.text("abcXYZ019+/=._-", min_size=1, max_size=60)
NAMES = st.sampled_from(
    [("User", "Organization", "Element"), ("user", "organization", "element"), ("USER", "ORGANIZATION", "ELEMENT")]
)


@given(SECRETS, SECRETS, SECRETS, NAMES, st.permutations([0, 1, 2]), st.sampled_from([", ", ",", " , "]))
def test_parts_are_read_in_any_order_and_case(
    user: str, organisation: str, element: str, names: tuple[str, str, str], order: list[int], joint: str
) -> None:
    parts = [f"{name} {secret}" for name, secret in zip(names, (user, organisation, element), strict=True)]

    found = parse(joint.join(parts[place] for place in order))

    assert (found.user, found.organisation, found.element) == (user, organisation, element)


def test_organization_may_be_left_out() -> None:
    found = parse("Element t+o/k==, User s=")

    assert (found.user, found.organisation, found.element) == ("s=", None, "t+o/k==")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "User",
        "User ",
        "Bearer abc",
        "Basic dXNlcjpwYXNz",
        "User a, User b",
        "Organization a",
        "User a b",
        "User a,",
        "User a; Element b",
        "User a, Account b",
    ],
)
def test_anything_else_is_refused(header: str | None) -> None:
    with pytest.raises(UnauthorizedError, match="Authorization"):
        parse(header)


@given(st.text(max_size=200))
def test_no_header_breaks_the_reader_or_is_told_back(header: str) -> None:
    try:
        parse(header)
    except UnauthorizedError as error:
        assert len(header) < 20 or header not in error.message  # noqa: PT017 - either way is fine
