import { status as GrpcCode, type handleBidiStreamingCall, type Server } from "@grpc/grpc-js";
import type { ServiceDefinition } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import type { Logger } from "../logger.ts";
import { DescriptorIndex, readDescriptorImage } from "./descriptor-index.ts";
import { healthDescriptor } from "./health-descriptor.ts";

/** A request of grpc.reflection as proto-loader decodes it; one of the five questions is set. */
interface ReflectionRequest {
  readonly host?: string;
  readonly messageRequest?: string;
  readonly listServices?: string;
  readonly fileByFilename?: string;
  readonly fileContainingSymbol?: string;
  readonly fileContainingExtension?: { containingType?: string; extensionNumber?: number };
  readonly allExtensionNumbersOfType?: string;
}

/** Read at the first question, once for all servers of the process: most processes are never asked. */
let cached: DescriptorIndex | undefined;

function descriptorIndex(logger: Logger): DescriptorIndex {
  if (cached !== undefined) return cached;
  const image = readDescriptorImage();
  if (image === undefined) {
    logger.warn("no descriptor image: reflection lists services without their types");
  }
  cached = new DescriptorIndex([...(image ?? []), healthDescriptor]);
  return cached;
}

/** Kept for all servers of the process, since the library parses them from text each time, which takes 40 ms. */
let definitions: readonly ServiceDefinition[] | undefined;

function reflectionDefinitions(): readonly ServiceDefinition[] {
  if (definitions !== undefined) return definitions;
  const collected: ServiceDefinition[] = [];
  const collect = { addService: (definition: ServiceDefinition) => collected.push(definition) };
  new ReflectionService({}).addToServer(collect as Pick<Server, "addService">);
  definitions = collected;
  return collected;
}

/**
 * Adds `grpc.reflection.v1` and `v1alpha`, listing `services`, from the committed descriptor image.
 *
 * The two service definitions come from @grpc/reflection, but not the answers: to index our contracts it would block
 * the event loop for two seconds, and it merges the files of a package into one.
 */
export function addReflection(server: Server, services: readonly string[], logger: Logger): void {
  const answer: handleBidiStreamingCall<ReflectionRequest, object> = (call) => {
    call.on("data", (request: ReflectionRequest) => {
      const index = descriptorIndex(logger);
      call.write({
        validHost: request.host ?? "",
        originalRequest: request,
        ...answerOf(request, index, services),
      });
    });
    call.on("end", () => call.end());
  };
  for (const definition of reflectionDefinitions())
    server.addService(definition, { ServerReflectionInfo: answer });
}

function answerOf(
  request: ReflectionRequest,
  index: DescriptorIndex,
  services: readonly string[],
): object {
  switch (request.messageRequest) {
    case "listServices":
      return { listServicesResponse: { service: services.map((name) => ({ name })) } };
    case "fileByFilename":
      return files(index.byName(request.fileByFilename ?? ""));
    case "fileContainingSymbol":
      return files(index.bySymbol(request.fileContainingSymbol ?? ""));
    case "fileContainingExtension": {
      const { containingType = "", extensionNumber = 0 } = request.fileContainingExtension ?? {};
      return files(index.byExtension(containingType, extensionNumber));
    }
    case "allExtensionNumbersOfType": {
      const baseTypeName = request.allExtensionNumbersOfType ?? "";
      const extensionNumber = index.extensionNumbers(baseTypeName);
      if (extensionNumber === undefined) return notFound();
      return { allExtensionNumbersResponse: { baseTypeName, extensionNumber } };
    }
    default:
      return {
        errorResponse: { errorCode: GrpcCode.UNIMPLEMENTED, errorMessage: "no such question" },
      };
  }
}

function files(found: readonly Uint8Array[] | undefined): object {
  return found === undefined
    ? notFound()
    : { fileDescriptorResponse: { fileDescriptorProto: found } };
}

function notFound(): object {
  return { errorResponse: { errorCode: GrpcCode.NOT_FOUND, errorMessage: "not found" } };
}
