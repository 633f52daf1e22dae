"""The features of the v1 API, a folder each."""
