"""The `genrl` command: one module for each subcommand."""
