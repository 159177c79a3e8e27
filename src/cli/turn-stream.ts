// One turn's events from its start to its one end, across as many connections as that takes: a stream
// that breaks is resumed behind the last event that was seen.

import { eventSchema } from '../api/events.ts';
import type { EventOnWire } from '../api/events.ts';
import type { Clock } from '../core/clock.ts';
import { isTerminalEventType } from '../core/event.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { FleetRefusal, FleetUnreachable } from './fleet-client.ts';
import type { ExecCall, FleetClient, StreamPlace } from './fleet-client.ts';
import { readSse } from './sse-reader.ts';

export type SeenEvent = {
  readonly event: EventOnWire;
  /** As it came, for programs. */
  readonly json: string;
};

export type TurnStreamOptions = {
  readonly client: FleetClient;
  readonly call: ExecCall;
  readonly clock: Clock;
  readonly signal: AbortSignal;
};

/** Three heartbeats of the fleet's default. */
const silenceMs = 45_000;
const firstDelayMs = 200;
const longestDelayMs = 5_000;
/** Without a single event for so long in spite of trying, the fleet is gone. */
const giveUpAfterMs = 60_000;

/** Ends after the terminal event. Throws CliError, FleetRefusal or FleetUnreachable. */
export async function* followTurn(options: TurnStreamOptions): AsyncGenerator<SeenEvent> {
  const { client, clock, signal } = options;
  let place = null as StreamPlace | null;
  let lastSeq = 0;
  let body = await client.exec(options.call, signal);
  let retries = new Retries(clock);
  for (;;) {
    for await (const json of readSse(body, { clock, silenceMs })) {
      const event = parseEvent(json);
      if (event === null || event.seq <= lastSeq) continue;
      lastSeq = event.seq;
      const turnId: string | null = place?.turnId ?? event.turn_id;
      place = { sessionId: event.session_id, turnId, cursor: event.cursor };
      retries = new Retries(clock);
      if (event.turn_id !== null && event.turn_id !== turnId) continue;
      yield { event, json };
      if (event.turn_id !== null && isTerminalEventType(event.type)) return;
    }
    signal.throwIfAborted();
    if (place === null) {
      throw new CliError(
        exitCodes.unreachable,
        `${client.url} ended the stream before its first event; the turn may run`,
      );
    }
    body = await resume(client, place, retries, signal);
  }
}

export type LogStreamOptions = Omit<TurnStreamOptions, 'call'> & { readonly place: StreamPlace };

/** The events of a session behind a place, and those to come, until the signal. */
export async function* followSession(options: LogStreamOptions): AsyncGenerator<SeenEvent> {
  const { client, clock, signal } = options;
  let { place } = options;
  let body = await client.resume(place, signal);
  let retries = new Retries(clock);
  for (;;) {
    for await (const json of readSse(body, { clock, silenceMs })) {
      const event = parseEvent(json);
      if (event === null) continue;
      place = { ...place, cursor: event.cursor };
      retries = new Retries(clock);
      yield { event, json };
    }
    signal.throwIfAborted();
    body = await resume(client, place, retries, signal);
  }
}

/** An event that is not one of ours is none that we could place: it is left out. */
function parseEvent(json: string): EventOnWire | null {
  try {
    return eventSchema.safeParse(JSON.parse(json)).data ?? null;
  } catch {
    return null;
  }
}

async function resume(
  client: FleetClient,
  place: StreamPlace,
  retries: Retries,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  for (;;) {
    const canRetry = await retries.wait(signal);
    try {
      if (canRetry) return await client.resume(place, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof FleetRefusal && !error.isPassing) throw lostTurn(client, place, error);
      if (!(error instanceof FleetRefusal) && !(error instanceof FleetUnreachable)) throw error;
      retries.lastError = error;
      continue;
    }
    throw lostTurn(client, place, retries.lastError);
  }
}

function lostTurn(client: FleetClient, place: StreamPlace, cause: unknown): CliError {
  const reason = cause instanceof Error ? cause.message : `${client.url} ends the stream again and again`;
  const isAuth = cause instanceof FleetRefusal && cause.exitCode === exitCodes.unauthenticated;
  return new CliError(
    isAuth ? exitCodes.unauthenticated : exitCodes.unreachable,
    `lost the events of ${place.turnId === null ? '' : `turn ${place.turnId} of `}session ${place.sessionId}: ${reason}`,
    { cause },
  );
}

/** Growing pauses, up to a limit in time; a new one after each event. */
class Retries {
  lastError: unknown = null;
  readonly #clock: Clock;
  #sinceMs: number | null = null;
  #delayMs = firstDelayMs;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** false when there have been enough. */
  async wait(signal: AbortSignal): Promise<boolean> {
    this.#sinceMs ??= this.#clock.monotonicMs();
    if (this.#clock.monotonicMs() - this.#sinceMs >= giveUpAfterMs) return false;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(this.#delayMs, resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
    this.#delayMs = Math.min(longestDelayMs, this.#delayMs * 2);
    try {
      await promise;
    } finally {
      cancel();
    }
    signal.throwIfAborted();
    return true;
  }
}
