"""The schemas of PIX's OpenAPI file, with its known errors mended, as validators of real answers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from openapi_schema_validator import OAS30ReadValidator, oas30_format_checker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

FILE = Path(__file__).parent / "data" / "pix-openapi-2.9.0.yaml"
VERSION = "2.9.0"


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(FILE.read_text(encoding="utf-8"), yaml.CSafeLoader)
    _mend(document)
    return document


def validate(answer: object, schema: str) -> None:
    """Raise ValidationError when the answer does not fit `#/components/schemas/<schema>`."""
    document = _document()
    registry: Registry[Any] = Registry().with_resource("urn:pix", Resource(document, DRAFT4))
    wanted = {"$ref": f"urn:pix#/components/schemas/{schema}"}
    OAS30ReadValidator(wanted, registry=registry, format_checker=oas30_format_checker).validate(answer)


def _mend(document: dict[str, Any]) -> None:
    """What the file itself gets wrong."""
    listed = document["components"]["schemas"]["PixConsultados"]
    listed["required"] = ["pix" if name == "cobs" else name for name in listed["required"]]  # its array is `pix`
    for schema in _all_schemas(document):
        pattern = schema.get("pattern")
        if isinstance(pattern, str):
            # Written with the slashes of another language, or without anchors, so that garbage around it passes.
            schema["pattern"] = f"^(?:{pattern.removeprefix('/^').removesuffix('$/').strip('^$')})$"


def _all_schemas(value: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if isinstance(value, dict):
        found += [value] if isinstance(value.get("pattern"), str) else []
        for inner in value.values():
            found += _all_schemas(inner)
    elif isinstance(value, list):
        for inner in value:
            found += _all_schemas(inner)
    return found
