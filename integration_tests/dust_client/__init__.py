"""Dust's official client as a judge of what the connector sends and the local Dust answers."""
