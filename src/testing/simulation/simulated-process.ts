// One process of a simulated world: its clocks, its death, its pauses, and its calls to what is outside
// it. A call takes time, may be done and not answered, or not done, or done twice. A dead process hears
// of nothing any more: whatever it waited for stays pending for ever.

import type { Clock } from '../../core/clock.ts';
import { type ErrorCode, isServiceError, ServiceError } from '../../core/errors.ts';
import type { SeededRandom } from '../faults/seeded-random.ts';
import type { Timeline } from './timeline.ts';
import type { Trace } from './trace.ts';

export type World = { readonly timeline: Timeline; readonly random: SeededRandom; readonly trace: Trace };

/** How likely each is, for one call. Changed while the world runs. */
export type CallFaults = {
  /** Not done, refused. */
  refused: number;
  /** Done, and the answer lost. */
  unanswered: number;
  /** Done again a little later. */
  twice: number;
  /** Takes seconds, on its way there or back. */
  slow: number;
  /** The caller dies with it, before or after it is done. */
  deadly: number;
  /** What the caller hears when nothing was done, and when nobody knows. */
  readonly refusal: ErrorCode;
  readonly uncertainty: ErrorCode;
};

// A day after the records of tests say that they were made.
const wallStartMs = 0x019f00000000 + 86_400_000;
const usualDelayMs = 2;
const slowDelayMs = 14_000;

export class SimulatedProcess {
  readonly name: string;
  readonly clock: Clock;
  /** A call was deadly. */
  onDeath: () => void = () => {};
  readonly #world: World;
  #isDead = false;
  #isPaused = false;
  #held: (() => void)[] = [];
  readonly #asked = new Set<() => void>();

  constructor(world: World, name: string, times: { readonly skewMs: number; readonly drift: number }) {
    this.#world = world;
    this.name = name;
    const { timeline } = world;
    const startedMs = timeline.nowMs;
    this.clock = {
      now: () => Math.round(wallStartMs + timeline.nowMs + times.skewMs),
      monotonicMs: () => (timeline.nowMs - startedMs) * times.drift,
      after: (delayMs, callback) => {
        let isCancelled = false;
        const cancel = timeline.after(delayMs / times.drift, () => this.deliver(() => !isCancelled && callback()));
        return () => {
          isCancelled = true;
          cancel();
        };
      },
    };
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  die(): void {
    this.#isDead = true;
    this.#held = [];
    for (const cut of this.#asked) cut();
  }

  /** Somebody else asks something of it: `worker_lost` when it dies before it has answered. */
  async asked<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isDead) throw new ServiceError('worker_unreachable');
    return await new Promise<T>((resolve, reject) => {
      const cut = (): void => reject(new ServiceError('worker_lost'));
      this.#asked.add(cut);
      this.deliver(() => {
        const settle = (then: () => void): void => {
          if (this.#asked.delete(cut)) this.deliver(then);
        };
        work().then(
          (value) => settle(() => resolve(value)),
          (error: unknown) => settle(() => reject(error as Error)),
        );
      });
    });
  }

  pause(): void {
    this.#isPaused = true;
  }

  /** What came due meanwhile happens now, late, in an order that nobody can rely on. */
  goOn(): void {
    this.#isPaused = false;
    const held = this.#held;
    this.#held = [];
    for (const one of held) this.#world.timeline.after(0, () => this.deliver(one));
  }

  /** Something reaches the process. */
  deliver(what: () => void): void {
    if (this.#isDead) return;
    if (this.#isPaused) this.#held.push(what);
    else what();
  }

  /** Work of its own that takes a little time: the disk. */
  async busy(): Promise<void> {
    await this.wait(this.#world.random.next() * usualDelayMs);
  }

  async wait(ms: number): Promise<void> {
    if (this.#isDead) return await never();
    await new Promise<void>((resolve) => this.clock.after(ms, resolve));
  }

  /** `target` as this process reaches it; its properties that are objects likewise. */
  reach<T extends object>(target: T, what: string, faults: CallFaults): T {
    return new Proxy(target, {
      get: (object, property) => {
        const value: unknown = Reflect.get(object, property, object);
        const name = `${what}.${String(property)}`;
        if (typeof value === 'object' && value !== null) return this.reach(value, name, faults);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): Promise<unknown> =>
          this.call(name, faults, async () => (await Reflect.apply(value, object, args)) as unknown);
      },
    });
  }

  async call<T>(name: string, faults: CallFaults, work: () => Promise<T>): Promise<T> {
    if (this.#isDead) return await never();
    const { random, timeline, trace } = this.#world;
    const fate = random.next();
    // Of two writers one must not come late: an append is late more often than all else.
    const slow = name === 'log.append' ? 4 * faults.slow : faults.slow;
    const isSlowThere = random.next() < slow / 2;
    const isSlowBack = random.next() < slow / 2;
    const delay = (isSlow: boolean): number => random.next() * (isSlow ? slowDelayMs : usualDelayMs);
    const isRefused = fate < faults.refused;
    const isUnanswered = !isRefused && fate < faults.refused + faults.unanswered;
    const isTwice = !isRefused && !isUnanswered && fate < faults.refused + faults.unanswered + faults.twice;
    const backMs = delay(isSlowBack);
    const deathMs = random.next() < faults.deadly ? random.next() * 2 * usualDelayMs : null;
    if (deathMs !== null) timeline.after(deathMs, () => !this.#isDead && this.onDeath());
    return await new Promise<T>((resolve, reject) => {
      const answer = (settle: () => void): void => {
        timeline.after(backMs, () => this.deliver(settle));
      };
      timeline.after(delay(isSlowThere), () => {
        if (isRefused) {
          trace.add(this.name, `${name} refused`);
          answer(() => reject(new ServiceError(faults.refusal)));
          return;
        }
        if (isUnanswered || isTwice) trace.add(this.name, `${name} ${isTwice ? 'done twice' : 'done, not answered'}`);
        work().then(
          (value) =>
            answer(() => {
              if (isUnanswered) reject(new ServiceError(faults.uncertainty));
              else resolve(value);
            }),
          (error: unknown) => {
            if (!isServiceError(error)) trace.add(this.name, `${name} threw ${String(error)}`);
            answer(() => reject(error as Error));
          },
        );
        if (isTwice) timeline.after(random.next() * 50, () => void work().catch(() => undefined));
      });
    });
  }
}

export function never<T>(): Promise<T> {
  return new Promise<T>(() => {});
}
