import assert from 'node:assert/strict';
import { test } from 'node:test';
import { traceFields } from './trace-context.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';

test('a trace is named in the words of Cloud Logging where the project is known, in plain ones elsewhere', () => {
  const traceparent = `00-${traceId}-${spanId}-01`;
  assert.deepEqual(traceFields(traceparent, 'my-project'), {
    'logging.googleapis.com/trace': `projects/my-project/traces/${traceId}`,
    'logging.googleapis.com/spanId': spanId,
    'logging.googleapis.com/trace_sampled': true,
  });
  assert.deepEqual(traceFields(traceparent, null), { trace_id: traceId, span_id: spanId });
  assert.equal(traceFields(`00-${traceId}-${spanId}-00`, 'p')['logging.googleapis.com/trace_sampled'], false);
});

test('what is no trace leaves no field', () => {
  const none = [
    undefined,
    '',
    ['00', traceId],
    `ff-${traceId}-${spanId}-01`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}-01x`,
    `00-${traceId}\n-${spanId}-01`,
  ];
  for (const header of none) assert.deepEqual(traceFields(header, 'p'), {}, String(header));
  assert.deepEqual(Object.keys(traceFields(`cc-${traceId}-${spanId}-01-what-comes-later`, null)), [
    'trace_id',
    'span_id',
  ]);
});
