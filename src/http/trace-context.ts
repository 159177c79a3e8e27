// The trace that a caller says its request belongs to, as W3C Trace Context writes it, in the fields
// by which Cloud Logging and other readers of logs find it again.

import { parseTraceparent } from '../observability/tracing.ts';

/** Empty without a trace. With a project id the names of Cloud Logging, else plain ones. */
export function traceFields(
  traceparent: string | readonly string[] | undefined,
  gcpProject: string | null,
): Readonly<Record<string, unknown>> {
  if (typeof traceparent !== 'string') return {};
  const parent = parseTraceparent(traceparent);
  if (parent === null) return {};
  const { isSampled, spanId, traceId } = parent;
  if (gcpProject === null) return { trace_id: traceId, span_id: spanId };
  return {
    'logging.googleapis.com/trace': `projects/${gcpProject}/traces/${traceId}`,
    'logging.googleapis.com/spanId': spanId,
    'logging.googleapis.com/trace_sampled': isSampled,
  };
}
