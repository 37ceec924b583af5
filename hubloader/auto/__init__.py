"""The facades: from a name and keywords to a ready object."""
