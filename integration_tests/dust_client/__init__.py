"""Checks requests and responses with the schemas of Dust's official client."""
