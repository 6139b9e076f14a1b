"""From findings to the edits of the next run, and into its config file."""
