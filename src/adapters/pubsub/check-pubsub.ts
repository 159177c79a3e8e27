// Whether Pub/Sub can be used as the settings ask: does it exist, may we use it, and is the subscription made
// for what it is used for. Each finding says how it stands and what to do; nothing is changed.

import type { PubSub } from '@google-cloud/pubsub';
import { openPubsub, type PubsubAccess } from './pubsub-client.ts';
import { codeOf, notFoundCode, permissionDeniedCode, reasonOf, unimplementedCode } from './pubsub-errors.ts';

export type PubsubFinding = {
  readonly status: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** null: nothing to do. */
  readonly advice: string | null;
};

export type CheckPubsubOptions = PubsubAccess & {
  readonly subscription: string | null;
  /** All that is published to. */
  readonly topics: readonly string[];
  /** Whether what can never be handled is published by us: then no policy is needed for it. */
  readonly hasDeadLetterTopic: boolean;
  readonly timeoutMs: number;
};

type Facts = {
  readonly ackDeadlineSeconds?: number | null;
  readonly deadLetterPolicy?: { readonly maxDeliveryAttempts?: number | null } | null;
  readonly detached?: boolean | null;
  readonly pushConfig?: { readonly pushEndpoint?: string | null } | null;
  readonly retryPolicy?: object | null;
};

type Resource = {
  readonly iam: { testPermissions(permission: string, options: object): Promise<unknown> };
  getMetadata(options: object): Promise<unknown>;
};

/** Shorter, and a message is given out again while a slow store still thinks about it. */
const leastAckDeadlineSeconds = 10;
const fewAttempts = 10;
const viewerAdvice = 'grant roles/pubsub.viewer on it to have it checked';

export async function checkPubsub(options: CheckPubsubOptions): Promise<readonly PubsubFinding[]> {
  const pubsub = openPubsub(options);
  try {
    const ofTopics = await Promise.all(options.topics.map((name) => checkTopic(pubsub, name, options.timeoutMs)));
    const ofSubscription =
      options.subscription === null ? [] : await checkSubscription(pubsub, options.subscription, options);
    return [...ofSubscription, ...ofTopics];
  } finally {
    await pubsub.close().catch(() => {});
  }
}

async function checkTopic(pubsub: PubSub, name: string, timeoutMs: number): Promise<PubsubFinding> {
  const access = await accessTo(pubsub.topic(name) as unknown as Resource, 'pubsub.topics.publish', timeoutMs);
  return (
    finding(access, `topic ${name}`, 'roles/pubsub.publisher', 'gcloud pubsub topics create') ??
    ok(`topic ${name} can be published to`)
  );
}

async function checkSubscription(pubsub: PubSub, name: string, options: CheckPubsubOptions): Promise<PubsubFinding[]> {
  const subscription = pubsub.subscription(name) as unknown as Resource;
  const access = await accessTo(subscription, 'pubsub.subscriptions.consume', options.timeoutMs);
  const what = `subscription ${name}`;
  const problem = finding(access, what, 'roles/pubsub.subscriber', 'gcloud pubsub subscriptions create');
  if (problem !== null) return [problem];
  if (access.facts === null) return [warn(`${what} can be read; how it is set up cannot be seen`, viewerAdvice)];
  return [ok(`${what} can be read`), ...setUp(what, access.facts, options.hasDeadLetterTopic)];
}

