"""The check of Stripe's signatures accepts and refuses what the check of Stripe's own library does."""

import time

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from shop.payments.stripe_events import Refused, SigningSecrets

SECRET = "whsec_first"


class Stored:
    """A secret whose text does not change."""

    def text(self):
        return SECRET

    def read(self):
        return SECRET


def library_accepts(body, header):
    """Return whether Stripe's library accepts a request."""
    try:
        stripe.WebhookSignature.verify_header(body, header, SECRET)
    except stripe.SignatureVerificationError:
        return False
    return True


def is_accepted(body, header):
    """Return whether the webhook's own check accepts a request."""
    try:
        SigningSecrets(Stored()).check(body, header)
    except Refused:
        return False
    return True


def signature(body, secret=SECRET):
    """Return the time and the HMAC of a signature that is made now."""
    parts = stripe.WebhookSignature.generate_signature_header(body, secret, int(time.time())).split(",")
    return parts[0], parts[1].removeprefix("v1=")


@given(
    body=st.text(st.characters(exclude_categories=["Cs"])),
    parts=st.lists(
        st.tuples(
            st.sampled_from(["v1", "v0", "V1", " v1"]),
            st.sampled_from(["right", "of another secret", "of another body"])
            | st.text(st.characters(codec="ascii", exclude_characters=",=")),  # the library fails with other text
        )
    ),
    is_last=st.booleans(),
)
def test_a_header_is_accepted_exactly_if_the_library_accepts_it(body, parts, is_last):
    signed_at, right = signature(body)
    made = {
        "right": right,
        "of another secret": signature(body, "whsec_forged")[1],
        "of another body": signature(body + " ")[1],
    }
    shown = [f"{name}={made.get(value, value)}" for name, value in parts]
    header = ",".join([*shown, signed_at] if is_last else [signed_at, *shown])

    assert is_accepted(body, header) is library_accepts(body, header)


@pytest.mark.parametrize("body", ["", "{}", "\u00fc\U0001f4e6", "a\r\nb", "x" * 100_000])
def test_what_stripe_signs_is_accepted(body):
    signed_at, right = signature(body)
    assert is_accepted(body, f"{signed_at},v1={signature(body, 'whsec_older')[1]},v1={right},v0={right}")
    assert not is_accepted(body + ".", f"{signed_at},v1={right}")


def test_the_signed_time_cannot_be_replaced():
    signed_at, right = signature("{}")
    later = int(signed_at.removeprefix("t=")) + 1
    assert not is_accepted("{}", f"t={later},v1={right}")
