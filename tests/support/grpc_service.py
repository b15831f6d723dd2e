# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of the V2 protocol served by grpcio, in this process or as a program: `grpc_service.py PORT`.

It counts what it was asked; the model's name says what to do: `slow` takes a tenth of a second, `unavailable`
answers with status 14, `long` with an answer of 3 MiB, anything else with one output at once.
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[4])]
from ansible_collections.iter8.kfserving.tests.support import inference_messages as messages

LONG = b"y" * (3 << 20)


class Service:
    """The server; `port` is where it listens, on the loopback."""

    def __init__(
        self,
        port: int = 0,
        credentials: grpc.ServerCredentials | None = None,
        revision: str = "r1",
        threads: int = 8,
    ) -> None:
        self.requests = 0
        self._counting = threading.Lock()  # several threads answer
        self.remaining: list[float] = []  # seconds that each call had left
        self.revision = revision
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.server = grpc.server(
            futures.ThreadPoolExecutor(threads), options=[*unlimited, ("grpc.so_reuseport", 1)]
        )
        reads: Any = messages.ModelInferRequest.FromString
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        methods = {
            "ModelInfer": unary(self._infer, request_deserializer=reads),
            "ModelStreamInfer": stream(self._stream, request_deserializer=reads),
        }
        echo = {"Echo": unary(lambda request, _context: request), "Twice": stream(self._twice)}
        self.server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler("inference.GRPCInferenceService", methods),
                grpc.method_handlers_generic_handler("test.Echo", echo),
            )
        )
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self.server.add_insecure_port(address)
        else:
            self.port = self.server.add_secure_port(address, credentials)
        self.server.start()

    def _infer(self, request: Any, context: grpc.ServicerContext) -> bytes:
        with self._counting:
            self.requests += 1
        self.remaining.append(context.time_remaining() or 0)
        context.set_trailing_metadata((("x-revision", self.revision),))
        if request.model_name == "unavailable":
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        if request.model_name == "slow":
            time.sleep(0.1)
        made = messages.answer(request.model_name, self.revision, request.id)
        if request.model_name == "long":
            made.outputs.add(name="z", datatype="BYTES", shape=[1]).contents.bytes_contents.append(LONG)
        return bytes(made.SerializeToString())

    def _stream(self, requests: Any, context: grpc.ServicerContext) -> Any:
        for request in requests:
            for _turn in range(3):
                answer = messages.ModelInferResponse.FromString(self._infer(request, context))
                yield messages.ModelStreamInferResponse(infer_response=answer).SerializeToString()

    @staticmethod
    def _twice(requests: Any, _context: grpc.ServicerContext) -> Any:
        for request in requests:
            yield request
            yield request

    def stop(self, grace: float | None = None) -> Any:
        """As grpcio does it: GOAWAY at once, and `grace` seconds for what is in flight."""
        return self.server.stop(grace)


if __name__ == "__main__":
    Service(int(sys.argv[1])).server.wait_for_termination()
