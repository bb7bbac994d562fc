"""Messages to the user: what they are made of, their codes, how they look."""
