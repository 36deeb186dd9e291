import { expect, test } from "vitest";
import { addressesOf } from "./addresses.ts";

test("one address is a list of one, several are separated by commas", () => {
  expect(addressesOf("http://a:1")).toEqual(["http://a:1"]);
  expect(addressesOf("http://a:1, http://b:2,")).toEqual(["http://a:1", "http://b:2"]);
});
