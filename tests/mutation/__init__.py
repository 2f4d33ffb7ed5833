"""The mutation gate of the value code's Python part: `make mutate`, see docs/contributing.md."""
