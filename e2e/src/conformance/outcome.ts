/** One call, as a client is asked to make it. */
export interface Call {
  /** `package.Service/Method`. */
  readonly method: string;
  /** Request in the JSON of protobuf. */
  readonly request: unknown;
  /** Key to send; empty: none. */
  readonly key: string;
  /** True: the first message of the stream is the answer. */
  readonly isStream: boolean;
}

/** What came of a call, told in the same words by every client. */
export type Outcome =
  | { readonly status: "OK"; readonly answer: unknown }
  /** The client itself found that the request is none, and sent nothing. */
  | { readonly status: "NOT_SENT"; readonly message: string }
  | {
      readonly status: string;
      readonly reason: string;
      readonly metadata: Readonly<Record<string, string>>;
      /** Paths of the fields that were wrong. */
      readonly fields: readonly string[];
    };

/** A client under test. */
export interface ConformanceClient extends AsyncDisposable {
  call(call: Call): Promise<Outcome>;
}

/** Where the platform is, and what the clients may use to reach it. */
export interface Platform {
  readonly gatewayUrl: string;
  readonly webUrl: string;
  /** Key of a caller that may reflect, for clients that learn the contract from the server. */
  readonly reflectionKey: string;
}

/** `NOT_FOUND` of `not_found`, `NotFound` or `NOT_FOUND`. */
export function statusName(code: string): string {
  return code.replaceAll(/([a-z])([A-Z])/g, "$1_$2").toUpperCase();
}

interface StatusDetail {
  readonly "@type"?: string;
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly fieldViolations?: readonly { readonly field?: string }[];
}

/** A refusal from its status and its details in JSON. */
export function refusalFrom(status: string, details: readonly StatusDetail[]): Outcome {
  const infos = details.filter((each) => each["@type"]?.endsWith("google.rpc.ErrorInfo"));
  const violations = details.flatMap((each) => each.fieldViolations ?? []);
  return {
    status: statusName(status),
    reason: infos[0]?.reason ?? "",
    metadata: infos[0]?.metadata ?? {},
    fields: violations.map(({ field }) => field ?? ""),
  };
}
