"""The rule language, and how rule files are read, checked and ranked."""
