"""Subcommands of `elegans-gnn`, one module each."""
