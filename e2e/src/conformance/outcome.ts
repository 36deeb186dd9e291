/** One call that a client is to make. */
export interface Call {
  /** `package.Service/Method`. */
  readonly method: string;
  /** Request in proto3 JSON. */
  readonly request: unknown;
  /** Key to send; empty: none. */
  readonly key: string;
  /** True for a stream: its first message is the answer. */
  readonly isStream: boolean;
}

/** Outcome of a call, in the same form for every client. */
export type Outcome =
  | { readonly status: "OK"; readonly answer: unknown }
  /** The client itself found the request invalid, and sent nothing. */
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

/** Addresses of the platform, and the key that some clients need. */
export interface Platform {
  readonly gatewayUrl: string;
  readonly webUrl: string;
  /** Key of a caller that may reflect, for clients that learn the contract from the server. */
  readonly reflectionKey: string;
}

/** `NOT_FOUND` for `not_found`, `NotFound` or `NOT_FOUND`. */
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
