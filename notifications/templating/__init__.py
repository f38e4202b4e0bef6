"""Templates: the words of an event with gaps, written by staff and rendered in users' languages."""
