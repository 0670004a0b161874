"""Break-glass: reading named values for a while, once two other people have approved it."""
