// Whose snapshots these are: one object names the fleet that uses a prefix of a bucket, and its records. Who comes
// with other names is refused: a fleet erases what its records do not know, and that would be the other's snapshots.

import type { GcsCall, GcsHttp } from './gcs-http.ts';
import { type GcsReply, unavailable } from './gcs-problem.ts';

export type FleetMark = {
  /** What the fleet is called. */
  readonly identity: string;
  /** Of its database and the place in it. */
  readonly records: string;
};

export type MarkedPlace = {
  readonly http: GcsHttp;
  readonly bucket: string;
  readonly prefix: string;
};

/** null where no fleet has ever been opened. */
export async function readMark(place: MarkedPlace): Promise<FleetMark | null> {
  const { bucket, http } = place;
  const reply = await http.call({
    operation: 'read_fleet',
    permission: 'storage.objects.get',
    kind: 'class_b',
    method: 'GET',
    url: `/storage/v1/b/${encodeURIComponent(bucket)}/o/${encodeURIComponent(objectOf(place))}`,
    query: { alt: 'media' },
    accept: [404],
  });
  return reply.status === 404 ? null : markOf(reply);
}

/** Made by the first. Rejects with `store_unavailable`, in words for a person, where it was made by another fleet. */
export async function claimPlace(place: MarkedPlace, mark: FleetMark): Promise<void> {
  const { bucket, http } = place;
  const making: GcsCall = {
    operation: 'name_fleet',
    permission: 'storage.objects.create',
    kind: 'class_a',
    method: 'POST',
    url: `/upload/storage/v1/b/${encodeURIComponent(bucket)}/o`,
    query: { uploadType: 'media', name: objectOf(place), ifGenerationMatch: '0', fields: 'name' },
    headers: { 'content-type': 'application/json' },
    body: [Buffer.from(`${JSON.stringify(mark)}\n`)],
    // Somebody was faster: another, or our own first try, whose answer was lost.
    accept: [412],
  };
  let found = await readMark(place);
  if (found === null) {
    const reply = await http.call(making);
    if (reply.status !== 412) return;
    found = await readMark(place);
  }
  if (found === null || found.identity !== mark.identity || found.records !== mark.records) {
    throw anotherFleet(place, found);
  }
}

/** No listing takes it for a tenant: those end with a slash. */
function objectOf({ prefix }: MarkedPlace): string {
  return `${prefix}/fleet.json`;
}

/** What cannot be read is nobody's that we know. */
function markOf(reply: GcsReply): FleetMark {
  try {
    const { identity, records } = JSON.parse(Buffer.from(reply.body).toString()) as Partial<FleetMark>;
    return { identity: String(identity), records: String(records) };
  } catch {
    return { identity: '', records: 'unknown' };
  }
}

function anotherFleet(place: MarkedPlace, found: FleetMark | null): Error {
  const { bucket, prefix } = place;
  const object = objectOf(place);
  const message =
    `another fleet keeps its snapshots in the bucket ${bucket} under the same google.prefix: ${prefix}; its records ` +
    `are in ${found?.records ?? 'a place that is not told'}. Give this fleet a google.prefix or a bucket of its own. ` +
    'If it is the same fleet, and its cluster.secret or its database was changed, stop all its roles and remove the ' +
    `object ${object}`;
  return unavailable('another_fleet', message, { bucket, object });
}
