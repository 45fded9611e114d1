"""The tag that tells whose mail it was when SES reports a bounce: an id, in the characters that SES allows in a tag."""

import base64

TAG = "user"


def tag_of(user_id: str) -> str:
    """The tag's value for a customer."""
    return base64.urlsafe_b64encode(user_id.encode()).decode().rstrip("=")


def user_id_of(tag: str) -> str:
    """The customer of a tag's value.

    Raises
    ------
    ValueError
        If it is none that `tag_of` made.
    """
    return base64.urlsafe_b64decode(tag + "=" * (-len(tag) % 4)).decode()
