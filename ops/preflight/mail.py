"""SES: the sender, the sandbox and the sending rate."""

from collections.abc import Iterator
from email.utils import parseaddr

from ops.preflight.aws import Aws
from ops.preflight.check import Finding, Question, failed, passed, warning

_VERIFY = "https://docs.aws.amazon.com/ses/latest/dg/creating-identities.html"
_PRODUCTION = "https://docs.aws.amazon.com/ses/latest/dg/request-production-access.html"


def questions(aws: Aws) -> list[Question]:
    """Return the checks of mails."""
    return [
        Question("sender of mails", lambda: _sender(aws)),
        Question("SES sandbox", lambda: _sandbox(aws)),
        Question("sending rate", lambda: _rate(aws)),
    ]


def _sender(aws: Aws) -> Finding:
    address = parseaddr(aws.plan.parameter("MailFrom"))[1]
    pending = []
    for identity in _identities(address):
        try:
            found = aws.ses.get_email_identity(EmailIdentity=identity)
        except aws.ses.exceptions.NotFoundException:
            continue
        if found.get("VerifiedForSendingStatus"):
            return passed(f"{address}, by the verified identity {identity}")
        pending.append(identity)
    if pending:
        return failed(f"{pending[0]} is not verified yet", f"Follow SES's mail, or add its DNS records: {_VERIFY}")
    return failed(
        f"SES has no identity for {address} in {aws.session.region_name}, so no mail would be sent",
        f"Set MailFrom to your sender, and verify its address or domain: {_VERIFY}",
    )


def _identities(address: str) -> Iterator[str]:
    """Yield the identities that permit an address: itself, its domain, and the domains above (see `_VERIFY`)."""
    yield address
    labels = address.rpartition("@")[2].split(".")
    for first in range(len(labels) - 1):
        yield ".".join(labels[first:])


def _sandbox(aws: Aws) -> Finding:
    account = aws.mail_account
    if not account.get("SendingEnabled", True) or account.get("EnforcementStatus") == "SHUTDOWN":
        return failed("SES has paused sending for this account and region", "See the reason in SES's console.")
    if account.get("ProductionAccessEnabled"):
        return passed("the account is out of it")
    seen = "the account is in it: mails reach only verified addresses and SES's simulator"
    fix = f"Request production access: {_PRODUCTION}"
    if _signs_up_by_ses(aws):
        seen += ", so no one else can sign up"
        fix += " and set SignUpMails=cognito until then"
    return _not_for_customers(aws, seen, fix)


def _not_for_customers(aws: Aws, seen: str, fix: str) -> Finding:
    """Return a failed check for a stack that keeps its data, like a shop's; a warning for others."""
    return failed(seen, fix) if aws.plan.keeps_data else warning(seen, fix)


def _signs_up_by_ses(aws: Aws) -> bool:
    pools = [found for found in aws.plan.template.resources.values() if found["Type"] == "AWS::Cognito::UserPool"]
    return any(pool["Properties"]["EmailConfiguration"]["EmailSendingAccount"] == "DEVELOPER" for pool in pools)


def _rate(aws: Aws) -> Finding:
    wanted, quota = int(aws.plan.parameter("MailsPerSecond")), aws.mail_account["SendQuota"]["MaxSendRate"]
    if wanted > quota:
        return _not_for_customers(
            aws,
            f"MailsPerSecond is {wanted}, and SES accepts {quota:g} a second",
            f"Set MailsPerSecond={max(1, int(quota))}, or request a higher rate.",
        )
    return passed(f"{quota:g} mails a second, MailsPerSecond is {wanted}")
