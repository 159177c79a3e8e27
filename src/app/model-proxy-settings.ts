// What the model proxy's process is told by the process that starts it: one line of JSON on its
// standard input, which then stays open. The API key is not in it: only where to find it.

import type { Config } from '../config/resolve.ts';

export type ModelProxySettings = {
  readonly dataSocket: string;
  readonly controlSocket: string;
  readonly controlCredential: string;
  readonly model: Config['model'];
  readonly log: Config['log'];
  readonly tracing: Config['tracing'];
  readonly worker: Pick<Config['worker'], 'id'>;
};
