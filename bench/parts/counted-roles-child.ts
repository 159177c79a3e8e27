// A cluster's roles as their commands compose them, on Firestore and Cloud Storage, all in this one process: so that
// what each of them asks there can be counted where it is asked.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { FirestoreRecords } from '../../src/adapters/firestore/firestore-records.ts';
import { GcsSnapshotStore } from '../../src/adapters/gcs/gcs-snapshot-store.ts';
import { startGateway } from '../../src/app/gateway.ts';
import { startModelProxy } from '../../src/app/model-proxy.ts';
import type { RunningPart } from '../../src/app/running-part.ts';
import { startSessionManager } from '../../src/app/session-manager.ts';
import { startWorker } from '../../src/app/worker.ts';
import { loadConfigFromProcess } from '../../src/config/load-from-process.ts';
import type { CountedRolesJob, CountedRolesReady, Counts, StoringRole } from './google-facts.ts';
import { serveParent } from './serve-parent.ts';

const counts = new Map<string, number>();
const parts: RunningPart[] = [];
let opening: StoringRole | null = null;

countWhatIsAsked();
serveParent({ start, counts: (): Counts => Object.fromEntries(counts) }, stop);

async function start({ dataDir, slots }: CountedRolesJob): Promise<CountedRolesReady> {
  const words = { '--data-dir': dataDir, '--log-format': 'json', '--log-level': 'info' };
  const proxy = await startModelProxy(loadConfigFromProcess({ ...words, '--model-provider': 'demo' }).config);
  parts.push(proxy);
  const { config } = loadConfigFromProcess({
    ...words,
    ...{ '--storage': 'google', '--port': '0', '--worker-port': '0' },
    ...{ '--slots': String(slots), '--warm-slots': '1' },
  });
  const found = { ...config, modelProxy: { ...config.modelProxy, url: proxy.url, controlUrl: proxy.controlUrl } };
  await startRole('worker', () => startWorker(found));
  await startRole('session-manager', () => startSessionManager(found));
  const { url } = await startRole('gateway', () => startGateway(found));
  return { url, token: readFileSync(path.join(dataDir, 'token'), 'utf8').trim() };
}

async function startRole(role: StoringRole, begin: () => Promise<RunningPart>): Promise<RunningPart> {
  opening = role;
  const part = await begin();
  parts.push(part);
  return part;
}

async function stop(): Promise<void> {
  for (const part of parts.toReversed()) await part.stop({ force: true });
}

/** The adapters tell it to whoever opens them; those who do are deep in the compositions. */
function countWhatIsAsked(): void {
  const openRecords = FirestoreRecords.open.bind(FirestoreRecords);
  FirestoreRecords.open = (options) => {
    const role = opening ?? 'nobody';
    const kindOf = (collection: string): string => collection.slice(options.prefix.length + 1);
    return openRecords({
      ...options,
      onOperations: (kind, many, collection) => count(`${role} ${kind} ${kindOf(collection)}`, many),
      onQuery: ({ collection, equal, range }) =>
        count(`${role} query ${kindOf(collection)}.${range?.field ?? Object.keys(equal).join('+')}`, 1),
    });
  };
  const openSnapshots = GcsSnapshotStore.open.bind(GcsSnapshotStore);
  GcsSnapshotStore.open = (options) => {
    const role = opening ?? 'nobody';
    return openSnapshots({ ...options, onOperations: (kind, many) => count(`${role} ${kind}`, many) });
  };
}

function count(name: string, many: number): void {
  counts.set(name, (counts.get(name) ?? 0) + many);
}
