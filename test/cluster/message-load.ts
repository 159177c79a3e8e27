// What is published to a topic of jobs: messages of every form that is taken, copies of some, and some that can never
// become a job; in an order that a seed repeats.

import { PubSub } from '@google-cloud/pubsub';
import type { SeededRandom } from '../../src/testing/faults/seeded-random.ts';

/** job: asks for one that nobody else asks for; copy: for that of another message; poison: is to be put aside. */
export type Kind = 'job' | 'copy' | 'poison';

export type PlannedMessage = {
  readonly kind: Kind;
  /** What the job's agent is asked; null of poison. */
  readonly prompt: string | null;
  /** How the reason begins for which it is put aside; null of others. */
  readonly refusal: string | null;
  readonly body: string | Uint8Array;
  readonly attributes: Readonly<Record<string, string>>;
  readonly orderingKey: string;
};

/** `id`: as Pub/Sub named it. */
export type PublishedMessage = PlannedMessage & { readonly id: string };

export type LoadShares = { readonly copies: number; readonly poison: number };

const source = '/orders';
/** Every attempt that a worker's death ends is followed by another. */
const retry = { max_attempts: 10, first_delay_ms: 250, longest_delay_ms: 2_000 };

/** `count` messages altogether. */
export function planMessages(count: number, shares: LoadShares, random: SeededRandom): PlannedMessage[] {
  const copies = Math.round(count * shares.copies);
  const poison = Math.max(poisons.length, Math.round(count * shares.poison));
  const jobs = Array.from({ length: count - copies - poison }, (_, number) => jobMessage(number));
  const planned = [...jobs];
  const keyed = jobs.filter(({ attributes }) => attributes['has-no-key'] === undefined);
  for (let number = 0; number < copies; number++) {
    const message = random.pick(keyed);
    const at = planned.indexOf(message);
    // Half of them side by side with what they copy, for two managers to read at once.
    const place = number % 2 === 0 ? at + 1 : random.between(0, planned.length);
    planned.splice(place, 0, { ...message, kind: 'copy', orderingKey: '' });
  }
  for (let number = 0; number < poison; number++) {
    const message = poisonMessage(number);
    // One that is hopeless only because of what came before it keeps behind that.
    const first = planned.findIndex(({ orderingKey }) => orderingKey !== '' && orderingKey === message.orderingKey);
    planned.splice(random.between(first + 1, planned.length), 0, message);
  }
  return planned;
}

export class JobPublisher {
  readonly published: PublishedMessage[] = [];
  readonly #pubsub: PubSub;
  readonly #topic;

  constructor(access: { readonly project: string; readonly endpoint: string }, topic: string) {
    this.#pubsub = new PubSub({ projectId: access.project, apiEndpoint: access.endpoint });
    this.#topic = this.#pubsub.topic(topic, { messageOrdering: true, batching: { maxMilliseconds: 5 } });
  }

  /** All at once; those of one ordering key in this order. */
  async publish(messages: readonly PlannedMessage[]): Promise<void> {
    const ids = await Promise.all(
      messages.map(({ attributes, body, orderingKey }) =>
        this.#topic.publishMessage({
          data: Buffer.from(body),
          attributes: { ...attributes },
          ...(orderingKey === '' ? {} : { orderingKey }),
        }),
      ),
    );
    for (const [index, message] of messages.entries()) this.published.push({ ...message, id: ids[index] ?? '' });
  }

  async close(): Promise<void> {
    await this.#pubsub.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function promptOf(number: number): string {
  const scripts = [
    `say: job ${number}`,
    `run: echo ${number} >> done.txt\nsay: job ${number} is written`,
    `say: job ${number} in a word`,
    `wait: 500 ms\nsay: job ${number} at last`,
    `stream: 20 words at 20 ms\nsay: job ${number} at length`,
  ];
  return scripts[number % scripts.length] ?? '';
}

function jobMessage(number: number): PlannedMessage {
  const prompt = promptOf(number);
  const body = { prompt, retry, metadata: { number: String(number) } };
  const told = { kind: 'job', prompt, refusal: null, orderingKey: '' } as const;
  switch (number % 4) {
    case 0:
      return { ...told, body: JSON.stringify(body), attributes: { ...binaryEvent(`order-${number}`) } };
    case 1: {
      // The first of them is the one whose key somebody takes for another body.
      const orderingKey = number === 1 ? takenKey : '';
      return { ...told, orderingKey, body: JSON.stringify(body), attributes: { idempotency_key: keyOf(number) } };
    }
    case 2:
      return { ...told, body: JSON.stringify(body), attributes: { 'has-no-key': 'its id is that of Pub/Sub' } };
    default: {
      const event = { specversion: '1.0', id: `order-${number}`, source, type: 'order.placed', data: body };
      return { ...told, body: JSON.stringify(event), attributes: { 'content-type': 'application/cloudevents+json' } };
    }
  }
}

const takenKey = keyOf(1);

const poisons: readonly Pick<PlannedMessage, 'refusal' | 'body' | 'attributes' | 'orderingKey'>[] = [
  { refusal: 'invalid_json:', body: 'run it, please', attributes: {}, orderingKey: '' },
  { refusal: 'invalid_request:', body: '{"promt":"say: hello"}', attributes: binaryEvent('poison'), orderingKey: '' },
  { refusal: 'forbidden:', body: '{"prompt":"say: hello"}', attributes: { tenant: 'nobody' }, orderingKey: '' },
  {
    refusal: 'idempotency_key_reused:',
    body: '{"prompt":"say: another"}',
    attributes: { idempotency_key: takenKey },
    orderingKey: takenKey,
  },
  { refusal: 'invalid_json:', body: '["say: hello"]', attributes: {}, orderingKey: '' },
  { refusal: 'invalid_request:', body: '{"prompt":"say: hello"}', attributes: { 'ce-id': 'of none' }, orderingKey: '' },
  {
    refusal: 'unsupported_media_type:',
    body: '<prompt/>',
    attributes: { 'content-type': 'application/xml' },
    orderingKey: '',
  },
  { refusal: 'invalid_json:', body: Uint8Array.of(0x22, 0xff, 0xfe, 0x22), attributes: {}, orderingKey: '' },
];

function poisonMessage(number: number): PlannedMessage {
  const poison = poisons[number % poisons.length] ?? poisons[0];
  if (poison === undefined) throw new Error('there is no poison');
  return { kind: 'poison', prompt: null, ...poison };
}

function keyOf(number: number): string {
  return `order ${number}`;
}

/** In binary mode. */
function binaryEvent(id: string): Readonly<Record<string, string>> {
  return {
    'ce-specversion': '1.0',
    'ce-type': 'order.placed',
    'ce-source': source,
    'ce-id': id,
    'content-type': 'application/json',
  };
}
