// A TCP proxy that spoils connections as a network does, by a plan for each. Owns its sockets and counts
// what it did; knows nothing of what the bytes mean.

import { once } from 'node:events';
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';

/** `up` is from the client to the server. */
export type Direction = 'up' | 'down';

/**
 * fin: both ends are closed in good order. rst: both are reset. black_hole: both stay open and nothing
 * passes any more. half_open: the client is cut off and the server not told.
 */
export type CutKind = 'fin' | 'rst' | 'black_hole' | 'half_open';

/** Looked at for each piece: what it says may change while a connection is open. */
export type ConnectionPlan = {
  /** Added to each piece on its way, in both directions. */
  readonly latencyMs?: number | undefined;
  /** Passes what the server says in pieces of so many bytes, with a pause between them. */
  readonly drip?: { readonly bytes: number; readonly pauseMs: number } | undefined;
  /** Nothing passes before this resolves, neither bytes nor ends: what was sent meanwhile comes late. */
  readonly hold?: Promise<void> | undefined;
  /** Exactly so many bytes of that direction pass, then this happens. */
  readonly cut?: { readonly direction: Direction; readonly afterBytes: number; readonly how: CutKind } | undefined;
};

export type ProxyCounts = {
  readonly connections: number;
  readonly bytes: Readonly<Record<Direction, number>>;
  readonly cuts: Readonly<Record<CutKind, number>>;
};

export type FaultProxyOptions = {
  /** Asked for each connection: the server behind may have moved. */
  readonly target: () => { readonly host: string; readonly port: number };
  /** By the number of the connection, from 0, and the port that the client has at its end. */
  readonly plan: (connection: number, clientPort: number) => ConnectionPlan;
};

export class FaultProxy {
  readonly #options: FaultProxyOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #pairs = new Set<Pair>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #counts = {
    connections: 0,
    bytes: { up: 0, down: 0 },
    cuts: { fin: 0, rst: 0, black_hole: 0, half_open: 0 },
  };
  /** Of a proxy that has refused: it comes back there. */
  #port: number | null = null;
  #isClosed = false;

  private constructor(options: FaultProxyOptions) {
    this.#options = options;
    // A closed direction leaves the other open, as it does without a proxy.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
  }

  static async start(options: FaultProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(options);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port ?? (this.#server.address() as AddressInfo).port}`;
  }

  get counts(): ProxyCounts {
    return structuredClone(this.#counts);
  }

  /** Does this to the connections that are open, or to those with such a plan. */
  cutAll(how: CutKind, isMeant: (plan: ConnectionPlan) => boolean = () => true): void {
    for (const pair of this.#pairs) if (!pair.isCut && isMeant(pair.plan)) this.#cut(how, pair);
  }

  /** The ends that a cut left open learn of it at last: both are reset. */
  endCuts(): void {
    for (const { client, isCut, server } of this.#pairs) {
      if (!isCut) continue;
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  /** Who connects is refused until listenAgain(); what is open stays. */
  refuse(): void {
    this.#port ??= (this.#server.address() as AddressInfo).port;
    this.#server.close();
  }

  async listenAgain(): Promise<void> {
    const listening = once(this.#server, 'listening');
    this.#server.listen(this.#port ?? 0, '127.0.0.1');
    await listening;
  }

  /** Ends every connection; afterwards nothing of it keeps the process. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #accept(client: Socket): void {
    const plan = this.#options.plan(this.#counts.connections, client.remotePort ?? 0);
    this.#counts.connections += 1;
    const server = connect({ ...this.#options.target(), allowHalfOpen: true, noDelay: true });
    const pair: Pair = { client, server, plan, isCut: false };
    this.#pairs.add(pair);
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      // An end that breaks breaks the other; an end that was cut off on purpose does not.
      socket.on('error', () => this.#unlessHeld(pair, () => other.destroy()));
      socket.once('close', () => {
        this.#sockets.delete(socket);
        if (client.closed && server.closed) this.#pairs.delete(pair);
        this.#unlessHeld(pair, () => other.destroySoon());
      });
    }
    void this.#carry('up', pair);
    void this.#carry('down', pair);
  }

  /** At once where nothing holds it up: an end that breaks is told in the same moment. */
  #unlessHeld(pair: Pair, tell: () => void): void {
    const { hold } = pair.plan;
    if (hold === undefined) {
      if (!pair.isCut) tell();
    } else void hold.then(() => (pair.isCut ? undefined : tell()));
  }

  async #carry(direction: Direction, pair: Pair): Promise<void> {
    const { plan } = pair;
    const [from, to] = direction === 'up' ? [pair.client, pair.server] : [pair.server, pair.client];
    const cut = plan.cut?.direction === direction ? plan.cut : undefined;
    let left = cut?.afterBytes ?? Infinity;
    try {
      for await (const chunk of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        if (plan.latencyMs !== undefined) await this.#pause(plan.latencyMs);
        for (const piece of this.#pieces(chunk.subarray(0, Math.min(chunk.length, left)), direction, plan)) {
          await plan.hold;
          if (pair.isCut) return;
          await this.#pass(piece, to, direction);
          if (direction === 'down' && plan.drip !== undefined) await this.#pause(plan.drip.pauseMs);
        }
        left -= chunk.length;
        if (left <= 0 && cut !== undefined && !pair.isCut) {
          this.#cut(cut.how, pair);
          return;
        }
        if (pair.isCut) return;
      }
      await plan.hold;
      if (!pair.isCut) to.end();
    } catch {
      // The end that we read from broke: its `error` has told the other.
    }
  }

  *#pieces(chunk: Buffer, direction: Direction, { drip }: ConnectionPlan): Generator<Buffer> {
    const size = direction === 'down' && drip !== undefined ? drip.bytes : Math.max(1, chunk.length);
    for (let at = 0; at < chunk.length; at += size) yield chunk.subarray(at, at + size);
  }

  async #pass(piece: Buffer, to: Socket, direction: Direction): Promise<void> {
    if (to.destroyed) return;
    this.#counts.bytes[direction] += piece.length;
    if (to.write(piece)) return;
    await new Promise<void>((resolve) => void to.once('drain', resolve).once('close', resolve));
  }

  #cut(how: CutKind, pair: Pair): void {
    const { client, server } = pair;
    pair.isCut = true;
    this.#counts.cuts[how] += 1;
    switch (how) {
      case 'fin':
        client.destroySoon();
        server.destroySoon();
        return;
      case 'rst':
        client.resetAndDestroy();
        server.resetAndDestroy();
        return;
      case 'black_hole':
        client.pause();
        server.pause();
        return;
      case 'half_open':
        client.destroySoon();
        server.pause();
        return;
    }
  }

  #pause(delayMs: number): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        resolve();
      }, delayMs);
      this.#timers.add(timer);
    });
  }
}

type Pair = { readonly client: Socket; readonly server: Socket; readonly plan: ConnectionPlan; isCut: boolean };
