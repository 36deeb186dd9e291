import { execFile } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { madeGatewaySecret, stateFolder } from "./made-secret.ts";

const root = mkdtempSync(join(tmpdir(), "qmtl-secret-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let folders = 0;
const newFolder = () => {
  folders += 1;
  return join(root, `state-${folders}`, "qmtl");
};
const child = fileURLToPath(new URL("made-secret.child.ts", import.meta.url));

describe("the secret that services of a machine share", () => {
  it("is made at the first start, for its owner alone, and stays", () => {
    const folder = newFolder();
    const secret = madeGatewaySecret(folder);
    expect(secret).toHaveLength(64);
    expect(madeGatewaySecret(folder)).toEqual(secret);
    expect(statSync(join(folder, "gateway-secret")).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(readdirSync(folder)).toEqual(["gateway-secret"]);
  });

  it("is one, whoever of several that start together comes first", async () => {
    const folder = newFolder();
    const args = [child, folder];
    const run = promisify(execFile);
    const answers = await Promise.all(Array.from({ length: 5 }, () => run(process.execPath, args)));
    const secrets = new Set(answers.map(({ stdout }) => stdout));
    expect(secrets).toEqual(new Set([madeGatewaySecret(folder).toString()]));
    expect(readdirSync(folder)).toEqual(["gateway-secret"]);
  });

  it.each([0o644, 0o640, 0o666])("is refused with mode %o, naming the file", (mode) => {
    const folder = newFolder();
    madeGatewaySecret(folder);
    chmodSync(join(folder, "gateway-secret"), mode);
    expect(() => madeGatewaySecret(folder)).toThrow(
      expect.objectContaining({
        reason: "CONFIG_INVALID",
        message: expect.stringMatching(/gateway-secret .*chmod 600/),
        fields: [expect.objectContaining({ field: "security.gateways" })],
      }),
    );
  });

  it("is refused as a directory when one lies in its place", () => {
    const folder = newFolder();
    mkdirSync(join(folder, "gateway-secret"), { recursive: true });
    expect(() => madeGatewaySecret(folder)).toThrow(
      expect.objectContaining({ message: expect.stringContaining("is a directory, not a file") }),
    );
  });

  it("is refused when it was cut short, and is not overwritten", () => {
    const folder = newFolder();
    madeGatewaySecret(folder);
    writeFileSync(join(folder, "gateway-secret"), "short\n");
    expect(() => madeGatewaySecret(folder)).toThrow(
      expect.objectContaining({ message: expect.stringContaining("fewer than 32 bytes") }),
    );
  });

  it("is refused where it cannot be kept, with the cause", () => {
    const file = join(root, "a-file");
    writeFileSync(file, "");
    expect(() => madeGatewaySecret(join(file, "qmtl"))).toThrow(
      expect.objectContaining({
        reason: "CONFIG_INVALID",
        message: expect.stringContaining("ENOTDIR"),
      }),
    );
  });
});

it("lies in the state folder of the user", () => {
  expect(stateFolder({ XDG_STATE_HOME: "/state" })).toBe("/state/qmtl");
  expect(stateFolder({ XDG_STATE_HOME: "" })).toMatch(/\.local\/state\/qmtl$/);
});
