import { QueueService } from "@qmtl/contracts/qmtl/dagmanager/v1/queue_service_pb";
import { QueueDataService } from "@qmtl/contracts/qmtl/data/v1/queue_data_service_pb";
import { type Handlers, type ServedService, serve } from "@qmtl/service-kit";
import type { FeedDesk } from "../feed/feed-desk.ts";
import { type PublishPorts, publishRows } from "../feed/publish-rows.ts";
import { forwardEncoded, forwardService, forwardUnary } from "../peers/forward.ts";
import type { Peer } from "../peers/peer.ts";

/** The DAG Manager's contracts under the gateway's address; this gateway owns the replay barriers. */
export function queueServices(ports: PublishPorts): ServedService[] {
  const { dag, feeds } = ports;
  return [
    forwardService(QueueService, dag, replay(dag, feeds)),
    serve(QueueDataService, {
      publish: (request, context) => publishRows(ports, request, context),
      consume: (request, context) =>
        forwardEncoded(QueueDataService.method.consume, dag, request, context),
    }),
  ];
}

/** What changes a runner set or a hold is in force at the barrier before it is answered. */
function replay(dag: Peer, feeds: FeedDesk): Handlers<typeof QueueService> {
  const { method } = QueueService;
  const getReplay = forwardUnary(method.getReplay, dag);
  const advance = forwardUnary(method.advanceReplay, dag);
  const createRunner = forwardUnary(method.createReplayRunner, dag);
  const deleteRunner = forwardUnary(method.deleteReplayRunner, dag);
  return {
    async getReplay(request, context) {
      return feeds.describe(await getReplay(request, context), request.source);
    },
    async advanceReplay(request, context) {
      const answer = await advance(request, context);
      await feeds.refresh(request.source);
      return answer;
    },
    async createReplayRunner(request, context) {
      const answer = await createRunner(request, context);
      await feeds.refresh(request.source);
      return answer;
    },
    async deleteReplayRunner(request, context) {
      const answer = await deleteRunner(request, context);
      await feeds.refresh(request.source);
      return answer;
    },
  };
}
