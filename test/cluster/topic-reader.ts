// Remembers everything that comes through a subscription, in the order in which it comes; as somebody outside would
// read it.

import { type Message, PubSub, type Subscription } from '@google-cloud/pubsub';

export type ReadMessage = {
  /** As Pub/Sub named it: the same each time it comes. */
  readonly id: string;
  readonly body: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly orderingKey: string;
};

export class TopicReader {
  readonly messages: ReadMessage[] = [];
  readonly #pubsub: PubSub;
  readonly #subscription: Subscription;

  constructor(access: { readonly project: string; readonly endpoint: string }, subscription: string) {
    this.#pubsub = new PubSub({ projectId: access.project, apiEndpoint: access.endpoint });
    this.#subscription = this.#pubsub.subscription(subscription);
    this.#subscription.on('message', (message: Message) => {
      const { attributes, data, id, orderingKey = '' } = message;
      this.messages.push({ id, body: data.toString('utf8'), attributes, orderingKey });
      message.ack();
    });
    // An error that nobody listens to would end the process; what is missing is missed by who waits for it.
    this.#subscription.on('error', () => {});
  }

  async close(): Promise<void> {
    await this.#subscription.close();
    await this.#pubsub.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
