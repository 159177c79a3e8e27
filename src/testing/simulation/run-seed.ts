// One seed of the simulation: a small fleet, some sessions and turns, faults for a while, then rest. What
// happens follows from the seed alone, so that what was found once can be found again.

import { seededRandom } from '../faults/seeded-random.ts';
import { sessionRecord, turnRecord } from '../stored-records.ts';
import { defaultPolicy } from '../../core/session.ts';
import type { Checker, Client } from './checker.ts';
import { makeFleetParts } from './fleet-parts.ts';
import { SimulatedDisk } from './simulated-disk.ts';
import { type FleetParts, SimulatedGateway, SimulatedManager, SimulatedWorker } from './simulated-fleet.ts';
import type { SimulatedProcess, World } from './simulated-process.ts';
import { Timeline } from './timeline.ts';
import { Trace } from './trace.ts';

export type SeedResult = {
  readonly seed: number;
  /** What was not as it must be; null when all was. */
  readonly problem: string | null;
  readonly step: number;
  readonly virtualMs: number;
  readonly lastLines: readonly string[];
  readonly traceHash: string;
};

const trialMs = 30_000;
const settleMs = 300_000;
const lookEveryMs = 250;
const mostSkewMs = 3_600_000;

export async function runSeed(seed: number): Promise<SeedResult> {
  const fleet = new SimulatedFleet(seed);
  return await fleet.run();
}

class SimulatedFleet {
  readonly #seed: number;
  readonly #world: World;
  readonly #parts: FleetParts;
  readonly #checker: Checker;
  readonly #workers = new Map<string, SimulatedWorker>();
  readonly #managers: SimulatedManager[] = [];
  readonly #gateways: SimulatedGateway[] = [];
  readonly #skews = new Map<string, number>();
  #boots = 0;
  /** Calls are answered, and nobody is stopped: processes die, and the log loses what it had. */
  readonly #isCalm: boolean;
  #isTrial = true;
  #isOver = false;

