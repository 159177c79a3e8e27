// The local Cloud Storage in a process of its own, which can be slowed and asked what it holds.

import { mkdirSync } from 'node:fs';
import { GcsServer } from '../../src/testing/gcs-server.ts';
import { serveParent } from './serve-parent.ts';
import type { CloudStorageJob, CloudStorageReady, HeldObjects } from './google-facts.ts';

let server: GcsServer | null = null;

serveParent({ start, held, delay }, async () => server?.stop());

async function start({ bucket, dir }: CloudStorageJob): Promise<CloudStorageReady> {
  mkdirSync(dir, { recursive: true });
  server = await GcsServer.start({ bucket, dir });
  return { url: server.url };
}

function held(): HeldObjects {
  const { bucket } = started();
  const sizes = bucket.names.map((name) => bucket.get(name)?.size ?? 0);
  return { objects: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

/** Before each answer from now on. */
function delay(delayMs: number): void {
  started().delayMs = delayMs;
}

function started(): GcsServer {
  if (server === null) throw new Error('nothing is stored');
  return server;
}
