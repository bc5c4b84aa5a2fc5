"""Terms of numbers: how far predictions are from labels, or from the numbers of a teacher."""
