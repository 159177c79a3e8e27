// What Google asks for what its adapters here use: list prices in US dollars of us-central1, without free quotas,
// discounts, taxes and network. Whoever changes one changes its date and its source.

export type Price = {
  readonly dollars: number;
  /** For so many. */
  readonly per: number;
  readonly of: string;
  /** When the source was read. */
  readonly readOn: string;
  readonly source: string;
};

const firestore = 'https://cloud.google.com/firestore/pricing (Standard edition)';
const storage = 'https://cloud.google.com/storage/pricing (Standard class, one region, flat namespace)';
const pubsub = 'https://cloud.google.com/pubsub/pricing (Message Delivery Basic)';

export const googlePrices = {
  /** A query costs one for each document that it finds, and at least one. */
  reads: { dollars: 0.03, per: 100_000, of: 'documents', readOn: '2026-08-18', source: firestore },
  writes: { dollars: 0.09, per: 100_000, of: 'documents', readOn: '2026-08-18', source: firestore },
  deletes: { dollars: 0.01, per: 100_000, of: 'documents', readOn: '2026-08-18', source: firestore },
  firestoreStored: { dollars: 0.15, per: 1, of: 'GiB and month', readOn: '2026-08-18', source: firestore },
  /** Putting an object, beginning an upload, listing. */
  class_a: { dollars: 0.005, per: 1_000, of: 'calls', readOn: '2026-09-20', source: storage },
  /** Reading an object. */
  class_b: { dollars: 0.0004, per: 1_000, of: 'calls', readOn: '2026-09-20', source: storage },
  storageStored: { dollars: 0.02, per: 1, of: 'GiB and month', readOn: '2026-09-20', source: storage },
  /** Published and again delivered; a request counts as 1,000 bytes at least. */
  messages: { dollars: 40, per: 1, of: 'TiB', readOn: '2026-09-20', source: pubsub },
} as const satisfies Readonly<Record<string, Price>>;

/** What is billed by the piece. What is not among them (removing an object, asking where an upload stands) is free. */
export const billedKinds = ['reads', 'writes', 'deletes', 'class_a', 'class_b'] as const;
export type BilledKind = (typeof billedKinds)[number];
export type Billed = Readonly<Record<BilledKind, number>>;

export const hoursOfMonth = 730;

export function dollarsOf(billed: Billed): number {
  return billedKinds.reduce(
    (sum, kind) => sum + (billed[kind] * googlePrices[kind].dollars) / googlePrices[kind].per,
    0,
  );
}

/** For whoever reads the figures. */
export function pricesInWords(): string {
  const { class_a, class_b, deletes, firestoreStored, messages, reads, storageStored, writes } = googlePrices;
  return (
    `us-central1, US dollars, no free quota. Firestore, as read on ${reads.readOn} (${reads.source}): ` +
    `$${reads.dollars} per 100,000 reads, $${writes.dollars} writes, $${deletes.dollars} deletes, ` +
    `$${firestoreStored.dollars} per GiB and month. Cloud Storage, as read on ${class_a.readOn} (${class_a.source}): ` +
    `$${class_a.dollars} per 1,000 class A, $${class_b.dollars} class B, $${storageStored.dollars} per GiB and month. ` +
    `Pub/Sub, as read on ${messages.readOn} (${messages.source}): $${messages.dollars} per TiB published or delivered`
  );
}
