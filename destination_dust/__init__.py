"""An Airbyte destination that upserts every record into a Dust data source as a document."""

__version__ = "0.4.0"
