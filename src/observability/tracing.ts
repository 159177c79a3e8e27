// Spans, as our parts see them: begun with a parent that came from somewhere else, ended once. Without a place to
// send them to, all of it costs nothing. What prompts and answers say is in none of them.

export type SpanKind = 'server' | 'client' | 'internal';
export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>;

export type SpanStart = {
  readonly kind: SpanKind;
  /** A W3C traceparent, from wherever it came: what is none begins a trace of its own. */
  readonly parent: string | null;
  readonly attributes?: SpanAttributes;
  /** Milliseconds since the epoch. Default: now. */
  readonly startMs?: number;
};

export interface Span {
  /** For what this leads to, elsewhere. null: nothing is traced. */
  readonly traceparent: string | null;
  set(attributes: SpanAttributes): void;
  /** Once; what comes after it does nothing. `error`: a code, never a message. */
  end(outcome?: { readonly error?: string | null; readonly endMs?: number }): void;
}

export interface Tracing {
  start(name: string, options: SpanStart): Span;
  /** Sends what has ended, for a moment at most; never rejects. */
  stop(): Promise<void>;
}

const traceparentPattern = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-|$)/;
const sampledFlag = 1;

export type TraceParent = { readonly traceId: string; readonly spanId: string; readonly isSampled: boolean };

/** As W3C Trace Context writes it; null for what is none. */
export function parseTraceparent(traceparent: string): TraceParent | null {
  const [, traceId, spanId, flags] = traceparentPattern.exec(traceparent) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return null;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & sampledFlag) === sampledFlag };
}

const noSpan: Span = { traceparent: null, set: () => {}, end: () => {} };

export const noTracing: Tracing = { start: () => noSpan, stop: async () => {} };
