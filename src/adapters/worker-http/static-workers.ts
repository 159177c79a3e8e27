// Workers that are given by address and do not register: asked for their status again and again. A name
// may stand for many of them, as that of a headless service does; each address of it is one.

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { KnownWorker, WorkerEntry } from '../../contracts/worker-registry.ts';
import type { Clock } from '../../core/clock.ts';
import { within } from '../../core/deadline.ts';
import type { Logger } from '../../observability/logger.ts';
import type { LinkCache } from './link-cache.ts';

export type StaticWorkersParts = {
  readonly urls: readonly string[];
  /** The addresses that a name stands for. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
  /** Which run listens there. */
  readonly readBoot: (url: string) => Promise<string>;
  readonly links: LinkCache;
  readonly clock: Clock;
  readonly logger: Logger;
};

const resolveEveryMs = 5000;
const resolveDeadlineMs = 2000;
/** As long as a registry names one that has fallen silent. */
const forgetAfterMs = 60_000;

type Target = { heardAtMs: number; entry: WorkerEntry | null; asking: Promise<void> | null };
type Resolved = { readonly addresses: readonly string[]; readonly atMs: number };

export class StaticWorkers {
  readonly #parts: StaticWorkersParts;
  readonly #targets = new Map<string, Target>();
  readonly #resolved = new Map<string, Resolved>();
  /** Names that are complained of. */
  readonly #unresolved = new Set<string>();

  constructor(parts: StaticWorkersParts) {
    this.#parts = parts;
  }

  /** Asks all of them, those apart that have not answered yet. Never rejects. */
  async poll(): Promise<void> {
    const found = await Promise.all(this.#parts.urls.map((url) => this.#urlsOf(url)));
    const urls = new Set(found.flat());
    for (const url of this.#targets.keys()) if (!urls.has(url)) this.#targets.delete(url);
    await Promise.all([...urls].map((url) => this.#ask(url)));
  }

  known(): readonly KnownWorker[] {
    const nowMs = this.#parts.clock.monotonicMs();
    const known: KnownWorker[] = [];
    for (const { entry, heardAtMs } of this.#targets.values()) {
      const silentMs = nowMs - heardAtMs;
      if (entry !== null && silentMs <= forgetAfterMs) known.push({ ...entry, silentMs });
    }
    return known;
  }

  #ask(url: string): Promise<void> {
    const target = this.#targets.get(url) ?? { heardAtMs: 0, entry: null, asking: null };
    this.#targets.set(url, target);
    target.asking ??= this.#askOnce(url, target).finally(() => {
      target.asking = null;
    });
    return target.asking;
  }

  async #askOnce(url: string, target: Target): Promise<void> {
    const { clock, links, logger, readBoot } = this.#parts;
    const askedAtMs = clock.monotonicMs();
    try {
      const boot = target.entry?.boot ?? (await readBoot(url));
      const status = await links.to({ id: new URL(url).host, boot, url }).status();
      target.heardAtMs = askedAtMs;
      if (status.state === 'ready' || status.state === 'draining') {
        const { boundSessions: _bound, ...entry } = status;
        target.entry = { ...entry, state: status.state, boot, url };
      } else target.entry = null;
    } catch (error) {
      logger.debug({ event: 'static_worker_silent', url, err: error }, 'a static worker did not answer');
      // Perhaps another run of it: the next time it is asked who it is.
      const boot = await readBoot(url).catch(() => null);
      if (boot !== null && boot !== target.entry?.boot) target.entry = null;
    }
  }

  /** An address stands for itself; so does a name under TLS, which the certificate must bear. */
  async #urlsOf(given: string): Promise<readonly string[]> {
    const url = new URL(given);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    if (url.protocol !== 'http:' || isIP(host) !== 0) return [url.origin];
    const addresses = await this.#addressesOf(host);
    return addresses.map((address) => {
      const one = new URL(url);
      one.hostname = isIP(address) === 6 ? `[${address}]` : address;
      return one.origin;
    });
  }

  async #addressesOf(host: string): Promise<readonly string[]> {
    const { clock, logger, resolve } = this.#parts;
    const before = this.#resolved.get(host);
    const nowMs = clock.monotonicMs();
    if (before !== undefined && nowMs - before.atMs < resolveEveryMs) return before.addresses;
    try {
      const addresses = await within(clock, resolveDeadlineMs, resolve(host), null);
      if (addresses === null) throw new Error('the name was not resolved in time');
      this.#resolved.set(host, { addresses, atMs: nowMs });
      this.#unresolved.delete(host);
      return addresses;
    } catch (error) {
      if (!this.#unresolved.has(host)) {
        logger.warn({ event: 'workers_not_resolved', host, err: error }, 'the name of workers could not be resolved');
      }
      this.#unresolved.add(host);
      // A resolver that fails says nothing of who was there a moment ago.
      return before?.addresses ?? [];
    }
  }
}

/** All addresses of a name, as the system knows them. */
export async function resolveAddresses(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}
