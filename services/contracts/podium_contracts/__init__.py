"""What Podium's parts agree on: names, log levels, events, task records, search messages. Standard library only."""
