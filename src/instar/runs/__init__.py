"""The run folder: its files, whole or not there, and what stands in them."""
