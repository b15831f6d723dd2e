# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages of the V2 protocol as classes of the `protobuf` package: what the engine's own reader and
writer are held against. Fields and numbers are those of KServe's grpc_predict_v2.proto and Triton's
ModelStreamInferResponse."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_F = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "string": _F.TYPE_STRING, "bytes": _F.TYPE_BYTES, "bool": _F.TYPE_BOOL, "int32": _F.TYPE_INT32,
    "int64": _F.TYPE_INT64, "uint32": _F.TYPE_UINT32, "uint64": _F.TYPE_UINT64, "float": _F.TYPE_FLOAT,
    "double": _F.TYPE_DOUBLE,
}  # fmt: skip

# Message → fields: name, number, type (a scalar or another message), repeated; a map is a repeated entry.
_TENSOR = [
    ("name", 1, "string", False), ("datatype", 2, "string", False), ("shape", 3, "int64", True),
    ("parameters", 4, "Entry", True), ("contents", 5, "InferTensorContents", False),
]  # fmt: skip
_MESSAGES = {
    "InferParameter": [
        ("bool_param", 1, "bool", False),
        ("int64_param", 2, "int64", False),
        ("string_param", 3, "string", False),
        ("double_param", 4, "double", False),
        ("uint64_param", 5, "uint64", False),
    ],
    "Entry": [("key", 1, "string", False), ("value", 2, "InferParameter", False)],
    "InferTensorContents": [
        ("bool_contents", 1, "bool", True),
        ("int_contents", 2, "int32", True),
        ("int64_contents", 3, "int64", True),
        ("uint_contents", 4, "uint32", True),
        ("uint64_contents", 5, "uint64", True),
        ("fp32_contents", 6, "float", True),
        ("fp64_contents", 7, "double", True),
        ("bytes_contents", 8, "bytes", True),
    ],
    "Tensor": _TENSOR,
    "RequestedOutput": [("name", 1, "string", False), ("parameters", 2, "Entry", True)],
    "ModelInferRequest": [
        ("model_name", 1, "string", False),
        ("model_version", 2, "string", False),
        ("id", 3, "string", False),
        ("parameters", 4, "Entry", True),
        ("inputs", 5, "Tensor", True),
        ("outputs", 6, "RequestedOutput", True),
        ("raw_input_contents", 7, "bytes", True),
    ],
    "ModelInferResponse": [
        ("model_name", 1, "string", False),
        ("model_version", 2, "string", False),
        ("id", 3, "string", False),
        ("parameters", 4, "Entry", True),
        ("outputs", 5, "Tensor", True),
        ("raw_output_contents", 6, "bytes", True),
    ],
    "ModelStreamInferResponse": [
        ("error_message", 1, "string", False),
        ("infer_response", 2, "ModelInferResponse", False),
    ],
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="inference.proto", package="inference", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, repeated in fields:
            field = message.field.add(name=field_name, number=number)
            field.label = _F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL
            if kind in _TYPES:
                field.type = _TYPES[kind]
            else:
                field.type, field.type_name = _F.TYPE_MESSAGE, f".inference.{kind}"
    # What a parameter is, is told by which of its fields is set, also to 0.
    parameter = next(message for message in file.message_type if message.name == "InferParameter")
    parameter.oneof_decl.add(name="parameter_choice")
    for field in parameter.field:
        field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))
        for name in _MESSAGES
    }


_made = _classes()
ModelInferRequest: Any = _made["ModelInferRequest"]
ModelInferResponse: Any = _made["ModelInferResponse"]
ModelStreamInferResponse: Any = _made["ModelStreamInferResponse"]
InferTensorContents: Any = _made["InferTensorContents"]


def answer(
    name: str = "m", version: str = "1", ident: str = "", values: tuple[float, ...] = (1.0, 2.0)
) -> Any:
    """A whole ModelInferResponse with one output."""
    made = ModelInferResponse(model_name=name, model_version=version, id=ident)
    made.outputs.add(name="y", datatype="FP32", shape=[1, len(values)]).contents.fp32_contents.extend(values)
    return made
