// From documents that were found to whole records: with the parts of their texts, verified, and of one revision each.

import type { Call } from './call.ts';
import { isSameTime, plainOf, type StoredDocument } from './document.ts';
import { assertFormatKnown, damaged, type RecordShape, recordOf, type Stored, standingOf } from './record-document.ts';
import { documentName, partNames, readDocuments, type RecordStore } from './record-store.ts';

/** In one request: about 15 MiB of text, unless a single record has more. */
const partsAtOnce = 16;

/** Without those that are gone by now. The parts of several are read in one request. */
export async function readRecords<T extends Stored>(
  store: RecordStore,
  shape: RecordShape<T>,
  call: Call,
  documents: readonly StoredDocument[],
): Promise<T[]> {
  const records: T[] = [];
  for (const group of groupsOf(documents)) {
    const names = group.map((document) => partNamesOf(store, document));
    const all = names.flat();
    const parts = all.length === 0 ? [] : await readDocuments(store, call, all, null);
    let first = 0;
    for (const [at, document] of group.entries()) {
      const count = names[at]?.length ?? 0;
      const record = await readRecord(store, shape, call, document, parts.slice(first, first + count));
      first += count;
      if (record !== null) records.push(record);
    }
  }
  return records;
}

/** null when it is gone by now. `partsRead`: of `found`, if they were read already. */
export async function readRecord<T extends Stored>(
  store: RecordStore,
  shape: RecordShape<T>,
  call: Call,
  found: StoredDocument,
  partsRead: readonly (StoredDocument | null)[] | null = null,
): Promise<T | null> {
  let known = partsRead;
  for (let document = found; ; known = null) {
    assertFormatKnown(shape, document);
    const standing = standingOf(document);
    if (standing === null) throw damaged(shape, document);
    const names = partNamesOf(store, document);
    const parts = known ?? (names.length === 0 ? [] : await readDocuments(store, call, names, null));
    const texts = parts.flatMap((part) => plainOf(part?.fields['body']) ?? []).map(String);
    if (texts.length === names.length) {
      const record = recordOf(shape, document, texts);
      // Else a record could be read at another's name.
      if (documentName(store, record.tenant, shape.kind, record.id) !== document.name) throw damaged(shape, document);
      store.places.keep(document.name, standing);
      return record;
    }
    // Another revision has replaced it, with parts of its own, or it was erased.
    const [now = null] = await readDocuments(store, call, [document.name], null);
    if (now === null) return null;
    if (isSameTime(now.updateTime, document.updateTime)) throw damaged(shape, document);
    document = now;
  }
}

function partNamesOf(store: RecordStore, document: StoredDocument): string[] {
  return partNames(store, document.name, standingOf(document)?.parts ?? null);
}

/** In order; the parts of each group are few enough for one request. */
function groupsOf(documents: readonly StoredDocument[]): StoredDocument[][] {
  const groups: StoredDocument[][] = [];
  let parts = 0;
  for (const document of documents) {
    const count = standingOf(document)?.parts?.count ?? 0;
    const last = groups.at(-1);
    if (last !== undefined && parts + count <= partsAtOnce) {
      last.push(document);
      parts += count;
    } else {
      groups.push([document]);
      parts = count;
    }
  }
  return groups;
}
