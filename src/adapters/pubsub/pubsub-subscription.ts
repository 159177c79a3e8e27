// The calls about one subscription: a stream of its messages, their acknowledgement, their leases. The calls
// below the client's own subscriber are used: that one connects again in silence, so that nobody can say
// whether anything is read, and it hands out messages of one ordering key without waiting for their answers.

import { randomUUID } from 'node:crypto';
import { v1 } from '@google-cloud/pubsub';
import type { IncomingMessage } from '../../contracts/message-source.ts';
import type { Clock } from '../../core/clock.ts';
import { openPubsub, fullName, type PubsubAccess } from './pubsub-client.ts';
import { answeredIds, pubsubError, reasonOf } from './pubsub-errors.ts';

export type PulledMessage = { readonly ackId: string; readonly message: IncomingMessage };

export type StreamListener = {
  /** It reads; once a stream, before its first messages. */
  opened(): void;
  messages(pulled: readonly PulledMessage[]): void;
  /** Once, and nothing after it; `reason` null: the server ended it, as it does from time to time. */
  ended(reason: string | null, cause: unknown): void;
};

export type MessageStream = {
  pause(): void;
  resume(): void;
  /** `ended` is not called any more. */
  close(): void;
};

/** Of the ids given: those to be named once more, and those whose lease is over. */
export type Answered = { readonly again: readonly string[]; readonly lost: readonly string[] };

export interface SubscriptionCalls {
  /** As given; short until the project is known. */
  readonly name: string;
  open(limits: { readonly messages: number; readonly bytes: number }, listener: StreamListener): MessageStream;
  /** Never rejects; nor does `extend`. */
  acknowledge(ackIds: readonly string[]): Promise<Answered>;
  /** 0 seconds: given back. */
  extend(ackIds: readonly string[], seconds: number): Promise<Answered>;
  close(): Promise<void>;
}

export type PubsubSubscriptionOptions = PubsubAccess & {
  readonly subscription: string;
  readonly clock: Clock;
  /** How long a message is another's to give out after we were last heard of; 10 s at least. */
  readonly leaseMs: number;
  readonly callTimeoutMs: number;
};

/** Without a word from us the server ends a stream. */
const pingMs = 30_000;
/** A refusal comes within a round trip of the connection; silence for so long means that there is none. */
const refusalMs = 500;
const connectMs = 20_000;
/** The server ends one before that; gRPC wants a number. */
const longestStreamMs = 3_600_000;
const none: Answered = { again: [], lost: [] };

type RawStream = ReturnType<v1.SubscriberClient['streamingPull']>;
type Stub = { waitForReady(deadline: number, callback: (error?: Error) => void): void };
type RawMessage = {
  readonly ackId?: string | null;
  readonly deliveryAttempt?: number | null;
  readonly message?: {
    readonly messageId?: string | null;
    readonly data?: Uint8Array | string | null;
    readonly attributes?: Readonly<Record<string, string>> | null;
    readonly orderingKey?: string | null;
    readonly publishTime?: { readonly seconds?: unknown; readonly nanos?: number | null } | null;
  } | null;
};

export class PubsubSubscription implements SubscriptionCalls {
  readonly #options: PubsubSubscriptionOptions;
  /** Whose streams these are: what is outstanding is counted for each client by itself. */
  readonly #clientId = randomUUID();
  #client: Promise<v1.SubscriberClient> | null = null;
  #fullName: string | null = null;

  constructor(options: PubsubSubscriptionOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#fullName ?? this.#options.subscription;
  }

  open(limits: { readonly messages: number; readonly bytes: number }, listener: StreamListener): MessageStream {
    const stream = new OpenStream(this.#options.clock, listener);
    void this.#connected().then(
      (client) => stream.start(client, this.#firstRequest(limits)),
      (error: unknown) => stream.fail(error),
    );
    return stream;
  }

  acknowledge(ackIds: readonly string[]): Promise<Answered> {
    return this.#answer(ackIds, (client, options) =>
      client.acknowledge({ subscription: this.name, ackIds: [...ackIds] }, options),
    );
  }

