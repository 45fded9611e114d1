"""What a world holds, as a text: two worlds with the same text go on alike, so one of them need not be watched."""

import json
import re
from itertools import count
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.sqs.models import sqs_backends

from dev.simulated.account import ACCOUNT, REGION
from dev.simulated.world import World
from handoff.clock import from_iso

_CHANCE = re.compile(r"\b[0-9a-f][0-9a-f-]{14,}\b")  # ids that are drawn
_EPOCH = re.compile(r"\b\d{13}\b")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def fingerprint(world: World, begun: int, *more: Any) -> str:
    """All items and messages, and what was told to whom, with times counted from ``begun`` (epoch milliseconds).

    Ids that are drawn are numbered in the order in which they appear.
    """
    tables = {
        name: [item.to_json()["Attributes"] for item in table.all_items()]
        for name, table in dynamodb_backends[ACCOUNT][REGION].tables.items()
    }
    queues = {
        name: [
            (message.body, message.approximate_receive_count, round(message.visible_at)) for message in queue._messages
        ]
        for name, queue in sqs_backends[ACCOUNT][REGION].queues.items()
    }
    told = [(event["DetailType"], event["Detail"]["metadata"]["eventId"]) for event in world.events()]
    mails = [(mail["to"], mail["subject"]) for mail in world.mails()]
    text = json.dumps([tables, queues, told, mails, world.clock.ms, more], default=repr, sort_keys=True)
    text = _EPOCH.sub(lambda found: str(int(found[0]) - begun), text)
    text = _MOMENT.sub(lambda found: str(from_iso(found[0]) - begun), text)
    text = _DAY.sub("day", text)
    numbers = count()
    drawn: dict[str, int] = {}
    return _CHANCE.sub(lambda found: f"#{drawn.setdefault(found[0], next(numbers))}", text)
