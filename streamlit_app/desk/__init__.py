"""The plain pages on which people make a passkey, sign in with it, and sign what they decide."""
