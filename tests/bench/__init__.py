"""`make bench`: what the house does over HTTP beside what PostgreSQL alone does with the same calls."""
