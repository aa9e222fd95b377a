from pathlib import Path

from subnet.protocol import schema

PUBLISHED = Path(__file__).parents[2] / "docs" / "protocol.openapi.json"


def test_the_published_document_is_current() -> None:
    assert PUBLISHED.read_text() == schema.render(), (
        "run: python -m subnet.protocol.schema > docs/protocol.openapi.json"
    )


def test_every_reference_is_defined() -> None:
    text = schema.render()
    defined = schema.document()["components"]["schemas"]
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(defined) and len(names) >= len(schema.RECORDS) - 1
