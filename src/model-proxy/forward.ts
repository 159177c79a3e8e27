// Takes one Responses call from Codex to the provider and its answer back: checks it, repeats it while
// nothing was shown, passes the bytes with back-pressure, counts the tokens. Knows no routes, no provider.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../core/clock.ts';
import type { Usage } from '../core/usage.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics, ModelRequestOutcome } from '../observability/metrics.ts';
import type { Span, Tracing } from '../observability/tracing.ts';
import { breakOff } from './break-off.ts';
import { CallCut, type CutReason, IdleWatch } from './deadlines.ts';
import { readErrorAnswer, writeErrorAnswer } from './error-answer.ts';
import type { ErrorAnswer } from './error-answer.ts';
import type { CutWhy, OpenCall } from './grants.ts';
import { responseHeadersFrom } from './headers.ts';
import type { KeyScrubber } from './key-scrubber.ts';
import { ModelRefusal, type RefusalCode, writeRefusal } from './refusal.ts';
import { inspectBody } from './request-body.ts';
import type { BodyBudget, InspectedBody } from './request-body.ts';
import type { RetryBudget } from './retry.ts';
import type { SharedGrants } from './shared-grants.ts';
import { UpstreamUnreachable } from './upstream.ts';
import type { Upstream, UpstreamResponse } from './upstream.ts';
import { UsageTail } from './usage-tail.ts';

export type ForwardTimeouts = {
  /** From sending the call to the provider's headers. Codex itself would wait for ever. */
  readonly headerMs: number;
  /** Between two bytes of the answer. */
  readonly idleMs: number;
};

export const defaultForwardTimeouts: ForwardTimeouts = { headerMs: 60_000, idleMs: 300_000 };

export type ForwarderParts = {
  readonly upstream: Upstream;
  readonly grants: Pick<SharedGrants, 'openCall'>;
  readonly bodies: BodyBudget;
  readonly retries: RetryBudget;
  readonly scrubKey: KeyScrubber;
  readonly timeouts: ForwardTimeouts;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'modelRequests' | 'modelTokens'>;
  readonly tracing: Tracing;
  /** As OpenTelemetry names who answers for the model. */
  readonly providerName: string;
};

type CallRecord = {
  outcome: ModelRequestOutcome;
  status: number | null;
  attempts: number;
  problem: string | null;
  model: string | null;
  usage: Usage | null;
};

const refusalsOfCuts: Readonly<Record<CutReason, RefusalCode>> = {
  header_timeout: 'provider_timed_out',
  idle_timeout: 'provider_timed_out',
  // Codex asks again, and finds another proxy or this one's next start.
  stopping: 'overloaded',
  turn_ended: 'no_running_turn',
  client_gone: 'no_running_turn',
};

type Answer =
  | { readonly kind: 'stream'; readonly response: UpstreamResponse }
  | { readonly kind: 'error'; readonly error: ErrorAnswer };

export class Forwarder {
  readonly #parts: ForwarderParts;

  constructor(parts: ForwarderParts) {
    this.#parts = parts;
  }

