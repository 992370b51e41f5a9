"""A subscriber in Python: it prints events as they are accepted, a JSON document per line.

    apt-get install python3-grpcio python3-protobuf protobuf-compiler libprotobuf-dev
    npm start                                              (in another terminal)
    /usr/bin/python3 examples/python-subscriber/subscriber.py [address]
    node examples/publish-orders.ts                        (in another terminal)

It holds nothing back: while its output is not read, the server drops the oldest events, and says how many.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc

TYPES = ["order.*"]
ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
# For a server that asks for a key, and for one that speaks TLS: a PEM file with its authority, or "system".
KEY, CA = os.environ.get("MILLRACE_KEY"), os.environ.get("MILLRACE_TLS_CA")
METADATA = [("authorization", f"Bearer {KEY}")] if KEY else []

# Compiles the protos at each start. In a project of your own, do it once and keep the result.
protos = Path(__file__).parents[2] / "proto"
with tempfile.TemporaryDirectory() as compiled:
    files = [protos / "millrace/v1" / name for name in ("event.proto", "live.proto")]
    subprocess.run(["protoc", f"-I{protos}", "-I/usr/include", f"--python_out={compiled}", *files], check=True)
    sys.path.insert(0, compiled)
    from millrace.v1 import live_pb2 as pb


def say(text):
    print(text, file=sys.stderr, flush=True)


# The ping finds a server that is gone without a word.
OPTIONS = [("grpc.keepalive_time_ms", 20_000)]
if CA is None:
    channel = grpc.insecure_channel(ADDRESS, OPTIONS)
else:
    authorities = None if CA == "system" else Path(CA).read_bytes()
    channel = grpc.secure_channel(ADDRESS, grpc.ssl_channel_credentials(authorities), OPTIONS)
subscribe = channel.unary_stream(
    "/millrace.v1.LiveService/Subscribe",
    request_serializer=pb.SubscribeRequest.SerializeToString,
    response_deserializer=pb.SubscribeResponse.FromString,
)
cursor = "now"
while True:
    pause_seconds = 1
    call = subscribe(pb.SubscribeRequest(types=TYPES, **{"from": cursor}), metadata=METADATA)
    try:
        cursor = dict(call.initial_metadata()).get("millrace-cursor", cursor)
        say("connected")
        for response in call:
            for event in response.events:
                print(json.dumps({"id": event.id, "type": event.type, "data": event.data.decode()}), flush=True)
            # Only now: whatever happens, what was printed does not come again, and nothing is missed.
            cursor = response.cursor
            if response.HasField("gap"):
                missed = response.gap.dropped if response.gap.HasField("dropped") else "some"
                say(f"missed {missed} events: read them again from {getattr(response.gap, 'from')}")
            if response.HasField("reconnect"):
                pause_seconds = response.reconnect.after.ToMilliseconds() / 1000
    except grpc.RpcError as error:
        say(f"{error.code().name}: {error.details()}")
        # ABORTED: another subscription took the id.
        if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED):
            sys.exit(1)
    time.sleep(pause_seconds)
