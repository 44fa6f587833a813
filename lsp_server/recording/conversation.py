"""What a client and its server have said to each other, on one side of a comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from midfill.lsp_server.messages import STATUS

Message = dict[str, Any]
Id = int | str


@dataclass(slots=True)
class Conversation:
    """Messages of both sides, as far as others rest on them."""

    requests: dict[Id, Message] = field(default_factory=dict)
    """Those of the client, by id."""
    replies: dict[Id, Message] = field(default_factory=dict)
    waiting: set[Id] = field(default_factory=set)
    """Ids of requests without a reply."""
    overtaken: set[Id] = field(default_factory=set)
    """Ids of requests behind which another message came before their reply."""
    asked: dict[str, list[Id]] = field(default_factory=dict)
    """Ids of the server's requests, by method."""
    state: str = ""
    """The engine's, as told last."""
    problem: str = ""
    """What is wrong with it."""

    def sent(self, message: Message) -> None:
        """Take a message of the client."""
        number = message.get("id")
        if "method" in message:
            self.overtaken |= self.waiting
            if number is not None:
                self.requests[number] = message
                self.waiting.add(number)

    def heard(self, message: Message) -> None:
        """Take a message of the server."""
        method, number = message.get("method"), message.get("id")
        if method is None:
            if number is not None:
                self.replies[number] = message
                self.waiting.discard(number)
        elif number is not None:
            self.asked.setdefault(method, []).append(number)
        elif method == STATUS:
            self.state, self.problem = message["params"]["state"], message["params"]["message"]

    def place(self, number: Id) -> tuple[str, int] | None:
        """Method, and place among its like, of the server's request of this id."""
        for method, numbers in self.asked.items():
            if number in numbers:
                return method, numbers.index(number)
        return None


def items_of(reply: Message) -> list[Message]:
    """The suggestions in a reply; empty for none, or for a reply to something else."""
    result = reply.get("result")
    items = result.get("items") if isinstance(result, dict) else None
    return [item for item in items or () if isinstance(item, dict)]


def item_ids(reply: Message) -> list[str]:
    """The suggestions' ids."""
    commands = [item.get("command") for item in items_of(reply)]
    return [str(command["arguments"][0]) for command in commands if command]


def with_items_of(now: Conversation, then: Conversation, message: Message) -> Message:
    """A message of the client then, with the ids that its suggestions have now."""
    params = message.get("params")
    if not (isinstance(params, dict) and {"itemId", "arguments"} & params.keys()):
        return message
    items = {
        before: after
        for number in then.replies.keys() & now.replies.keys()
        for before, after in zip(
            item_ids(then.replies[number]), item_ids(now.replies[number]), strict=False
        )
    }
    changed = params.copy()
    if "itemId" in params:
        changed["itemId"] = items.get(str(params["itemId"]), params["itemId"])
    if isinstance(params.get("arguments"), list):
        changed["arguments"] = [items.get(str(each), each) for each in params["arguments"]]
    return message | {"params": changed}
