"""Text without models: words, tag schemes, gold formats, Arrow string kernels, token spans and sentence keys."""
