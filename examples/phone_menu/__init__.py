"""A phone menu: press a key, give an account number, be put through, or leave a message."""
