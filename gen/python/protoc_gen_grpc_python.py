"""Plugin for buf: gRPC service stubs, made by the generator inside grpcio-tools.

grpcio-tools carries that generator in its own protoc only; buf speaks to plugins. This hands what buf has parsed to
that protoc and returns the files it wrote.
"""

import pathlib
import sys
import tempfile

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from grpc_tools import protoc


def main() -> None:
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    # Files without a service would give empty stubs.
    wanted = set(request.file_to_generate)
    names = [file.name for file in request.proto_file if file.name in wanted and file.service]
    if names:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            parsed = root / "parsed.binpb"
            out = root / "out"
            out.mkdir()
            parsed.write_bytes(
                descriptor_pb2.FileDescriptorSet(file=request.proto_file).SerializeToString()
            )
            args = ["protoc", f"--descriptor_set_in={parsed}", f"--grpc_python_out={out}", *names]
            if protoc.main(args) != 0:
                sys.exit("grpcio-tools could not make the service stubs")
            for path in sorted(out.rglob("*.py")):
                name = path.relative_to(out).as_posix()
                response.file.add(name=name, content=path.read_text("utf8"))
    sys.stdout.buffer.write(response.SerializeToString())


main()
