"""A whole sync by PyAirbyte, from source-faker into a local Dust."""
