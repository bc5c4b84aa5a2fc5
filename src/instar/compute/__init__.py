"""Numerical execution: precision, compiler, memory allocator, memory layout, and logits that are not computed yet."""