  extend(ackIds: readonly string[], seconds: number): Promise<Answered> {
    return this.#answer(ackIds, (client, options) =>
      client.modifyAckDeadline({ subscription: this.name, ackIds: [...ackIds], ackDeadlineSeconds: seconds }, options),
    );
  }

  async close(): Promise<void> {
    const client = await this.#client?.catch(() => null);
    await client?.close().catch(() => {});
  }

  async #answer(
    ackIds: readonly string[],
    call: (client: v1.SubscriberClient, options: { timeout: number; retry: null }) => Promise<unknown>,
  ): Promise<Answered> {
    try {
      // Without the client's own repeats: they take minutes.
      await call(await this.#connected(), { timeout: this.#options.callTimeoutMs, retry: null });
      return none;
    } catch (error) {
      return answeredIds(ackIds, error);
    }
  }

  /** Once it worked; until then each call tries anew, as credentials may come. */
  #connected(): Promise<v1.SubscriberClient> {
    this.#client ??= this.#connect().catch((error: unknown) => {
      this.#client = null;
      throw pubsubError(error);
    });
    return this.#client;
  }

  async #connect(): Promise<v1.SubscriberClient> {
    const pubsub = openPubsub(this.#options);
    const settings = await pubsub.getClientConfig();
    this.#fullName = fullName('subscriptions', this.#options.subscription, pubsub.projectId);
    await pubsub.close();
    return new v1.SubscriberClient(settings as ConstructorParameters<typeof v1.SubscriberClient>[0]);
  }

  #firstRequest({ bytes, messages }: { readonly messages: number; readonly bytes: number }): Record<string, unknown> {
    return {
      subscription: this.name,
      clientId: this.#clientId,
      streamAckDeadlineSeconds: Math.round(this.#options.leaseMs / 1_000),
      maxOutstandingMessages: messages,
      maxOutstandingBytes: bytes,
    };
  }
}

class OpenStream implements MessageStream {
  readonly #clock: Clock;
  readonly #listener: StreamListener;
  #stream: RawStream | null = null;
  #state: 'opening' | 'open' | 'over' = 'opening';
  #isPaused = false;
  #cancelTimers: () => void = () => {};

  constructor(clock: Clock, listener: StreamListener) {
    this.#clock = clock;
    this.#listener = listener;
  }

  start(client: v1.SubscriberClient, firstRequest: Record<string, unknown>): void {
    if (this.#state === 'over') return;
    const routing = `subscription=${encodeURIComponent(String(firstRequest['subscription']))}`;
    const stream = client.streamingPull({
      timeout: longestStreamMs,
      otherArgs: { headers: { 'x-goog-request-params': routing } },
    });
    this.#stream = stream;
    // An error of a stream that nobody listens to would end the process: these stay for its whole life.
    stream.on('error', (error: unknown) => this.fail(error));
    stream.on('end', () => this.#end(null, null));
    stream.on('data', (response: { receivedMessages?: readonly RawMessage[] | null }) =>
      this.#receive(response.receivedMessages ?? []),
    );
    if (this.#isPaused) stream.pause();
    stream.write(firstRequest);
    this.#keepAwake(stream);
    void this.#confirm(client);
  }

  fail(error: unknown): void {
    this.#end(reasonOf(error), error);
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#stream?.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#stream?.resume();
  }

  close(): void {
    this.#state = 'over';
    this.#cancelTimers();
    this.#stream?.cancel();
  }

  #receive(raw: readonly RawMessage[]): void {
    if (this.#state === 'over') return;
    this.#open();
    this.#listener.messages(raw.map(pulledMessage));
  }

  /** The server is silent until it has a message: that it was reached and did not refuse has to do. */
  async #confirm(client: v1.SubscriberClient): Promise<void> {
    try {
      const stub = (await client.initialize()) as unknown as Stub;
      const deadline = this.#clock.now() + connectMs;
      await new Promise<void>((resolve, reject) => {
        stub.waitForReady(deadline, (error) => (error === undefined ? resolve() : reject(error)));
      });
    } catch {
      // Then the stream ends as well, and says why.
      return;
    }
    if (this.#state !== 'opening') return;
    const stopPings = this.#cancelTimers;
    const cancel = this.#clock.after(refusalMs, () => this.#open());
    this.#cancelTimers = () => {
      stopPings();
      cancel();
    };
  }

  #open(): void {
    if (this.#state !== 'opening') return;
    this.#state = 'open';
    this.#listener.opened();
  }

  #end(reason: string | null, cause: unknown): void {
    if (this.#state === 'over') return;
    this.close();
    this.#listener.ended(reason, cause);
  }

  #keepAwake(stream: RawStream): void {
    let cancel = (): void => {};
    const ping = (): void => {
      stream.write({});
      cancel = this.#clock.after(pingMs, ping);
    };
    cancel = this.#clock.after(pingMs, ping);
    this.#cancelTimers = () => cancel();
  }
}

function pulledMessage({ ackId, deliveryAttempt, message }: RawMessage): PulledMessage {
  const { seconds, nanos } = message?.publishTime ?? {};
  const data = message?.data ?? new Uint8Array();
  return {
    ackId: ackId ?? '',
    message: {
      id: message?.messageId ?? '',
      data: typeof data === 'string' ? Buffer.from(data, 'base64') : data,
      attributes: message?.attributes ?? {},
      orderingKey: message?.orderingKey ?? '',
      publishedAt: Number(seconds ?? 0) * 1_000 + Math.floor((nanos ?? 0) / 1_000_000),
      deliveryAttempt: deliveryAttempt ?? 0,
    },
  };
}
