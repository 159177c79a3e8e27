// What the local Cloud Storage is told to do wrong: for the next calls of a kind, before or after it has done
// what was asked.

export const gcsOperations = [
  'permissions',
  'bucket',
  'list',
  'insert',
  'begin',
  'chunk',
  'status',
  'cancel',
  'get',
  'media',
  'delete',
] as const;
export type GcsOperation = (typeof gcsOperations)[number];

export type GcsFault = {
  /** Absent: any. */
  readonly on?: readonly GcsOperation[];
  /** Part of the object's name; absent: any. */
  readonly object?: string;
  /** Absent: once. */
  readonly times?: number;
  /** So many calls go by unharmed before. */
  readonly skip?: number;
  /** Whether what was asked is done; absent: before, so it is not. */
  readonly when?: 'before' | 'after';
  readonly act:
    | { readonly status: number; readonly message?: string; readonly reason?: string }
    /** No answer; the connection stays. */
    | 'hang'
    /** The connection is cut: in the midst of the body that comes or goes, if it is long. */
    | 'cut'
    | { readonly slowMs: number }
    /** Of a body that goes: one octet is other than it was. Of what was stored: its checksum. */
    | 'wrong_octets';
};

type Pending = { readonly fault: GcsFault; skip: number; left: number };

export class GcsFaults {
  /** Asked for each call that no planned fault is meant for. */
  faultOf: (operation: GcsOperation, object: string | null) => GcsFault | null = () => null;
  #pending: Pending[] = [];

  add(fault: GcsFault): void {
    this.#pending.push({ fault, skip: fault.skip ?? 0, left: fault.times ?? 1 });
  }

  clear(): void {
    this.#pending = [];
  }

  /** Faults that nobody met. */
  get left(): number {
    return this.#pending.length;
  }

  next(operation: GcsOperation, object: string | null): GcsFault | null {
    for (const pending of this.#pending) {
      const { on, object: part } = pending.fault;
      if (on?.includes(operation) === false || (part !== undefined && object?.includes(part) !== true)) continue;
      if (pending.skip > 0) {
        pending.skip -= 1;
        continue;
      }
      pending.left -= 1;
      if (pending.left <= 0) this.#pending = this.#pending.filter((one) => one !== pending);
      return pending.fault;
    }
    return this.faultOf(operation, object);
  }
}
