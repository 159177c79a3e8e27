// The client of Pub/Sub as all parts here open it, and the names of what it is asked for. Where the emulator
// runs (PUBSUB_EMULATOR_HOST) and whose credentials are used the client finds out by itself.

import { PubSub } from '@google-cloud/pubsub';

export type PubsubAccess = {
  /** null: that of the credentials. */
  readonly project: string | null;
  /** In place of the real service, such as `127.0.0.1:8085`. Default: as the client's environment says. */
  readonly endpoint?: string;
};

/** A connection through which nothing comes any more is noticed within these two; the client's own are 5 minutes. */
const keepAlive = { 'grpc.keepalive_time_ms': 60_000, 'grpc.keepalive_timeout_ms': 20_000 } as const;

export function openPubsub({ endpoint, project }: PubsubAccess): PubSub {
  return new PubSub({
    ...keepAlive,
    ...(project === null ? {} : { projectId: project }),
    ...(endpoint === undefined ? {} : { apiEndpoint: endpoint }),
  });
}

/** `jobs` or `projects/p/topics/jobs` as the latter. */
export function fullName(collection: 'topics' | 'subscriptions', name: string, project: string): string {
  return name.startsWith('projects/') ? name : `projects/${project}/${collection}/${name}`;
}
