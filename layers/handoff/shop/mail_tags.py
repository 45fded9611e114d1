"""The message tag that names the customer in SES's bounce events: the user id in the characters that SES allows."""

import base64

TAG = "user"


def tag_of(user_id: str) -> str:
    """Return the tag's value for a customer."""
    return base64.urlsafe_b64encode(user_id.encode()).decode().rstrip("=")


def user_id_of(tag: str) -> str:
    """Return the user id of a tag's value.

    Raises
    ------
    ValueError
        If `tag_of` did not create it.
    """
    return base64.urlsafe_b64decode(tag + "=" * (-len(tag) % 4)).decode()
