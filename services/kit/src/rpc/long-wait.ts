import { isMessage, type Message } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";

/**
 * True for a request that may be answered late because nothing has changed yet: its field `wait`, the longest wait of a
 * contract, is above zero. Such a call changes nothing while it waits, and is sent again.
 */
export function isLongPoll(request: Message): boolean {
  const wait: unknown = Reflect.get(request, "wait");
  return isMessage(wait, DurationSchema) && (wait.seconds > 0n || wait.nanos > 0);
}
