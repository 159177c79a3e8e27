// The local Cloud Storage as a process: `--port 0 --dir D [--bucket B] [--delay-ms N]`. Its first line is its URL.

import { parseArgs } from 'node:util';
import { GcsServer } from './gcs-server.ts';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    dir: { type: 'string' },
    bucket: { type: 'string', default: 'fleet' },
    'delay-ms': { type: 'string', default: '0' },
  },
});
const server = await GcsServer.start({
  bucket: values.bucket,
  port: Number(values.port),
  dir: values.dir ?? null,
  delayMs: Number(values['delay-ms']),
});
process.stdout.write(`${server.url}\n`);
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void server.stop());
