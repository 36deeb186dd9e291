import { existsSync, readFileSync } from "node:fs";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";

/** Where the descriptor image of the contracts lies: in a package beside the code, in the repository under proto/. */
const IMAGE_PLACES = ["../../descriptors.binpb", "../../../../proto/baseline.binpb"];

/** Descriptor files by name, by the symbols they declare and by the extensions they declare. */
export class DescriptorIndex {
  readonly #files = new Map<string, FileDescriptorProto>();
  readonly #symbols = new Map<string, FileDescriptorProto>();
  readonly #extensions = new Map<string, Map<number, FileDescriptorProto>>();

  /** A file whose name occurred before is left out. */
  constructor(files: Iterable<FileDescriptorProto>) {
    for (const file of files) if (!this.#files.has(file.name)) this.#add(file);
  }

  /** The file with this name and all it imports, encoded, the file first; undefined when there is none. */
  byName(name: string): Uint8Array[] | undefined {
    return this.#withImports(this.#files.get(name));
  }

  /** The same for the file that declares a message, enum, service or method, by full name. */
  bySymbol(symbol: string): Uint8Array[] | undefined {
    return this.#withImports(this.#symbols.get(symbol));
  }

  /** The same for the file that declares extension `number` of a message. */
  byExtension(extendee: string, number: number): Uint8Array[] | undefined {
    return this.#withImports(this.#extensions.get(extendee)?.get(number));
  }

  /** Numbers of all known extensions of a message, ascending; undefined when the message is not known. */
  extensionNumbers(extendee: string): number[] | undefined {
    if (!this.#symbols.has(extendee)) return undefined;
    return [...(this.#extensions.get(extendee)?.keys() ?? [])].sort((a, b) => a - b);
  }

  #add(file: FileDescriptorProto): void {
    this.#files.set(file.name, file);
    const full = (name: string, scope = file.package) => (scope === "" ? name : `${scope}.${name}`);
    const addMessage = (message: DescriptorProto, scope: string) => {
      const name = full(message.name, scope);
      this.#symbols.set(name, file);
      for (const inner of message.nestedType) addMessage(inner, name);
      for (const inner of message.enumType) this.#symbols.set(full(inner.name, name), file);
      this.#addExtensions(message.extension, file);
    };
    for (const message of file.messageType) addMessage(message, file.package);
    for (const { name } of file.enumType) this.#symbols.set(full(name), file);
    for (const service of file.service) {
      this.#symbols.set(full(service.name), file);
      for (const method of service.method)
        this.#symbols.set(full(method.name, full(service.name)), file);
    }
    this.#addExtensions(file.extension, file);
  }

  #addExtensions(extensions: FileDescriptorProto["extension"], file: FileDescriptorProto): void {
    for (const { extendee, number } of extensions) {
      const name = extendee.replace(/^\./, "");
      const known = this.#extensions.get(name) ?? new Map<number, FileDescriptorProto>();
      this.#extensions.set(name, known.set(number, file));
    }
  }

  #withImports(file: FileDescriptorProto | undefined): Uint8Array[] | undefined {
    if (file === undefined) return undefined;
    const needed = new Set([file]);
    for (const { dependency } of needed) {
      for (const name of dependency) {
        const imported = this.#files.get(name);
        if (imported !== undefined) needed.add(imported);
      }
    }
    return [...needed].map((each) => toBinary(FileDescriptorProtoSchema, each));
  }
}

/** The files of the committed descriptor image; undefined when it is not where it should be. */
export function readDescriptorImage(): FileDescriptorProto[] | undefined {
  const place = IMAGE_PLACES.map((path) => new URL(path, import.meta.url)).find((url) =>
    existsSync(url),
  );
  return place === undefined
    ? undefined
    : fromBinary(FileDescriptorSetSchema, readFileSync(place)).file;
}
