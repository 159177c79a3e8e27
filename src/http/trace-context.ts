// The trace that a caller says its request belongs to, as W3C Trace Context writes it, in the fields
// by which Cloud Logging and other readers of logs find it again.

const traceparentPattern = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-|$)/;
const nobody = /^0+$/;
const sampledFlag = 1;

/** Empty without a trace. With a project id the names of Cloud Logging, else plain ones. */
export function traceFields(
  traceparent: string | readonly string[] | undefined,
  gcpProject: string | null,
): Readonly<Record<string, unknown>> {
  if (typeof traceparent !== 'string') return {};
  const [, traceId = '', spanId = '', flags = ''] = traceparentPattern.exec(traceparent) ?? [];
  if (nobody.test(traceId) || nobody.test(spanId) || traceId === '') return {};
  if (gcpProject === null) return { trace_id: traceId, span_id: spanId };
  return {
    'logging.googleapis.com/trace': `projects/${gcpProject}/traces/${traceId}`,
    'logging.googleapis.com/spanId': spanId,
    'logging.googleapis.com/trace_sampled': (Number.parseInt(flags, 16) & sampledFlag) === sampledFlag,
  };
}