  /** Never rejects: whatever happens ends as an answer, a cut connection and one line in the log. */
  async forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { grants, clock } = this.#parts;
    const startedAtMs = clock.monotonicMs();
    const startMs = clock.now();
    const abort = new AbortController();
    const record: CallRecord = {
      ...{ outcome: 'refused', status: null, attempts: 0, problem: null },
      ...{ model: null, usage: null },
    };
    response.once('close', () => {
      if (!response.writableFinished) abort.abort(new CallCut('client_gone'));
    });
    let call: OpenCall | null = null;
    try {
      const cut = (why: CutWhy): void => abort.abort(new CallCut(why));
      call = await grants.openCall(request.headers.authorization, cut, abort.signal);
      await this.#serve(call, request, response, abort, record);
    } catch (error) {
      this.#fail(error, response, abort.signal, record);
    } finally {
      call?.close();
      this.#report(call, record, clock.monotonicMs() - startedAtMs);
      this.#trace(call, record, startMs);
    }
  }

  async #serve(
    call: OpenCall,
    request: IncomingMessage,
    response: ServerResponse,
    abort: AbortController,
    record: CallRecord,
  ): Promise<void> {
    const held = await this.#parts.bodies.read(request);
    try {
      const encoding = request.headers['content-encoding'];
      const maxBytes = this.#parts.bodies.maxBytes;
      const body = await inspectBody(held.bytes, encoding, call.request.models, maxBytes);
      record.model = modelIn(body);
      abort.signal.throwIfAborted();
      const answer = await this.#ask(call, request, body, abort, record);
      held.release();
      if (answer.kind === 'stream') {
        await this.#relay(answer.response, response, abort, call, record);
      } else {
        record.outcome = 'provider_error';
        writeErrorAnswer(response, answer.error);
      }
    } finally {
      held.release();
    }
  }

  /** Repeats until there is an answer to show, good or bad. */
  async #ask(
    call: OpenCall,
    request: IncomingMessage,
    body: InspectedBody,
    abort: AbortController,
    record: CallRecord,
  ): Promise<Answer> {
    const { retries, clock, upstream, timeouts } = this.#parts;
    const { signal } = abort;
    for (;;) {
      call.countAttempt();
      record.attempts += 1;
      const cancelDeadline = clock.after(timeouts.headerMs, () => abort.abort(new CallCut('header_timeout')));
      let failure: UpstreamUnreachable | ErrorAnswer;
      try {
        const headers = singleValued(request.headers);
        const answer = await upstream.send({ headers, body: body.bytes, parsed: body.parsed, signal });
        record.status = answer.status;
        if (answer.status >= 200 && answer.status < 300) return { kind: 'stream', response: answer };
        failure = await readErrorAnswer(answer, this.#parts.scrubKey);
      } catch (error) {
        if (!(error instanceof UpstreamUnreachable)) throw error;
        failure = error;
      } finally {
        cancelDeadline();
      }
      const delayMs = retries.delayBeforeRetry(record.attempts, failure);
      if (delayMs === null) {
        if (failure instanceof UpstreamUnreachable) throw failure;
        return { kind: 'error', error: failure };
      }
      await pause(delayMs, clock, signal);
    }
  }

  async #relay(
    from: UpstreamResponse,
    to: ServerResponse,
    abort: AbortController,
    call: OpenCall,
    record: CallRecord,
  ): Promise<void> {
    const tail = new UsageTail();
    const watch = new IdleWatch(this.#parts.clock, this.#parts.timeouts.idleMs, () =>
      abort.abort(new CallCut('idle_timeout')),
    );
    try {
      to.writeHead(from.status, responseHeadersFrom(from.headers));
      to.flushHeaders();
      for await (const chunk of from.body) {
        watch.moved();
        tail.push(chunk);
        if (to.write(chunk)) continue;
        await drained(to, abort.signal);
        watch.moved();
      }
      abort.signal.throwIfAborted();
      to.end();
      record.outcome = 'completed';
    } finally {
      watch.stop();
      const usage = tail.read();
      if (usage !== null) {
        record.usage = usage;
        call.addUsage(usage);
        const { modelTokens } = this.#parts.metrics;
        modelTokens.inc({ kind: 'input' }, usage.inputTokens);
        modelTokens.inc({ kind: 'cached_input' }, usage.cachedInputTokens);
        modelTokens.inc({ kind: 'output' }, usage.outputTokens);
        modelTokens.inc({ kind: 'reasoning_output' }, usage.reasoningOutputTokens);
      }
    }
  }

  #fail(thrown: unknown, response: ServerResponse, signal: AbortSignal, record: CallRecord): void {
    // Once we cut, whatever broke after it is its echo.
    const error: unknown = signal.aborted ? signal.reason : thrown;
    record.problem = error instanceof Error ? this.#parts.scrubKey(error.message) : 'unknown';
    if (error instanceof ModelRefusal) {
      record.outcome = 'refused';
      writeRefusal(response, error);
    } else if (error instanceof UpstreamUnreachable) {
      record.outcome = 'unreachable';
      writeRefusal(response, new ModelRefusal('provider_unreachable', `(${error.reason})`));
    } else if (error instanceof CallCut) {
      const code = refusalsOfCuts[error.reason];
      record.outcome = code === 'provider_timed_out' ? 'timed_out' : 'cut';
      writeRefusal(response, new ModelRefusal(code));
    } else if (response.headersSent) {
      record.outcome = 'provider_error';
      breakOff(response, this.#parts.clock);
    } else {
      record.outcome = 'refused';
      this.#parts.logger.error({ event: 'model_call_defect', err: error }, 'A model call failed inside the proxy');
      writeRefusal(response, new ModelRefusal('internal'));
    }
  }

  /** By OpenTelemetry's conventions for generative AI; only of a call that a turn let in, and never what it said. */
  #trace(call: OpenCall | null, { attempts, model, outcome, status, usage }: CallRecord, startMs: number): void {
    if (call === null || call.traceparent === null) return;
    const { providerName, tracing } = this.#parts;
    const span: Span = tracing.start(model === null ? 'chat' : `chat ${model}`, {
      kind: 'client',
      parent: call.traceparent,
      startMs,
      attributes: {
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': providerName,
        'gen_ai.request.model': model ?? undefined,
        'gen_ai.conversation.id': call.request.sessionId,
        'gen_ai.usage.input_tokens': usage?.inputTokens,
        'gen_ai.usage.output_tokens': usage?.outputTokens,
        'http.response.status_code': status ?? undefined,
        'codex_fleet.turn.id': call.turnId,
        'codex_fleet.model_call.attempts': attempts,
      },
    });
    span.end({ error: outcome === 'completed' ? null : outcome });
  }

  #report(call: OpenCall | null, given: CallRecord, durationMs: number): void {
    const { model: _model, usage: _usage, ...record } = given;
    this.#parts.metrics.modelRequests.inc({ outcome: record.outcome });
    const facts = {
      event: 'model_call_ended',
      ...record,
      duration_ms: Math.round(durationMs),
      session_id: call?.request.sessionId ?? null,
      turn_id: call?.turnId ?? null,
    };
    const isOrdinary = record.outcome === 'completed' || record.outcome === 'cut';
    this.#parts.logger[isOrdinary ? 'debug' : 'warn'](facts, 'Model call ended');
  }
}

/** As Codex asked for it. */
function modelIn({ parsed }: InspectedBody): string | null {
  const { model } = parsed as { readonly model?: unknown };
  return typeof model === 'string' ? model : null;
}

function singleValued(headers: IncomingMessage['headers']): Record<string, string> {
  const single: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) if (typeof value === 'string') single[name] = value;
  return single;
}

/** Resolves when the client took what was written; rejects when the call is over. */
function drained(to: ServerResponse, signal: AbortSignal): Promise<void> {
  return settle(signal, (resolve) => {
    to.once('drain', resolve);
    return () => to.off('drain', resolve);
  });
}

function pause(delayMs: number, clock: Clock, signal: AbortSignal): Promise<void> {
  return settle(signal, (resolve) => clock.after(delayMs, resolve));
}

function settle(signal: AbortSignal, begin: (resolve: () => void) => () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      cancel();
      reject(signal.reason as Error);
    };
    const cancel = begin(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
