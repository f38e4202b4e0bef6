"""The roads in the admin; each road registers its own tables."""

from routing.push import admin as push_admin

__all__ = ["push_admin"]
