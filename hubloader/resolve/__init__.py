"""Disk or network, which commit, which files: from a name to files that are there."""
