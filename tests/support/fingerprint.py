"""The state of a world as text. Worlds with equal texts behave equally, so only one of them has to run on."""

import json
import re
from itertools import count
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.sqs.models import sqs_backends

from dev.simulated.account import ACCOUNT, REGION
from dev.simulated.world import World
from handoff.clock import from_iso

_RANDOM = re.compile(r"\b[0-9a-f][0-9a-f-]{14,}\b")  # random ids
_EPOCH = re.compile(r"\b\d{13}\b")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def fingerprint(world: World, begun: int, *more: Any) -> str:
    """Return all items, messages, events and mails, with times relative to ``begun`` (epoch milliseconds).

    Random ids are numbered in order of appearance.
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
    events = [(event["DetailType"], event["Detail"]["metadata"]["eventId"]) for event in world.events()]
    mails = [(mail["to"], mail["subject"]) for mail in world.mails()]
    text = json.dumps([tables, queues, events, mails, world.clock.ms, more], default=repr, sort_keys=True)
    text = _EPOCH.sub(lambda found: str(int(found[0]) - begun), text)
    text = _MOMENT.sub(lambda found: str(from_iso(found[0]) - begun), text)
    text = _DAY.sub("day", text)
    numbers = count()
    ids: dict[str, int] = {}
    return _RANDOM.sub(lambda found: f"#{ids.setdefault(found[0], next(numbers))}", text)
