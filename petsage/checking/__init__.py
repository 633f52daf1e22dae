"""Runs checks for a person, a container or a cron line."""
