// The session managers of a cluster from outside: which of them leads, and what all of them together, the killed
// ones too, made of the messages that they read. Asked again and again: who is killed takes its figures along.

import type { LocalCluster } from '../../tools/local-cluster.ts';

export type MessageCounts = { readonly accepted: number; readonly repeated: number; readonly refused: number };

const everyMs = 500;
const answerMs = 2_000;
const none: MessageCounts = { accepted: 0, repeated: 0, refused: 0 };

export class ManagerWatch {
  readonly #cluster: LocalCluster;
  /** By manager and life of it, as it said last. */
  readonly #counts = new Map<string, MessageCounts>();
  readonly #watching: Promise<void>;
  #isOver = false;

  constructor(cluster: LocalCluster) {
    this.#cluster = cluster;
    this.#watching = this.#watch();
  }

  /** null while none does. */
  async leader(): Promise<string | null> {
    for (const { name, pid, url } of this.#cluster.members('session-manager')) {
      const text = pid === null || url === null ? null : await this.#get(`${url}/health`);
      if (text !== null && (JSON.parse(text) as { role?: string }).role === 'leader') return name;
    }
    return null;
  }

  /** At least: what a manager did in its last moment nobody knows. */
  async outcomes(): Promise<MessageCounts> {
    await this.#look();
    return [...this.#counts.values()].reduce(
      (sum, one) => ({
        accepted: sum.accepted + one.accepted,
        repeated: sum.repeated + one.repeated,
        refused: sum.refused + one.refused,
      }),
      none,
    );
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await this.#watching;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      await this.#look();
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }

  async #look(): Promise<void> {
    for (const { name, pid, starts, url } of this.#cluster.members('session-manager')) {
      const text = pid === null || url === null ? null : await this.#get(`${url}/metrics`);
      if (text !== null) this.#counts.set(`${name}/${starts}`, countsIn(text));
    }
  }

  async #get(url: string): Promise<string | null> {
    try {
      const response = await fetch(url, {
        headers: { authorization: `Bearer ${this.#cluster.token}` },
        signal: AbortSignal.timeout(answerMs),
      });
      return response.ok ? await response.text() : null;
    } catch {
      return null;
    }
  }
}

function countsIn(metrics: string): MessageCounts {
  const countOf = (outcome: string): number =>
    Number(new RegExp(`^codex_fleet_messages_total\\{outcome="${outcome}"\\} (\\d+)`, 'm').exec(metrics)?.[1] ?? 0);
  return { accepted: countOf('accepted'), repeated: countOf('repeated'), refused: countOf('refused') };
}
