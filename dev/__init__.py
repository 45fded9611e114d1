"""Tools for developers and CI. Nothing here is deployed or shipped."""
