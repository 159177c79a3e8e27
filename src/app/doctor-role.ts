// What the doctor asks of one role of a cluster, in its container or before its start: whether it answers here, and
// whether it reaches what it cannot do without. The checks that a whole fleet needs too are in doctor.ts.

import { readFile } from 'node:fs/promises';
import type { Config, ConfigRole } from '../config/resolve.ts';
import type { Clock } from '../core/clock.ts';
import { createSilentLogger } from '../observability/logger.ts';
import { type Check, fail, ok, warn } from './doctor-check.ts';

export const doctorRoles = ['gateway', 'worker', 'session-manager', 'model-proxy'] as const;
export type DoctorRole = (typeof doctorRoles)[number] & ConfigRole;

/** The role that runs in this container: the command of its pid 1, an init before it or not. null: none. */
export async function roleOfContainer(
  readCommandLine: () => Promise<string> = () => readFile('/proc/1/cmdline', 'utf8'),
): Promise<DoctorRole | null> {
  const words = (await readCommandLine().catch(() => '')).split('\0');
  const at = words.findIndex((word) => /(?:^|\/)(?:codex-fleet|cli\/main\.[jt]s)$/.test(word));
  return at === -1 ? null : (doctorRoles.find((role) => role === words[at + 1]) ?? null);
}

/** `mustRun`: the container is there for it. */
export async function checkRunning(
  config: Config,
  role: DoctorRole,
  mustRun: boolean,
  deadlineMs: number,
): Promise<{ readonly check: Check; readonly isRunning: boolean }> {
  const base = ownAddress(config, role);
  const live = await ask(`${base}/livez`, deadlineMs / 2);
  if (live === null || !live.ok) {
    const message = `the ${role} does not answer at ${base}`;
    if (mustRun) return { check: fail(role, message, 'look at its log'), isRunning: false };
    return { check: ok(role, `${message}: it is not started`), isRunning: false };
  }
  const ready = await ask(`${base}/readyz`, deadlineMs / 2);
  if (ready?.ok === true) return { check: ok(role, `the ${role} answers at ${base}, and is ready`), isRunning: true };
  const why = ready === null ? 'no answer' : await reasonOf(ready);
  return { check: warn(role, `the ${role} answers at ${base}, and is not ready: ${why}`, null), isRunning: true };
}

export async function checkRedis(config: Config, clock: Clock, deadlineMs: number): Promise<Check> {
  const { keyPrefix, url } = config.redis;
  if (url === null) return fail('redis', 'a role of a cluster needs a Redis', 'set redis.url (REDIS_URL)');
  const { host } = new URL(url);
  try {
    // Loaded here: the commands know the roles by this file, and have no business with a Redis.
    const { RedisConnection } = await import('../adapters/redis/redis-connection.ts');
    const logger = createSilentLogger();
    const connection = await RedisConnection.open({
      ...config.redis,
      url,
      keyPrefix,
      clock,
      logger,
      openTimeoutMs: deadlineMs,
    });
    await connection.close();
    return ok('redis', `Redis answers at ${host}`);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return fail(
      'redis',
      `Redis does not answer at ${host}: ${message}`,
      'check redis.url, its password and the network',
    );
  }
}

export async function checkModelProxy({ modelProxy }: Config, deadlineMs: number): Promise<Check> {
  if (modelProxy.url === null || modelProxy.controlUrl === null) {
    const advice = 'set model_proxy.url and model_proxy.control_url';
    return fail('model_proxy', 'the settings do not say where the model proxy is', advice);
  }
  const answer = await ask(new URL('/livez', modelProxy.controlUrl).href, deadlineMs);
  if (answer?.ok === true) return ok('model_proxy', `the model proxy answers at ${modelProxy.controlUrl}`);
  const advice = 'start it, and check model_proxy.control_url and the network';
  return fail('model_proxy', `the model proxy does not answer at ${modelProxy.controlUrl}`, advice);
}

function ownAddress(config: Config, role: DoctorRole): string {
  const { host, port } = {
    gateway: config.server,
    worker: config.worker,
    'session-manager': config.manager,
    'model-proxy': { host: config.modelProxy.host, port: config.modelProxy.controlPort },
  }[role];
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}

async function ask(url: string, deadlineMs: number): Promise<Response | null> {
  return await fetch(url, { signal: AbortSignal.timeout(deadlineMs) }).catch(() => null);
}

async function reasonOf(answer: Response): Promise<string> {
  const body = (await answer.json().catch(() => null)) as { detail?: string; code?: string } | null;
  return body?.detail ?? body?.code ?? String(answer.status);
}
