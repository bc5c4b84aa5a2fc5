"""Instructions: prompts with the completions that a language model learns to write."""
