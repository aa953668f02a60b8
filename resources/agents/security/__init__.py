"""Keys, and what is signed and encrypted with them: tokens, their judge, access to the broker."""
