"""The forms that a listing may have, and how each is read."""
