// The contracts as buf builds them, with the comments: what the rules are checked on and the tables are made from.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createFileRegistry,
  type DescFile,
  type DescMethod,
  type DescService,
  fromBinary,
  getOption,
  hasOption,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { type Access, access, Role, TicketRight } from "@qmtl/contracts/qmtl/type/v1/access_pb";

export interface Contracts {
  /** Files of packages `qmtl.*`, by name. */
  readonly files: readonly DescFile[];
  /** Services of those files, by full name. */
  readonly services: readonly DescService[];
}

/** Builds the contracts, or those of another folder with a `buf.yaml`, and reads the descriptors. */
export function readContracts(source = "."): Contracts {
  const folder = mkdtempSync(join(tmpdir(), "qmtl-contracts-"));
  try {
    const image = join(folder, "contracts.binpb");
    const run = spawnSync("buf", ["build", source, "-o", image], { encoding: "utf8" });
    if (run.status !== 0) throw new Error(`buf build: ${run.stderr}`);
    const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(image)));
    const files = [...registry.files]
      .filter((file) => file.proto.package.startsWith("qmtl."))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    const services = files
      .flatMap((file) => file.services)
      .sort((a, b) => (a.typeName < b.typeName ? -1 : 1));
    return { files, services };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The access option; undefined for a method without one. */
export function accessOption(method: DescMethod): Access | undefined {
  return hasOption(method, access) ? getOption(method, access) : undefined;
}

const nameOf = (values: Readonly<Record<string, unknown>>, value: number): string =>
  Object.entries(values)
    .find(([, number]) => number === value)?.[0]
    .toLowerCase() ?? `${value}?`;

export const roleName = (role: Role): string => nameOf(Role, role);
export const rightName = (right: TicketRight): string => nameOf(TicketRight, right);

/** Lowest roles that may call: `viewer; also adapter, gateway`. */
export function rolesText({ least, also }: Access): string {
  const others = also.map(roleName).join(", ");
  if (least === Role.UNSPECIFIED) return others;
  return others === "" ? roleName(least) : `${roleName(least)}; also ${others}`;
}

const serviceField = 6;
const methodField = 2;

/** The comment above a service or method, one line. */
export function commentOf(desc: DescService | DescMethod): string {
  const service = desc.kind === "service" ? desc : desc.parent;
  const path = [serviceField, service.file.services.indexOf(service)];
  if (desc.kind === "rpc") path.push(methodField, service.methods.indexOf(desc));
  const place = service.file.proto.sourceCodeInfo?.location.find(
    (location) => location.path.join() === path.join(),
  );
  return (place?.leadingComments ?? "").trim();
}
