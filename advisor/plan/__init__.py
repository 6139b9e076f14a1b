"""From findings to the edits to take next, and into the file."""
