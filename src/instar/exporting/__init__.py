"""The student alone, one file per format: it takes inputs as its data hold them."""
