"""Proves a deployment from outside."""
