"""Whole syncs by PyAirbyte into a local Dust."""
