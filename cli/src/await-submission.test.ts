import { create } from "@bufbuild/protobuf";
import { createRouterTransport } from "@connectrpc/connect";
import { GatewayService } from "@qmtl/contracts/qmtl/gateway/v1/gateway_service_pb";
import { SubmissionSchema, SubmissionState } from "@qmtl/contracts/qmtl/graph/v1/submission_pb";
import { clientOf, connectErrorFrom, dressTransport, QmtlError } from "@qmtl/sdk/rpc";
import { expect, test } from "vitest";
import { awaitSubmission } from "./await-submission.ts";

const { QUEUED, PROCESSING, COMPLETED, FAILED } = SubmissionState;
const submissionId = "sub-1";
const dagIsOut =
  "dag-manager does not answer: nothing answers at 127.0.0.1:7410 (connection refused)";

type Look = readonly [state: SubmissionState, stateReason: string];

const submissionAt = ([state, stateReason]: Look) =>
  create(SubmissionSchema, { submissionId, state, stateReason });

/** A gateway that streams these states, then waits for the caller's deadline unless the last state is final. */
function gatewayTelling(looks: readonly Look[]) {
  const transport = createRouterTransport((router) => {
    router.service(GatewayService, {
      async *watchSubmission(_request, { signal }) {
        for (const look of looks) yield { submission: submissionAt(look) };
        const [last] = looks.at(-1) ?? [];
        if (last === COMPLETED || last === FAILED) return;
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        throw connectErrorFrom(new QmtlError("OUTCOME_UNKNOWN", "no answer in time"));
      },
    });
  });
  return clientOf(GatewayService, dressTransport(transport, {}));
}

async function waitFor(
  looks: readonly Look[],
  options: { waitMsMax?: number; stillMsMax?: number },
) {
  const notes: string[] = [];
  const onWaiting = (note: string) => void notes.push(note);
  const submitted = submissionAt([QUEUED, ""]);
  const ended = awaitSubmission(gatewayTelling(looks), submitted, { onWaiting, ...options });
  const failure = await ended.then(
    () => undefined,
    (error: unknown) => error,
  );
  return { notes, failure };
}

test("a submission that waits for a dead DAG Manager is reported once, at once, and completes when it is back", async () => {
  const { notes, failure } = await waitFor(
    [
      [PROCESSING, ""],
      [QUEUED, dagIsOut],
      [PROCESSING, dagIsOut],
      [QUEUED, dagIsOut],
      [COMPLETED, ""],
    ],
    {},
  );

  expect(failure).toBeUndefined();
  expect(notes).toEqual([
    `submission sub-1 is accepted and stored; it waits for the DAG Manager (${dagIsOut})`,
  ]);
});

test("at the end of the wait a submission is said to be kept, with what to do, not to have an unknown outcome", async () => {
  const { failure } = await waitFor([[QUEUED, dagIsOut]], { waitMsMax: 50 });

  expect(failure).toMatchObject({
    message: `submission sub-1 is accepted and stored, and still waits for the DAG Manager: ${dagIsOut}`,
    hint: expect.stringContaining("`qmtl submit` again"),
    exitCode: 3,
    reason: "PEER_UNAVAILABLE",
  });
});

test("a submission that stands still without a reason is reported as waiting", async () => {
  const { notes } = await waitFor([[PROCESSING, ""]], { waitMsMax: 100, stillMsMax: 1 });

  expect(notes).toEqual(["submission sub-1 is accepted and stored; it waits for its queues"]);
});

test("a failed submission is reported with its reason, never as waiting", async () => {
  const { notes, failure } = await waitFor([[FAILED, "the world is gone"]], {});

  expect(notes).toEqual([]);
  expect(failure).toMatchObject({
    message: "submission sub-1 has failed: the world is gone",
    exitCode: 1,
  });
});
