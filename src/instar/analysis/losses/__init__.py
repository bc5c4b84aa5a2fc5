"""What a distillation loss of any code base does, found by experiment."""
