"""Facts that people bring into the house: files of outside systems, and what administrators grant. One writes them
down, another approves, a paced job tells them to the intake (`server.incentives.facts`), each once."""
