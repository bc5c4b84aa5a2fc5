"""What a folder is, whether it is whole, and what to do next."""