  constructor(seed: number) {
    const random = seededRandom(seed);
    const timeline = new Timeline(random);
    const trace = new Trace(timeline);
    const world = { random, timeline, trace };
    this.#seed = seed;
    this.#world = world;
    this.#isCalm = random.next() < 0.25;
    const parts = makeFleetParts({
      ...{ world, isCalm: this.#isCalm },
      isTrial: () => this.#isTrial,
      isWell: (boot) => this.#isWell(boot),
    });
    this.#parts = parts;
    this.#checker = parts.checker;
  }

  async run(): Promise<SeedResult> {
    const { timeline, trace } = this.#world;
    try {
      await this.#play();
    } catch (error) {
      this.#checker.fail(`the simulation itself failed: ${(error as Error).stack ?? String(error)}`);
    }
    const step = timeline.steps;
    const { last } = trace;
    return {
      ...{ seed: this.#seed, problem: this.#checker.failure, step, virtualMs: timeline.nowMs },
      ...{ lastLines: last, traceHash: trace.digest() },
    };
  }

  async #play(): Promise<void> {
    const { random, timeline } = this.#world;
    for (let number = 1; number <= random.between(2, 4); number++) this.#startWorker(`worker-${number}`, null);
    for (let number = 1; number <= random.between(1, 2); number++) this.#startManager(number - 1);
    for (let number = 1; number <= random.between(1, 2); number++) this.#startGateway(number - 1);
    await this.#makeSessions();
    this.#planFaults();
    const hasFailed = (): boolean => this.#checker.failure !== null;
    await timeline.run(trialMs, hasFailed);
    if (hasFailed()) return;
    this.#heal();
    this.#look();
    await timeline.run(trialMs + settleMs, () => this.#isOver || hasFailed());
    const owed = this.#checker.owed();
    if (owed.length > 0) this.#checker.fail(`it did not come to rest: ${owed.join('; ')}`);
  }

  /** A host's clock is wrong by as much whenever one asks. */
  #skewOf(host: string): number {
    const known = this.#skews.get(host) ?? (this.#world.random.next() * 2 - 1) * mostSkewMs;
    this.#skews.set(host, known);
    return known;
  }

  #startWorker(id: string, disk: SimulatedDisk | null): void {
    const boot = `${id}-boot-${++this.#boots}`;
    this.#world.trace.add('world', `${boot} starts${disk === null ? ' with an empty disk' : ''}`);
    const worker = new SimulatedWorker(this.#parts, id, boot, this.#skewOf(id), disk ?? new SimulatedDisk());
    this.#workers.set(id, worker);
    worker.process.onDeath = () => this.#killWorker(worker);
    worker.start();
  }

  #startManager(at: number): void {
    const host = `manager-${at + 1}`;
    const name = `${host}-${++this.#boots}`;
    const manager = new SimulatedManager(this.#parts, name, this.#skewOf(host), this.#workers);
    this.#managers[at] = manager;
    manager.process.onDeath = () => this.#killAt(manager.process, () => this.#startManager(at));
    manager.start();
  }

  #startGateway(at: number): void {
    const host = `gateway-${at + 1}`;
    const name = `${host}-${++this.#boots}`;
    const gateway = new SimulatedGateway(this.#parts, name, this.#skewOf(host), this.#workers);
    this.#gateways[at] = gateway;
    gateway.process.onDeath = () => this.#killAt(gateway.process, () => this.#startGateway(at));
  }

  /** Their turns are asked for at moments of the seed's choosing, through any gateway that lives. */
  async #makeSessions(): Promise<void> {
    const { random, timeline } = this.#world;
    const { records } = this.#parts.stores;
    const sessions = random.between(1, 3);
    let turns = 0;
    for (let number = 1; number <= sessions; number++) {
      const id = idOf(number);
      const onInterrupt = random.pick(['fail', 'continue'] as const);
      await records.sessions.create(sessionRecord({ id, policy: { ...defaultPolicy, onInterrupt } }));
      const client: Client = { sessionId: id, seen: [] };
      this.#checker.clients.push(client);
      this.#follow(client);
      let atMs = random.next() * trialMs * 0.8;
      for (let count = random.between(1, 4); count > 0; count--) {
        const turn = turnRecord({ id: idOf(1_000 + ++turns), sessionId: id, prompt: `prompt of ${1_000 + turns}` });
        // Now and then at one moment with the one before it.
        if (random.next() < 0.7) atMs = random.next() * trialMs * 0.8;
        timeline.after(atMs + random.next(), () => this.#submit(turn));
      }
    }
  }

  #submit(turn: ReturnType<typeof turnRecord>): void {
    const living = this.#gateways.filter(({ process }) => !process.isDead);
    if (living.length === 0) this.#world.timeline.after(500, () => this.#submit(turn));
    else void this.#world.random.pick(living).submit(turn);
  }

