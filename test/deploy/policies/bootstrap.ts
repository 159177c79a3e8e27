// What overlays and the bootstrap script must agree on: what one names outside of the cluster, the other makes,
// and workers are given nothing there.

import { configured } from './effective-settings.ts';
import { field, labelsAt, listAt, nameOf, ofKind, textAt, workloads } from './objects.ts';
import type { Rendered } from './objects.ts';
import { outsideSecrets } from './outside-secrets.ts';
import { retiredIn } from './retired.ts';

/** A message is a job as soon as it is in the records; that is what must end before Pub/Sub sends it again. */
const callsBeforeAcknowledging = 2;

/** What is wrong with a bootstrap script for a rendering, in words. */
export function bootstrapProblems(script: string, rendered: Rendered): string[] {
  return [
    ...workerIdentities(script),
    ...identitiesMissing(script, rendered),
    ...secretsMissing(script, rendered),
    ...namesMissing(script, rendered),
    ...acknowledging(script, rendered),
    ...retiredIn(script).map((words) => `the bootstrap script uses ${words}`),
  ];
}

function workerIdentities(script: string): string[] {
  return [...script.matchAll(/^.*\/sa\/codex-pool\b.*$/gm)].map(
    ([line]) => `the bootstrap script gives workers an identity: ${line.trim().slice(0, 160)}; they have none`,
  );
}

/** Who reads records, snapshots, messages or the key of the model has been given that. */
function identitiesMissing(script: string, rendered: Rendered): string[] {
  const bound = (account: string): boolean =>
    script.split('\n').some((line) => line.includes('add-iam-policy-binding') && line.includes(`/sa/${account}"`));
  const users = [...configured(rendered, 'gateway'), ...configured(rendered, 'session-manager')].filter(
    ({ config }) => config.storage === 'google',
  );
  const keyReaders = workloads(rendered).filter(({ pod }) => (pod.volumes ?? []).some(({ csi }) => csi !== undefined));
  return [...users.map(({ workload }) => workload), ...keyReaders]
    .filter(({ pod }) => !bound(pod.serviceAccountName ?? ''))
    .map(({ object }) => `${nameOf(object)}: the bootstrap script binds no role to its account`);
}

/** Each Secret that pods and scrapers refer to, with each of its keys. */
function secretsMissing(script: string, rendered: Rendered): string[] {
  const commands = [...script.matchAll(/kubectl create secret generic (\S+)([^|\n]*)/g)];
  const text = JSON.stringify(rendered.objects);
  const own = ofKind(rendered, 'Secret').map(({ metadata }) => metadata.name);
  return outsideSecrets
    .filter(({ name }) => text.includes(`"${name}"`) && !own.includes(name) && !isByProvider(rendered, name))
    .flatMap(({ keys, name }) => {
      const made = commands.filter(([, created]) => created === name).map(([, , rest]) => rest ?? '');
      if (made.length === 0) return [`Secret ${name}: the bootstrap script makes none, and ${rendered.name} needs it`];
      return Object.keys(keys)
        .filter((key) => text.includes(`"${key}"`) && !made.some((rest) => rest.includes(`=${key}=`)))
        .map((key) => `Secret ${name}: the bootstrap script gives it no ${key}, and ${rendered.name} needs it`);
    });
}

function isByProvider(rendered: Rendered, name: string): boolean {
  return ofKind(rendered, 'SecretProviderClass').some(({ metadata }) => metadata.name === name);
}

/** Names of things outside of the cluster that an overlay says, each with the command that makes it. */
function namesMissing(script: string, rendered: Rendered): string[] {
  const said = [
    ...ofKind(rendered, 'Gateway').flatMap((gateway) => [
      ...listAt(gateway, 'spec', 'addresses').map(
        (address) => ['compute addresses create', textAt(address, 'value')] as const,
      ),
      [
        'certificate-manager maps create',
        labelsAt(gateway, 'metadata', 'annotations')['networking.gke.io/certmap'] ?? null,
      ] as const,
    ]),
    ...ofKind(rendered, 'GCPGatewayPolicy').map(
      (policy) => ['compute ssl-policies create', textAt(policy, 'spec', 'default', 'sslPolicy')] as const,
    ),
    ...ofKind(rendered, 'GCPBackendPolicy').map(
      (policy) => ['compute security-policies create', textAt(policy, 'spec', 'default', 'securityPolicy')] as const,
    ),
    ...ofKind(rendered, 'SecretProviderClass').flatMap((provider) =>
      [...(textAt(provider, 'spec', 'parameters', 'secrets') ?? '').matchAll(/\/secrets\/([^/"\s]+)\//g)].map(
        ([, name]) => ['secrets create', name ?? null] as const,
      ),
    ),
    ...configured(rendered, 'session-manager').flatMap(({ config }) => [
      ['pubsub subscriptions create', lastPart(config.pubsub.jobsSubscription)] as const,
      ['pubsub topics create', lastPart(config.pubsub.deadLetterTopic)] as const,
      ['pubsub topics create', lastPart(config.pubsub.eventsTopic)] as const,
      [
        'firestore databases create',
        field(config, 'storage') === 'google' ? `--database=${config.google.database}` : null,
      ] as const,
      [
        'storage buckets create',
        config.google.bucket === null ? null : `gs://${config.google.bucket}`.replace('a-project', '$PROJECT'),
      ] as const,
    ]),
  ];
  const lines = script.split('\n').filter((line) => /\bgcloud\b/.test(line));
  return [...new Map(said.map((each) => [each.join(' '), each])).values()]
    .filter(
      ([command, name]) =>
        name !== null && !lines.some((line) => line.includes(command) && line.split(/["'\s]+/).includes(name)),
    )
    .map(([command, name]) => `${rendered.name} needs ${name}: the bootstrap script has no "gcloud ${command}" of it`);
}

function lastPart(name: string | null): string | null {
  return name?.split('/').at(-1) ?? null;
}

function acknowledging(script: string, rendered: Rendered): string[] {
  return configured(rendered, 'session-manager').flatMap(({ config }) => {
    const needed = (callsBeforeAcknowledging * config.google.timeoutMs) / 1000;
    return [...script.matchAll(/--ack-deadline=(\d+)/g)]
      .filter(([, seconds]) => Number(seconds) < needed)
      .map(
        ([, seconds]) =>
          `the bootstrap script gives ${seconds} s to acknowledge; at least ${needed}, ${callsBeforeAcknowledging} × google.timeout_ms`,
      );
  });
}
