// A client as plain as they come: takes the gateways in turn and asks the next one when a connect was
// refused. Nothing else is ever repeated; whatever else goes wrong is remembered as a failure.

import { setTimeout as pause } from 'node:timers/promises';
import type { EventOnWire } from '../../src/api/events.ts';
import type { ExecResponse } from '../../src/api/exec.ts';
import { type Answer, FleetClient } from '../e2e/fleet-client.ts';

const mostTries = 20;
const whenAllRefusedMs = 250;

export type Failure = { readonly what: string; readonly atMs: number };

export class RollingClient {
  readonly failures: Failure[] = [];
  /** By status, of all that were answered. */
  readonly answers = new Map<number, number>();
  refusals = 0;
  resumed = 0;
  readonly #gateways: readonly FleetClient[];
  #next = 0;

  constructor(urls: readonly string[], token: string) {
    this.#gateways = urls.map((url) => new FleetClient(url, token));
  }

  /** null when it failed; the failure is remembered. */
  async request<T>(method: string, path: string, body?: unknown): Promise<Answer<T> | null> {
    const what = `${method} ${path}`;
    const answer = await this.#tried(what, (gateway) =>
      gateway.request<T>(method, path, body, { accept: 'application/json' }),
    );
    if (answer === null) return null;
    this.answers.set(answer.status, (this.answers.get(answer.status) ?? 0) + 1);
    if (answer.status >= 400) this.#failed(`${what} was answered ${answer.status}: ${answer.text.slice(0, 300)}`);
    return answer.status >= 400 ? null : answer;
  }

  exec(body: Readonly<Record<string, unknown>>): Promise<Answer<ExecResponse> | null> {
    return this.request<ExecResponse>('POST', '/api/v1/exec', body);
  }

  /** Every event of a session, as one stream, from wherever it can be had; until `isOver`. */
  async follow(sessionId: string, isOver: () => boolean): Promise<EventOnWire[]> {
    const events: EventOnWire[] = [];
    while (!isOver()) {
      const lastEventId = events.at(-1)?.cursor;
      const options = lastEventId === undefined ? {} : { lastEventId };
      await this.#tried(`the stream of ${sessionId}`, async (gateway) => {
        for await (const { data } of gateway.sse(`/api/v1/sessions/${sessionId}/events`, options)) {
          events.push(data);
          if (isOver()) return;
        }
      });
      this.resumed += 1;
    }
    return events;
  }

  async #tried<T>(what: string, ask: (gateway: FleetClient) => Promise<T>): Promise<T | null> {
    for (let tries = 1; ; tries += 1) {
      const gateway = this.#gateways[this.#next++ % this.#gateways.length];
      if (gateway === undefined) throw new Error('there is no gateway');
      try {
        return await ask(gateway);
      } catch (error) {
        // Our own patience with a stream, which has no end of its own.
        if (error instanceof DOMException && error.name === 'TimeoutError' && what.startsWith('the stream'))
          return null;
        if (!isRefused(error) || tries === mostTries) {
          this.#failed(`${what}: ${inWords(error)}`);
          return null;
        }
        this.refusals += 1;
        if (tries % this.#gateways.length === 0) await pause(whenAllRefusedMs);
      }
    }
  }

  #failed(what: string): void {
    this.failures.push({ what, atMs: performance.now() });
  }
}

/** Reset while it connected: it stood in the queue of a door that was closed. Nothing was sent either way. */
function isRefused(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code, syscall } = cause as NodeJS.ErrnoException;
    if (code === 'ECONNREFUSED' || (code === 'ECONNRESET' && syscall === 'connect')) return true;
  }
  return false;
}

function inWords(error: unknown): string {
  const words: string[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    words.push(`${(cause as NodeJS.ErrnoException).code ?? ''} ${cause.message}`.trim());
  }
  return words.length === 0 ? String(error) : words.join(' < ');
}
