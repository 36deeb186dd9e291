"""Plugin for buf: gRPC service stubs and their types, for the files that have a service.

The stubs are made by the generator inside grpcio-tools, which carries it in its own protoc only; buf speaks to plugins.
This hands what buf has parsed to that protoc and returns the files it wrote. The types are mypy-protobuf's. Each of our
packages is marked as one with types (py.typed), too.
"""

import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from grpc_tools import protoc

TYPES = "from mypy_protobuf.main import grpc; grpc()"


def stubs(request: plugin_pb2.CodeGeneratorRequest, response: plugin_pb2.CodeGeneratorResponse) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        parsed = root / "parsed.binpb"
        out = root / "out"
        out.mkdir()
        parsed.write_bytes(descriptor_pb2.FileDescriptorSet(file=request.proto_file).SerializeToString())
        names = request.file_to_generate
        args = ["protoc", f"--descriptor_set_in={parsed}", f"--grpc_python_out={out}", *names]
        if protoc.main(args) != 0:
            sys.exit("grpcio-tools could not make the service stubs")
        for path in sorted(out.rglob("*.py")):
            name = path.relative_to(out).as_posix()
            response.file.add(name=name, content=path.read_text("utf8"))


def types(request: plugin_pb2.CodeGeneratorRequest, response: plugin_pb2.CodeGeneratorResponse) -> None:
    made = subprocess.run(
        [sys.executable, "-c", TYPES], input=request.SerializeToString(), stdout=subprocess.PIPE, check=True
    )
    response.file.extend(plugin_pb2.CodeGeneratorResponse.FromString(made.stdout).file)


def main() -> None:
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    wanted = set(request.file_to_generate)
    # google.* is a package of others, which says so itself.
    for package in sorted({name.split("/")[0] for name in wanted} - {"google"}):
        response.file.add(name=f"{package}/py.typed", content="")
    # Files without a service would give empty stubs, and types of modules that are not there.
    names = [file.name for file in request.proto_file if file.name in wanted and file.service]
    if names:
        services = plugin_pb2.CodeGeneratorRequest()
        services.CopyFrom(request)
        services.file_to_generate[:] = names
        services.parameter = "quiet"
        stubs(services, response)
        types(services, response)
    sys.stdout.buffer.write(response.SerializeToString())


main()
