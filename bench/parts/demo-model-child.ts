// The demo model in a process of its own, without proxy or credential: what a bare Codex talks to.

import { createDemoServer } from '../../src/model-proxy/demo-model/demo-server.ts';
import { SystemClock } from '../../src/observability/system-clock.ts';
import { serveParent } from './serve-parent.ts';

const server = createDemoServer({ host: '127.0.0.1', port: 0 }, new SystemClock());

serveParent(
  {
    start: async () => {
      const address = await server.listen();
      return { baseUrl: 'port' in address ? `http://${address.host}:${address.port}/v1` : '' };
    },
  },
  () => server.stop(),
);
