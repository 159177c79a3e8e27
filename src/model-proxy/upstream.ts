// What the proxy asks of whoever answers for the model: a real provider over HTTP, or the demo model.

export type UpstreamRequest = {
  readonly headers: Readonly<Record<string, string>>;
  /** The bytes as Codex sent them, content encoding included. */
  readonly body: Buffer;
  /** The same, decoded and parsed. */
  readonly parsed: unknown;
  /** Aborting ends the call in any phase, the reading of the answer included. */
  readonly signal: AbortSignal;
};

export type UpstreamResponse = {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Produces only as fast as it is read. Throws when the answer breaks off; leaving the loop early ends the call. */
  readonly body: AsyncIterable<Uint8Array>;
};

export interface Upstream {
  /** One Responses call. Rejects with UpstreamUnreachable, or with the signal's reason. */
  send(request: UpstreamRequest): Promise<UpstreamResponse>;
  /** The ids that the provider offers; null when it does not say. */
  listModels(signal: AbortSignal): Promise<readonly string[] | null>;
  close(): Promise<void>;
}

/** No answer began: nothing of one was lost. */
export class UpstreamUnreachable extends Error {
  /** Such as ECONNREFUSED: for people, and free of addresses and keys. */
  readonly reason: string;

  constructor(reason: string) {
    super(`the model provider could not be reached (${reason})`);
    this.name = 'UpstreamUnreachable';
    this.reason = reason;
  }
}
