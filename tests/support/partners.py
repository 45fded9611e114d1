"""A stack in moto with a partner, whose endpoint is a server on loopback."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

from dev.simulated.stack import SimulatedStack
from dev.simulated.world import deployed
from dev.template import WITH_PARTNER
from tests.support import certificates, partner_server
from tests.support.partner_server import PartnerServer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FUNCTION = "PartnersFunction"
HOST = "localhost"


@contextmanager
def deployed_with_partner(**parameters: str) -> Iterator[tuple[SimulatedStack, PartnerServer]]:
    """Create a stack in moto and its partner's server while the context lasts."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = certificates.self_signed(Path(folder), HOST)
        with partner_server.running(certificate) as partner:
            chosen = {
                **WITH_PARTNER,
                "PartnerEndpoint": f"https://{HOST}:{partner.port}/events",
                "PartnerLocalCa": str(certificate),
                **parameters,
            }
            with deployed(chosen) as stack:
                boto3.client("secretsmanager").create_secret(Name=chosen["PartnerSecret"], SecretString=SECRET)
                yield stack, partner
