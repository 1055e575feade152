"""Adds noise that depends on the partition and the round; counts its rounds in the Context."""

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()
calls = 0  # a module-level global: must not survive between messages


@app.train()
def train(message: Message, context: Context) -> Message:
    global calls
    calls += 1
    partition = int(context.node_config.get("partition-id", 0))
    round_number = int(message.content["config"]["server-round"])
    _misbehave(str(context.run_config["fail"]), partition, round_number)
    if int(context.run_config["pause-round"]) in {0, round_number}:
        until = str(context.run_config["until"])
        _pause(float(context.run_config["pause"]), until, f"{context.run_id}-{partition}")
    (model,) = message.content["arrays"].to_numpy_ndarrays()
    noise = np.random.default_rng([int(context.run_config["seed"]), partition, round_number])
    update = (model + noise.normal(size=model.shape)).astype(model.dtype)

    counter = context.state["counter"] if "counter" in context.state else ConfigRecord({"n": 0})
    counter["n"] = int(counter["n"]) + 1
    context.state["counter"] = counter
    print(f"client log: partition {partition} round {round_number}", flush=True)
    metrics = {
        "num-examples": 10 if context.run_config["exact"] else 10 + partition,
        "loss": 1.0 / round_number,
        "rounds-seen": int(counter["n"]),
        "calls": calls,
    }
    content = RecordDict({"arrays": ArrayRecord([update]), "metrics": MetricRecord(metrics)})
    return Message(content=content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    (model,) = message.content["arrays"].to_numpy_ndarrays()
    metrics = MetricRecord({"num-examples": 5, "mean": float(np.abs(model).mean())})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)


@app.query("whoami")
def whoami(message: Message, context: Context) -> Message:
    answer = ConfigRecord({"partition": int(context.node_config.get("partition-id", -1))})
    return Message(content=RecordDict({"answer": answer}), reply_to=message)


def _pause(seconds: float, until: str, who: str) -> None:
    """Wait for some seconds, then for a file that the test makes, though not for ever.

    Another file, of the same name and ``who``, says that this app waits for it.
    """
    time.sleep(seconds)
    deadline = time.monotonic() + 120
    if until:
        Path(f"{until}-{who}").touch()
    while until and not Path(until).exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def _misbehave(how: str, partition: int, round_number: int) -> None:
    if partition != 0 or round_number != 2:
        return
    if how == "client-raises":
        raise ZeroDivisionError("boom")
    if how == "client-exits":
        sys.exit(3)
    if how == "client-killed":
        os.kill(os.getpid(), 9)
    if how == "client-killed-sending":
        _die_after_sending(1_000_000)


def _die_after_sending(limit: int) -> None:
    """Have this process killed once it has sent so many bytes of its reply past the pipe.

    They go by a socket, or are lent to the daemon.
    """
    from flwr.wire.clients.lending import Lending  # ours, for this fault alone

    sent = 0

    def counting(way: Any) -> Any:
        def send(*args: Any) -> int:
            nonlocal sent
            now: int = way(*args)
            sent += now
            if sent > limit:
                os.kill(os.getpid(), 9)
            return now

        return send

    socket.socket.sendmsg = counting(socket.socket.sendmsg)  # type: ignore[method-assign]
    Lending._put = counting(Lending._put)  # type: ignore[method-assign]