function setUp(what: string, facts: Facts, hasDeadLetterTopic: boolean): PubsubFinding[] {
  const attempts = facts.deadLetterPolicy?.maxDeliveryAttempts ?? null;
  const findings: (PubsubFinding | null)[] = [
    facts.detached === true ? fail(`${what} is detached from its topic`, 'create another one') : null,
    (facts.pushConfig?.pushEndpoint ?? '') === ''
      ? null
      : fail(`${what} pushes its messages to an address`, 'make it a pull subscription, or name another one'),
    (facts.ackDeadlineSeconds ?? leastAckDeadlineSeconds) < leastAckDeadlineSeconds
      ? warn(`${what} gives ${facts.ackDeadlineSeconds} s to acknowledge`, `set at least ${leastAckDeadlineSeconds} s`)
      : null,
    facts.deadLetterPolicy === null || facts.deadLetterPolicy === undefined
      ? hasDeadLetterTopic
        ? null
        : warn(
            `${what} has no dead-letter policy, and pubsub.dead_letter_topic is not set: a message that can never become a job comes again until it expires`,
            'set either',
          )
      : attempts !== null && attempts < fewAttempts
        ? warn(
            `${what} gives a message up after ${attempts} deliveries: a longer outage of ours moves good ones to the dead-letter topic`,
            `set --max-delivery-attempts=${fewAttempts} or more`,
          )
        : null,
    facts.retryPolicy === null || facts.retryPolicy === undefined
      ? warn(
          `${what} has no retry policy: what is given back comes again at once`,
          'set --min-retry-delay=10s --max-retry-delay=600s',
        )
      : null,
  ];
  return findings.filter((each) => each !== null);
}

type Access = {
  /** null: could not be found out, as with the emulator. */
  readonly isAllowed: boolean | null;
  readonly isAbsent: boolean;
  /** Why Pub/Sub could not be asked at all. */
  readonly failure: string | null;
  /** null: not ours to see. */
  readonly facts: Facts | null;
};

/** Whether it exists and whether we may: neither tells the other, and looking at it needs a right of its own. */
async function accessTo(resource: Resource, permission: string, timeoutMs: number): Promise<Access> {
  const options = { timeout: timeoutMs, retry: null };
  const [tested, seen] = await Promise.allSettled([
    resource.iam.testPermissions(permission, options),
    resource.getMetadata(options),
  ]);
  const codes = [tested, seen].map((each) => (each.status === 'rejected' ? codeOf(each.reason) : null));
  const [testCode, seenCode] = codes;
  const isAbsent = codes.includes(notFoundCode);
  const unforeseen = [tested, seen].find(
    (each, at) =>
      each.status === 'rejected' && ![notFoundCode, permissionDeniedCode, unimplementedCode].includes(codes[at] ?? -1),
  );
  return {
    isAllowed:
      tested.status === 'fulfilled'
        ? isGranted(tested.value, permission)
        : testCode === permissionDeniedCode
          ? false
          : null,
    isAbsent,
    failure: unforeseen?.status === 'rejected' ? reasonOf(unforeseen.reason) : null,
    facts: seen.status === 'fulfilled' && seenCode === null ? ((seen.value as [Facts])[0] ?? null) : null,
  };
}

function isGranted(answer: unknown, permission: string): boolean {
  const [permissions] = answer as [Readonly<Record<string, boolean>>];
  return permissions[permission] === true;
}

/** null: nothing stands in the way. */
function finding(access: Access, what: string, role: string, create: string): PubsubFinding | null {
  if (access.isAbsent) return fail(`${what} does not exist`, `create it (${create}), or correct its name`);
  if (access.failure !== null)
    return fail(`Pub/Sub could not be asked about ${what}: ${access.failure}`, adviceFor(access.failure));
  if (access.isAllowed === false) return fail(`${what} may not be used by us`, `grant ${role} on it`);
  if (access.isAllowed === null && access.facts === null) return warn(`${what} may not be looked at`, viewerAdvice);
  return null;
}

function adviceFor(reason: string): string | null {
  if (reason === 'no_credentials' || reason === 'unauthenticated') {
    return 'set up Application Default Credentials, or Workload Identity in a cluster';
  }
  return reason === 'unreachable' || reason === 'timeout'
    ? 'look at the network, and at PUBSUB_EMULATOR_HOST if it is set'
    : null;
}

function ok(message: string): PubsubFinding {
  return { status: 'ok', message, advice: null };
}

function warn(message: string, advice: string): PubsubFinding {
  return { status: 'warn', message, advice };
}

function fail(message: string, advice: string | null): PubsubFinding {
  return { status: 'fail', message, advice };
}
