// Who may do what, each on the one resource: bound to the service accounts of the cluster themselves, without keys
// and without accounts of Google's in between. Workers are not in this file: they have no identity.

import { grant, type Resource, workload } from './resource.ts';

const gateway = workload('codex-gateway');
const manager = workload('codex-session-manager');
const proxy = workload('codex-model-proxy');

// The pool of identities, PROJECT.svc.id.goog, is made with the first cluster of a project.
const identities = ['cluster', 'namespace', 'project'];

function toRecords(role: string, member: string): Resource {
  return grant({
    name: `${role}-uses-records`,
    group: ['projects'],
    target: '$PROJECT',
    role: 'roles/datastore.user',
    member,
    needs: ['records', ...identities],
    api: 'cloudresourcemanager.googleapis.com',
    // A role on Firestore can only be granted on the project; the condition keeps it to the one database.
    condition: {
      title: 'one-database',
      expression: 'resource.name=="projects/$PROJECT/databases/{records}"',
    },
  });
}

function toSnapshots(role: string, member: string): Resource {
  return grant({
    name: `${role}-uses-snapshots`,
    group: ['storage', 'buckets'],
    target: 'gs://{snapshots}',
    role: 'roles/storage.objectUser',
    member,
    needs: ['snapshots', ...identities],
    api: 'storage.googleapis.com',
  });
}

function toPubsub(name: string, group: 'topics' | 'subscriptions', target: string, role: string): Resource {
  return grant({
    name,
    group: ['pubsub', group],
    target: `{${target}}`,
    role: `roles/pubsub.${role}`,
    member: manager,
    needs: [target, ...identities],
    api: 'pubsub.googleapis.com',
  });
}

export const identity: readonly Resource[] = [
  toRecords('gateway', gateway),
  toRecords('manager', manager),
  toSnapshots('gateway', gateway),
  toSnapshots('manager', manager),
  toPubsub('manager-reads-jobs', 'subscriptions', 'jobs', 'subscriber'),
  // So that `codex-fleet doctor` can see how the subscription is set up.
  toPubsub('manager-sees-jobs', 'subscriptions', 'jobs', 'viewer'),
  toPubsub('manager-gives-up-jobs', 'topics', 'dead-topic', 'publisher'),
  toPubsub('manager-tells-events', 'topics', 'events-topic', 'publisher'),
  grant({
    name: 'proxy-reads-model-key',
    group: ['secrets'],
    target: '{model-key}',
    role: 'roles/secretmanager.secretAccessor',
    member: proxy,
    needs: ['model-key', ...identities],
    api: 'secretmanager.googleapis.com',
  }),
];
