// Spans by OpenTelemetry, sent over OTLP/HTTP to whatever collects them. Loaded only where the settings name a
// collector. Its being away costs spans, and nothing else: what waits is bounded, and nobody waits for it.

import {
  type Context,
  context,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { parseTraceparent, type SpanKind as OurKind, type SpanStart, type Tracing } from './tracing.ts';

export type OtelTracingOptions = {
  /** Of the collector, as OTLP names it: /v1/traces is added. */
  readonly endpoint: string;
  /** 0 to 100, of traces that begin here; one that came from a caller is kept or not as that decided. */
  readonly samplePercent: number;
  readonly role: string;
  readonly instance: string;
  readonly version: string;
  /** For tests. */
  readonly exporter?: SpanExporter;
};

const kinds: Readonly<Record<OurKind, SpanKind>> = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  internal: SpanKind.INTERNAL,
};

const exportTimeoutMs = 5_000;
const stopTimeoutMs = 3_000;
/** Names of models and tools are what an agent says they are. */
const longestText = 256;

export function openOtelTracing(options: OtelTracingOptions): Tracing {
  const { endpoint, instance, role, samplePercent, version } = options;
  const exporter =
    options.exporter ??
    new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces`, timeoutMillis: exportTimeoutMs });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': `codex-fleet-${role}`,
      'service.namespace': 'codex-fleet',
      'service.instance.id': instance,
      'service.version': version,
    }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(samplePercent / 100) }),
    spanLimits: { attributeValueLengthLimit: longestText },
    spanProcessors: [new BatchSpanProcessor({ exporter, exportTimeoutMillis: exportTimeoutMs, maxQueueSize: 4096 })],
  });
  const tracer = provider.getTracer('codex-fleet', version);
  return {
    start: (name, start) => {
      const span = tracer.startSpan(name.slice(0, longestText), spanOptions(start), contextOf(start.parent));
      return {
        traceparent: traceparentOf(span.spanContext()),
        set: (attributes) => void span.setAttributes(attributes),
        end: ({ endMs, error } = {}) => {
          if (error !== undefined && error !== null) {
            span.setAttribute('error.type', error);
            span.setStatus({ code: SpanStatusCode.ERROR });
          }
          span.end(endMs);
        },
      };
    },
    stop: async () => {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, stopTimeoutMs);
      });
      await Promise.race([provider.shutdown().catch(() => {}), late]);
      clearTimeout(timer);
    },
  };
}

function spanOptions({ attributes = {}, kind, startMs }: SpanStart): {
  kind: SpanKind;
  attributes: SpanStart['attributes'] & object;
  startTime?: number;
} {
  return { kind: kinds[kind], attributes, ...(startMs === undefined ? {} : { startTime: startMs }) };
}

function contextOf(traceparent: string | null): Context {
  const root = context.active();
  const from = traceparent === null ? null : parseTraceparent(traceparent);
  if (from === null) return root;
  const { isSampled, spanId, traceId } = from;
  const traceFlags = isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return trace.setSpanContext(root, { traceId, spanId, traceFlags, isRemote: true });
}

function traceparentOf({ spanId, traceFlags, traceId }: SpanContext): string {
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}
