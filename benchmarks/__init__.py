"""What a record costs, beside other ways to do the same work."""
