"""What a record costs, beside other ways to do the same work; what sharing the limit comes to."""
