// The few calls that the command line makes to a fleet, and what their refusals mean for a person.

import { problemSchema } from '../api/problem.ts';
import type { Problem } from '../api/problem.ts';
import type { Clock } from '../core/clock.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import type { ExitCode } from './exit-codes.ts';

export type ExecCall = {
  readonly prompt: string;
  readonly session_id?: string;
  readonly timeout_ms?: number;
  readonly model?: string;
  readonly effort?: string;
  readonly output_schema?: unknown;
  readonly on_busy?: string;
};

export type StreamPlace = {
  readonly sessionId: string;
  readonly turnId: string | null;
  /** null: before the first event. */
  readonly cursor: string | null;
};

/** What fetch reports when there was no connection to send on. */
const beforeSending: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  'bad port',
]);

/** The fleet could not be asked: nothing is known about what it did. */
export class FleetUnreachable extends Error {
  /** Whether it is certain that nothing was sent. */
  readonly isUnsent: boolean;

  constructor(url: string, cause: unknown) {
    super(`${url} does not answer (${reasonOf(cause)})`, { cause });
    this.name = 'FleetUnreachable';
    this.isUnsent = beforeSending.has(reasonOf(cause));
  }
}

/** The fleet answered with a problem. */
export class FleetRefusal extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, problem: Partial<Problem>) {
    const fields = problem.errors?.map((entry) => `\n  ${entry.field}: ${entry.message}`) ?? [];
    super(`${problem.detail ?? `the fleet answered ${status}`}${fields.join('')}`);
    this.name = 'FleetRefusal';
    this.status = status;
    this.code = problem.code ?? 'unknown';
  }

  /** Worth asking again in a while. */
  get isPassing(): boolean {
    return this.status === 429 || this.status >= 500;
  }

  get exitCode(): ExitCode {
    if (this.status === 401 || this.status === 403) return exitCodes.unauthenticated;
    if (this.status === 502 || this.status === 503 || this.status === 504) return exitCodes.unreachable;
    return [400, 404, 413, 415, 422].includes(this.status) ? exitCodes.usage : exitCodes.turnFailed;
  }
}

/** Until the headers of an answer; a stream may then last as long as its turn. */
const answerDeadlineMs = 60_000;
const cancelDeadlineMs = 10_000;
const maxProblemBytes = 64 * 1024;

export class FleetClient {
  readonly url: string;
  readonly #token: string;
  readonly #clock: Clock;

  constructor(options: { readonly url: string; readonly token: string; readonly clock: Clock }) {
    this.url = options.url.replace(/\/+$/, '');
    this.#token = options.token;
    this.#clock = options.clock;
  }

  /** Starts a turn; the answer is its events. */
  async exec(call: ExecCall, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    return await this.#stream('/api/v1/exec', signal, {
      method: 'POST',
      body: JSON.stringify({ ...call, stream: true }),
      headers: { 'content-type': 'application/json' },
    });
  }

  /** The events behind the place, and those to come. */
  async resume(place: StreamPlace, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const query = new URLSearchParams({
      ...(place.cursor === null ? {} : { after: place.cursor }),
      ...(place.turnId === null ? {} : { turn_id: place.turnId }),
    });
    return await this.#stream(
      `/api/v1/sessions/${encodeURIComponent(place.sessionId)}/events?${query.toString()}`,
      signal,
      {},
    );
  }

  /** Resolves when the fleet has taken note; a turn that has ended already is fine too. */
  async cancelTurn(sessionId: string, turnId: string): Promise<void> {
    const path = `/api/v1/sessions/${encodeURIComponent(sessionId)}/turns/${encodeURIComponent(turnId)}/cancel`;
    const response = await this.#fetch(path, { method: 'POST' }, cancelDeadlineMs, null);
    if (!response.ok && response.status !== 409) throw await refusalOf(response);
    await response.body?.cancel();
  }

  /** The answer as JSON, and as it came. */
  async call(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
    const headers = {
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    };
    const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    const response = await this.#fetch(path, init, answerDeadlineMs, null);
    if (!response.ok) throw await refusalOf(response);
    try {
      return await response.json();
    } catch (error) {
      throw new CliError(exitCodes.unreachable, `${this.url} answers, but not as Codex Fleet does`, { cause: error });
    }
  }

  async #stream(path: string, signal: AbortSignal, init: RequestInit): Promise<ReadableStream<Uint8Array>> {
    const headers = { ...(init.headers as Record<string, string> | undefined), accept: 'text/event-stream' };
    const response = await this.#fetch(path, { ...init, headers }, answerDeadlineMs, signal);
    if (!response.ok) throw await refusalOf(response);
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
    if (isStream && response.body !== null) return response.body;
    await response.body?.cancel();
    throw new CliError(exitCodes.unreachable, `${this.url} answers, but not as Codex Fleet does`);
  }

  async #fetch(path: string, init: RequestInit, deadlineMs: number, signal: AbortSignal | null): Promise<Response> {
    const late = new AbortController();
    const cancelDeadline = this.#clock.after(deadlineMs, () =>
      late.abort(new Error(`no answer within ${deadlineMs} ms`)),
    );
    try {
      return await fetch(`${this.url}${path}`, {
        ...init,
        headers: { ...(init.headers as Record<string, string> | undefined), authorization: `Bearer ${this.#token}` },
        // Following one would carry the prompt, if not the token, to who knows where.
        redirect: 'error',
        signal: signal === null ? late.signal : AbortSignal.any([late.signal, signal]),
      });
    } catch (error) {
      throw new FleetUnreachable(this.url, error);
    } finally {
      cancelDeadline();
    }
  }
}

async function refusalOf(response: Response): Promise<FleetRefusal> {
  const text = await response.text().catch(() => '');
  if (text.length > maxProblemBytes) return new FleetRefusal(response.status, {});
  try {
    const parsed = problemSchema.partial().safeParse(JSON.parse(text));
    return new FleetRefusal(response.status, (parsed.data ?? {}) as Partial<Problem>);
  } catch {
    return new FleetRefusal(response.status, {});
  }
}

/** The innermost code, such as ECONNREFUSED, that fetch wraps in "fetch failed". */
function reasonOf(error: unknown): string {
  let reason = error instanceof Error ? error.message : String(error);
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    reason = typeof code === 'string' ? code : cause.message;
    if (cause instanceof AggregateError && cause.errors.length > 0 && typeof code !== 'string') {
      return reasonOf(cause.errors[0]);
    }
  }
  return reason;
}
