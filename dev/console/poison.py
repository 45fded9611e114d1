"""`python -m dev poison`: a message that a consumer rejects, so that dead letters can be tried."""

import json
import uuid

import click

from handoff.clock import now_ms, to_iso
from ops.cli.errors import errors_as_messages
from ops.cli.options import LOCAL_DEFAULT, StackCommand, Target, local_option
from ops.dlq.directory import NoSuchConsumer, directory
from ops.stack.deployment import DEFAULT_STACK, Deployment


@click.command(cls=StackCommand)
@click.argument("consumer")
@local_option("The local stack on PORT.", default=LOCAL_DEFAULT)
def poison(*, consumer: str, local: int) -> None:
    """Send a message that CONSUMER rejects.

    It becomes a dead letter at once: it is not an event, so the consumer does not retry it. It has no effect. Consumers
    of stacks that import the bus are named STACK/NAME.
    """
    deployment = Target(DEFAULT_STACK, local).deployment()
    with errors_as_messages(NoSuchConsumer):
        message_id = send(deployment, consumer)
    click.echo(f"Sent {message_id} to {consumer}. Its dead letter: handoff dlq list {consumer}{deployment.options}")


def send(deployment: Deployment, consumer: str) -> str:
    """Send the message to a consumer's queue; return its id. Only for the local stack.

    Raises
    ------
    ops.dlq.directory.NoSuchConsumer
        If the stack has no consumer of that name with a queue.
    botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
        If the request failed.
    """
    if deployment.endpoint is None:
        raise ValueError("poison messages are for the local stack only")
    known = directory(deployment)
    if consumer not in known.queues:
        raise NoSuchConsumer(f"The stack has no queue of {consumer}. It has: {', '.join(sorted(known.queues))}.")
    message_id = f"poison-{uuid.uuid4()}"
    body = {"id": message_id, "detail-type": "poison", "time": to_iso(now_ms()), "detail": {}}
    deployment.sqs.send_message(QueueUrl=known.queues[consumer], MessageBody=json.dumps(body), DelaySeconds=0)
    return message_id
