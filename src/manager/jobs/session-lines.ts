// Jobs that name the same session: one of them is under way at a time, the others stand in line behind it, in the
// order in which they became due. A session runs one turn at a time: more would only hold parts of the share while
// they wait. Places only and boundedly many: those behind a line that is full are forgotten, and read again when it
// has come to its end. Two names of one session are two lines.

import type { FleetPlace } from '../../contracts/records.ts';
import type { TenantId } from '../../core/ids.ts';
import type { JobRecord } from '../../core/job.ts';
import { isBefore, placeName } from './due-backlog.ts';

type Line = {
  readonly name: string;
  readonly tenant: TenantId;
  /** More than one where somebody else began them. */
  readonly underWay: Set<string>;
  /** Comes in next: it was given back to be taken. */
  next: FleetPlace | null;
  /** The oldest first. */
  readonly waiting: FleetPlace[];
  isCut: boolean;
};

export type SessionLinesParts = {
  /** It may come in now. */
  readonly onNext: (place: FleetPlace) => void;
  /** Whether one that was given back is still to come. */
  readonly isComing: (place: FleetPlace) => boolean;
  /** Some were forgotten: they are to be read again. */
  readonly onForgotten: () => void;
};

export type LineBounds = { readonly mostPlaces: number; readonly mostPerTenant: number };

const defaultBounds: LineBounds = { mostPlaces: 5_000, mostPerTenant: 500 };

export class SessionLines {
  readonly #parts: SessionLinesParts;
  readonly #bounds: LineBounds;
  readonly #lines = new Map<string, Line>();
  /** Of each job that is under way or comes next. */
  readonly #lineOf = new Map<string, Line>();
  readonly #waiting = new Set<string>();
  readonly #waitingOfTenant = new Map<TenantId, number>();

  constructor(parts: SessionLinesParts, bounds: LineBounds = defaultBounds) {
    this.#parts = parts;
    this.#bounds = bounds;
  }

  /** How many stand in line. */
  get size(): number {
    return this.#waiting.size;
  }

  /** It stands in line: it is given back when its time has come. */
  isWaiting(place: FleetPlace): boolean {
    return this.#waiting.has(placeName(place));
  }

  /** Whether it may begin; else it stands in line now. */
  letIn(job: JobRecord, place: FleetPlace): boolean {
    const line = this.#of(job);
    if (line === null) return true;
    const name = placeName(place);
    if (line.next !== null && !isSame(line.next, place) && !this.#parts.isComing(line.next)) this.#forgetNext(line);
    const [oldest] = line.waiting;
    const isNext = line.next === null ? oldest === undefined || !isBefore(oldest, place) : isSame(line.next, place);
    if (line.underWay.size > 0 || !isNext) {
      this.#wait(line, place);
      this.#moveOn(line);
      return false;
    }
    line.next = null;
    line.underWay.add(name);
    this.#lineOf.set(name, line);
    return true;
  }

  /** It runs, whoever began it. */
  entered(job: JobRecord): void {
    const line = this.#of(job);
    line?.underWay.add(placeName(job));
    if (line !== null) this.#lineOf.set(placeName(job), line);
  }

  /** It is not under way any more, or will not be. */
  leave(place: Pick<FleetPlace, 'tenant' | 'id'>): void {
    const name = placeName(place);
    const line = this.#lineOf.get(name);
    if (line === undefined) return;
    this.#lineOf.delete(name);
    line.underWay.delete(name);
    if (line.next !== null && isSame(line.next, place)) line.next = null;
    this.#moveOn(line);
  }

  #of({ spec, tenant }: JobRecord): Line | null {
    if (spec.sessionRef === null) return null;
    const name = JSON.stringify([tenant, spec.sessionRef]);
    const line = this.#lines.get(name) ?? {
      ...{ name, tenant, underWay: new Set<string>(), next: null, waiting: [], isCut: false },
    };
    this.#lines.set(name, line);
    return line;
  }

  #wait(line: Line, place: FleetPlace): void {
    const name = placeName(place);
    if (this.#waiting.has(name)) return;
    // Behind those that were forgotten it would come before them.
    const last = line.waiting.at(-1);
    const isBehindForgotten = line.isCut && (last === undefined || isBefore(last, place));
    const ofTenant = this.#waitingOfTenant.get(line.tenant) ?? 0;
    if (isBehindForgotten || this.size >= this.#bounds.mostPlaces || ofTenant >= this.#bounds.mostPerTenant) {
      line.isCut = true;
      return;
    }
    const index = line.waiting.findLastIndex((other) => isBefore(other, place)) + 1;
    line.waiting.splice(index, 0, place);
    this.#waiting.add(name);
    this.#waitingOfTenant.set(line.tenant, ofTenant + 1);
  }

  #moveOn(line: Line): void {
    if (line.underWay.size > 0 || line.next !== null) return;
    const next = line.waiting.shift();
    if (next === undefined) {
      this.#lines.delete(line.name);
      if (line.isCut) this.#parts.onForgotten();
      return;
    }
    const name = placeName(next);
    const left = (this.#waitingOfTenant.get(line.tenant) ?? 1) - 1;
    if (left > 0) this.#waitingOfTenant.set(line.tenant, left);
    else this.#waitingOfTenant.delete(line.tenant);
    this.#waiting.delete(name);
    this.#lineOf.set(name, line);
    line.next = next;
    this.#parts.onNext(next);
  }

  #forgetNext(line: Line): void {
    if (line.next !== null) this.#lineOf.delete(placeName(line.next));
    line.next = null;
  }
}

function isSame(a: Pick<FleetPlace, 'tenant' | 'id'>, b: Pick<FleetPlace, 'tenant' | 'id'>): boolean {
  return a.id === b.id && a.tenant === b.tenant;
}
