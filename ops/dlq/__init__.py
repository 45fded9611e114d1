"""Dead letters: find, show and redrive them."""
