"""The format reference says what is true: its examples load, and its tables name what the schema accepts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from app.cli import main, probe_connector
from app.connectors.allowances import LOWERING
from app.connectors.date_schema import DateSchema, SlicesSchema
from app.connectors.fields import StrictSchema
from app.connectors.limit_schema import BudgetHeadersSchema, LimitsSchema, QuotaSchema, WindowSchema
from app.connectors.model import AuthKind, PageKind, WhereKind
from app.connectors.page_schema import KIND_FIELDS, PageSchema
from app.connectors.registry import parse_document
from app.connectors.schema import ConnectorSchema, ListSchema
from app.connectors.spec import load_connector
from app.connectors.templates import FILTERS
from app.connectors.where_schema import KIND_KEYS, KIND_OPERATORS, WhereFieldSchema, WhereSchema
from app.connectors.write_model import BodyForm, FieldType, Meaning
from app.connectors.write_schema import (
    BatchSchema,
    CsrfSchema,
    LookUpSchema,
    VerdictSchema,
    WriteSchema,
    WritesSchema,
)

TEXT = (Path(__file__).parents[2] / "docs" / "connectors.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
WORDS = set(re.findall(r"[a-z0-9_*]+", " ".join(re.findall(r"`([^`\n]+)`", TEXT))))


def table_rows(section: str) -> dict[str, str]:
    """First cell -> rest of the row, of the section's tables."""
    text = TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", text, re.MULTILINE))


@pytest.mark.parametrize("example", EXAMPLES, ids=["smallest", "everything"])
def test_the_examples_load(example: str) -> None:
    load_connector(parse_document(example))


@pytest.mark.parametrize("example", EXAMPLES, ids=["smallest", "everything"])
def test_the_examples_are_printed_as_json(example: str, tmp_path: Path) -> None:
    (tmp_path / "vendor.yaml").write_text(example)
    result = CliRunner().invoke(main, ["connector", "json", str(tmp_path / "vendor.yaml")])
    assert json.loads(result.output) == parse_document(example)


def test_a_connector_that_is_not_valid_is_not_printed(tmp_path: Path) -> None:
    (tmp_path / "vendor.yaml").write_text("format: 1\nkey: pets\n")
    result = CliRunner().invoke(main, ["connector", "json", str(tmp_path / "vendor.yaml")])
    assert result.exit_code == 1
    assert "/base_url: is required" in result.output


def test_the_full_example_shows_every_section() -> None:
    accepted = {field.data_key or name for name, field in ConnectorSchema().fields.items()}
    assert accepted == parse_document(EXAMPLES[1]).keys()


@pytest.mark.parametrize(
    "schema",
    [
        PageSchema,
        ListSchema,
        DateSchema,
        SlicesSchema,
        WhereSchema,
        WhereFieldSchema,
        LimitsSchema,
        WindowSchema,
        QuotaSchema,
        BudgetHeadersSchema,
        WriteSchema,
        BatchSchema,
        VerdictSchema,
        LookUpSchema,
        CsrfSchema,
        WritesSchema,
    ],
)
def test_every_key_is_explained(schema: type[StrictSchema]) -> None:
    keys = {field.data_key or name for name, field in schema().fields.items()}
    assert keys - {"kind"} <= WORDS


def test_every_setting_that_lowers_a_limit_is_explained() -> None:
    assert all(f"`{name}`" in TEXT for name in LOWERING)


def test_every_key_of_a_write_stands_in_its_own_section() -> None:
    sections = {"batch": BatchSchema, "look_up": LookUpSchema, "csrf": CsrfSchema, "verdicts": VerdictSchema}
    for name, schema in sections.items():
        text = TEXT.partition(f"\n### {name}\n")[2].partition("\n##")[0]
        keys = {field.data_key or key for key, field in schema().fields.items()}
        assert keys <= set(re.findall(r"`([a-z_]+)`", text)), name


def test_every_meaning_and_every_type_is_explained() -> None:
    assert {*Meaning, *get_args(FieldType), *get_args(BodyForm)} <= WORDS


def test_every_kind_and_filter_is_explained() -> None:
    assert {*PageKind, *AuthKind, *WhereKind, *FILTERS} <= WORDS


def test_the_table_of_page_kinds_names_what_each_kind_takes() -> None:
    shared = {"size", "size_max", "size_param", "more", "stop", "following_params"}
    rows = table_rows("page")
    for kind, (_, accepted) in KIND_FIELDS.items():
        assert accepted - shared <= set(re.findall(r"`(\w+)`", rows[kind])), kind


def test_the_table_of_where_kinds_names_what_each_kind_takes() -> None:
    rows = table_rows("where")
    for kind, (_, accepted) in KIND_KEYS.items():
        assert accepted <= set(re.findall(r"`(\w+)`", rows[kind])), kind
    for operators in KIND_OPERATORS.values():
        assert all(f"`{each}`" in TEXT.partition("## where")[2] for each in operators)


def test_the_shown_command_line_has_only_options_that_exist() -> None:
    shown = re.findall(r"--[a-z-]+", "".join(re.findall(r"^haulage connector test .*$", TEXT, re.MULTILINE)))
    options = {option for each in probe_connector.params for option in each.opts}
    assert shown
    assert set(shown) <= options