  /** At some gateway, and at another one when that dies. */
  #follow(client: Client): void {
    const { random, timeline } = this.#world;
    const living = this.#gateways.filter(({ process }) => !process.isDead);
    const gateway = living.length === 0 ? null : random.pick(living);
    if (gateway !== null) void gateway.serve(client);
    const watch = (): void => {
      if (gateway === null || gateway.process.isDead) this.#follow(client);
      else timeline.after(500, watch);
    };
    timeline.after(500, watch);
  }

  #planFaults(): void {
    const { random, timeline } = this.#world;
    const calm = [
      () => this.#crashWorker(),
      () => this.#crashWorker(),
      () => this.#drainWorker(),
      () => this.#crashManager(),
      () => this.#crashGateway(),
      () => this.#loseLog(),
    ];
    const rough = [() => this.#pauseWorker(), () => this.#pauseWorker(), () => this.#loseDirectory()];
    const kinds = this.#isCalm ? calm : [...calm, ...rough];
    for (let count = random.between(0, 10); count > 0; count--) {
      const fault = random.pick(kinds);
      timeline.after(random.next() * trialMs, () => this.#isTrial && fault());
    }
  }

  #crashWorker(): void {
    this.#killWorker(this.#world.random.pick([...this.#workers.values()]));
  }

  #killWorker({ disk, id, process }: SimulatedWorker): void {
    const { random, timeline, trace } = this.#world;
    if (process.isDead) return;
    trace.add('world', `${process.name} dies`);
    process.die();
    const kept = random.next() < 0.7 ? disk : null;
    timeline.after(random.next() * 15_000, () => this.#comeBack(id, kept));
  }

  #comeBack(id: string, disk: SimulatedDisk | null): void {
    if (this.#workers.get(id)?.process.isDead === true) this.#startWorker(id, disk);
  }

  #pauseWorker(): void {
    const { random, timeline, trace } = this.#world;
    const { process } = random.pick([...this.#workers.values()]);
    if (process.isDead || process.isPaused) return;
    trace.add('world', `${process.name} is stopped`);
    process.pause();
    // What the others do meanwhile, the stores may forget before it goes on.
    if (random.next() < 0.4) timeline.after(14_000 * random.next(), () => this.#isTrial && this.#loseLog());
    timeline.after(15_000 + random.next() * 15_000, () => this.#continue(process));
  }

  #continue(process: SimulatedWorker['process']): void {
    if (!process.isPaused) return;
    this.#world.trace.add('world', `${process.name} goes on`);
    process.goOn();
  }

  #drainWorker(): void {
    const { random, timeline, trace } = this.#world;
    const { disk, id, process, worker } = random.pick([...this.#workers.values()]);
    if (process.isDead) return;
    trace.add('world', `${process.name} is told to stop`);
    void worker.stop(random.next() * 5_000).then(() => {
      trace.add('world', `${process.name} has stopped`);
      process.die();
      timeline.after(random.next() * 3_000, () => this.#comeBack(id, disk));
    });
  }

  #crashManager(): void {
    this.#crashOneOf(this.#managers, (at) => this.#startManager(at));
  }

  #crashGateway(): void {
    this.#crashOneOf(this.#gateways, (at) => this.#startGateway(at));
  }

  #crashOneOf(all: readonly (SimulatedManager | SimulatedGateway)[], restart: (at: number) => void): void {
    const { random } = this.#world;
    const at = random.between(0, all.length - 1);
    const process = all[at]?.process;
    if (process !== undefined) this.#killAt(process, () => restart(at));
  }

  #killAt(process: SimulatedProcess, restart: () => void): void {
    const { random, timeline, trace } = this.#world;
    if (process.isDead) return;
    trace.add('world', `${process.name} dies`);
    process.die();
    timeline.after(random.next() * 5_000, restart);
  }

  #loseLog(): void {
    const { random, timeline, trace } = this.#world;
    const keptShare = random.next() < 0.5 ? 0 : random.next();
    trace.add('world', `the log loses all but ${keptShare.toFixed(2)} of what it had`);
    this.#checker.logLost();
    void this.#parts.stores.log.lose(keptShare, timeline.nowMs);
  }

  #loseDirectory(): void {
    this.#world.trace.add('world', 'the directory and the registry lose all they had');
    this.#parts.stores.directory.lose();
    this.#parts.stores.registry.lose();
  }

  /** Calls are answered, the dead come back, the stopped go on. */
  #heal(): void {
    const { faults } = this.#parts;
    this.#world.trace.add('world', 'the faults are over');
    this.#isTrial = false;
    for (const calls of [faults.stores, faults.links])
      Object.assign(calls, { refused: 0, unanswered: 0, twice: 0, slow: 0, deadly: 0 });
    faults.agentCrash = 0;
    for (const { process } of this.#workers.values()) this.#continue(process);
  }

  #isWell(boot: string): boolean {
    const worker = [...this.#workers.values()].find(({ process }) => process.name === boot);
    return this.#isCalm && worker?.process.isDead === false;
  }

  #look(): void {
    const { timeline } = this.#world;
    this.#isOver = this.#checker.owed().length === 0;
    if (!this.#isOver) timeline.after(lookEveryMs, () => this.#look());
  }
}

function idOf(number: number): string {
  return `019f0000-0000-7000-8000-${String(number).padStart(12, '0')}`;
}
