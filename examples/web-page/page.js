import { Platform, Refusal } from "./connect.js";

const element = (id) => document.getElementById(id);
const WORLDS_A_PAGE = 100;

element("gateway").value =
  new URLSearchParams(location.search).get("gateway") ?? "http://127.0.0.1:7401";
element("platform").addEventListener("submit", (event) => {
  event.preventDefault();
  tell(listWorlds());
});
element("watch").addEventListener("submit", (event) => {
  event.preventDefault();
  tell(watch(element("world").value));
});
tell(listWorlds());

function platform() {
  return new Platform(element("gateway").value, element("key").value);
}

async function listWorlds() {
  const rows = [];
  let pageToken = "";
  do {
    const page = await platform().call("qmtl.world.v1.WorldService/ListWorlds", {
      pageSize: WORLDS_A_PAGE,
      pageToken,
    });
    for (const world of page.worlds ?? []) rows.push(rowOf(world));
    pageToken = page.nextPageToken ?? "";
  } while (pageToken !== "");
  element("worlds").replaceChildren(...rows);
}

// Fields with their default are left out of JSON: a world without a policy has no policyVersion.
function rowOf({ worldId, clock, policyVersion = "none" }) {
  const row = document.createElement("tr");
  for (const text of [worldId, short(clock, "WORLD_CLOCK_"), policyVersion])
    row.insertCell().textContent = text;
  row.addEventListener("click", () => {
    element("world").value = worldId;
  });
  return row;
}

let watching = new AbortController();

/** First the state of the gate, then its changes without a gap: from both a page knows the gate at any time. */
async function watch(worldId) {
  watching.abort();
  watching = new AbortController();
  const { signal } = watching;
  element("events").textContent = "";
  const { ticket } = await platform().call("qmtl.gateway.v1.ControlStreamService/IssueTicket", {
    worldId,
    rights: ["TICKET_RIGHT_OBSERVE"],
    topics: ["TOPIC_GATE"],
  });
  const method = "qmtl.gateway.v1.ControlStreamService/Subscribe";
  for await (const { event } of platform().stream(method, { ticket }, signal)) {
    if (event?.snapshot !== undefined) show("snapshot", event.snapshot.gate);
    else if (event?.gateEvent !== undefined)
      show(short(event.gateEvent.change, "GATE_CHANGE_"), event.gateEvent.state);
  }
}

function show(what, { gate, fence = "0", revision = "0", holds = [] }) {
  const why = holds.map(({ kind, reason }) => `${short(kind, "HOLD_KIND_")} (${reason})`);
  const held = why.length === 0 ? "" : `, held: ${why.join(", ")}`;
  const line = `${what}: gate ${short(gate, "GATE_")}, fence ${fence}, revision ${revision}${held}`;
  element("events").textContent += `${line}\n`;
}

/** GATE_OPEN -> open. */
function short(name = "unspecified", prefix) {
  return name.replace(prefix, "").toLowerCase();
}

/** Shows how a piece of work failed. A browser does not tell a page why a call got no answer. */
function tell(work) {
  element("problem").textContent = "";
  work.catch((cause) => {
    if (cause.name === "AbortError") return;
    element("problem").textContent =
      cause instanceof Refusal
        ? `refused ${cause.reason}: ${cause.message}`
        : `no answer from ${element("gateway").value} (${cause.message}): is it up, and does its gateway.web_origins have ${location.origin}?`;
  });
}
