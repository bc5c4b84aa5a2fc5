"""How numbers are computed: precision, compiler, allocator, memory layout, and logits that are kept as a product."""
