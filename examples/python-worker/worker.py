"""A worker in Python: it takes the orders of a group from Millrace, several at once, and says how each has ended.

    apt-get install python3-grpcio python3-protobuf protobuf-compiler libprotobuf-dev
    npm start                                              (in another terminal)
    /usr/bin/python3 examples/python-worker/worker.py [address]
    node examples/publish-orders.ts                        (in another terminal)

Copy it, and change GROUP, TYPES and handle(). An event can come more than once: make handle() idempotent.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import grpc

GROUP, TYPES, PLACES, STOP_SECONDS = "kitchen", ["order.*"], 8, 10
ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
# For a server that asks for a key, and for one that speaks TLS: a PEM file with its authority, or "system".
KEY, CA = os.environ.get("MILLRACE_KEY"), os.environ.get("MILLRACE_TLS_CA")
METADATA = [("authorization", f"Bearer {KEY}")] if KEY else []

# Compiles the protos at each start. In a project of your own, do it once and keep the result.
protos = Path(__file__).parents[2] / "proto"
with tempfile.TemporaryDirectory() as compiled:
    files = [protos / "millrace/v1" / name for name in ("event.proto", "work.proto")]
    subprocess.run(["protoc", f"-I{protos}", "-I/usr/include", f"--python_out={compiled}", *files], check=True)
    sys.path.insert(0, compiled)
    from millrace.v1 import work_pb2 as pb


class Refused(Exception):
    """No attempt can succeed: the event becomes a dead letter."""


def handle(event, attempt, revoked):
    """Works on one event. After any error but Refused it is tried again. `revoked` is set when it should stop, and
    `revoked.reason` says why: after a timeout or a lost lease its outcome no longer counts."""
    number = json.loads(event.data)["number"]
    if number % 50 == 0:
        raise Refused("we are out of soup")
    if number % 10 == 0 and attempt == 1:
        raise RuntimeError("too busy")


class Stream:
    """One call of Consume, and what the server has delivered on it."""

    def __init__(self):
        self.requests = queue.SimpleQueue()
        self.at_work = {}
        self.is_leaving = False
        self.send(join=pb.Join(group=GROUP, types=TYPES, max_in_flight=PLACES))

    def send(self, **fields):
        self.requests.put(pb.ConsumeRequest(**fields))

    def take(self, response):
        for revoke in response.revoke:
            if (revoked := self.at_work.get(revoke.delivery)) is not None:
                revoked.reason = pb.RevokeReason.Name(revoke.reason)
                revoked.set()
        for delivery in response.deliveries:
            revoked = self.at_work[delivery.delivery] = threading.Event()
            if self.is_leaving:
                self.give_back(delivery.delivery)
            else:
                to_do.put((self, delivery, revoked))

    def work(self, delivery, revoked):
        outcome = pb.Outcome(delivery=delivery.delivery, done=pb.Done())
        try:
            handle(delivery.event, delivery.attempt, revoked)
        except Refused as refused:
            outcome.dead.reason = str(refused)
        except Exception as error:
            if revoked.is_set() and revoked.reason == "REVOKE_REASON_SHUTDOWN":
                return self.give_back(delivery.delivery)
            outcome.failed.message = f"{type(error).__name__}: {error}"
        self.end(outcome)

    def end(self, outcome):
        if self.at_work.pop(outcome.delivery, None) is not None:
            self.send(outcomes=[outcome])

    def leave(self):
        """Nothing more is delivered; the server ends the call when everything is answered."""
        self.is_leaving = True
        self.send(leave=True)

    def give_back(self, *deliveries):
        """To another worker, with the attempts of before."""
        for delivery in deliveries or list(self.at_work):
            self.end(pb.Outcome(delivery=delivery, returned=pb.Returned()))


def work_on_all():
    while True:
        stream, delivery, revoked = to_do.get()
        stream.work(delivery, revoked)


to_do = queue.SimpleQueue()
for _ in range(PLACES):
    threading.Thread(target=work_on_all, daemon=True).start()

stopping = threading.Event()
stream = None


def stop(*_):
    stopping.set()
    if stream is not None:
        stream.leave()
        for seconds, then in (STOP_SECONDS, stream.give_back), (STOP_SECONDS + 1, lambda: os._exit(0)):
            timer = threading.Timer(seconds, then)
            timer.daemon = True
            timer.start()


signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
# The ping finds a server that is gone without a word.
OPTIONS = [("grpc.keepalive_time_ms", 20_000)]
if CA is None:
    channel = grpc.insecure_channel(ADDRESS, OPTIONS)
else:
    authorities = None if CA == "system" else Path(CA).read_bytes()
    channel = grpc.secure_channel(ADDRESS, grpc.ssl_channel_credentials(authorities), OPTIONS)
consume = channel.stream_stream(
    "/millrace.v1.WorkService/Consume",
    request_serializer=pb.ConsumeRequest.SerializeToString,
    response_deserializer=pb.ConsumeResponse.FromString,
)
while not stopping.is_set():
    stream = Stream()
    if stopping.is_set():
        break
    try:
        for response in consume(iter(stream.requests.get, None), metadata=METADATA):
            stream.take(response)
    except grpc.RpcError as error:
        print(f"{error.code().name}: {error.details()}", file=sys.stderr)
        if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL):
            sys.exit(1)
    stream.requests.put(None)
    stopping.wait(1)
