"""Removal of resources that a failed first deployment has left."""
