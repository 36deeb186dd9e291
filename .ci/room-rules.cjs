const rooms = require("./rooms.json");

/**
 * The folders of a service, lowest first (`.ci/rooms.json`): rpc → use case → store → pure rules. A room imports itself
 * and the rooms below it, types included, so no two rooms import each other; what both need lives in the lower one. The
 * files beside the rooms wire them and are imported by nobody but tests.
 */
function roomRules(root, names) {
  const service = root.split("/")[1];
  const inside = (room) => `^${root}/${room}/`;
  const tests = "\\.test\\.ts$";
  const listed = {
    name: `${service}-rooms-are-listed`,
    severity: "error",
    comment: "A new folder takes its place in .ci/rooms.json.",
    from: { path: `^${root}/(?!(${names.join("|")}|testing)/)[^/]+/` },
    to: {},
  };
  const down = names.map((room, at) => ({
    name: `${service}-${room}-imports-down`,
    severity: "error",
    from: { path: inside(room), pathNot: tests },
    to: { path: [...names.slice(at + 1).map(inside), inside("testing"), `^${root}/[^/]+$`] },
  }));
  return [listed, ...down];
}

module.exports = Object.entries(rooms).flatMap(([root, names]) => roomRules(root, names));
