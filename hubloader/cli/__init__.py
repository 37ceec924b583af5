"""The command line: one file a command, which asks the library and prints what it says."""
