// The database of the records, and one row for each index, exemption and time to live of
// deploy/firestore/firestore.indexes.json.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Resource } from './resource.ts';

const deploy = path.dirname(import.meta.dirname);

export const firestore: readonly Resource[] = [
  {
    name: 'records',
    kind: 'Firestore database',
    id: 'codex',
    needs: ['services'],
    api: 'firestore.googleapis.com',
    look: { has: ['gcloud', 'firestore', 'databases', 'describe', '--database={records}'] },
    make: [
      [
        ...['gcloud', 'firestore', 'databases', 'create', '--database={records}', '--location=$FIRESTORE_LOCATION'],
        ...['--type=firestore-native', '--edition=standard', '--delete-protection', '--enable-pitr'],
      ],
    ],
    update: [
      [
        ...['gcloud', 'firestore', 'databases', 'update', '--database={records}'],
        ...['--delete-protection', '--enable-pitr'],
      ],
    ],
    removal: {
      data: 'sessions, turns, jobs: the records',
      by: [
        ['gcloud', 'firestore', 'databases', 'update', '--database={records}', '--no-delete-protection'],
        ['gcloud', 'firestore', 'databases', 'delete', '--database={records}'],
      ],
    },
    costs: 'by use: reads and writes of turns, storage, a week of its past',
  },
  {
    name: 'records-backups',
    kind: 'schedule of backups',
    id: 'daily',
    profiles: ['prod'],
    needs: ['records'],
    api: 'firestore.googleapis.com',
    look: {
      shows: ['gcloud', 'firestore', 'backups', 'schedules', 'list', '--database={records}', '--format=value(name)'],
      lines: [],
    },
    make: [
      [
        ...['gcloud', 'firestore', 'backups', 'schedules', 'create', '--database={records}'],
        ...['--recurrence=daily', '--retention=7d'],
      ],
    ],
    removal: { kept: 'it goes with the database; its backups go when their time is over' },
    costs: 'by the size of the records, for each backup that is kept',
  },
  ...indexes(),
];

function orderOf({ order }: { readonly order: string }): string {
  return order.toLowerCase();
}

type IndexFile = {
  readonly indexes: readonly {
    readonly collectionGroup: string;
    readonly queryScope: string;
    readonly fields: readonly { readonly fieldPath: string; readonly order: string }[];
  }[];
  readonly fieldOverrides: readonly {
    readonly collectionGroup: string;
    readonly fieldPath: string;
    readonly ttl?: boolean;
  }[];
};

/** One row for each line of deploy/firestore/firestore.indexes.json. They go with the database. */
function indexes(): Resource[] {
  const file = JSON.parse(readFileSync(path.join(deploy, 'firestore/firestore.indexes.json'), 'utf8')) as IndexFile;
  const common = {
    needs: ['records'],
    api: 'firestore.googleapis.com',
    removal: { kept: 'they go with the database' },
    costs: 'in the storage of the database',
  };
  const composite = file.indexes.map(({ collectionGroup, queryScope, fields }): Resource => {
    const paths = fields.map(({ fieldPath }) => fieldPath);
    const orders = fields.map(({ order }) => order);
    const scope = queryScope.toLowerCase().replace('_', '-');
    // Google adds the name of the document, in the order of the last field.
    const line = [
      collectionGroup,
      queryScope,
      `${paths.join(',')},__name__`,
      `${orders.join(',')},${orders.at(-1)}`,
    ].join('|');
    return {
      ...common,
      name: ['index', collectionGroup, scope, ...fields.flatMap((field) => [field.fieldPath, orderOf(field)])].join(
        '-',
      ),
      kind: 'composite index',
      id: line,
      look: {
        shows: [
          ...['gcloud', 'firestore', 'indexes', 'composite', 'list', '--database={records}'],
          "--format=value[separator='|'](name.segment(-3),queryScope,fields[].fieldPath.list(),fields[].order.list())",
        ],
        lines: [line],
      },
      make: [
        [
          ...['gcloud', 'firestore', 'indexes', 'composite', 'create', '--database={records}', '--async'],
          ...[`--collection-group=${collectionGroup}`, `--query-scope=${scope}`],
          ...fields.map((field) => `--field-config=field-path=${field.fieldPath},order=${orderOf(field)}`),
        ],
      ],
    };
  });
  const fields = file.fieldOverrides.flatMap(({ collectionGroup, fieldPath, ttl }): Resource[] => {
    const name = `field-${collectionGroup}-${fieldPath}`;
    const format = "--format=value[separator='|'](name.segment(-3),name.segment(-1))";
    const at = ['--database={records}', `--collection-group=${collectionGroup}`];
    const line = `${collectionGroup}|${fieldPath}`;
    const unindexed: Resource = {
      ...common,
      name,
      kind: 'field without an index',
      id: line,
      look: {
        shows: ['gcloud', 'firestore', 'indexes', 'fields', 'list', '--database={records}', format],
        lines: [line],
      },
      // Not in the background where a second change of the same field follows: that one would be refused.
      make: [
        [
          ...['gcloud', 'firestore', 'indexes', 'fields', 'update', fieldPath, ...at, '--disable-indexes'],
          ...(ttl === true ? [] : ['--async']),
        ],
      ],
    };
    if (ttl !== true) return [unindexed];
    const expiring: Resource = {
      ...common,
      name: `ttl-${collectionGroup}-${fieldPath}`,
      kind: 'time to live',
      id: line,
      needs: ['records', name],
      look: { shows: ['gcloud', 'firestore', 'fields', 'ttls', 'list', '--database={records}', format], lines: [line] },
      make: [['gcloud', 'firestore', 'fields', 'ttls', 'update', fieldPath, ...at, '--enable-ttl', '--async']],
    };
    return [unindexed, expiring];
  });
  return [...composite, ...fields];
}
