// The embedded fleet's way to its model: the proxy in a process of its own, and the link to it.

import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { ModelProxyClient } from '../adapters/model-proxy-http/model-proxy-client.ts';
import { type Environment, readEnvironment } from '../config/host-facts.ts';
import { readModelKey } from '../config/model-key.ts';
import type { Config } from '../config/resolve.ts';
import type { ModelProxyLink } from '../contracts/model-grants.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import { startModelProxyProcess } from './model-proxy-process.ts';

export type ModelLink = {
  readonly link: ModelProxyLink;
  readonly metricsText: () => Promise<string>;
  /** Where the slots' model doors lead. */
  readonly dataSocket: string;
  readonly stop: () => Promise<void>;
};

/** What a process needs to find its home, its time and the certificates that it trusts. */
const passedOn = ['PATH', 'HOME', 'TZ', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE'];

export async function startModelLink(config: Config, runDir: string, clock: Clock, logger: Logger): Promise<ModelLink> {
  const env = readEnvironment();
  // A key file that cannot be read is the operator's to mend: said now, not by a child that dies.
  readModelKey(config.model, env);
  const dataSocket = path.join(runDir, 'model.sock');
  const controlSocket = path.join(runDir, 'model-control.sock');
  const controlCredential = randomBytes(32).toString('base64url');
  const proxy = await startModelProxyProcess({
    settings: {
      dataSocket,
      controlSocket,
      controlCredential,
      model: config.model,
      log: config.log,
      tracing: config.tracing,
      worker: { id: config.worker.id },
    },
    env: proxyEnvironment(config, env),
    clock,
    logger,
  });
  const link = new ModelProxyClient({ address: { path: controlSocket }, credential: controlCredential, clock });
  return {
    link,
    metricsText: () => link.metricsText(),
    dataSocket,
    stop: async () => {
      await link.close();
      await proxy.stop();
    },
  };
}

function proxyEnvironment(config: Config, env: Environment): Record<string, string> {
  const names = config.model.apiKeyEnv === null ? passedOn : [...passedOn, config.model.apiKeyEnv];
  return Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}
